"""Run by test_scan_cost.py: seconds and peak bytes of forward and backward, our scan or autograd through a loop."""

import json
import sys
import time

import torch
from ops_cases import scan_case

from zoo import ops


def loop(u, dt, A, B, C):
    h, outputs = 0, []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt * u)[:, t, :, None] * B[:, t, None, :]
        outputs.append((h * C[:, t, None, :]).sum(-1))
    return torch.stack(outputs, 1)


def ours(u, dt, A, B, C):
    return ops.selective_scan(u, dt, A, B, C, dt_softplus=False)


def memory(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))


def once(function, leaves) -> float:
    start = time.perf_counter()
    function(*leaves).sum().backward()
    return time.perf_counter() - start


def cost(function, length: int, rounds: int) -> dict[str, float]:
    case = scan_case(16, length, 512, 16, torch.float32, without=("D", "z", "dt_bias"))
    case["dt"] = case["dt"].abs() * 0.1
    leaves = [x.requires_grad_() for x in case.values()]
    once(function, [x[:1] if x.ndim == 3 else x for x in leaves])  # compiles
    for leaf in leaves:
        leaf.grad = torch.zeros_like(leaf)
    before = memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")  # forget the peak so far
    seconds = [once(function, leaves)]
    peak = memory("VmHWM") - before
    seconds += [once(function, leaves) for _ in range(rounds - 1)]
    return {"seconds": min(seconds), "bytes": peak}


if __name__ == "__main__":
    functions, length = {"loop": loop, "ours": ours}, int(sys.argv[1])
    rounds = json.loads(sys.argv[2])
    print(json.dumps({name: cost(functions[name], length, count) for name, count in rounds.items()}))

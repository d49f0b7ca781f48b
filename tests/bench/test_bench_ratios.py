"""The fast operators are many times faster than the reference loops: ratios, because seconds differ between machines.

`benchmark` keeps the fast side's time for whoever compares runs; the gate uses a clock that takes both in turn.
"""

import pytest
import torch

from zoo.bench.clock import Call, measure, ratio
from zoo.bench.op_cases import Case, inputs, prepare
from zoo.ops import dispatch

CPU = torch.device("cpu")
GATES = [  # measured on one core: 95, 76, 7 and 5; the gates leave room for a machine with other work
    (Case("selective_scan", "forward", 2, 64, 512, 16), 8),
    (Case("selective_scan", "backward", 2, 64, 512, 16), 8),
    (Case("causal_conv", "forward", 8, 256, 365, 4), 2),
    (Case("causal_conv", "backward", 8, 256, 365, 4), 2),
]


@pytest.mark.parametrize(("case", "least"), GATES, ids=lambda value: getattr(value, "name", ""))
def test_the_cpu_backend_is_faster_than_the_loop(case, least, benchmark):
    x = inputs(case, CPU, torch.float32, "channel_last", 0)
    fast, slow = (prepare(case, dispatch.load(case.op, name), x) for name in ("cpu", "naive"))
    found = measure({"slow": Call(slow), "fast": Call(fast)}, CPU, budget=0.05)
    benchmark.extra_info["times faster"] = times = ratio(found["slow"], found["fast"])
    benchmark.pedantic(fast, rounds=3)
    assert times >= least, found

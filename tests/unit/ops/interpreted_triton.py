"""Run by test_triton_interpreted.py under TRITON_INTERPRET=1: the Triton kernels against the naive loop, on the CPU."""

import torch
from norm_cases import CASES, EVERY, check, check_gated_add
from ops_cases import assert_close, conv_case, random_order, run_conv, run_scan, scan_case, true_conv, true_scan

from zoo.ops.add_norm import operator, vectors
from zoo.ops.selective_scan import triton

EMPTY = torch.empty


def poisoned(*args, **kwargs):
    x = EMPTY(*args, **kwargs)
    return x.fill_(float("nan")) if x.is_floating_point() else x


def scans():
    triton.CHUNK, triton.PROGRAMS = 4, 3  # several chunks a row, several rows a program, in few steps
    for length, channels, state, rows, discretization, without, dtype in (
        (9, 5, 5, 1, "euler", (), torch.float32),
        (6, 33, 3, 2, "zoh", (), torch.float32),
        (6, 4, 1, 3, "euler", ("D", "z", "dt_bias"), torch.float32),
        (5, 4, 20, None, "zoh", ("z",), torch.bfloat16),
    ):
        case = scan_case(2, length, channels, state, dtype, without=without)
        case["A"] = case["A"].float()
        options = {"order": rows and random_order(length, rows), "discretization": discretization}
        tolerance = 2e-6 if dtype == torch.float32 else 5e-3
        assert_close(run_scan(case, backend="triton", **options), true_scan(case, **options), tolerance)
    case = scan_case(1, 5, 4, 3, torch.float32)
    turned = {k: x.transpose(1, 2).contiguous().transpose(1, 2) for k, x in case.items() if x.ndim == 3}
    assert_close(run_scan(case | turned, dt_softplus=False, backend="triton"), true_scan(case, dt_softplus=False), 2e-6)


def convs():
    for length, channels, width, rows, activation in (
        (9, 5, 4, 1, "silu"),
        (36, 70, 2, 4, "none"),
        (6, 3, 8, 2, "silu"),
    ):
        case = conv_case(2, length, channels, width, torch.float32, bias=rows > 1)
        options = {"order": random_order(length, rows), "activation": activation}
        assert_close(run_conv(case, backend="triton", **options), true_conv(case, **options), 1e-6)


def norms():
    operator.ROWS = 2  # two programs a sample and a bit, in few rows
    sizes = [(2, 5, 40), (1, 3, 5), (3, 2, 9)]
    check(2e-6, sizes)
    check(2e-6, [(2, 2, 5)], kinds=EVERY[::7])  # which has no divisor in common with their number
    check(8e-3, sizes[:1], dtype=torch.bfloat16, kinds=CASES[6:9])
    vectors.PARTS = 2  # sums over several rounds
    check(2e-6, [(2, 9, 5), (5, 1, 5)], kinds=[CASES[7]])
    check_gated_add(1e-6, sizes)
    operator._rows = lambda rows: 3  # of a program, where there are many
    check(2e-6, sizes, kinds=[CASES[7], CASES[9]])
    check_gated_add(1e-6, sizes)


if __name__ == "__main__":
    torch.empty = poisoned
    norms()
    convs()
    scans()
    print("agree")

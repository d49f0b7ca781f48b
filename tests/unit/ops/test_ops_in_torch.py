"""The operators behave as PyTorch's own: compile, meta, autocast, FLOP counting, determinism, threads, forks."""

import multiprocessing
import os

import pytest
import torch
from ops_cases import conv_case, random_order, run_conv, run_scan, scan_case
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zoo import ops
from zoo.ops.flops import count_macs


class Pair(nn.Module):
    """Convolution and scan, as in a Mamba block."""

    def __init__(self, channels=6, state=4, width=3):
        super().__init__()
        self.conv = nn.Parameter(torch.randn(channels, width))
        self.A = nn.Parameter(-torch.rand(channels, state))
        self.weights = nn.Linear(channels, 2 * state + channels)
        self.sizes = (channels, state, state)

    def forward(self, x, order=None):
        x = ops.causal_conv(x, self.conv, order=order)
        dt, B, C = self.weights(x).split(self.sizes, -1)
        return ops.selective_scan(x, dt, self.A, B, C, order=order)


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_compiles_as_one_graph(rows):
    model, x = Pair(), torch.randn(2, 12, 6)
    order = None if rows is None else random_order(12, rows)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(model(x, order).square().sum(), model.parameters())
    got = torch.autograd.grad(compiled(x, order).square().sum(), model.parameters())
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_registrations_pass_torchs_own_check():
    scan, conv = tuple(scan_case(dtype=torch.float32).values()), tuple(conv_case().values())
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    scan = tuple(x.requires_grad_() for x in scan)
    torch.library.opcheck(torch.ops.zoo.selective_scan, (*scan, None, True, False, True, "auto"), test_utils=checks)
    torch.library.opcheck(torch.ops.zoo.causal_conv, (*conv, random_order(9), True, "auto"), test_utils=checks)


def test_meta_tensors_have_shapes_only():
    case = {k: x.to("meta") for k, x in scan_case(2, 12, 6, 4).items()}
    got = run_scan(case)
    assert got["y"].device.type == "meta" and got["y"].shape == (2, 12, 6) and got["grad A"].shape == (6, 4)
    assert run_conv({k: x.to("meta") for k, x in conv_case().items()})["grad weight"].shape == (5, 4)


def test_autocast_keeps_parameters_and_state_in_float32():
    model, x = Pair(), torch.randn(2, 64, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    gradients = torch.autograd.grad(y.float().square().sum(), model.parameters())
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)
    assert (y.float() - model(x)).norm() < 0.05 * y.float().norm()


def test_flop_formulas_count_every_multiply_add():
    batch, length, channels, state, width = 2, 5, 3, 4, 3
    scan = conv = 0
    for _ in range(batch * length * channels):
        scan += sum(3 for _ in range(state)) + 2  # decay, input, read-out by state; D and gate
        conv += width
    case = {k: x.to("meta") for k, x in scan_case(batch, length, channels, state).items()}
    assert count_macs(lambda: ops.selective_scan(**case))[0] == scan
    case = {k: x.to("meta") for k, x in conv_case(batch, length, channels, width).items()}
    assert count_macs(lambda: ops.causal_conv(**case))[0] == conv


def test_macs_by_module_on_the_meta_device():
    model = nn.Sequential(nn.Linear(6, 6), Pair()).to("meta")
    total, by_module = count_macs(model, torch.empty(2, 12, 6, device="meta"))
    cells = 2 * 12
    assert by_module["Sequential.0"] == cells * 36
    assert by_module["Sequential.1"] == cells * (6 * 3 + 6 * (3 * 4 + 2) + 6 * 14)
    assert total == by_module["Global"] == cells * (36 + 18 + 84 + 84)


def test_backward_is_counted_too():
    case = {k: x.to("meta").requires_grad_() for k, x in scan_case(1, 5, 3, 4).items()}
    with FlopCounterMode(display=False) as counter:
        ops.selective_scan(**case).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 15 * 14


def test_scan_does_not_depend_on_run_or_threads():
    case, threads = scan_case(3, 129, 130, 16, torch.float32), torch.get_num_threads()
    try:
        results = []
        for n in (1, 2, 5, 5):
            torch.set_num_threads(n)
            results.append(run_scan(case, backend="cpu"))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(results[0][name], other[name]) for name in other)


def test_conv_does_not_depend_on_run():
    # on threads it does, by a rounding: torch's silu treats the ends of its shares apart
    first, second = (run_conv(conv_case(3, 129, 300, 4, torch.float32)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def _in_child(queue):
    queue.put(ops.selective_scan(**scan_case(4, 65, 130, 4)).sum().item())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_works_in_a_forked_process():
    wanted = ops.selective_scan(**scan_case(4, 65, 130, 4)).sum().item()  # the parent's threads exist now
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == wanted
    child.join(60)

"""The fused sum, norm and modulation on a CUDA device: the definition's results, the same bits in every run."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ops"))
from norm_cases import CASES, EVERY, Kind, case, check, check_gated_add, leaves, run

from zoo.ops import add_norm

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SUMS = Kind(gate="sum", weight=True, shift="sum", scale="sum")
SIZES = [(2, 366, 1536), (8, 365, 512), (1, 50, 1152), (3, 7, 2000)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 6e-3), (torch.float16, 2e-3)])
def test_outputs_and_gradients_are_those_of_the_definition(dtype, tolerance):
    check(tolerance, SIZES, dtype=dtype, device="cuda")
    check_gated_add(tolerance, SIZES, dtype=dtype, device="cuda")


def test_every_combination_of_what_may_be_there():
    check(3e-6, [(3, 37, 72)], device="cuda", kinds=EVERY)


def test_sums_over_many_samples_and_many_rows():
    check(5e-6, [(70, 40, 24), (2, 9300, 40), (128, 365, 512)], device="cuda", kinds=CASES[6:8])


@pytest.mark.parametrize("kind", CASES[:1] + CASES[6:8])
def test_runs_are_equal_to_the_bit(kind):
    tensors, gradients = case(8, 365, 512, kind, dtype=torch.bfloat16, device="cuda")
    runs = [run(tensors, gradients, kind.centred) for _ in range(2)]
    assert all(map(torch.equal, *runs))


def test_a_graph_replays_outputs_and_gradients():
    tensors, gradients = case(2, 50, 72, SUMS, device="cuda")
    wanted = [t.detach() for t in run(tensors, gradients, False)]  # compiles
    tensors, gradients = case(2, 50, 72, SUMS, device="cuda")  # leaves that no other stream has seen
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run(tensors, gradients, False)
    for tensor in found:
        tensor.detach().zero_()
    graph.replay()
    assert all(map(torch.equal, found, wanted))


def test_a_sum_compiles_without_a_break():
    tensors, gradients = case(2, 50, 72, SUMS, device="cuda")
    compiled = torch.compile(add_norm, fullgraph=True)(*tensors, 1e-5, False)
    grads = torch.autograd.grad(compiled, leaves(tensors), gradients)
    for found, wanted in zip([*compiled, *grads], run(tensors, gradients, False), strict=True):
        torch.testing.assert_close(found, wanted)

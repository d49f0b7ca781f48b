"""The fused sum, norm and modulation on a CUDA device: the definition's results, the same bits in every run."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ops"))
from norm_cases import CASES, case, check, check_gated_add, run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SIZES = [(2, 366, 1536), (8, 365, 512), (1, 50, 1152), (3, 7, 2000)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 6e-3), (torch.float16, 2e-3)])
def test_outputs_and_gradients_are_those_of_the_definition(dtype, tolerance):
    check(tolerance, SIZES, dtype=dtype, device="cuda")
    check_gated_add(tolerance, SIZES, dtype=dtype, device="cuda")


def test_runs_are_equal_to_the_bit():
    tensors, gradients = case(8, 365, 512, *CASES[1], dtype=torch.bfloat16, device="cuda")
    assert all(map(torch.equal, run(tensors, gradients, True), run(tensors, gradients, True)))

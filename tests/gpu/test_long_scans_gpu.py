"""At 1536 px and beyond the kernels still compute the naive loop's outputs and gradients."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ops"))
from ops_cases import assert_close, random_order, run_scan, scan_case, true_scan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("backend", ["triton", "cuda"])
@pytest.mark.parametrize("length", [9216, 36864])
def test_long_scans_agree_with_naive(length, backend):
    case = {name: x.cuda() for name, x in scan_case(1, length, 8, 4, torch.float32, seed=length).items()}
    order = random_order(length).cuda()
    assert_close(run_scan(case, backend=backend, order=order), true_scan(case, order=order), 2e-5)

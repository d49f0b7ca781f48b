"""Every backend of the causal convolution computes the naive one's outputs and gradients."""

import pytest
import torch
from ops_cases import assert_close, conv_case, random_order, run_conv, true_conv
from torch.nn import functional as F

from zoo import ops

BACKENDS = ("cpu", "naive")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def test_naive_is_torch_conv1d_with_left_padding():
    case = conv_case(2, 9, 5, 4)
    x = F.pad(case["x"].transpose(1, 2), (3, 0))
    wanted = F.silu(F.conv1d(x, case["weight"].unsqueeze(1), case["bias"], groups=5)).transpose(1, 2)
    torch.testing.assert_close(ops.causal_conv(**case, backend="naive"), wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("length", [1, 2, 3, 7, 63, 64, 65, 129, 361])
def test_agrees_with_naive(length, dtype, backend):
    width = 2 + length % 7
    case = conv_case(2, length, (1, 8, 60, 300)[length % 4], width, dtype, bias=length % 3 > 0)
    options = {"order": random_order(length) if length % 2 else None, "activation": ("silu", "none")[length % 2]}
    assert_close(run_conv(case, backend=backend, **options), true_conv(case, **options), TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rows", [2, 10, 60])  # rows down to two steps, shorter than the taps
def test_every_row_starts_from_zeros(rows, backend):
    case, order = conv_case(2, 120, 8, 4), random_order(120, rows)
    assert_close(run_conv(case, order=order, backend=backend), true_conv(case, order=order), 1e-12)
    first = order[0].long()
    alone = ops.causal_conv(**(case | {"x": case["x"][:, first]}))
    torch.testing.assert_close(ops.causal_conv(**case, order=order, backend=backend)[:, first], alone)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ["silu", "none"])
def test_gradcheck(backend, activation):
    case = tuple(x.requires_grad_() for x in conv_case(2, 6, 3, 3).values())
    order = random_order(6, 2)
    assert torch.autograd.gradcheck(lambda *x: ops.causal_conv(*x, order, activation, backend), case)


@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_do_not_matter(backend):
    case = conv_case(2, 33, 8, 4)
    plain = run_conv(case, backend=backend)
    wide = {"x": torch.cat([case["x"]] * 2, 2)[..., :8], "weight": case["weight"].t().contiguous().t()}
    turned = {"x": case["x"].transpose(1, 2).contiguous().transpose(1, 2)}
    for changed in (wide, turned):
        assert_close(run_conv(case | changed, backend=backend), plain, 1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_in_and_out_float32_inside(backend):
    case = conv_case(2, 65, 8, 4, torch.bfloat16)
    case |= {name: case[name].float() for name in ("weight", "bias")}
    got = run_conv(case, backend=backend)
    assert got["y"].dtype == torch.bfloat16 and got["grad weight"].dtype == torch.float32
    assert_close(got, true_conv(case), 5e-3)

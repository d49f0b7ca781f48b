"""The whole mixer as one operator: the same numbers as its parts one after another, and less kept between passes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from zoo.errors import ShapeError
from zoo.ops import causal_conv, mamba, selective_scan
from zoo.ops.dispatch import load
from zoo.ops.mamba import operator

NAMES = ("n", "in_proj", "conv_weight", "conv_bias", "x_proj", "dt_proj", "dt_bias", "A_log", "D", "out_proj")


def inputs(batch=2, length=13, width=6, inner=10, state=3, rank=2, taps=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    new = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()  # noqa: E731
    return [new(batch, length, width), new(2 * inner, width), new(inner, taps), new(inner),
            new(rank + 2 * state, inner), new(inner, rank), new(inner), new(inner, state), new(inner),
            new(width, inner)]  # fmt: skip


def composed(n, in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj, order, zoh):
    x, z = F.linear(n, in_proj).chunk(2, -1)
    u = causal_conv(x, conv_weight, conv_bias, order=order)
    state = A_log.shape[1]
    dt, B, C = F.linear(u, x_proj).split((dt_proj.shape[1], state, state), -1)
    A = -torch.exp(A_log)
    y = selective_scan(u, F.linear(dt, dt_proj), A, B, C, D, z, dt_bias, order=order,
                       discretization="zoh" if zoh else "euler")  # fmt: skip
    return F.linear(y, out_proj)


class InPlace:
    """A scan that works in place, as the CUDA one does, made of the plain loop."""

    plain = load("selective_scan", "naive")
    states_shape = plain.states_shape

    def forward(self, x, save, into):
        y, states = self.plain.forward(x.with_rates(), save)
        return into.copy_(y), states

    def backward_in_place(self, x, states, gy):
        rates = x.with_rates()
        y, _ = self.plain.forward(rates, False)
        gu, gdt, gA, gB, gC, gD, gz, gbias = self.plain.backward(rates, states, gy)
        gy.copy_(y)
        return gu.to(gy.dtype), x.dt.copy_(gdt), gA * rates.A, gB, gC, gD, x.z.copy_(gz), gbias


@pytest.fixture(params=["kept", "computed again"])
def either(request, monkeypatch):
    """What only a backward pass in place allows, and what every backend can do."""
    if request.param != "kept":
        monkeypatch.setattr(operator, "scan_backend", lambda x, backend: InPlace())


@pytest.mark.parametrize("zoh", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_its_parts_one_after_another(zoh, rows, bias, either):
    tensors = inputs(length=12 if rows == 3 else 13)
    if not bias:
        tensors[3] = None
    length = tensors[0].shape[1]
    order = torch.randperm(length, generator=torch.Generator().manual_seed(1)).int() if rows else None
    order = order.view(rows, -1) if rows == 3 else order
    leaves = [t for t in tensors if t is not None]
    found, wanted = (f(*tensors, order, zoh) for f in (mamba, composed))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    g = torch.randn(found.shape, dtype=found.dtype)
    for name, a, b in zip(NAMES, torch.autograd.grad(found, leaves, g), torch.autograd.grad(wanted, leaves, g)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-13), (torch.float32, 5e-6)])
def test_without_gradients_the_result_is_the_same_and_inputs_stay_as_they_were(dtype, near, either):
    """To so much of the largest value: terms that nearly cancel."""
    tensors = inputs(dtype=dtype)
    before = [t.detach().clone() for t in tensors]
    with torch.no_grad():
        found = mamba(*tensors)
    wanted = mamba(*tensors).detach()
    torch.testing.assert_close(found, wanted, rtol=0, atol=near * wanted.abs().max().item())
    assert all(torch.equal(a, b) for a, b in zip(tensors, before))


def front_of_parts(f):
    """What the kernel in front of the scan gives, by its parts."""
    u = causal_conv(f.x, f.weight, f.bias, order=f.order)
    rows = F.linear(u, f.x_proj)
    return u, rows, F.linear(rows[..., : f.dt_proj.shape[1]], f.dt_proj)


@pytest.mark.parametrize("many", [1, 10**9])  # tokens from which x and z are products of their own
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_without_gradients_one_kernel_may_do_all_in_front_of_the_scan(rows, many, monkeypatch):
    tensors = [t.detach() for t in inputs(length=12)]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1)).int() if rows else None
    order = order.view(rows, -1) if rows == 3 else order
    monkeypatch.setattr(operator, "MANY", many)
    monkeypatch.setattr(operator, "scan_backend", lambda x, backend: InPlace())
    monkeypatch.setattr(operator.front, "takes", lambda *of: True)
    monkeypatch.setattr(operator.front, "forward", front_of_parts)
    torch.testing.assert_close(mamba(*tensors, order), composed(*tensors, order, False), rtol=1e-12, atol=1e-12)


def test_under_autocast_products_run_in_its_dtype_and_gradients_come_in_that_of_the_weights(either):
    tensors = inputs(length=40, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = mamba(*tensors)
    assert y.dtype == torch.bfloat16
    wanted = mamba(*tensors)
    assert ((y - wanted).norm() / wanted.norm()).item() < 2e-2
    found = torch.autograd.grad(y.float().square().sum(), tensors)
    wanted = torch.autograd.grad(wanted.square().sum(), tensors)
    for name, a, b, t in zip(NAMES, found, wanted, tensors):
        assert a.dtype == t.dtype
        assert ((a - b).norm() / b.norm()).item() < 6e-2, name


def kept_bytes(run) -> int:
    """Of activations that autograd keeps for backward: each storage once, weights (2-d or less) left out."""
    storages = {}

    def pack(t):
        if t.ndim > 2:
            storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run()
    return sum(storages.values())


def test_less_than_half_is_kept_where_the_scan_works_in_place(monkeypatch):
    tensors = inputs(batch=2, length=256, width=16, inner=64, state=16, rank=2, dtype=torch.float32)
    wanted = kept_bytes(lambda: composed(*tensors, None, False))
    monkeypatch.setattr(operator, "scan_backend", lambda x, backend: InPlace())
    found = kept_bytes(lambda: mamba(*tensors))
    assert 2 * 256 * (16 + 64 + 34) * 4 <= found < wanted / 2, (found, wanted)


def test_it_traces_whole_and_fakes_agree():
    tensors = inputs(dtype=torch.float32)
    order = torch.randperm(13).int()
    torch.library.opcheck(torch.ops.zoo.mamba, (*tensors, order, False, True),
                          test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_static"))  # fmt: skip
    run = torch.compile(lambda *t: mamba(*t, order), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(*tensors), mamba(*tensors, order))


def test_an_order_of_another_length_is_refused():
    with pytest.raises(ShapeError, match="order"):
        mamba(*inputs(), torch.arange(12))

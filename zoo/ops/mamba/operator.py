"""The mixer as PyTorch custom operators over the convolution's and the scan's backends."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.ops import flops
from zoo.ops.causal_conv.inputs import Inputs as ConvInputs
from zoo.ops.causal_conv.operator import conv_backend
from zoo.ops.imagined import on_gpu
from zoo.ops.mamba import cuda_front as front
from zoo.ops.selective_scan.inputs import Inputs as ScanInputs
from zoo.ops.selective_scan.operator import empty_states, scan_backend


class Weights(NamedTuple):
    """As `zoo.ops.mamba` takes them; projections in the dtype of the tokens."""

    in_proj: Tensor
    conv_weight: Tensor
    conv_bias: Tensor | None
    x_proj: Tensor
    dt_proj: Tensor
    dt_bias: Tensor
    A_log: Tensor
    D: Tensor
    out_proj: Tensor

    @property
    def inner(self) -> int:
        return len(self.D)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Of a step's rank, B and C within a row of `x_proj`'s result."""
        return self.dt_proj.shape[1], self.A_log.shape[1], self.A_log.shape[1]


class Kept(NamedTuple):
    """Between the passes; the last four are empty where backward computes them again."""

    x: Tensor
    rows: Tensor  # of x_proj
    states: Tensor
    z: Tensor
    u: Tensor
    dt: Tensor
    y: Tensor


def lean(scan: ModuleType) -> bool:
    """Whether little is kept: the scan's backward pass can work in place and give its output once more."""
    return on_gpu() or hasattr(scan, "backward_in_place")


@torch.library.custom_op("zoo::mamba", mutates_args=())
def mixer(
    n: Tensor, in_proj: Tensor, conv_weight: Tensor, conv_bias: Tensor | None, x_proj: Tensor, dt_proj: Tensor,
    dt_bias: Tensor, A_log: Tensor, D: Tensor, out_proj: Tensor, order: Tensor | None, zoh: bool, save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """(result, *Kept); everything kept is empty unless `save`."""
    w = Weights(in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj)
    if not save and front.takes(n, conv_weight, conv_bias, x_proj, dt_proj, order, w.sizes[1]):
        return F.linear(_at_once(n, w, order, zoh), out_proj), *_nothing(n, 7)
    if save:  # apart, so that x can be kept without z
        x, z = F.linear(n, in_proj[: w.inner]), F.linear(n, in_proj[w.inner :])
    else:
        x, z = F.linear(n, in_proj).chunk(2, -1)
    u = _convolve(x, w, order)
    rows = F.linear(u, x_proj)
    scan = scan_backend(_scan_inputs(u, u, rows, z, w, order, zoh), "auto")
    if lean(scan):  # nobody reads u any more, nor x without backward: y and dt may take their places
        inputs = _scan_inputs(u, _steps(rows, w, None if save else x), rows, z, w, order, zoh)
        y, states = scan.forward(inputs, save, into=u)
        kept = Kept(x, rows, states, *_nothing(n, 4))
    else:
        dt = _steps(rows, w, None)
        y, states = scan.forward(_scan_inputs(u, dt, rows, z, w, order, zoh).with_rates(), save)
        kept = Kept(x, rows, states, z, u, dt, y)
    kept = kept if save else Kept(*_nothing(n, 7))
    del x, z, u
    return F.linear(y, out_proj), *kept


@mixer.register_fake
def _(n, in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj, order, zoh, save):
    result = n.new_empty(n.shape)
    if not save:
        return result, *_nothing(n, 7)
    w = Weights(in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj)
    inner, rows = (n.new_empty(*n.shape[:2], size) for size in (len(D), len(x_proj)))
    inputs = _scan_inputs(inner, inner, rows, inner, w, order, zoh)
    states = empty_states(inputs, True, "auto")
    others = _nothing(n, 4) if lean(scan_backend(inputs, "auto")) else [n.new_empty(inner.shape) for _ in range(4)]
    return result, inner, rows, states, *others


@torch.library.custom_op("zoo::mamba_backward", mutates_args=())
def mixer_backward(
    g: Tensor, kept: list[Tensor],
    n: Tensor, in_proj: Tensor, conv_weight: Tensor, conv_bias: Tensor | None, x_proj: Tensor, dt_proj: Tensor,
    dt_bias: Tensor, A_log: Tensor, D: Tensor, out_proj: Tensor, order: Tensor | None, zoh: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of n ... out_proj, each like its tensor; an empty one for no bias."""
    w = Weights(in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj)
    rank, state, _ = w.sizes
    x, rows, states, z, u, dt, y = kept
    gy = g @ out_proj
    if y.numel():
        found = _scan_gradients(_scan_inputs(u, dt, rows, z, w, order, zoh), states, gy)
    else:
        z, u, dt, y = F.linear(n, in_proj[w.inner :]), _convolve(x, w, order), _steps(rows, w, None), gy
        inputs = _scan_inputs(u, dt, rows, z, w, order, zoh)
        found = scan_backend(inputs, "auto").backward_in_place(inputs, states, gy)  # gy becomes y
        del inputs
    gu, gdt, gA, gB, gC, gD, gz, gdt_bias = found
    g_out = _flat(g).T @ _flat(y)
    del y, gy, z, dt, kept
    g_rows = torch.empty_like(rows)
    torch.mm(_flat(gdt), dt_proj, out=_flat(g_rows)[:, :rank])
    g_rows[..., rank : rank + state], g_rows[..., rank + state :] = gB, gC
    g_dt_proj = _flat(gdt).T @ _flat(rows)[:, :rank]
    del gdt
    _flat(gu).addmm_(_flat(g_rows), x_proj)
    g_x_proj = _flat(g_rows).T @ _flat(u)
    del u
    module, arguments = _conv(x, w, order)
    gx, g_conv, g_conv_bias = module.backward(arguments, gu)
    gx = gx.to(n.dtype)
    del gu
    gn = gx @ in_proj[: w.inner]
    _flat(gn).addmm_(_flat(gz), in_proj[w.inner :])
    g_in = torch.empty_like(in_proj)
    torch.mm(_flat(gx).T, _flat(n), out=g_in[: w.inner])
    torch.mm(_flat(gz).T, _flat(n), out=g_in[w.inner :])
    found = (gn, g_in, g_conv, g_conv_bias, g_x_proj, g_dt_proj, gdt_bias, gA, gD, g_out)
    return tuple(n.new_empty(0) if t is None else f.to(t.dtype).contiguous() for t, f in zip((n, *w), found))


@mixer_backward.register_fake
def _(g, kept, n, *others):
    tensors = (n, *others[: len(Weights._fields)])
    return tuple(n.new_empty(0) if t is None else t.new_empty(t.shape) for t in tensors)


def _setup_context(ctx, inputs, output):
    *tensors, ctx.zoh, _ = inputs
    ctx.save_for_backward(*tensors, *output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx, g, *_):
    saved, count = ctx.saved_tensors, len(Kept._fields)  # read once: recomputation allows no more
    *tensors, order = saved[:-count]
    if g is None:
        return (None,) * (len(tensors) + 3)
    arguments = [g.contiguous(), list(saved[-count:]), *tensors, order, ctx.zoh]
    found = mixer_backward(*arguments)
    return *(f if t is not None else None for t, f in zip(tensors, found)), None, None, None


mixer.register_autograd(_backward, setup_context=_setup_context)
flops.register(torch.ops.zoo.mamba, flops.mamba)
flops.register(torch.ops.zoo.mamba_backward, flops.mamba_backward)


MANY = 12288  # tokens from which x and z are products of their own: memory counts there, and larger ones are no faster


def _at_once(n: Tensor, w: Weights, order: Tensor | None, zoh: bool) -> Tensor:
    """y, by one kernel for all that stands between the first product and the scan."""
    many = n.shape[0] * n.shape[1] >= MANY
    x, z = (F.linear(n, w.in_proj[: w.inner]), None) if many else F.linear(n, w.in_proj).chunk(2, -1)
    u, rows, dt = front.forward(front.Front(x, w.conv_weight, w.conv_bias, w.x_proj, w.dt_proj, order))
    del x
    z = F.linear(n, w.in_proj[w.inner :]) if z is None else z
    inputs = _scan_inputs(u, dt, rows, z, w, order, zoh)
    return scan_backend(inputs, "auto").forward(inputs, False, into=u)[0]


def _flat(t: Tensor) -> Tensor:
    return t.reshape(-1, t.shape[-1])


def _conv(x: Tensor, w: Weights, order: Tensor | None):
    inputs = ConvInputs(x, w.conv_weight, w.conv_bias, order, True)
    return conv_backend(inputs, "auto"), inputs


def _convolve(x: Tensor, w: Weights, order: Tensor | None) -> Tensor:
    module, inputs = _conv(x, w, order)
    return module.forward(inputs)


def _steps(rows: Tensor, w: Weights, into: Tensor | None) -> Tensor:
    """dt before its bias, (B,L,inner), perhaps in the place of another tensor."""
    low = rows[..., : w.sizes[0]]
    if into is None:
        return F.linear(low, w.dt_proj)
    torch.mm(_flat(low), w.dt_proj.T, out=into.view(-1, into.shape[-1]) if into.is_contiguous() else into.flatten(0, 1))
    return into


def _scan_inputs(u: Tensor, dt: Tensor, rows: Tensor, z: Tensor, w: Weights, order: Tensor | None,
                 zoh: bool) -> ScanInputs:  # fmt: skip
    _, B, C = rows.split(w.sizes, -1)
    return ScanInputs(u, dt, w.A_log, B, C, w.D, z, w.dt_bias, order, True, zoh, log_A=True)


def _scan_gradients(x: ScanInputs, states: Tensor, gy: Tensor) -> tuple[Any, ...]:
    """Gradients of the scan's inputs, by a backend that reads rates; those of whole sequences in gy's dtype."""
    rates = x.with_rates()
    gu, gdt, gA, gB, gC, gD, gz, gbias = scan_backend(x, "auto").backward(rates, states, gy)
    return gu.to(gy.dtype), gdt.to(gy.dtype), gA * rates.A, gB, gC, gD, gz.to(gy.dtype), gbias


def _nothing(n: Tensor, count: int) -> list[Tensor]:
    return [n.new_empty(0) for _ in range(count)]

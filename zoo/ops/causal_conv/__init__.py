"""The short depthwise causal convolution in front of the selective scan, in any scan order."""

from __future__ import annotations

from torch import Tensor

from zoo.errors import ShapeError
from zoo.ops import directions
from zoo.ops import order as orders
from zoo.ops.causal_conv.operator import conv

WHERE = "zoo.ops.causal_conv"
ACTIVATIONS = ("silu", "none")
WIDTHS = range(2, 9)


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    order: Tensor | None = None,
    activation: str = "silu",
    backend: str = "auto",
) -> Tensor:
    """Convolve every channel with its own few taps over the present step and those just before it along `order`.

    Before the start of a row there are zeros. Arithmetic is float32 (float64 for float64 input). Every result stands at
    the position that it belongs to: conv(x, order) = put(conv(take(x))). Several directions at once: an order of
    (directions, rows, steps) gives the result of each; any tensor may then have a dimension of `directions` in front.

    Args:
        x: input, (batch, length, channels).
        weight: taps, (channels, width), width 2 to 8; the last meets the present step, as in torch's conv1d.
        bias: (channels,).
        order: position visited at each step, int32 or int64, (length,), or (rows, steps): independent rows that
            together visit every position once (not checked); or (directions, rows, steps).
        activation: "silu" or "none", applied to the result.
        backend: "auto", or the name of one in `zoo.ops.dispatch.BACKENDS`.

    Returns:
        y, (batch, length, channels), x's dtype; for an order of directions (directions, batch, length, channels).

    Raises:
        ShapeError: shapes, devices or dtypes do not fit together.
        BackendError: the backend asked for by name cannot run this.

    Source: Mamba (Gu and Dao 2023, https://arxiv.org/abs/2312.00752), Figure 3.
    """
    _check(x, weight, bias, order, activation)
    return conv(x, weight, bias, order, activation == "silu", backend)


def _check(x, weight, bias, order, activation) -> None:
    if activation not in ACTIVATIONS:
        raise ShapeError(f"no activation {activation!r}", where=WHERE, allowed=ACTIVATIONS, given=activation)
    ways = directions.count(order)

    def fits(tensor: Tensor, *shape: int) -> bool:
        return tensor.shape == shape or (ways > 0 and tensor.shape == (ways, *shape))

    if x.ndim < 3 or x.shape[-2] == 0 or not fits(x, *x.shape[-3:]):
        raise ShapeError(f"x is {tuple(x.shape)}", where=WHERE, allowed="(batch, length, channels), length at least 1")
    beside, channels = f"beside x {tuple(x.shape)}", x.shape[-1]
    if weight.ndim < 2 or weight.shape[-1] not in WIDTHS or not fits(weight, channels, weight.shape[-1]):
        raise ShapeError(f"weight is {tuple(weight.shape)} {beside}", where=WHERE, allowed=f"({channels}, 2 to 8)")
    if bias is not None and not fits(bias, channels):
        raise ShapeError(f"bias is {tuple(bias.shape)} {beside}", where=WHERE, allowed=f"({channels},)")
    for name, tensor in {"x": x, "weight": weight, "bias": bias}.items():
        if tensor is not None and (tensor.device != x.device or not tensor.is_floating_point()):
            given = f"{name} is {tensor.dtype} on {tensor.device}"
            raise ShapeError(given, where=WHERE, allowed=f"a floating dtype on {x.device}")
    orders.check(order, x.shape[-2], x.device, WHERE)

"""The CPU convolution's compiled loops: one pass over the sequence, positions read through the order.

Legend: B batch, L length, E channels, W width, S rows of the order, T steps of a row. A unit of work is one sample and
WIDE of its channels. The input is flat, with its strides of (sample, position); everything else is contiguous.
"""

from __future__ import annotations

from zoo.ops.jit import njit

WIDE = 256  # channels of a unit: enough for long vectors, few enough that a batch of one is shared out


@njit()
def taps(x, weight, bias, order, y, strides, sizes, begin, end):
    """y at order[s, t] = bias + sum over k of weight[k] x at order[s, t - k]; weight is (W, E)."""
    length, channels, width, S = sizes
    T, blocks = length // S, (channels + WIDE - 1) // WIDE
    for unit in range(begin, end):
        b, c0 = unit // blocks, unit % blocks * WIDE
        nc = min(WIDE, channels - c0)
        for s in range(S):
            for t in range(T):
                i = (b * length + order[s * T + t]) * channels + c0
                y_ = y[i : i + nc]
                for c in range(nc):
                    y_[c] = bias[c0 + c]
                for k in range(min(width, t + 1)):
                    j = b * strides[0] + order[s * T + t - k] * strides[1] + c0
                    x_, w_ = x[j : j + nc], weight[k, c0 : c0 + nc]
                    for c in range(nc):
                        y_[c] += w_[c] * x_[c]


@njit()
def tap_gradients(x, g, order, gw, strides, sizes, begin, end):
    """gw[b, k] = sum over steps of g at order[s, t] times x at order[s, t - k]; gw starts at 0."""
    length, channels, width, S = sizes
    T, blocks = length // S, (channels + WIDE - 1) // WIDE
    for unit in range(begin, end):
        b, c0 = unit // blocks, unit % blocks * WIDE
        nc = min(WIDE, channels - c0)
        for s in range(S):
            for t in range(T):
                i = (b * length + order[s * T + t]) * channels + c0
                g_ = g[i : i + nc]
                for k in range(min(width, t + 1)):
                    j = b * strides[0] + order[s * T + t - k] * strides[1] + c0
                    x_, w_ = x[j : j + nc], gw[b, k, c0 : c0 + nc]
                    for c in range(nc):
                        w_[c] += g_[c] * x_[c]

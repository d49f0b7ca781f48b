"""U-ViT, DiT, DiS and ZigMa written out from their papers' equations, on published names, in float64.

Plain and slow; only what the fixtures and the tests of other configurations need. B batch, L tokens, D width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def layer_norm(x: Tensor, state: State | None = None, name: str = "", eps: float = 1e-5) -> Tensor:
    """Affine if `name` has weights."""
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + eps).sqrt()
    return x * state[f"{name}.weight"] + state[f"{name}.bias"] if state and f"{name}.weight" in state else x


def mamba_norm(x: Tensor, state: State, name: str) -> Tensor:
    """RMS, or layer norm where there is a bias."""
    if f"{name}.bias" in state:
        return layer_norm(x, state, name)
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * state[f"{name}.weight"]


def sinusoid(t: Tensor, width: int) -> Tensor:
    angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(width // 2, dtype=t.dtype) / (width // 2))
    return torch.cat([angles.cos(), angles.sin()], 1)


def mlp(state: State, name: str, ends: tuple[int, int], x: Tensor) -> Tensor:
    return linear(state, f"{name}.{ends[1]}", F.silu(linear(state, f"{name}.{ends[0]}", x)))


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (z.unflatten(-1, (heads, -1)).transpose(1, 2) for z in (q, k, v))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def patches(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], stride=weight.shape[-1]).flatten(2).transpose(1, 2)


def image(values: Tensor, patch: int, rows: int) -> Tensor:
    """Values of a patch lie row, column, channel, channels fastest."""
    return (values.unflatten(1, (rows, -1)).unflatten(-1, (patch, patch, -1))
            .permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3))  # fmt: skip


def stems(state: State) -> list[str]:
    """in_blocks, mid_block, out_blocks, in the order in which they run."""
    found = {re.match(r"(in_blocks\.\d+|mid_block|out_blocks\.\d+)\.", name) for name in state}
    rank = {"in_blocks": 0, "mid_block": 1, "out_blocks": 2}
    return sorted({m[1] for m in found if m}, key=lambda s: (rank[s.split(".")[0]], int(s.partition(".")[2] or 0)))


def uvit(state: State, heads: int, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """Class-conditional: label, time, patches."""
    tokens, patch = patches(state, "patch_embed.proj", x), state["patch_embed.proj.weight"].shape[-1]
    time = sinusoid(t, tokens.shape[-1])
    if "time_embed.0.weight" in state:
        time = mlp(state, "time_embed", (0, 2), time)
    h = torch.cat([state["label_emb.weight"][y][:, None], time[:, None], tokens], 1) + state["pos_embed"]
    kept: list[Tensor] = []
    for stem in stems(state):
        if stem.startswith("out") and f"{stem}.skip_linear.weight" in state:
            h = linear(state, f"{stem}.skip_linear", torch.cat([h, kept.pop()], -1))
        n = layer_norm(h, state, f"{stem}.norm1")
        h = h + linear(state, f"{stem}.attn.proj", attention(*linear(state, f"{stem}.attn.qkv", n).chunk(3, -1), heads))
        n = layer_norm(h, state, f"{stem}.norm2")
        h = h + linear(state, f"{stem}.mlp.fc2", F.gelu(linear(state, f"{stem}.mlp.fc1", n)))
        if stem.startswith("in"):
            kept.append(h)
    values = linear(state, "decoder_pred", layer_norm(h, state, "norm"))[:, 2:]
    out = image(values, patch, x.shape[-2] // patch)
    return F.conv2d(out, state["final_layer.weight"], state["final_layer.bias"], padding=1)


def dit(state: State, heads: int, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    patch, depth = state["x_embedder.proj.weight"].shape[-1], len([n for n in state if n.endswith("attn.qkv.weight")])
    h = patches(state, "x_embedder.proj", x) + state["pos_embed"]
    c = F.silu(mlp(state, "t_embedder.mlp", (0, 2), sinusoid(t, 256)) + state["y_embedder.embedding_table.weight"][y])
    for i in range(depth):
        stem = f"blocks.{i}"
        rows = linear(state, f"{stem}.adaLN_modulation.1", c)[:, None].chunk(6, -1)
        n = layer_norm(h, eps=1e-6) * (1 + rows[1]) + rows[0]
        qkv = linear(state, f"{stem}.attn.qkv", n).chunk(3, -1)
        h = h + rows[2] * linear(state, f"{stem}.attn.proj", attention(*qkv, heads))
        n = layer_norm(h, eps=1e-6) * (1 + rows[4]) + rows[3]
        hidden = F.gelu(linear(state, f"{stem}.mlp.fc1", n), approximate="tanh")
        h = h + rows[5] * linear(state, f"{stem}.mlp.fc2", hidden)
    shift, scale = linear(state, "final_layer.adaLN_modulation.1", c)[:, None].chunk(2, -1)
    values = linear(state, "final_layer.linear", layer_norm(h, eps=1e-6) * (1 + scale) + shift)
    return image(values, patch, x.shape[-2] // patch)


def ssm(state: State, stem: str, b: str, x: Tensor) -> Tensor:
    """Convolution and scan of one direction, before the gate; `b` is "" or "_b"."""
    E, L = x.shape[-1], x.shape[1]
    weight, bias = state[f"{stem}.conv1d{b}.weight"], state[f"{stem}.conv1d{b}.bias"]
    u = F.silu(F.conv1d(F.pad(x.transpose(1, 2), (weight.shape[-1] - 1, 0)), weight, bias, groups=E).transpose(1, 2))
    A, D = -state[f"{stem}.A{b}_log"].exp(), state[f"{stem}.D{b}"]
    N, rank = A.shape[1], state[f"{stem}.dt_proj{b}.weight"].shape[1]
    low, B, C = F.linear(u, state[f"{stem}.x_proj{b}.weight"]).split([rank, N, N], -1)
    dt = F.softplus(linear(state, f"{stem}.dt_proj{b}", low))
    h, steps = x.new_zeros(len(x), E, N), []
    for k in range(L):
        h = (dt[:, k, :, None] * A).exp() * h + (dt[:, k] * u[:, k])[..., None] * B[:, k, None]
        steps.append((h * C[:, k, None]).sum(-1) + D * u[:, k])
    return torch.stack(steps, 1)


def mixer(state: State, stem: str, n: Tensor) -> Tensor:
    """Mamba, or Vim's second bidirectional form where there are weights of a second direction."""
    x, z = F.linear(n, state[f"{stem}.in_proj.weight"]).chunk(2, -1)
    y = ssm(state, stem, "", x) * F.silu(z)
    if f"{stem}.A_b_log" in state:
        y = y + (ssm(state, stem, "_b", x.flip(1)) * F.silu(z.flip(1))).flip(1)
    return F.linear(y, state[f"{stem}.out_proj.weight"])


def dis(state: State, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """Class-conditional: label, time, patches."""
    tokens, patch = patches(state, "patch_embed.proj", x), state["patch_embed.proj.weight"].shape[-1]
    time = mlp(state, "time_embed", (0, 2), sinusoid(t, tokens.shape[-1]))
    label = state["label_emb.embedding_table.weight"][y]
    hidden = torch.cat([label[:, None], time[:, None], tokens], 1) + state["pos_embed"]
    residual, kept = torch.zeros_like(hidden), []
    for stem in stems(state):
        if stem.startswith("out") and f"{stem}.skip_linear.weight" in state:
            hidden = linear(state, f"{stem}.skip_linear", torch.cat([hidden, kept.pop()], -1))
        residual = residual + hidden
        hidden = mixer(state, f"{stem}.mixer", mamba_norm(residual, state, f"{stem}.norm"))
        if stem.startswith("in"):
            kept.append(hidden)
    h = mamba_norm(residual + hidden, state, "norm_f")
    shift, scale = linear(state, "final_layer.adaLN_modulation.1", F.silu(time + label))[:, None].chunk(2, -1)
    values = linear(state, "final_layer.linear", layer_norm(h, eps=1e-6) * (1 + scale) + shift)
    return image(values[:, 2:], patch, x.shape[-2] // patch)


def zigma(state: State, perms: Sequence[Tensor], x: Tensor, t: Tensor, text: Tensor | None = None,
          cross: Mapping[str, str] | None = None) -> Tensor:  # fmt: skip
    """Without labels; `cross` names the text's modules: q, k, v, out, norm inside a block, and the map `text`."""
    hidden, patch = patches(state, "x_embedder.proj", x), state["x_embedder.proj.weight"].shape[-1]
    hidden = hidden + state["pos_embed"]
    c = mlp(state, "t_embedder.mlp", (0, 2), sinusoid(1000 * t, 256))
    if text is not None and cross:
        read = linear(state, cross["text"], text)
        c, text = c + read.mean(1), read
    residual = torch.zeros_like(hidden)
    for i, perm in enumerate(perms):
        stem = f"blocks.{i}"
        residual = residual + hidden
        u = mamba_norm(residual, state, f"{stem}.norm")
        shift, scale, gate, *more = linear(state, f"{stem}.adaLN_modulation.1", F.silu(c))[:, None].chunk(
            3 if text is None else 6, -1)  # fmt: skip
        mixed = mixer(state, f"{stem}.mixer", (u * (1 + scale) + shift)[:, perm])
        hidden = u + gate * mixed[:, perm.argsort()]
        if text is not None and cross:
            q, k, v, out = (f"{stem}.{cross[role]}" for role in ("q", "k", "v", "out"))
            norm = f"{stem}.{cross['norm']}"
            eps = 1e-5 if f"{norm}.weight" in state else 1e-6
            n = layer_norm(hidden, state, norm, eps) * (1 + more[1]) + more[0]
            found = attention(linear(state, q, n), linear(state, k, text), linear(state, v, text), 8)
            hidden = hidden + more[2] * linear(state, out, found)
    h = layer_norm(mamba_norm(residual + hidden, state, "norm_f"), eps=1e-6)
    return image(linear(state, "final_layer.linear", h), patch, x.shape[-2] // patch)

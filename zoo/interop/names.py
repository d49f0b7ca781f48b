"""Tables of names that read in both directions, and the tables that families share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from torch import Tensor

WILD = {"i": r"\d+", "p": "weight|bias", "way": r"(?:inner\.)?(?:directions\.\d\.)?", "rest": ".+"}


class Layout(NamedTuple):
    """How a tensor's axes change on the way to us, and back."""

    ours: Callable[[Tensor], Tensor]
    theirs: Callable[[Tensor], Tensor]


def only(x: Tensor) -> Tensor:
    """What is inside a first axis of one. Raises: ValueError for a longer one."""
    (inside,) = x
    return inside


FIRST = Layout(only, lambda x: x[None])
"""The published tensor has a first axis of one that ours has not."""
AXIS = Layout(lambda x: x[None], lambda x: x[0])
"""Ours has a first axis of one that the published tensor has not."""
CHANNELS = Layout(lambda x: x[:, 0], lambda x: x[:, None])
"""The weight of a depthwise convolution, (D,1,K) as published, (D,K) here."""


@dataclass(frozen=True)
class Rename:
    """A published name and ours, with wild cards that stand for the same on both sides.

    `{i}` is a number, `{p}` weight or bias, `{way}` nothing or one direction of a mixer, `{rest}` anything.
    """

    theirs: str
    ours: str
    layout: Layout | None = None


MIXER = "blocks.{i}.mixer.{way}"
UVIT_FRAME = [
    Rename("patch_embed.proj.{p}", "patch.proj.{p}"),
    Rename("pos_embed.prefix", "position.prefix"),
    Rename("pos_embed.table", "position.table"),
    Rename("time_embed.0.{p}", "conditioning.embed.time.up.{p}"),
    Rename("time_embed.2.{p}", "conditioning.embed.time.down.{p}"),
]
"""What DiS took over from U-ViT."""
DIT_FRAME = [
    Rename("x_embedder.proj.{p}", "patch.proj.{p}"),
    Rename("pos_embed", "position.table"),
    Rename("t_embedder.mlp.0.{p}", "conditioning.embed.time.up.{p}"),
    Rename("t_embedder.mlp.2.{p}", "conditioning.embed.time.down.{p}"),
    Rename("y_embedder.embedding_table.weight", "conditioning.embed.label.weight"),
    Rename("blocks.{i}.adaLN_modulation.1.{p}", "blocks.{i}.modulation.proj.{p}"),
    Rename("final_layer.linear.{p}", "head.proj.{p}"),
]
"""What ZigMa took over from DiT."""
TRANSFORMER_BLOCK = [
    Rename("blocks.{i}.attn.qkv.{p}", "blocks.{i}.mixer.qkv.{p}"),
    Rename("blocks.{i}.attn.proj.{p}", "blocks.{i}.mixer.out.{p}"),
    Rename("blocks.{i}.mlp.fc1.{p}", "blocks.{i}.feedforward.up.{p}"),
    Rename("blocks.{i}.mlp.fc2.{p}", "blocks.{i}.feedforward.down.{p}"),
]
"""Of U-ViT and DiT."""
MAMBA_BLOCK = [
    Rename("blocks.{i}.norm.{p}", "blocks.{i}.norm_mixer.{p}"),
    Rename(MIXER + "conv1d.weight", MIXER + "conv_weight", CHANNELS),
    Rename(MIXER + "conv1d.bias", MIXER + "conv_bias"),
    Rename("blocks.{i}.mixer.{rest}", "blocks.{i}.mixer.{rest}"),
    Rename("norm_f.{p}", "final_norm.{p}"),
]
"""Of DiS and ZigMa, and the norm behind the last."""


def rename(state: Mapping[str, Tensor], names: list[Rename], back: bool = False) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, or under published ones if `back`, and the names that no rule knows."""
    moved, left_over = {}, []
    for name, tensor in state.items():
        for rule in names:
            known, wanted = (rule.ours, rule.theirs) if back else (rule.theirs, rule.ours)
            if match := _pattern(known).fullmatch(name):
                moved[wanted.format(**match.groupdict())] = _laid_out(tensor, rule.layout, back)
                break
        else:
            left_over.append(name)
    return moved, left_over


@cache
def _pattern(name: str) -> re.Pattern[str]:
    text = re.escape(name)
    for key, wild in WILD.items():
        text = text.replace(rf"\{{{key}\}}", f"(?P<{key}>{wild})")
    return re.compile(text)


def _laid_out(tensor: Tensor, layout: Layout | None, back: bool) -> Tensor:
    if layout is None:
        return tensor
    return (layout.theirs if back else layout.ours)(tensor).contiguous()

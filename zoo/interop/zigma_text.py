"""ZigMa's models that read text, whose published names our sources do not give: each tensor is told by its shape.

The shapes are known (the paper's 3.3, and how the released code computes): a linear map of the text's features, and in
every block a norm, four linear maps of which the last alone has a bias, and twice the modulation of other models. So
such weights can be read under any names, if those of three maps still say q, k and v; but not written.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.names import Rename, rename

HEADS = 8
NAMES = [
    Rename("text.{p}", "conditioning.embed.text.proj.{p}"),
    Rename("blocks.{i}.norm_cross.{p}", "blocks.{i}.norm_cross.{p}"),
    Rename("blocks.{i}.cross.{rest}", "blocks.{i}.cross.{rest}"),
]
"""Roles, which `by_role` gives to what reads text, and our names."""
IN_BLOCK = re.compile(r"blocks\.(\d+)\.(?:.+\.)?(\w+)")
QKV = re.compile(r"(?:to_?|w_?)?([qkv])(?:uery|ey|alue)?(?:_?(?:proj|linear|lin))?")


def by_role(state: dict[str, Tensor], known: list[Rename]) -> dict[str, Tensor]:
    """The same tensors, those that read text under their roles; one whose role is in doubt keeps its name."""
    if not _reads_text(state):
        return state
    modules: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name in rename(state, known)[1]:
        module, _, end = name.rpartition(".")
        modules[module][end] = state[name]
    roles = {module: _role(module, tensors) for module, tensors in modules.items()}
    taken = Counter(roles.values())
    sure = {module: role for module, role in roles.items() if role and taken[role] == 1}

    def named(name: str) -> str:
        module, _, end = name.rpartition(".")
        return f"{sure[module]}.{end}" if module in sure else name

    return {named(name): tensor for name, tensor in state.items()}


def sublayer(state: Mapping[str, Tensor], embed: dict[str, Any], hints: Mapping[str, Any]) -> tuple[Any, Any]:
    """The recipe of the sublayer that reads text, and of the block around it; the text joins the embeddings."""
    if "text.weight" not in state:
        return "none", "carry_norm"
    embed["text"] = {"use": "text", "features": state["text.weight"].shape[1], "count": hints.get("text_tokens", 77)}
    inner = len(state["blocks.0.cross.q.weight"])
    plain = {"use": "layer", "affine": False, "eps": 1e-6}
    return ({"use": "attention", "source": ["text"], "heads": HEADS, "head_width": inner // HEADS},
            {"use": "carry_norm", "inner_norm": "layer" if "blocks.0.norm_cross.weight" in state else plain})


def refuse(state: Mapping[str, Tensor]) -> None:
    """Raises: CheckpointError for a model that reads text."""
    if "text.weight" in state:
        raise CheckpointError("ZigMa's text models can be read, not written: their published names are not known here",
                              fix="zoo.save_pretrained keeps them as our own weights file")


def _reads_text(state: Mapping[str, Tensor]) -> bool:
    """Whether a block is modulated twice."""
    modulation = state.get("blocks.0.adaLN_modulation.1.weight")
    return modulation is not None and len(modulation) == 6 * modulation.shape[1]


def _role(module: str, tensors: Mapping[str, Tensor]) -> str | None:
    """What a module of these tensors must be."""
    weight = tensors.get("weight")
    if weight is None or tensors.keys() - {"weight", "bias"}:
        return None
    if not (match := IN_BLOCK.fullmatch(module)):
        return "text" if weight.ndim == 2 else None
    block = f"blocks.{match[1]}."
    if weight.ndim == 1:
        return block + "norm_cross"
    if "bias" in tensors:
        return block + "cross.out"
    map = QKV.fullmatch(match[2])
    return f"{block}cross.{map[1]}" if map else None

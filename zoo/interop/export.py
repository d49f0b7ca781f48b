"""A backbone's weights under published names, for published programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.interop.names import rename
from zoo.interop.official import check_same, described, known_from, module_of, not_published
from zoo.recipe import Recipe


def to_official(family: str, backbone: nn.Module, recipe: Recipe | None = None) -> tuple[dict[str, Tensor], dict]:
    """The inverse of `load_official`: tensors under their published names, and the settings to build with.

    Args:
        family: "dim", "u-vit", "dit", "dis" or "zigma".
        backbone: of a recipe that the family published.
        recipe: the backbone's; a loaded backbone brings its own.

    Raises: CheckpointError if published code would have no place for a tensor, or would compute something else.
    """
    module, recipe = module_of(family), recipe or getattr(backbone, "recipe", None)
    if recipe is None:
        raise CheckpointError("this backbone carries no recipe", fix="pass recipe=")
    ours = {n: t.detach().cpu() for n, t in backbone.state_dict().items() if n not in not_published(module)}
    renamed, left_over = rename(ours, module.NAMES, back=True)
    if left_over:
        raise CheckpointError(f"published {family} has no place for {left_over}")
    hints = known_from(recipe, module)
    try:
        published = module.ungroup(dict(renamed))
        found = described(family, module, module.regroup(dict(published), hints), hints)
    except KeyError as error:
        raise CheckpointError(f"a published {family} has {error}, this backbone has nothing for it") from None
    check_same(family, recipe, found)
    return {name: tensor.contiguous() for name, tensor in published.items()}, _plain(hints)


def save_official(path: str | Path, tensors: dict[str, Tensor]) -> None:
    """Write published tensors: `.pt` or `.pth` as torch saves them, `.safetensors` without a recipe.

    A crash leaves the old file or the new one. Raises: CheckpointError for another ending.
    """
    import torch
    from safetensors.torch import save_file

    from zoo.weights.file import replacing

    path = Path(path)
    writers: dict[str, Any] = {".pt": torch.save, ".pth": torch.save, ".safetensors": save_file}
    if path.suffix not in writers:
        raise CheckpointError(f"published weights cannot end in {path.suffix!r}", where=str(path), allowed=writers)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        writers[path.suffix](tensors, aside)


def _plain(hints: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in hints.items()}

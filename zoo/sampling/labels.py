"""What each image is asked to show: classes by name or number, given or in turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, nearest
from zoo.recipe import Recipe
from zoo.registry import find

Labels = dict[str, Tensor]
Choice = dict[str, Sequence[int]]
"""Label -> the classes of it that are wanted."""
LISTED = 20


def class_counts(backbone: nn.Module) -> dict[str, int]:
    """Input -> number of classes, for the inputs of a backbone that are classes."""
    tables = [m for m in backbone.modules() if hasattr(m, "reads") and hasattr(m, "classes")]
    return {table.reads: table.classes for table in tables}


def labels_for(backbone: nn.Module, recipe: Recipe, indices: Sequence[int],
               given: Mapping[str, Any] | None) -> Labels | None:  # fmt: skip
    """The labels of numbered images, a row each; None for a model, or a recipe, without labels.

    Args:
        given: name -> one value per index. None takes all classes in turn, see `in_turn`, so that image i has
            its labels whatever else is drawn with it.

    Raises: ZooError for an input that the model does not have, or a class out of range.
    """
    counts = class_counts(backbone)
    if given is None:
        trained = trained_labels(recipe, counts)
        return in_turn({name: range(counts[name]) for name in trained}, indices) if trained else None
    labels = {name: torch.as_tensor(value) for name, value in given.items()}
    for name, values in labels.items():
        _check(name, values, len(indices), counts, getattr(backbone, "labels", tuple(labels)))
    return labels


def trained_labels(recipe: Recipe, inputs: Iterable[str]) -> list[str]:
    """The inputs for which the recipe's data has labels; a recipe without data leaves all to the model."""
    data = recipe.get("data")
    return [name for name in inputs if data is None or name in (data.get("labels") or ())]


def class_names(backbone: nn.Module, recipe: Recipe, label: str) -> list[str]:
    """The names of a label's classes: those saved with the weights, else what the data knows without being opened."""
    saved, data = getattr(backbone, "card", {}).get("classes"), recipe.get("data")
    if isinstance(saved, dict) and isinstance(names := saved.get(label), list):
        return [*map(str, names)]
    if data is None:
        return []
    source = find("dataset", data["use"]).load()
    known = source.known_classes(data) if hasattr(source, "known_classes") else {}
    return list(known.get(label, ()))


def parse_classes(words: Sequence[int | str], backbone: nn.Module, recipe: Recipe) -> Choice:
    """Classes from numbers, ranges and names, for instance ["0..3", "flags", "style=google"].

    Labels not named keep all classes.

    Raises: ZooError if the model has no classes, or for a name or number that is not one; it lists what is.
    """
    counts = class_counts(backbone)
    if not counts:
        raise ZooError("this model has no classes", where="classes", fix="leave classes out")
    if not words:
        raise ZooError("no class is named", where="classes", fix="leave classes out for all in turn")
    names = {label: class_names(backbone, recipe, label) for label in counts}
    named: dict[str, list[int]] = {}
    for word in words:
        label, name = _label_of(str(word).strip(), names)
        named.setdefault(label, []).extend(class_numbers(name, counts[label], names[label]))
    told = {*named, *trained_labels(recipe, counts)}
    return {label: named.get(label, range(count)) for label, count in counts.items() if label in told}


def _label_of(word: str, names: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """(label, class) of "label=class", or of a class whose label is plain; names: those of each label's classes."""
    label, equals, name = word.partition("=")
    if equals and label in names:
        return label, name
    known = [label for label, titles in names.items() if word.casefold() in map(str.casefold, titles)]
    if len(names) == 1 or len(known) == 1:
        return (known or list(names))[0], word
    near = nearest(word, [title for titles in names.values() for title in titles])
    hint = f"; did you mean {near!r}?" if near and not known else ""
    raise ZooError(f"{word!r} could be a class of {' or '.join(known or names)}{hint}", where="classes",
                   fix=f"say which, for instance {next(iter(names))}={word}")


def class_numbers(word: str, count: int, names: Sequence[str]) -> Sequence[int]:
    """The numbers of one class, or of a range that includes both its ends, such as 0..9."""
    first, dots, last = word.partition("..")
    if not dots or word in names:
        return [class_number(word, count, names)]
    low, high = class_number(first, count, names), class_number(last, count, names)
    if high < low:
        raise ZooError(f"classes {word}: a range that ends before it begins", where="classes", fix=f"{last}..{first}")
    return range(low, high + 1)


def class_number(word: str, count: int, names: Sequence[str]) -> int:
    """The number of one class, from its number or its name."""
    if word.isascii() and word.isdigit() and len(word) < 10 and int(word) < count:
        return int(word)
    names = names[:count]
    folded = {name.casefold(): i for i, name in enumerate(names)}
    if word.casefold() in folded:
        return folded[word.casefold()]
    allowed = f"0..{count - 1}"
    if names:
        shown = [f"{i} {name}" for i, name in enumerate(names[:LISTED])]
        allowed += f" ({', '.join(shown)}{', ...' if len(names) > LISTED else ''})"
    near = nearest(word, names)
    raise ZooError(f"unknown class {word!r}" + (f"; did you mean {near!r}?" if near else ""), allowed=allowed)


def in_turn(choice: Choice, indices: Sequence[int]) -> Labels:
    """Image i gets the i-th combination of the classes wanted, the first label changing fastest."""
    numbers, labels, stride = list(indices), {}, 1
    for name, classes in choice.items():
        labels[name] = torch.tensor([classes[i // stride % len(classes)] for i in numbers], dtype=torch.int64)
        stride *= len(classes)
    return labels


def _check(name: str, values: Tensor, images: int, counts: Mapping[str, int], inputs: Sequence[str]) -> None:
    if name not in inputs:
        raise ZooError(f"this model has no input {name!r}", where="labels", allowed=inputs or "none", given=name)
    if values.ndim == 0 or len(values) != images:
        raise ZooError(f"{values.shape[0] if values.ndim else 1} labels for {images} images", where=f"labels {name}")
    if name not in counts:
        return
    if values.is_floating_point() or values.dtype == torch.bool or values.ndim != 1:
        raise ZooError(f"classes are whole numbers, one an image, not {values.dtype}", where=f"labels {name}")
    wrong = sorted({v for v in values.tolist() if not 0 <= v < counts[name]})
    if wrong:
        what = ", ".join(map(str, wrong[:LISTED]))
        raise ZooError(f"no class {what}", where=f"labels {name}", allowed=f"0..{counts[name] - 1}")

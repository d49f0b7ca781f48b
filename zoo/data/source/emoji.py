"""The data set inside the package: emoji by three artists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.archive import Archive
from zoo.data.pictures import Pictures, chosen
from zoo.data.protocols import Split
from zoo.errors import DataError
from zoo.registry import register

ARCHIVE = Path(__file__).parent.parent / "emoji" / "emoji.zip"
CATEGORIES = ["smileys", "people", "animals", "food", "travel", "activities", "objects", "symbols", "flags"]
STYLES = ["google", "twitter", "fluent"]


@register("dataset", "emoji")
class Emoji(Pictures):
    """5,664 emoji on white in three artists' styles and nine categories; part of the package.

    64 x 64 RGB, smaller or larger by resampling; an oblong size adds white at the sides. A tenth of the code
    points is held out, in every style. Labels: category and style, numbered as the recipe lists them.

    Raises: DataError for an unknown label, category or style, or if no image is left.
    Source: Noto Emoji, Twemoji, Fluent Emoji; see `zoo/data/emoji/LICENSES.md`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        split: Split,
        *,
        labels: list[str] = ["category"],  # what the model is told: category, style, both or []
        categories: list[str] | None = None,  # of smileys people animals food travel activities objects symbols flags
        styles: list[str] | None = None,  # of google twitter fluent
        names: list[str] | None = None,  # patterns of short names or groups, for instance ["flag-*", "face-*"]
    ):
        offered = self.known_classes({"labels": ["category", "style"], "categories": categories, "styles": styles})
        rows = [row for row in index() if row["split"] == split and row["category"] in offered["category"]
                and row["style"] in offered["style"] and _matches(row, names)]  # fmt: skip
        if not rows and split == "train":
            raise DataError("no emoji is left", where="data", fix="widen data.names, data.categories or data.styles")
        classes = chosen(labels, offered, "data.labels")
        numbers = {label: np.array([titles.index(row[label]) for row in rows], dtype=np.int64)
                   for label, titles in classes.items()}  # fmt: skip
        places = [(row["style"], row["start"], row["start"] + row["bytes"]) for row in rows]
        super().__init__([row["name"] for row in rows], partial(_read, places), numbers, classes, size=size, fit="pad")

    @staticmethod
    def known_classes(fields: Mapping[str, object]) -> dict[str, list[str]]:
        """The classes under these fields, without opening a file."""
        offered = {"category": _subset(fields.get("categories"), CATEGORIES, "data.categories"),
                   "style": _subset(fields.get("styles"), STYLES, "data.styles")}  # fmt: skip
        return chosen(fields.get("labels", ["category"]), offered, "data.labels")  # type: ignore[arg-type]


def index() -> list[dict[str, Any]]:
    """The emoji of the archive: name, style, category ..., and where the picture stands in the member of its style."""
    whole = json.loads(Archive(ARCHIVE).read("index.json"))
    rows, ends = [], dict.fromkeys(whole["styles"], 0)
    for values in whole["rows"]:
        row = dict(zip(whole["columns"], values))
        style = row["name"].partition("/")[0]
        rows.append({**row, "style": style, "start": ends[style]})
        ends[style] += row["bytes"]
    return rows


def _read(places: list[tuple[str, int, int]], number: int) -> bytes:
    style, start, end = places[number]
    return _drawings(style)[start:end]


@cache
def _drawings(style: str) -> bytes:
    """The WebP files of a style, one behind another, about 3 MB: once a process, whatever is served from them."""
    return Archive(ARCHIVE).read(f"{style}.webps")


def _matches(row: dict[str, Any], patterns: list[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(row[k], p) for p in patterns for k in ("short_name", "subcategory"))


def _subset(wanted: object, known: list[str], where: str) -> list[str]:
    """The names that were asked for, each once, in the order in which they were asked for."""
    names = list(dict.fromkeys(wanted or known))  # type: ignore[call-overload]
    for name in names:
        if name not in known:
            raise DataError(f"there is no {name!r} among the emoji", where=where, allowed=known, given=name)
    return names

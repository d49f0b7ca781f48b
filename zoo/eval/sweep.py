"""One setting of sampling over several values, on one checkpoint: a table, `sweep.json` and `sweep.svg`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from zoo.errors import RecipeError, ZooError
from zoo.eval.api import Request, measure
from zoo.eval.chart import draw_chart
from zoo.eval.collect import SILENT, Watch
from zoo.eval.result import Result
from zoo.recipe import Recipe
from zoo.sampling.api import adjusted
from zoo.weights.file import replacing
from zoo.weights.header import read_header
from zoo.weights.load import locate

MOST = 1000
RANGE = re.compile(r"([^:]+?)\.\.([^:]+?)(?::(.+))?")


@dataclass(frozen=True)
class Sweep:
    """A dotted setting and the values that it takes, as a recipe would write them."""

    key: str
    values: tuple[str, ...]

    @property
    def settings(self) -> list[str]:
        """key=value of each."""
        return [f"{self.key}={value}" for value in self.values]


def parse_sweep(text: str) -> Sweep:
    """`guidance.scale=1..4:0.25`, ends included, or `sampler.steps=10,20,50`.

    Raises: RecipeError if it is neither, or has no values.
    """
    key, equals, values = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"{text!r} is no sweep", fix="write for instance guidance.scale=1..4:0.25")
    match = RANGE.fullmatch(values.strip())
    found = _range(*match.groups()) if match else [value.strip() for value in values.split(",") if value.strip()]
    if not found:
        raise RecipeError(f"{text!r} has no values", fix="write for instance sampler.steps=10,20,50")
    return Sweep(key.strip(), tuple(dict.fromkeys(found)))


def _range(first: str, last: str, step: str | None) -> list[str]:
    try:
        low, high, by = Decimal(first), Decimal(last), Decimal(step or "1")
    except InvalidOperation:
        raise RecipeError(f"{first}..{last} is no range of numbers", fix="write for instance 1..4:0.25") from None
    if not all(number.is_finite() for number in (low, high, by)) or by <= 0 or high < low or (high - low) / by >= MOST:
        fix = f"go from low to high by a step above 0, over at most {MOST} values"
        raise RecipeError(f"{first}..{last}:{by} is no range", fix=fix)
    return [f"{low + i * by}" for i in range(int((high - low) / by) + 1)]


def sweep_over(asked: Request, sweep: Sweep, out: Path, watch: Watch = SILENT,
               tell: Callable[[str, Result], None] = lambda value, result: None) -> list[Result]:  # fmt: skip
    """Evaluate at every value and write table and picture into `out`; a finished value is found in the cache.

    Args:
        tell: hears each value and its result as it comes.

    Raises: ZooError; the settings of all values are checked before the first image is drawn.
    """
    if asked.share != (0, 1):
        raise ZooError("a sweep is not shared", where="--sweep", fix="give each process other values")
    trained = Recipe.from_text(read_header(locate(str(asked.source), asked.ema)).recipe_yaml,
                               allow_plugins=asked.allow_plugins)  # fmt: skip
    for setting in sweep.settings:
        adjusted(trained, [*asked.overrides, setting])
    results: list[Result] = []
    for value, setting in zip(sweep.values, sweep.settings):
        result = measure(replace(asked, overrides=[*asked.overrides, setting]), watch)
        assert result is not None  # one share is the whole
        results.append(result)
        tell(value, result)
        write_sweep(sweep, results, out)
    return results


def write_sweep(sweep: Sweep, results: Sequence[Result], out: Path) -> None:
    """`sweep.json` with every result so far, and `sweep.svg`, a curve a figure."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [{"value": value, "metrics": result.metrics, "protocol": result.protocol, "notes": result.notes}
            for value, result in zip(sweep.values, results)]  # fmt: skip
    with replacing(out / "sweep.json") as aside:
        aside.write_text(json.dumps({"key": sweep.key, "results": rows}, indent=2) + "\n", encoding="utf-8")
    places = [_number(value, i) for i, value in enumerate(sweep.values)]
    names = [name for name in results[0].metrics if not name.endswith("-std") and "-std-" not in name]
    curves = {name: [(x, result.metrics[name]) for x, result in zip(places, results)] for name in names}
    labels = None if all(map(_is_number, sweep.values)) else list(sweep.values)
    with replacing(out / "sweep.svg") as aside:
        aside.write_text(draw_chart(curves, sweep.key, labels), encoding="utf-8")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(text: str, place: int) -> float:
    """Where a value stands: at its number, or, for words, at its place in the list."""
    return float(text) if _is_number(text) else float(place)

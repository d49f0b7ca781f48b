"""What curves say: from which size on one lies below the other, and how steeply they grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]


def crossover(sizes: Sequence[float], ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The size from which `ours` stays below `theirs`, by linear interpolation between the points; None if nowhere.

    If it is below everywhere, that is the first size.
    """
    gaps = [o - t for o, t in zip(ours, theirs)]
    above = [i for i, gap in enumerate(gaps) if gap >= 0]
    if not above:
        return float(sizes[0])
    last = above[-1]
    if last == len(gaps) - 1:
        return None
    return sizes[last] + (sizes[last + 1] - sizes[last]) * gaps[last] / (gaps[last] - gaps[last + 1])


def growth(tokens: Sequence[float], values: Sequence[float]) -> float | None:
    """The power of the number of tokens that `values` grow with: the least-squares slope of the logarithms."""
    if len(set(tokens)) < 2:
        return None
    xs, ys = [math.log(n) for n in tokens], [math.log(v) for v in values]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)


def straight(tokens: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """The line that is nearest to positive `values` by the squares of relative errors: fixed, each, farthest.

    value = fixed + each * tokens; `farthest` is the largest error, as a share of the value.
    """
    columns = np.stack([np.ones(len(tokens)), np.asarray(tokens, float)], 1) / np.asarray(values, float)[:, None]
    (fixed, each), *_ = np.linalg.lstsq(columns, np.ones(len(values)), rcond=None)
    return float(fixed), float(each), float(np.abs(columns @ (fixed, each) - 1).max())


def lines(records: Sequence[Record], form: str) -> list[Record]:
    """The straight lines nearest to time and activation memory against tokens, where there are four points or more."""
    found = []
    for label in dict.fromkeys(r["contestant"] for r in records):
        own = [r for r in records if r["contestant"] == label and form in r["forms"]]
        tokens, times = [r["tokens"] for r in own], [r["forms"][form]["ms"] for r in own]
        memory = [r["activation_mib"] for r in own]
        if len(set(tokens)) > 3:
            entry = {"contestant": label, "from": tokens[0], "to": tokens[-1], "time": straight(tokens, times),
                     "memory": straight(tokens, memory) if all(memory) else None}  # fmt: skip
            found.append(entry)
    return found


def best(record: Record, form: str | None = None) -> float | None:
    """Milliseconds of a form, or of the fastest one; None if it was not measured."""
    forms = record["forms"]
    if form is not None:
        return forms[form]["ms"] if form in forms else None
    return min((f["ms"] for f in forms.values()), default=None)


def crossovers(records: Sequence[Record], form: str) -> list[Record]:
    """From which size on the first contestant is faster than each other one.

    In the main form at all points, with the spread of the rounds; and each in its best form, at the points where
    several forms were measured.
    """
    labels = list(dict.fromkeys(r["contestant"] for r in records))
    found = []
    for other in labels[1:]:
        pair = _pairs(records, labels[0], other)
        both = [(at, a["forms"], b["forms"]) for at, a, b in pair]
        plain = [(at, a[form], b[form]) for at, a, b in both if form in a and form in b]
        if len(plain) > 1:
            sizes = [at for at, _, _ in plain]
            rounds = [crossover(sizes, ours, theirs) for ours, theirs in _by_round(plain)]
            at = crossover(sizes, [a["ms"] for _, a, _ in plain], [b["ms"] for _, _, b in plain])
            found.append({"first": labels[0], "other": other, "form": form, "at": at, "rounds": rounds,
                          "up_to": sizes[-1], "from": sizes[0]})  # fmt: skip
        full = [(at, best(a), best(b)) for at, a, b in pair if len(a["forms"]) > 1 < len(b["forms"])]
        if len(full) > 1:
            sizes, ours, theirs = (list(column) for column in zip(*full))
            found.append({"first": labels[0], "other": other, "form": "best of all forms",
                          "at": crossover(sizes, ours, theirs), "rounds": [], "up_to": sizes[-1],
                          "from": sizes[0]})  # fmt: skip
    return found


def growths(records: Sequence[Record], form: str, start: int) -> list[Record]:
    """The powers of the number of tokens that time and activation memory grow with, over points from `start` on."""
    found = []
    for label in dict.fromkeys(r["contestant"] for r in records):
        own = [r for r in records if r["contestant"] == label and form in r["forms"]]
        large = [r for r in own if r["at"] >= start]
        own = large if len(large) > 1 else own
        tokens = [r["tokens"] for r in own]
        memory = [r["activation_mib"] for r in own]
        if len(own) > 1:
            found.append({"contestant": label, "from": own[0]["at"], "to": own[-1]["at"],
                          "time": growth(tokens, [r["forms"][form]["ms"] for r in own]),
                          "memory": growth(tokens, memory) if all(memory) else None})  # fmt: skip
    return found


def _pairs(records: Sequence[Record], first: str, other: str) -> list[tuple[int, Record, Record]]:
    """The records of two contestants at the points that both have."""
    ours = {r["at"]: r for r in records if r["contestant"] == first}
    theirs = {r["at"]: r for r in records if r["contestant"] == other}
    return [(at, ours[at], theirs[at]) for at in ours if at in theirs]


def _by_round(pairs: Sequence[tuple[int, Record, Record]]) -> list[tuple[list[float], list[float]]]:
    """The two curves as each round saw them."""
    rounds = range(min(len(curve["medians"]) for _, *curves in pairs for curve in curves))
    return [([a["medians"][k] for _, a, _ in pairs], [b["medians"][k] for _, _, b in pairs]) for k in rounds]

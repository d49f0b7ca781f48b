"""A result as tables of text: what a terminal and the page of results show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from zoo.bench.figure import short
from zoo.bench.findings import best
from zoo.bench.results import comparable
from zoo.bench.shares import ORDER

Record = dict[str, Any]


class Rows(NamedTuple):
    """A table: a name for programs, a title, and cells that are text, integers or None."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def tables(result: Record) -> list[Rows]:
    """The tables of a result that have rows."""
    makers = {"step": _step, "train": _train, "ops": _ops, "versus": _versus}
    return [table for table in makers[result["kind"]](result) if table.rows]


def conditions(result: Record) -> str:
    """Machine and versions in one line."""
    machine = result["machine"]
    clocks = machine.get("clocks", {})
    said = [machine["device"], *(f"{name} {version}" for name, version in machine["versions"].items()),
            *(f"{name} {value}" for name, value in clocks.items()), machine["date"]]  # fmt: skip
    return ", ".join(said)


def _step(result: Record) -> Iterator[Rows]:
    axis, form, points = result["axis"], result["main_form"], result["points"]
    firsts = {p["at"]: best(p, form) for p in reversed(points) if p["contestant"] == result["contestants"][0]["label"]}
    first = result["contestants"][0]["label"]
    rows = []
    for p in points:
        ms, ours = best(p, form), firsts.get(p["at"])
        speed = _number(ms and 1e3 * result["batch"] / ms)
        size = p.get("parameters")
        rows.append([p["at"], p["contestant"], _number(ms) or p["failed"].get(form), _spread(p, form), speed,
                     _number(ours and ms and ours / ms), _number(p["activation_mib"]), _number(p.get("weights_mib")),
                     _number(p["macs"] / 1e9), _number(size and size / 1e6)])  # fmt: skip
    kernel = f", attention by {result['attention']}" if result.get("attention") else ""
    yield Rows("steps", f"{step_title(result)}, batch {result['batch']}, {result['dtype']}, {form}{kernel}",
               [axis, "network", "ms", "spread", "images/s", f"{first} / this", "activations MiB", "weights MiB",
                "G multiply-adds", "M parameters"], rows)  # fmt: skip
    detailed = [p for p in points if len(p["forms"]) > 1]
    forms = list(dict.fromkeys(f for p in detailed for f in (*p["forms"], *p["failed"])))
    yield Rows("forms", "ms by form", [axis, "network", *forms],
               [[p["at"], p["contestant"], *(_number(best(p, f)) for f in forms)] for p in detailed])  # fmt: skip
    profiled = [p for p in points if "shares" in p]
    classes = [c for c in ORDER if any(c in p["shares"] for p in profiled)]
    yield Rows("shares", "share of the time by class of operator", [axis, "network", "kernels", *classes],
               [[p["at"], p["contestant"], p["kernels"] or None, *(_percent(p["shares"].get(c)) for c in classes)]
                for p in profiled])  # fmt: skip
    yield Rows("crossovers", "crossovers", ["faster", "than", "form", f"from {axis}", "rounds"],
               [[c["first"], c["other"], c["form"], _from(c), ", ".join(_number(r) or "none" for r in c["rounds"])]
                for c in result["crossovers"]])  # fmt: skip
    yield Rows("growth", "growth with tokens, as a power", ["network", "from", "to", "time", "memory"],
               [[g["contestant"], g["from"], g["to"], _power(g["time"]), _power(g["memory"])]
                for g in result["growth"]])  # fmt: skip
    yield Rows("lines", "straight lines nearest to the points",
               ["network", "tokens", "ms", "farthest point", "activations MiB", "farthest point"],
               [[g["contestant"], f"{g['from']:,} to {g['to']:,}", *_line(g["time"]), *_line(g["memory"])]
                for g in result.get("lines", [])])  # fmt: skip
    yield Rows("out_of_memory", f"the first {axis} without memory enough", ["network", axis],
               [[f["contestant"], f["at"]] for f in result.get("out_of_memory", [])])
    yield Rows("quoted", "other code, quoted", [axis, "code", "ms", "activations MiB"], list(_quoted_steps(result)))
    yield Rows("skipped", f"skipped: would take longer than {result['limit_s'] / 60:g} minutes",
               [axis, "estimate, minutes"],
               [[s["at"], _number(s["estimate_s"] / 60)] for s in result["skipped"]])  # fmt: skip
    yield Rows("failed", "forms that did not run", [axis, "network", "form", "why"],
               [[p["at"], p["contestant"], f, why] for p in points for f, why in p["failed"].items()])  # fmt: skip


def step_title(result: Record) -> str:
    """What a step of this result is."""
    return "forward and backward of one step" if result.get("backward") else "one denoising step"


def _quoted_steps(result: Record) -> Iterator[list[object]]:
    found = comparable(result).get("step", {})
    recipes = {c["recipe"] for c in result["contestants"]}
    same = all(found[key] == result[key] for key in ("batch", "dtype")) if found else False
    if not same or result["axis"] != "resolution" or result.get("backward"):
        return
    for i, at in enumerate(found["resolution"]):
        for name, line in found["lines"].items():
            if line["like"] in recipes:
                memory = line.get("activation_mib")
                yield [at, name, _number(line["ms"][i]), _number(memory and memory[i])]


def _train(result: Record) -> Iterator[Rows]:
    rows = [[r["contestant"], r["batch"], r["micro_batch"], r["precision"], r["form"], _number(r["ms"]),
             r["images_per_s"], _number(r["peak_mib"]), _number(r["above_mib"]), r["kernels"] or None]
            for r in result["updates"]]  # fmt: skip
    yield Rows("updates", "one update: forward, backward, optimizer, averages",
               ["network", "batch", "at a time", "precision", "form", "ms", "images/s", "peak MiB", "of it activations",
                "kernels"], rows)  # fmt: skip
    classes = [c for c in ORDER if any(c in r["shares"] for r in result["updates"])]
    yield Rows("shares", "share of the time by class of operator", ["network", "batch", "form", *classes],
               [[r["contestant"], r["batch"], r["form"], *(_percent(r["shares"].get(c)) for c in classes)]
                for r in result["updates"]])  # fmt: skip
    found = comparable(result).get("train", {})
    recipes = {c["recipe"] for c in result["contestants"]}
    quotes = [name for name in found.get("images_per_s", {}) if found["like"][name] in recipes]
    yield Rows("quoted", "other code, quoted", ["code", "batch", "images/s", "peak MiB"],
               [[name, found["batch"], found["images_per_s"][name], found["peak_mib"][name]] for name in quotes])


def _ops(result: Record) -> Iterator[Rows]:
    peers = comparable(result).get("ops", {})
    rows = []
    for r in (r for r in result["cases"] if "ms" in r):
        peer = peers.get(r["case"])
        note = f"{short(peer['ms'] / r['ms'])}x {peer['by']}, quoted" if peer else None
        giga = (_number(r[key] / 1e9) for key in ("rate", "macs", "bytes_per_s"))
        rows.append([r["case"], r["backend"], _number(r["ms"]), *giga, _percent(r["of_bound"]),
                     _number(r["floor_ms"]), note])  # fmt: skip
    yield Rows("cases", f"operators, {result['dtype']}; sizes are (batch, channels, length)",
               ["case", "backend", "ms", "G updates/s", "G multiply-adds", "GB/s", "of bound", "bound ms", "against"],
               rows)  # fmt: skip
    yield Rows("orders", "a random order against none", ["case", "backend", "extra"], list(_order_costs(result)))
    rates = result["rates"]
    yield Rows("rates", "what bounds are made of, measured in this run", ["copy GB/s", "exp2 G/s", "multiply-add G/s"],
               [[_number(rates[name] / 1e9) for name in ("bytes", "exp2", "fma")]])  # fmt: skip
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for r in (r for r in result["cases"] if "why_not" in r):
        reasons.setdefault((r["op"], r["backend"], r["why_not"]), []).append(r["case"])
    yield Rows("absent", "backends that did not run", ["operator", "backend", "why", "cases"],
               [[*key, len(cases)] for key, cases in reasons.items()])  # fmt: skip


def _order_costs(result: Record) -> Iterator[list[object]]:
    plain = {(r["case"], r["backend"]): r["ms"] for r in result["cases"] if "ms" in r and not r["shuffled"]}
    for r in (r for r in result["cases"] if "ms" in r and r["shuffled"]):
        without = plain.get((r["case"].removesuffix(" shuffled"), r["backend"]))
        if without:
            yield [r["case"], r["backend"], f"{r['ms'] / without - 1:+.1%}"]


def _versus(result: Record) -> Iterator[Rows]:
    rows = [[r["tokens"], r["pass"], r["what"], _number(r["ms"]), _number(r["macs"] / 1e9),
             _number(r["macs"] / r["ms"] / 1e9), r["kernel"]] for r in result["points"]]  # fmt: skip
    where = f"width {result['width']}, batch {result['batch']}, {result['dtype']}"
    yield Rows("versus", f"one scan, one attention; {where}",
               ["tokens", "pass", "what", "ms", "G multiply-adds", "T multiply-adds/s", "kernel"], rows)  # fmt: skip
    yield Rows("crossovers", "crossovers", ["pass", "faster", "than", "from tokens"],
               [[c["pass"], c["first"], c["other"], _from(c)] for c in result["crossovers"]])  # fmt: skip


def _number(value: float | None) -> str | None:
    return None if value is None else short(value)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _power(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _line(fit: Sequence[float] | None) -> list[str | None]:
    """A straight line in words, and how far the farthest point lies from it."""
    if fit is None:
        return [None, None]
    fixed, each, farthest = fit
    return [f"{short(1000 * each)} a thousand tokens {'+-'[fixed < 0]} {short(abs(fixed))}", f"{farthest:.1%}"]


def _spread(point: Record, form: str) -> str | None:
    """How far apart the medians of the rounds lie."""
    medians = point["forms"].get(form, {}).get("medians")
    return f"{max(medians) / min(medians) - 1:.1%}" if medians else None


def _from(crossing: Record) -> str:
    """Where a crossover lies, in words where it is not between the points."""
    if crossing["at"] is None:
        return f"none up to {crossing['up_to']:,}"
    return "everywhere" if crossing["at"] <= crossing["from"] else short(round(crossing["at"]))

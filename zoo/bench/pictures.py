"""The pictures of a result: Figure 3 of the DiM paper on its own axes and on plain ones, memory, operators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.bench.figure import COLORS, Bars, Chart, Line
from zoo.bench.results import comparable
from zoo.bench.svg import bars_svg, chart_svg
from zoo.bench.tables import step_title

Record = dict[str, Any]
Picture = Chart | Bars


def draw(result: Record, folder: Path, name: str, *, png: bool = True) -> list[Path]:
    """Write every picture of a result as SVG, and charts as PNG beside it where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for what, picture in pictures(result).items():
        path = folder / f"bench_{result['kind']}_{name}_{what}.svg"
        path.write_text(bars_svg(picture) if isinstance(picture, Bars) else chart_svg(picture), encoding="utf-8")
        paths.append(path)
        if png and isinstance(picture, Chart) and (copy := _png(picture, path.with_suffix(".png"))):
            paths.append(copy)
    return paths


def pictures(result: Record) -> dict[str, Picture]:
    """The pictures by name; none where there are too few points for one."""
    makers = {"step": _steps, "ops": _operators, "versus": _versus, "train": _training}
    return dict(makers[result["kind"]](result))


def _steps(result: Record) -> Iterator[tuple[str, Picture]]:
    times = list(_curves(result))
    if not times or max(len(line.xs) for line in times) < 2:
        return
    where = _where(result) + _full(result)
    axis = {"resolution": "resolution, pixels", "frames": "frames"}[result["axis"]]
    speeds = [replace(t, ys=_inverse(t.ys), low=_inverse(t.high), high=_inverse(t.low)) for t in times]
    yield "figure3", Chart("Denoising steps a millisecond", where, axis, "steps a ms, logarithmic", speeds, y_log=True)
    marks = [(c["at"], f"{c['at']:.0f}, {c['other']}") for c in result["crossovers"]
             if c["form"] == result["main_form"] and c["at"] and c["at"] > c["from"]]  # fmt: skip
    title = step_title(result)
    title = title[0].upper() + title[1:]
    yield "time", Chart(title, where, axis, "ms", times, marks=marks)
    if result.get("lines"):
        yield "tokens", Chart(f"{title}, and straight lines", where, "tokens", "ms", list(_straight(result)))
    memory = [Line(label, *_columns(own, "activation_mib"), color=color) for label, own, color in _by_label(result)]
    memory = [line for line in memory if len(line.xs) > 1]
    memory += _quoted(result, "activation_mib")
    if memory:
        what = "Peak activation memory of one step" + (" and its gradients" if result.get("backward") else "")
        yield "memory", Chart(what, where, axis, "MiB", memory)


def _straight(result: Record) -> Iterator[Line]:
    """Milliseconds against tokens, and the straight line nearest to them, dashed."""
    fits = {fit["contestant"]: fit["time"] for fit in result["lines"]}
    for label, points, color in _by_label(result):
        own = sorted((p["tokens"], p["forms"][result["main_form"]]["ms"]) for p in points
                     if result["main_form"] in p["forms"])  # fmt: skip
        if label in fits:
            (fixed, each, _), tokens = fits[label], [count for count, _ in own]
            yield Line(label, tokens, [ms for _, ms in own], color=color)
            yield Line(f"{label}, straight", tokens, [fixed + each * n for n in tokens], dashed=True, color=color)


def _full(result: Record) -> str:
    """Who has no memory left from where on, in words."""
    found = [f"{f['contestant']} from {f['at']:,}" for f in result.get("out_of_memory", [])]
    return f"; out of memory: {', '.join(found)}" if found else ""


def _curves(result: Record) -> Iterator[Line]:
    """Milliseconds of the main form, with the rounds as a band; then the quoted curves."""
    form = result["main_form"]
    for label, points, color in _by_label(result):
        own = [(p["at"], p["forms"][form]) for p in points if form in p["forms"]]
        if own:
            low, high = ([pick(f["medians"]) for _, f in own] for pick in (min, max))
            yield Line(label, [at for at, _ in own], [f["ms"] for _, f in own], low, high, color=color)
    yield from _quoted(result, "ms")


def _where(result: Record) -> str:
    """The conditions of a measurement in a few words."""
    batch = [f"batch {result['batch']}"] if "batch" in result else []
    return ", ".join([result["machine"]["device"], *batch, result["dtype"]])


def _inverse(values: Sequence[float]) -> list[float]:
    return [1 / value for value in values]


def _by_label(result: Record) -> list[tuple[str, list[Record], str]]:
    labels = [c["label"] for c in result["contestants"]]
    return [(label, [p for p in result["points"] if p["contestant"] == label], COLORS[i % len(COLORS)])
            for i, label in enumerate(labels)]  # fmt: skip


def _quoted(result: Record, what: str) -> list[Line]:
    """Dashed curves of other code, where one of the contestants is like it and the conditions are the same."""
    found = comparable(result).get("step", {})
    same = found and all(found[key] == result[key] for key in ("batch", "dtype")) and result["axis"] == "resolution"
    if not same or result.get("backward"):
        return []
    places, lines = {p["at"] for p in result["points"]}, []
    like = {c["recipe"]: COLORS[i % len(COLORS)] for i, c in reversed([*enumerate(result["contestants"])])}
    for name, line in found["lines"].items():
        inside = [(at, value) for at, value in zip(found["resolution"], line.get(what, ()))
                  if min(places, default=0) <= at <= max(places, default=0)]  # fmt: skip
        if line["like"] in like and len(inside) > 1:
            lines.append(Line(name, *map(list, zip(*inside)), dashed=True, color=like[line["like"]]))
    return lines


def _columns(points: Sequence[Record], key: str) -> tuple[list[float], list[float]]:
    there = [(p["at"], p[key]) for p in points if p.get(key)]
    return [at for at, _ in there], [value for _, value in there]


def _operators(result: Record) -> Iterator[tuple[str, Picture]]:
    peers = comparable(result).get("ops", {})
    for op in dict.fromkeys(r["op"] for r in result["cases"]):
        groups: dict[str, list[tuple[str, float]]] = {}
        notes = {}
        for r in (r for r in result["cases"] if r["op"] == op and "ms" in r):
            title = r["case"].removeprefix(f"{op} ")
            groups.setdefault(title, []).append((r["backend"], r["rate"] / 1e9))
            notes[title, r["backend"]] = f", {r['of_bound']:.0%}"
        for r in (r for r in result["cases"] if r["op"] == op and r["case"] in peers and "ms" in r):
            title, peer = r["case"].removeprefix(f"{op} "), peers[r["case"]]
            name = f"{peer['by']}, quoted"
            if name not in [n for n, _ in groups[title]]:
                groups[title].append((name, r["rate"] * r["ms"] / peer["ms"] / 1e9))
        if groups:
            what = "state updates" if op == "selective_scan" else "taps"
            title, where = f"{op}: G {what} a second, and share of the bound", _where(result)
            yield op, Bars(title, where, "G/s", list(groups.items()), notes)


def _versus(result: Record) -> Iterator[tuple[str, Picture]]:
    for which in dict.fromkeys(r["pass"] for r in result["points"]):
        lines = []
        for i, what in enumerate(dict.fromkeys(r["what"] for r in result["points"])):
            own = [r for r in result["points"] if r["what"] == what and r["pass"] == which]
            low, high = ([pick(r["medians"]) for r in own] for pick in (min, max))
            lines.append(Line(what, [r["tokens"] for r in own], [r["ms"] for r in own], low, high, color=COLORS[i]))
        if lines and len(lines[0].xs) > 1:
            title, where = f"Scan and attention, {which}", f"{_where(result)}, width {result['width']}"
            yield which.replace(" ", "_"), Chart(title, where, "tokens", "ms", lines, x_log=True, y_log=True)


def _training(result: Record) -> Iterator[tuple[str, Picture]]:
    groups: dict[str, list[tuple[str, float]]] = {}
    for r in result["updates"]:
        groups.setdefault(f"batch {r['batch']}, {r['form']}", []).append((r["contestant"], r["images_per_s"]))
    quoted = comparable(result).get("train", {})
    recipes = {c["recipe"] for c in result["contestants"]}
    own = [(n, v) for n, v in quoted.get("images_per_s", {}).items() if quoted["like"][n] in recipes]
    if own:
        groups[f"batch {quoted['batch']}, quoted"] = own
    if groups:
        yield "speed", Bars("Training", result["machine"]["device"], "images/s", list(groups.items()))


def _png(chart: Chart, path: Path) -> Path | None:
    """The same chart by matplotlib, for places that show no SVG."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.add_subplot(title=f"{chart.title}\n{chart.where}", xlabel=chart.x_label, ylabel=chart.y_label)
    for i, line in enumerate(chart.lines):
        color, style = line.color or COLORS[i % len(COLORS)], "--" if line.dashed else "-"
        axes.plot(line.xs, line.ys, style, color=color, label=line.name, marker=".")
        if line.low and line.high:
            axes.fill_between(line.xs, line.low, line.high, color=color, alpha=0.18, linewidth=0)
    axes.set_xscale("log" if chart.x_log else "linear")
    axes.set_yscale("log" if chart.y_log else "linear")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    return path



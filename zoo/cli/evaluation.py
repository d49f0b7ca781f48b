"""What zoo-eval prints and where it writes."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from zoo.cli.table import Table, plain_text, show, show_json
from zoo.errors import ZooError
from zoo.eval.api import Request, is_model, measure
from zoo.eval.collect import Watch
from zoo.eval.comparison import compare
from zoo.eval.result import FILE, Result
from zoo.eval.sweep import parse_sweep, sweep_over
from zoo.sampling.progress import Progress


def run(asked: Request, sweep: str | None = None, out: Path | None = None) -> None:
    """Evaluate, at one setting or at several."""
    if sweep:
        return _sweep(asked, sweep, out)
    began = time.monotonic()
    with Progress(asked.count or 1000, 0) as bar:
        result = measure(_placed(asked), Watch(step=bar.step, image=partial(bar.drawn, 1), say=_say))
    if result is None:
        return print(f"share {asked.share[0]} of {asked.share[1]} is done; whichever ends last writes the result")
    place = keep(result, out or default_place(asked.source))
    show([table(result)])
    for note in result.notes:
        _say(f"note: {note}")
    print(f"{result.protocol['count']:,} images, {time.monotonic() - began:.1f} s; {place}")


def keep(result: Result, out: Path) -> Path:
    """Write the result: into one of the same protocol its figures are added, one of another gets another name."""
    place = out if out.suffix else out / FILE
    if place.exists():
        try:
            old = Result.load(place)
        except ZooError:
            raise ZooError("there is another file of this name", where=str(place), fix="give another --out") from None
        if compare(old, result).differences:
            n = next(i for i in range(1, 10**6) if not place.with_name(f"{place.stem}-{i}.json").exists())
            os.replace(place, place.with_name(f"{place.stem}-{n}.json"))
        else:
            settings = {**old.protocol["metrics"], **result.protocol["metrics"]}
            result = replace(result, metrics={**old.metrics, **result.metrics},
                             protocol={**result.protocol, "metrics": settings})  # fmt: skip
    return result.save(place)


def default_place(source: str | Path) -> Path:
    """Inside a run folder; else here."""
    return Path(source) if Path(source).is_dir() and is_model(source) else Path()


def table(result: Result) -> Table:
    """The figures of one result."""
    rows = [[name, f"{value:.5g}"] for name, value in result.metrics.items()]
    return Table("figures", headline(result), ["figure", "value"], rows)


def headline(result: Result) -> str:
    """The protocol in a line."""
    p = result.protocol
    reference, model = p["reference"], p.get("model")
    parts = [f"{p['count']:,} images {p['images']['size']}"]
    if model:
        step = "" if model["step"] is None else f" of step {model['step']:,}"
        parts.append(f"{'averaged' if model['ema'] else 'raw'} weights{step}")
        parts += [_said(p["sampler"]), _said(p["guidance"]) if p["guidance"]["use"] != "none" else "no guidance"]
    if reference:
        known = f"{reference['count']:,} " if reference["count"] else ""
        split = f" {reference['split']}" if reference["split"] else ""
        parts.append(f"against {known}{reference['source']}{split} ({reference['hash'][:8]})")
    return ", ".join(parts)


def show_comparison(ours: str, theirs: str, *, as_json: bool) -> int:
    """Print field by field; 1 if the figures may not be compared."""
    a, b = Result.load(ours), Result.load(theirs)
    found = compare(a, b)
    figures = Table("figures", found.verdict, ["figure", "A", "B"],
                    [[name, f"{x:.5g}", f"{y:.5g}"] for name, (x, y) in found.figures.items()])  # fmt: skip
    fields = Table("differences", "fields that differ", ["field", "A", "B", "is", "because"],
                   [[d.field, _cell(d.ours), _cell(d.theirs), d.kind, d.why] for d in found.differences])  # fmt: skip
    verdict = Table("verdict", "verdict", ["comparable", "verdict"], [[found.comparable, found.verdict]])
    show_json([verdict, figures, fields]) if as_json else show([figures, *([fields] if found.differences else [])])
    return int(not found.comparable)


def _sweep(asked: Request, text: str, out: Path | None) -> None:
    sweep, results = parse_sweep(text), []
    folder = out or default_place(asked.source) / f"sweep-{sweep.key}"

    def tell(value: str, result: Result) -> None:
        results.append([value, *(f"{v:.5g}" for v in result.metrics.values())])
        _say(f"{sweep.key}={value}  " + "  ".join(f"{k} {v:.5g}" for k, v in result.metrics.items()))

    with Progress((asked.count or 1000) * len(sweep.values), 0) as bar:
        found = sweep_over(_placed(asked), sweep, folder, Watch(image=partial(bar.drawn, 1)), tell)
    about = f"{headline(found[0])}; {sweep.key} from row to row"
    print(plain_text(Table("sweep", about, [sweep.key, *found[0].metrics], results)))
    print(f"sweep.json and sweep.svg in {folder}")


def _placed(asked: Request) -> Request:
    """Under torchrun each process takes the device of its own."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or asked.device not in (None, "auto", "cuda"):
        return asked
    import torch

    return replace(asked, device=f"cuda:{rank}") if torch.cuda.is_available() else asked


def _said(node: dict) -> str:
    shown = [f"{k} {v}" for k, v in node.items() if k in ("steps", "scale")]
    return " ".join([node["use"], *shown])


def _cell(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:17]}..."


def _say(text: str) -> None:
    print(text, file=sys.stderr)

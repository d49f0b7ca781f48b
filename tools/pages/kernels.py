"""The measured tables of docs/kernels.md: ours, the peers', the bound and the goals, from docs/results/bench_*.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from zoo.bench.results import quoted

from . import markdown, measured

Goal = tuple[float, float]
"""What must be reached, and what is aimed at."""

RATES: dict[str, dict[str, Goal]] = {  # 1e9 state updates a second, by (batch, channels, length)
    "forward": {"128,1024,365": (2100, 2700), "32,3072,273": (2000, 2700), "2,3072,366": (1200, 1600),
                "2,3072,1230": (1500, 2000), "2,3072,4494": (1650, 2200), "2,3072,9806": (1700, 2300),
                "1,3072,9806": (1200, 1700)},
    "backward": {"128,1024,365": (640, 900), "32,3072,273": (640, 900), "8,3072,1056": (640, 900),
                 "2,3072,4494": (440, 700)},
}  # fmt: skip
CONVOLUTION: dict[str, Goal] = {"forward": (0.06, 0.05), "backward": (0.15, 0.12)}  # ms at (128, 1024, 273)
STEP: dict[int, Goal] = {256: (5, 4), 512: (12.5, 10.5), 768: (24, 20), 1024: (40, 34), 1280: (61, 52),
                         1536: (88, 74)}  # ms by pixels  # fmt: skip
FIRST, LAST = "channel-first", "channel-last"


def table(which: str, file: str) -> str:
    """One table, with a line below it that counts the goals: `scan forward`, `scan backward`, `convolution`, `step`."""
    result = json.loads((measured.RESULTS / file).read_text(encoding="utf-8"))
    make, *direction = which.split()
    return MAKERS[make](result, *direction)


def scan(result: dict[str, Any], direction: str) -> str:
    """Rates of the selective scan at the shapes that have a goal."""
    rows, reached = [], []
    for shape, goal in RATES[direction].items():
        cases = _cases(result, "selective_scan", direction, shape)
        ours, peer = cases["cuda"], cases.get(f"mamba_ssm, {FIRST}", {})
        rate = ours["rate"] / 1e9
        reached.append((rate >= goal[0], rate >= goal[1]))
        rows.append([shape.replace(",", ", "), _whole(peer.get("rate", 0) / 1e9), _bold(_whole(rate), reached[-1]),
                     _percent(ours["of_bound"]), *map(_whole, goal)])  # fmt: skip
    columns = ["batch, channels, length", "mamba-ssm G/s", "ours G/s", "of the bound", "must", "aim"]
    return _with_count(columns, rows, reached, result)


def convolution(result: dict[str, Any]) -> str:
    """Times of the causal convolution; the peer's in both of its layouts."""
    rows, reached = [], []
    for direction, goal in CONVOLUTION.items():
        cases = _cases(result, "causal_conv", direction, "128,1024,273")
        ours = cases["cuda"]
        peer = [cases.get(name, {}).get("ms") for name in (f"causal_conv1d, {FIRST}", "causal_conv1d")]
        reached.append((ours["ms"] <= goal[0], ours["ms"] <= goal[1]))
        rows.append([direction, *map(_ms, peer), _bold(_ms(ours["ms"]), reached[-1]), _percent(ours["of_bound"]),
                     *(f"{g:g}" for g in goal)])  # fmt: skip
    columns = ["(128, 1024, 273)", f"causal-conv1d ms, {FIRST}", LAST, "ours ms", "of the bound", "must", "aim"]
    return _with_count(columns, rows, reached, result)


def step(result: dict[str, Any]) -> str:
    """Times of one denoising step of DiM-H, of its released code, and of a U-ViT of its size."""
    form, released = result["main_form"], quoted()["step"]
    ms = {(p["contestant"], p["at"]): p["forms"][form]["ms"] for p in result["points"] if form in p["forms"]}
    before = dict(zip(released["resolution"], released["lines"]["DiM-H, released code"]["ms"]))
    rows, reached = [], []
    for size, goal in STEP.items():
        ours = ms["DiM-H", size]
        reached.append((ours <= goal[0], ours <= goal[1]))
        rows.append([size, _ms(before.get(size)), _ms(ms.get(("U-ViT 24x64", size))), _bold(_ms(ours), reached[-1]),
                     *(f"{g:g}" for g in goal)])  # fmt: skip
    return _with_count(["px", "released code", "U-ViT 24x64", "ours", "must", "aim"], rows, reached, result)


MAKERS: dict[str, Callable[..., str]] = {"scan": scan, "convolution": convolution, "step": step}


def _cases(result: dict[str, Any], op: str, direction: str, shape: str) -> dict[str, Any]:
    """What was measured of one case, by backend."""
    name = f"{op} {direction} ({shape})"
    return {case["backend"]: case for case in result["cases"] if case["case"] == name and "ms" in case}


def _with_count(columns: list[str], rows: list[list[Any]], reached: list[tuple[bool, bool]],
                result: dict[str, Any]) -> str:  # fmt: skip
    musts, aims = (sum(each) for each in zip(*reached))
    bold = "" if musts == len(rows) else ", bold where it does not"
    machine = result["machine"]
    told = f"“Must” holds in {musts} of {len(rows)} rows{bold}; “aim” is reached in {aims}. {machine['device']}"
    return f"{markdown.table(columns, rows)}\n\n{told}, {machine['date']}."


def _bold(text: str, reached: tuple[bool, bool]) -> str:
    return text if reached[0] else f"**{text}**"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value else ""


def _ms(value: float | None) -> str:
    """Three digits."""
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")

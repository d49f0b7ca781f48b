"""Draw every scan order, padding layout, local mixing and skip topology there is, plug-ins included, as small SVGs.

    python tools/draw_parts.py                  # writes docs/parts/<shelf>/<name>.svg
    python tools/draw_parts.py --out DIR scan   # one shelf, elsewhere

Each picture is computed by the part itself, so it cannot say anything else than the part does. The
same parts give the same bytes; tests/docs/test_part_pictures.py compares.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo import registry
from zoo.grid import Grid
from zoo.parts.protocols import Condition

OUT = Path(__file__).parent.parent / "docs/parts"
CELL, GAP, HEAD = 12, 14, 20
CHUNKS = 16  # colours along one sequence
BESIDE = 4  # orders in a row
DEPTH = 9  # blocks of a skip's picture
WIDTH = 8  # channels of a token
GIVEN = {"enhancer": (), "feedforward": (DEPTH,)}  # what such a part receives besides the width
SQUARE_SIDE = {"peano": 9}  # its own kind of square; 8 for the others
STYLE = (  # greys in the middle, for light and dark ground alike
    "text{font:10px system-ui,sans-serif;fill:#888;text-anchor:middle}.cell{fill:none;stroke:#8886}"
    "path{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}"
)


def picture(title: str, width: float, height: float, shapes: list[str]) -> str:
    """A whole SVG file."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}">', f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", *shapes, "</svg>", "",
    ])  # fmt: skip


def hue(part: float) -> str:
    """From blue at 0 over green to red at 1."""
    return f"hsl({220 * (1 - part):.0f} 75% 50%)"


def moved(x: float, y: float, shapes: list[str]) -> list[str]:
    return [f'<g transform="translate({x:g} {y:g})">', *shapes, "</g>"]


def word(x: float, y: float, text: object) -> str:
    return f'<text x="{x:g}" y="{y:g}">{escape(str(text))}</text>'


def cell(row: int, column: int, fill: str = "", text: object = "") -> list[str]:
    """One token at its place."""
    x, y = column * CELL, row * CELL
    colour = f' style="fill:{fill}"' if fill else ""
    box = f'<rect class="cell" x="{x}" y="{y}" width="{CELL}" height="{CELL}"{colour}/>'
    return [box] if text == "" else [box, word(x + CELL / 2, y + CELL - 2.5, text)]


# -- scans ------------------------------------------------------------------------------------------------------------


def scan_picture(part: registry.Part) -> str:
    """All orders, four in a row, on squares above and on oblongs below; a dot where each sequence begins."""
    side = SQUARE_SIDE.get(part.name, 8)
    grids = [Grid(side, side), Grid(4, 6)]
    shapes, top = [], 0.0
    step = side * CELL + GAP
    for grid in grids:
        patterns = made(part)(grid)
        orders = [order for p in patterns for order in (p if p.ndim == 3 else [p])]
        for k, order in enumerate(orders):
            label = [word(grid.width * CELL / 2, HEAD - 8, k + 1)]
            place = (k % BESIDE * step + GAP, top + k // BESIDE * (HEAD + grid.height * CELL))
            shapes += moved(*place, label + moved(0, HEAD, lattice(grid) + walk(grid, order)))
        top += -(-len(orders) // BESIDE) * (HEAD + grid.height * CELL)
    return picture(f"scan {part.name}: {part.doc}", min(len(orders), BESIDE) * step + GAP, top + GAP, shapes)


def lattice(grid: Grid) -> list[str]:
    """The cells' outlines."""
    height, width = grid.height * CELL, grid.width * CELL
    across = [f"M0 {y}H{width}" for y in range(0, height + 1, CELL)]
    down = [f"M{x} 0V{height}" for x in range(0, width + 1, CELL)]
    return [f'<path d="{"".join(across + down)}" style="stroke:#8884;stroke-width:1"/>']


def walk(grid: Grid, order: np.ndarray) -> list[str]:
    """A line through the cells as they are visited, coloured by time."""
    shapes = []
    for sequence in np.atleast_2d(order):
        rows, columns = np.divmod(sequence, grid.width)
        points = [f"{c * CELL + CELL // 2} {r * CELL + CELL // 2}" for r, c in zip(rows, columns)]
        shapes.append(f'<circle cx="{points[0].split()[0]}" cy="{points[0].split()[1]}" r="3.5" fill="{hue(0)}"/>')
        edges = np.linspace(0, len(points) - 1, min(CHUNKS, max(len(points) - 1, 1)) + 1).round().astype(int)
        for k, (a, b) in enumerate(pairwise(edges)):
            colour = hue(k / max(len(edges) - 2, 1))
            shapes.append(f'<path d="M{"L".join(points[a : b + 1])}" style="stroke:{colour}"/>')
    return shapes


# -- paddings ---------------------------------------------------------------------------------------------------------


def padding_picture(part: registry.Part) -> str:
    """The tokens of a square and of an oblong, for each choice of its fields: patches grey, equal pads alike."""
    shapes, left, lowest = [], GAP, 0.0
    for fields in choices(part):
        for grid in (Grid(4, 4), Grid(3, 6)):
            tokens, width, height = padded(made(part, 8, **fields), grid)
            label = word(width / 2, HEAD - 8, " ".join(f"{k}: {v}" for k, v in fields.items()))
            shapes += moved(left, 0, [label, *moved(0, HEAD, tokens)])
            left, lowest = left + max(width, 70) + 2 * GAP, max(lowest, height)
    return picture(f"padding {part.name}: {part.doc}", left, lowest + HEAD + GAP, shapes)


def padded(padding: nn.Module, grid: Grid) -> tuple[list[str], float, float]:
    """What the part makes of two prefix tokens (t and y) and the patches; its size."""
    torch.manual_seed(0)
    for parameter in padding.parameters():
        nn.init.normal_(parameter)
    patches, front = torch.randn(1, grid.cells, 8), torch.randn(1, 2, 8)
    prefix, cells, new = padding(front, patches, grid)
    known = {key(v): ("#8888", "") for v in patches[0]} | {key(v): ("#8882", w) for v, w in zip(front[0], "ty")}
    names = iter("123456789")
    shapes = []
    for k, token in enumerate(prefix[0]):
        shapes += cell(0, k, *look(token, known, names))
    for k, token in enumerate(cells[0]):
        row, column = divmod(k, new.width)
        if k >= new.cells:  # the end of line k - cells; lines that the oblong's shorter side lacks stand below
            row, column = k - new.cells, new.width
        shapes += moved(0, 1.5 * CELL, cell(row, column, *look(token, known, names)))
    rows = max(new.height, new.line_ends)
    columns = max(new.width + bool(new.line_ends), prefix.shape[1])
    return shapes, columns * CELL, (rows + 1.5) * CELL


def look(token: torch.Tensor, known: dict, names: Iterator[str]) -> tuple[str, str]:
    """Colour and name of a token; one not seen before gets the next number."""
    if not token.any():
        return "#fff0", "0"
    if key(token) not in known:
        name = next(names)
        known[key(token)] = (f"hsl({47 * int(name) % 360} 75% 55% / .6)", name)
    return known[key(token)]


def key(token: torch.Tensor) -> bytes:
    return token.detach().numpy().tobytes()


# -- local mixing -----------------------------------------------------------------------------------------------------


def mixing_picture(part: registry.Part) -> str:
    """Which cells one patch reaches (the one with the dot), and by how much, when every weight is 0.1.

    Once for each form of the part; in the middle of a grid, and in the corner of another.
    """
    places = ((Grid(9, 9), (4, 4)), (Grid(4, 6), (0, 0)))
    forms: dict[str, list[list[str]]] = {}
    for fields in choices(part):
        drawn = [reached(made(part, WIDTH, *GIVEN[part.kind], **fields), grid, at) for grid, at in places]
        if drawn not in forms.values():  # a form that mixes alike is not drawn again
            forms[" ".join(f"{k}: {said(v)}" for k, v in fields.items())] = drawn
    shapes, left = [], float(GAP)
    for label, drawn in forms.items():
        shapes += [word(left + 4.5 * CELL, HEAD - 8, label)] if len(forms) > 1 else []
        for (grid, _), cells in zip(places, drawn):
            shapes += moved(left, HEAD, cells)
            left += grid.width * CELL + GAP
    return picture(f"{part.kind} {part.name}: {part.doc}", left, HEAD + 9 * CELL + GAP, shapes)


@torch.no_grad()
def reached(mixing: nn.Module | None, grid: Grid, at: tuple[int, int]) -> list[str]:
    """The grid, each cell as dark as what the patch `at` gives to it; nothing is darker than the patch itself."""
    impulse = torch.zeros(1, grid.cells, WIDTH)
    impulse[0, at[0] * grid.width + at[1]] = 1
    shapes = lattice(grid)
    if mixing is not None:
        for name, parameter in mixing.named_parameters():
            nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 0.1)
        given = (None, grid, Condition()) if mixing_in_blocks(mixing) else (grid,)
        change = (mixing(impulse, *given) - mixing(0 * impulse, *given))[0, :, 0].abs()
        for k in change.nonzero()[:, 0].tolist():
            depth = 0.25 + 0.75 * min(float(change[k]), 1)
            row, column = divmod(k, grid.width)
            shapes += cell(row, column, f"hsl(220 75% 50% / {depth:.2f})")
    x, y = at[1] * CELL + CELL / 2, at[0] * CELL + CELL / 2
    return [*shapes, f'<circle cx="{x:g}" cy="{y:g}" r="2.5" fill="{hue(1)}"/>']


def mixing_in_blocks(mixing: nn.Module) -> bool:
    """Whether it is a sublayer, which receives order and condition too."""
    return "cond" in inspect.signature(mixing.forward).parameters


# -- skips ------------------------------------------------------------------------------------------------------------


def skip_picture(part: registry.Part) -> str:
    """Blocks in a row and which earlier one each reads; red where a block reads its own input once more."""
    shapes, top, step, radius = [], 0.0, 34, 11
    for fields in choices(part):
        skip = made(part, 16, DEPTH, **fields)
        weights = sum(p.numel() for i in range(DEPTH) if (m := skip.block(i)) for p in m.parameters())
        middle, base = (DEPTH - 1) * step / 2 + 24, 110
        row = [f'<path d="M24 {base}H{24 + (DEPTH - 1) * step}" style="stroke:#8888"/>']
        for i in range(DEPTH):
            if (source := skip.source(i)) is not None:
                a, b = 24 + source * step, 24 + i * step - 8
                row.append(f'<path d="M{a} {base - radius}C{a} {base - 22 - 10 * (i - source)} {b} '
                           f'{base - 22 - 10 * (i - source)} {b} {base - radius + 2}" '
                           f'style="stroke:{hue(1 if source == i - 1 else (i - source) / DEPTH / 2)}"/>')
            row.append(f'<circle cx="{24 + i * step}" cy="{base}" r="{radius}" fill="#8884"/>')
            row.append(word(24 + i * step, base + 4, i))
        said = [f"{k}: {v}" for k, v in fields.items()] + [f"{weights:,} weights at width 16"]
        shapes += moved(0, top, [word(middle, base + 28, ", ".join(said)), *row])
        top += base + 36
    return picture(f"skip {part.name}: {part.doc}", (DEPTH - 1) * step + 48, top, shapes)


# -- all --------------------------------------------------------------------------------------------------------------

DRAW: dict[str, Callable[[registry.Part], str]] = {
    "scan": scan_picture, "padding": padding_picture, "enhancer": mixing_picture, "feedforward": mixing_picture,
    "skip": skip_picture,
}  # fmt: skip


def made(part: registry.Part, *given: Any, **fields: Any) -> Any:
    """The part with its defaults, a scan as the function that it is."""
    slots = [field for field in part.fields.values() if field.type.name == "part"]
    inner = {field.name: made(registry.find(field.type.args[0], field.default)) for field in slots}
    bound = partial(part.load(), **{**inner, **fields})
    return bound(*given) if given else bound


def choices(part: registry.Part) -> list[dict[str, Any]]:
    """Every value of each of its fields that have two or three, the others at their defaults; at least one dict."""
    found: list[dict[str, Any]] = []
    for field in part.fields.values():
        values = {"bool": (False, True), "literal": field.type.args}.get(field.type.name, ())
        if 2 <= len(values) <= 3:
            found += [{field.name: value} for value in values if not (found and value == field.default)]
    return found or [{}]


def said(value: Any) -> str:
    """As a recipe says it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def pictures(kinds: list[str]) -> dict[str, str]:
    """{shelf/name.svg: its text} of every part on these shelves."""
    return {f"{kind}/{part.name}.svg": DRAW[kind](part) for kind in kinds for part in registry.parts(kind)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shelves", nargs="*", metavar="SHELF", help="; ".join(DRAW))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if unknown := set(args.shelves) - set(DRAW):
        parser.error(f"nothing draws {', '.join(sorted(unknown))}; shelves that are drawn: {', '.join(DRAW)}")
    drawn = pictures(args.shelves or list(DRAW))
    for name, text in drawn.items():
        (args.out / name).parent.mkdir(parents=True, exist_ok=True)
        (args.out / name).write_text(text, encoding="utf-8")
    print(f"{len(drawn)} pictures, {sum(map(len, drawn.values())) / 1e3:.0f} kB, in {args.out}")


if __name__ == "__main__":
    main()

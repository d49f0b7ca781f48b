"""Every registered backbone part keeps the contract of its slot, at square, oblong and one-row grids."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from zoo import registry
from zoo.errors import ShapeError
from zoo.grid import Grid
from zoo.ops.add_norm import RowSum, plain
from zoo.parts.protocols import Condition, Stream

GRIDS = [Grid(4, 4), Grid(4, 6), Grid(1, 7), Grid(3, 5, frames=3)]
WIDTH, BATCH = 16, 2
FIELDS = {"table": {"classes": 3}, "text": {"features": 8, "count": 5}, "attention": {"heads": 4}}


def every(kind: str):
    return pytest.mark.parametrize("part", registry.parts(kind), ids=lambda p: p.name)


grids = pytest.mark.parametrize("grid", GRIDS, ids=str)


def make(part: registry.Part, *given):
    torch.manual_seed(0)
    made = part.load()(*given, **inside(part), **FIELDS.get(part.name, {}))
    if isinstance(made, nn.Module):
        for parameter in made.parameters():  # nothing may stay uninitialised or zero by accident
            nn.init.normal_(parameter, std=0.3)
    return made


def scan(part: registry.Part):
    """A scan with the default of each part inside it."""
    return partial(part.load(), **inside(part))


def inside(part: registry.Part) -> dict:
    return {f.name: partial(registry.find(f.type.args[0], f.default).load())
            for f in part.fields.values() if f.type.name == "part"}


def tokens(grid: Grid, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(BATCH, grid.length, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)


def condition() -> Condition:
    return Condition({name: torch.randn(BATCH, 1, WIDTH) for name in ("time", "label", "text")})


def orders(grid: Grid):
    rng = np.random.default_rng(3)
    yield None
    yield torch.from_numpy(rng.permutation(grid.length).astype(np.int32))
    if grid.prefix == 0 and grid.frames > 1:
        yield torch.from_numpy(rng.permutation(grid.length).reshape(grid.frames, -1).astype(np.int32))


@grids
@every("mixer")
def test_a_mixer_with_an_order_equals_put_of_mixer_of_take(part, grid):
    grid = replace(grid, prefix=2) if grid.frames == 1 else grid
    mixer, n = make(part, WIDTH, 3), tokens(grid)
    for order in orders(grid):
        out = mixer(n, order, grid, condition())
        expected = torch.empty_like(out)
        for row in [torch.arange(grid.length)] if order is None else torch.atleast_2d(order).long():
            expected[:, row] = mixer(n[:, row], None, grid, condition())
        torch.testing.assert_close(out, expected, atol=2e-5, rtol=1e-4)


@every("mixer")
def test_a_mixer_has_gradients_for_every_parameter_and_for_its_input(part):
    grid = GRIDS[1]
    mixer, n = make(part, WIDTH, 3), tokens(grid).requires_grad_()
    mixer(n, None, grid, condition()).square().sum().backward()
    assert n.grad.abs().sum() > 0
    idle = [name for name, p in mixer.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not idle


@pytest.mark.parametrize("kind", ["mixer", "cross", "feedforward"])
def test_sublayers_keep_shape_and_survive_copying_and_bfloat16(kind):
    for part in registry.parts(kind):
        layer, grid = make(part, WIDTH, 3), GRIDS[1]
        if layer is None:
            assert part.name == "none"
            continue
        twin = copy.deepcopy(layer)
        twin.load_state_dict(layer.state_dict())
        n, cond = tokens(grid), condition()
        out = layer(n, None, grid, cond)
        assert out.shape == n.shape
        torch.testing.assert_close(out, twin(n, None, grid, cond))
        with torch.autocast("cpu", torch.bfloat16):
            half = layer(n, None, grid, cond)
        torch.testing.assert_close(half.float(), out, atol=0.15, rtol=0.15)


@grids
@every("scan")
def test_a_scan_visits_every_cell_once(part, grid):
    patterns = scan(part)(grid)
    assert patterns
    for order in (order for pattern in patterns for order in (pattern if pattern.ndim == 3 else [pattern])):
        assert sorted(np.ravel(order)) == list(range(grid.cells))
        assert grid.order(order).dtype == np.int32


@grids
@every("scan")
def test_a_scan_keeps_tokens_and_line_ends_in_the_sequence_or_refuses_them(part, grid):
    longer = replace(grid, prefix=2, line_ends=max(grid.height, grid.width) * grid.frames)
    for pattern in scan(part)(grid):
        for order in pattern if pattern.ndim == 3 else [pattern]:
            if len(np.atleast_2d(order)) > 1:
                with pytest.raises(ShapeError, match="independent sequences"):
                    longer.order(order)
            else:
                assert sorted(longer.order(order)) == list(range(longer.length))


@grids
@every("padding")
def test_padding_keeps_the_patches_and_says_where_they_are(part, grid):
    padding, content = make(part, WIDTH), tokens(grid)
    prefix = torch.randn(BATCH, 2, WIDTH)
    longer, padded, new = padding(prefix, content, grid)
    new = replace(new, prefix=longer.shape[1])
    sequence = torch.cat([longer, padded], 1)
    assert sequence.shape == (BATCH, new.length, WIDTH) and new.content == replace(grid)
    torch.testing.assert_close(new.crop(sequence), content)
    torch.testing.assert_close(sequence[:, :2], prefix)
    for pattern in registry.find("scan", "four_way").load()(replace(new, prefix=0, line_ends=0)):
        for at in ("front", "end"):
            assert sorted(new.order(pattern, at)) == list(range(new.length))


@grids
@every("enhancer")
def test_an_enhancer_keeps_shape_and_sees_only_its_own_frame(part, grid):
    enhancer, x = make(part, WIDTH), tokens(grid)
    out = enhancer(x, grid)
    assert out.shape == x.shape
    if grid.frames > 1:
        changed = x.clone()
        changed[:, grid.cells // grid.frames:] += 1
        first = slice(0, grid.cells // grid.frames)
        torch.testing.assert_close(enhancer(changed, grid)[:, first], out[:, first])


@grids
@every("position")
def test_positions_keep_shapes_and_differ_between_cells(part, grid):
    position = make(part, WIDTH, Grid(4, 4, frames=grid.frames), 2)
    prefix, x = torch.zeros(BATCH, 2, WIDTH), torch.zeros(BATCH, grid.cells, WIDTH)
    with_prefix, with_cells = position(prefix, x, grid)
    assert with_prefix.shape == prefix.shape and with_cells.shape == x.shape
    if part.name != "none":
        assert len(with_cells[0, : grid.cells // grid.frames].unique(dim=0)) == grid.cells // grid.frames


@every("norm")
def test_a_norm_settles_the_stream_and_modulates(part):
    norm, grid = make(part, WIDTH), GRIDS[0]
    x, y, gate = tokens(grid), tokens(grid) + 1, torch.randn(BATCH, 1, WIDTH)
    shift, scale = torch.randn(BATCH, 1, WIDTH), torch.randn(BATCH, 1, WIDTH)
    settled, unmodulated = norm(Stream(x, y, gate))
    torch.testing.assert_close(settled, x + gate * y)
    torch.testing.assert_close(norm(Stream(settled), shift, scale)[1], unmodulated * (1 + scale) + shift)


def sums():
    """Three modulation vectors, as sums not taken yet."""
    return [RowSum(torch.randn(BATCH, 1, WIDTH), torch.randn(WIDTH)) for _ in range(3)]


@every("norm")
def test_a_norm_takes_sums_for_what_they_are(part):
    norm, (x, y), (shift, scale, gate) = make(part, WIDTH), (tokens(GRIDS[0]), tokens(GRIDS[0]) + 1), sums()
    torch.testing.assert_close(norm(Stream(x, y, gate), shift, scale),
                               norm(Stream(x, y, plain(gate)), plain(shift), plain(scale)))  # fmt: skip


@every("block")
def test_a_block_takes_sums_for_what_they_are(part):
    """Those of its own modulation, and the gate that the block before left."""
    gate, rows, grid = sums()[0], [tuple(sums()), tuple(sums())], GRIDS[0]
    taken = plain(gate), [tuple(map(plain, row)) for row in rows]
    found = [through(part, Stream(tokens(grid), tokens(grid) + 1, g), r, grid) for g, r in ((gate, rows), taken)]
    torch.testing.assert_close(*found)


def through(part, h, rows, grid):
    """What leaves a block of two sublayers."""
    sublayers = dict.fromkeys(("mixer", "feedforward"), lambda n, order, grid, cond: n.cos())
    block = make(part, WIDTH, sublayers, registry.find("norm", "rms").load(), lambda shared: rows, None)
    return block(h, None, None, None, grid, condition()).value


@every("skip")
def test_a_skip_takes_a_sum_for_what_it_is(part):
    skip, gate = make(part, WIDTH, 5), sums()[0]
    module = skip.block(4)
    found = []
    for g in (gate, plain(gate)):
        h, kept = skip.keep(Stream(tokens(GRIDS[0]), tokens(GRIDS[0]) + 1, g))
        found.append((h.value, kept, h.value if module is None else module(h, kept).value))
    torch.testing.assert_close(*found)


@every("modulation")
def test_modulation_gives_each_sublayer_shift_scale_and_gate(part):
    modulation = make(part, WIDTH, 2)
    shared = modulation(condition())
    for n in (1, 2):
        rows = modulation.block(n)(shared)
        assert len(rows) == n
        assert all(v is None or plain(v).shape == (BATCH, 1, WIDTH) for row in rows for v in row)


@pytest.mark.parametrize("depth", [3, 5, 9])
@every("skip")
def test_a_skip_reads_only_blocks_that_have_run(part, depth):
    skip = make(part, WIDTH, depth)
    sources = [skip.source(i) for i in range(depth)]
    assert all(s is None or 0 <= s < i for i, s in enumerate(sources))
    for i, source in enumerate(sources):
        module = skip.block(i)
        assert (module is None) == (source is None)
        if module is not None:
            h, kept = skip.keep(Stream(torch.randn(BATCH, 7, WIDTH), torch.randn(BATCH, 7, WIDTH)))
            assert module(h, kept).value.shape == (BATCH, 7, WIDTH)


@every("embed")
def test_an_embedding_gives_count_tokens_and_knows_its_null_value(part):
    embed = make(part, WIDTH)
    value = torch.rand(BATCH) * 999 if embed.reads == "t" else embed.null(BATCH, torch.device("cpu"))
    assert embed(value).shape == (BATCH, embed.count, WIDTH)


@grids
@every("patch")
def test_patches_fold_back_to_where_they_came_from(part, grid):
    patch = make(part, WIDTH, 3, 3)
    p = patch.size
    x = torch.randn(BATCH, grid.frames, 3, grid.height * p, grid.width * p)
    cells, seen = patch(x)
    assert cells.shape == (BATCH, grid.cells, WIDTH) and seen == grid
    values = torch.zeros(BATCH, grid.cells, patch.values)
    values[:, 1] = 1  # the second patch of the first row (or the first of the second)
    image = patch.fold(values, grid)
    assert image.shape == x.shape
    row, column = divmod(1, grid.width)
    assert image[:, 0, :, row * p : (row + 1) * p, column * p : (column + 1) * p].eq(1).all()
    assert image.sum() == BATCH * 3 * p * p

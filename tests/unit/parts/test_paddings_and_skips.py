"""Pads beside attention as beside Mamba, zeros that make sides divisible, and long skips that add."""

from __future__ import annotations

import pytest
import torch

from zoo.builder import build
from zoo.errors import RecipeError, ShapeError
from zoo.grid import Grid
from zoo.parts.padding.zeros import Zeros
from zoo.parts.protocols import Stream
from zoo.parts.skip.gated import Gated
from zoo.parts.skip.long_add import LongAdd
from zoo.parts.skip.long_concat import LongConcat
from zoo.parts.skip.two_linear import TwoLinear

SMALL = ["backbone.width=16", "backbone.depth=3", "shape=[3,10,14]"]
PADDINGS = ["{use: grid_tokens, count: 2, separators: 1}", "line_end", "registers", "zeros"]


def tiny(recipe: str, *overrides: str):
    torch.manual_seed(0)
    heads = ["backbone.mixer.heads=4"] if recipe.startswith("uvit") else []
    return build(recipe, [*SMALL, *heads, *overrides])


def inputs():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 10, 14, generator=generator), torch.tensor([1.0, 500.0]), None


@pytest.mark.parametrize("recipe", ["uvit_s_cifar", "dim_s_cifar"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_every_padding_works_beside_attention_and_beside_mamba(recipe, padding):
    backbone = tiny(recipe, f"backbone.padding={padding}")
    out = backbone(*inputs())
    assert out.shape == (2, 3, 10, 14)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.padding.parameters())


def test_registers_change_what_attention_gives_to_the_patches():
    backbone = tiny("uvit_s_cifar", "backbone.padding={use: registers, std: 1.0}")
    before = backbone(*inputs())
    torch.nn.init.zeros_(backbone.padding.tokens)
    assert not torch.allclose(before, backbone(*inputs()))


def test_zeros_are_the_fewest_that_make_both_sides_divisible():
    tokens = torch.randn(1, 2 * 5 * 8, 4)
    _, cells, grid = Zeros(4, count=0, multiple=4)(tokens[:, :0], tokens, Grid(5, 8, frames=2))
    assert grid == Grid(8, 8, frames=2, pad_bottom=3)
    frames = cells.view(2, 8, 8, 4)
    assert torch.equal(frames[:, :5], tokens.view(2, 5, 8, 4)) and frames[:, 5:].eq(0).all()
    _, _, grid = Zeros(4, count=1, multiple=4)(tokens[:, :0], tokens, Grid(5, 8, frames=2))
    assert grid == Grid(8, 12, frames=2, pad_bottom=3, pad_right=4)


@pytest.mark.parametrize("field, value", [("count", -1), ("multiple", 0)])
def test_zeros_refuse_numbers_that_are_too_small(field, value):
    with pytest.raises(RecipeError, match=f"padding.{field}.*or more"):
        Zeros(4, **{field: value})


def test_independent_windows_run_on_any_grid_with_zeros_and_refuse_it_without():
    windows = ["backbone.scan={use: windows, size: 4, independent: true}", "backbone.conditioning.tokens=[]",
               "backbone.modulation={use: adaln_zero, source: [time]}"]
    padded = tiny("uvit_s_cifar", *windows, "backbone.padding={use: zeros, count: 0, multiple: 4}")
    assert padded(*inputs()).shape == (2, 3, 10, 14)
    with pytest.raises(ShapeError, match="windows of 4 x 4 do not divide"):
        tiny("uvit_s_cifar", *windows)(*inputs())


def test_added_and_gated_skips_add():
    gated, plain = tiny("uvit_s_cifar", "backbone.skip=gated"), tiny("uvit_s_cifar", "backbone.skip=none")
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if ".skip." not in k})
    added = tiny("uvit_s_cifar", "backbone.skip=long_add")
    added.load_state_dict(plain.state_dict())
    with torch.no_grad():
        assert torch.equal(gated(*inputs()), plain(*inputs()))  # gates begin at 0
        for name, parameter in gated.named_parameters():
            if ".skip." in name:
                parameter.fill_(1.0)
        torch.testing.assert_close(gated(*inputs()), added(*inputs()))
        assert not torch.allclose(added(*inputs()), plain(*inputs()))


def test_two_linear_maps_are_two_linear_maps():
    skip, h, kept = TwoLinear(8, 5, start=1).block(3), torch.randn(2, 7, 8), torch.randn(2, 7, 8)
    halves = [torch.nn.Linear(8, 8) for _ in range(2)]
    with torch.no_grad():
        skip.weight.copy_(torch.cat([half.weight for half in halves], 1))
        skip.bias.copy_(torch.stack([half.bias for half in halves]))
    torch.testing.assert_close(skip(Stream(h), kept).value, halves[0](h) + halves[1](kept))
    started, bound = TwoLinear(256, 5).block(3), 256**-0.5  # as two nn.Linear of 256 begin, not one of 512
    started.reset_parameters()
    assert all(0.9 * bound < parameter.abs().max() <= bound for parameter in started.parameters())


@pytest.mark.parametrize("part", [LongConcat, TwoLinear, LongAdd, Gated])
def test_long_skips_join_the_same_blocks_and_start_shifts_them(part):
    assert [part(8, 7).source(i) for i in range(7)] == [None] * 4 + [2, 1, 0]
    assert [part(8, 7, start=1).source(i) for i in range(7)] == [None] * 4 + [3, 2, 1]  # block 4 reads its own input
    with pytest.raises(RecipeError, match="odd number of blocks"):
        part(8, 6)

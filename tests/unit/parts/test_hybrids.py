"""Lists of sublayers, cycled over the blocks, and what stands beside the mixer in every block."""

from __future__ import annotations

import pytest
import torch

from zoo.builder import build
from zoo.errors import RecipeError
from zoo.grid import Grid
from zoo.parts.feedforward.depthwise_conv import LocalConv
from zoo.parts.feedforward.mlp import MLP
from zoo.parts.protocols import Condition

SMALL = ["shape=[3,8,12]", "backbone.width=16", "backbone.depth=7"]
ATTENTION = "{use: attention, heads: 4}"


def inputs():
    torch.manual_seed(0)
    return torch.randn(2, 3, 8, 12), torch.tensor([1.0, 500.0]), torch.tensor([0, 3])


def kinds(backbone) -> list[str]:
    return [" ".join(type(getattr(block, name)).__name__ for name in block.names) for block in backbone.blocks]


def test_every_fourth_block_of_the_hybrid_recipe_attends():
    with torch.device("meta"):
        backbone = build("hybrid_s_cifar")
    assert kinds(backbone) == [("Attention MLP" if i % 4 == 3 else "Mamba") for i in range(21)]


def test_lists_of_different_lengths_are_each_cycled():
    backbone = build("dim_s_cifar", [*SMALL, f"backbone.mixer=[mamba, {ATTENTION}, bimamba]",
                                     "backbone.feedforward=[none, mlp]"])
    mixers, others = ["Mamba", "Attention", "Bimamba"], ["", " MLP"]
    assert kinds(backbone) == [mixers[i % 3] + others[i % 2] for i in range(7)]


@pytest.mark.parametrize("modulation", ["none", "adaln_single", "adaln_zero"])
def test_blocks_of_one_and_of_two_sublayers_are_modulated_alike(modulation):
    backbone = build("dim_s_cifar", [*SMALL, f"backbone.mixer=[mamba, {ATTENTION}]", "backbone.feedforward=[none, mlp]",
                                     f"backbone.modulation={modulation}"])
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    backbone(*inputs()).square().mean().backward()
    assert not [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_attention_between_mambas_sees_every_cell_whatever_the_scan():
    """One raster scan lets no cell read a later one; one attention block in the middle mends that."""
    reaches = {}
    for name, mixer in {"mamba": "mamba", "hybrid": f"[mamba, {ATTENTION}, mamba]"}.items():
        backbone = build("mamba_s_cifar", ["shape=[3,8,12]", "backbone.width=16", "backbone.depth=3",
                                           f"backbone.mixer={mixer}"])
        x, t, y = inputs()
        x.requires_grad_()
        backbone(x, t, y)[:, :, 0, 0].sum().backward()
        reaches[name] = x.grad[:, :, -1, -1].abs().sum().item()
    assert reaches["mamba"] == 0 < reaches["hybrid"]


def test_a_local_sublayer_mixes_neighbours_and_leaves_tokens_alone():
    grid = Grid(4, 5, prefix=2, line_ends=5)
    local, n = LocalConv(8, 1, then=lambda width, depth: None), torch.randn(1, grid.length, 8)
    out = local(n, None, grid, Condition())
    assert out[:, :2].eq(0).all() and out[:, 22:].eq(0).all()
    changed = n.clone()
    changed[:, 2 + 7] += 1  # row 1, column 2
    touched = (local(changed, None, grid, Condition()) - out)[0, 2:22].abs().sum(-1).view(4, 5).ne(0)
    assert touched.nonzero().tolist() == [[r, c] for r in (0, 1, 2) for c in (1, 2, 3)]


def test_a_local_sublayer_may_stand_before_an_mlp():
    grid = Grid(4, 5, prefix=2)
    local, n = LocalConv(8, 1, then=MLP), torch.randn(1, grid.length, 8)
    alone = LocalConv(8, 1, then=lambda width, depth: None)
    alone.local = local.local
    expected = local.then(n + alone(n, None, grid, Condition()), None, grid, Condition())
    torch.testing.assert_close(local(n, None, grid, Condition()), expected)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(RecipeError, match=r"enhancer\.kernel: 4 is none of its values.*3, 5, 7"):
        build("dim_s_cifar", [*SMALL, "backbone.enhancer.kernel=4"])


@pytest.mark.parametrize("local", ["{use: depthwise_conv, kernel: 5}", "{use: depthwise_conv, then: mlp}"])
def test_a_recipe_enhances_in_every_block(local):
    backbone = build("dim_s_cifar", [*SMALL, f"backbone.feedforward={local}", "backbone.enhancer=none"])
    assert kinds(backbone) == ["Mamba LocalConv"] * 7
    assert backbone(*inputs()).shape == (2, 3, 8, 12)

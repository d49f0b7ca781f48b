"""The bidirectional Diffusion Mamba: any size of clip, every token reaches every token, classes by a token in front."""

from __future__ import annotations

import pytest
import torch

from zoo.builder import build
from zoo.grid import Grid
from zoo.recipe import load_recipe

SMALL = ["backbone.width=16", "backbone.depth=2"]
CPU = torch.device("cpu")
WAYS = {
    "own weights": [], "shared weights": ["backbone.mixer.own=decay"], "mean": ["backbone.mixer.merge=mean"],
    "time innermost": ["backbone.scan={use: axes, orders: [hwt]}"],
    "alternating": ["backbone.scan={use: axes, orders: [thw, hwt]}"],
    "zigzag": ["backbone.scan=zigzag"], "waves": ["backbone.position=sincos_space_time"],
    "time token": ["backbone.conditioning.tokens=[time,label]", "backbone.modulation=none"],
    "factorised": ["backbone.scan={use: space_time, space: raster, pattern: st}", "backbone.conditioning.tokens=[]",
                   "backbone.modulation.source=[time,label]"],
}  # fmt: skip


def made(name: str, *settings: str):
    """A small one in float64, with weights that matter."""
    torch.manual_seed(0)
    backbone = build(name, [*SMALL, *settings]).double()
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return backbone


def run(backbone, x, label=1):
    with torch.no_grad():
        return backbone(x, torch.tensor([300.0], dtype=torch.float64), torch.tensor([label]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("frames, height, width", [(3, 5, 7), (1, 3, 1), (5, 1, 3)])
def test_odd_numbers_of_frames_rows_and_columns(way, frames, height, width):
    backbone = made("bidim_s_video", "shape=[3,4,10,6]", *WAYS[way])
    x = torch.randn(1, frames, 4, 2 * height, 2 * width, dtype=torch.float64)
    out = run(backbone, x)
    assert out.shape == (1, frames, 8, 2 * height, 2 * width) and out.isfinite().all()


@pytest.mark.parametrize("way", WAYS)
def test_a_change_in_any_frame_reaches_every_patch_of_every_frame(way):
    backbone, x = made("bidim_s_video", "shape=[3,4,6,10]", *WAYS[way]), torch.randn(1, 3, 4, 6, 10).double()
    before = run(backbone, x)
    for frame, row, column in ((2, 5, 9), (0, 0, 0), (1, 2, 5)):
        changed = x.clone()
        changed[:, frame, :, row, column] += 1
        moved = (run(backbone, changed) - before).abs().amax(2)[0]
        assert moved.unflatten(1, (3, 2)).unflatten(3, (5, 2)).amax((2, 4)).min() > 1e-12


def test_one_way_a_change_reaches_later_patches_only():
    backbone = made("bidim_s_video", "shape=[3,4,6,10]", "backbone.mixer=mamba")
    x = torch.randn(1, 3, 4, 6, 10, dtype=torch.float64)
    changed = x.clone()
    changed[:, 1] += 1
    assert torch.equal(run(backbone, changed)[:, 0], run(backbone, x)[:, 0])


@pytest.mark.parametrize("name", ["bidim_s_imagenet256", "bidim_s_video"])
def test_the_class_enters_by_one_token_in_front_and_reaches_every_patch(name):
    shape = "shape=[3,4,6,10]" if "video" in name else "shape=[4,6,10]"
    backbone = made(name, shape)
    assert backbone.conditioning.count == 1 and backbone.modulation.source == ("time",)
    x = torch.randn(1, *load_recipe(name, [shape])["shape"], dtype=torch.float64)
    assert (run(backbone, x, 1) - run(backbone, x, 2)).abs().amin() > 0


def test_at_the_start_a_block_adds_nothing_and_the_head_gives_zero():
    torch.manual_seed(0)
    backbone = build("bidim_s_video", [*SMALL, "shape=[3,4,6,10]"])
    assert backbone(torch.randn(1, 3, 4, 6, 10), torch.tensor([0.5]), torch.tensor([1])).abs().max() == 0


@pytest.mark.parametrize("patch", [2, 4, 8])
@pytest.mark.parametrize("side", [32, 64])
def test_patches_and_sizes_are_overrides(patch, side):
    with torch.device("meta"):
        backbone = build("bidim_s_imagenet256", [f"backbone.patch.size={patch}", f"shape=[4,{side},{side}]"])
        assert backbone.patch.grid(side, side).cells == (side // patch) ** 2


@pytest.mark.parametrize("size, millions", [("s", 36.7), ("b", 141.6), ("l", 493.9), ("xl", 726.2)])
def test_sizes_are_those_of_the_docs_and_near_those_of_dit(size, millions):
    with torch.device("meta"):
        ours, dit = (sum(p.numel() for p in build(f"{name}_imagenet256").parameters()) / 1e6
                     for name in (f"bidim_{size}", f"dit_{size}2"))  # fmt: skip
    assert ours == pytest.approx(millions, abs=0.05) and ours / dit == pytest.approx(1.1, abs=0.05)


def test_recipes_say_that_they_are_reconstructed():
    for size in ("s", "b", "l", "xl"):
        for name in (f"bidim_{size}_imagenet256", f"bidim_{size}_video"):
            recipe = load_recipe(name)
            assert recipe["provenance"] == "reconstructed" and not recipe["published"]
            assert "2405.15881" in recipe["cite"]


def test_orders_of_axes_follow_each_place_through_all_frames():
    backbone = build("bidim_tiny_emoji_video", SMALL)
    first, second = (order.tolist() for order in backbone.orders(Grid(2, 3, frames=4, prefix=1), CPU))
    assert first == list(range(25))
    assert second[:6] == [0, 1, 7, 13, 19, 2]

"""Mixers of several directions: what each computes, what they share, and how far a token reaches."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from zoo.builder import build
from zoo.errors import RecipeError, ShapeError
from zoo.grid import Grid
from zoo.ops.selective_scan.inputs import rates
from zoo.parts.mixer.attention import Attention
from zoo.parts.mixer.bimamba import Bimamba
from zoo.parts.mixer.mamba import Mamba
from zoo.parts.protocols import Condition
from zoo.parts.scan.cross import cross
from zoo.parts.scan.together import together
from zoo.parts.scan.windows import windows

WIDTH, GRID = 16, Grid(3, 5)
CELLS = GRID.cells
OWN = ["all", "step", "decay", "none"]


def made(part):
    """With weights that matter, in float64."""
    torch.manual_seed(0)
    part = part.double()
    for parameter in part.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return part


def run(mixer, n, order=None):
    with torch.no_grad():
        return mixer(n, order, GRID, Condition())


def tokens() -> torch.Tensor:
    return torch.randn(2, CELLS, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def alone(mixer: Bimamba, k: int) -> Mamba:
    """One direction of a mixer as a mixer of its own."""
    single = Mamba(WIDTH, 1).double()
    weights = {**mixer.directions[0].state_dict(), **mixer.directions[k].state_dict()}
    single.load_state_dict(weights | {f"{w}.weight": getattr(mixer, w).weight for w in ("in_proj", "out_proj")})
    return single


def test_two_directions_are_two_separate_scans_added_up():
    mixer, n = made(Bimamba(WIDTH, 1)), tokens()
    backward = run(alone(mixer, 1), n.flip(1)).flip(1)
    torch.testing.assert_close(run(mixer, n), run(alone(mixer, 0), n) + backward, atol=1e-6, rtol=0)


def test_four_directions_are_four_separate_scans_and_a_mean_is_a_quarter_of_their_sum():
    order = torch.from_numpy(together(GRID, of=cross)[0])
    mixer, n = made(Bimamba(WIDTH, 1, directions=4)), tokens()
    separate = sum(run(alone(mixer, k), n, order[k]) for k in range(4))
    torch.testing.assert_close(run(mixer, n, order), separate, atol=1e-6, rtol=0)
    mixer.merge = "mean"
    torch.testing.assert_close(run(mixer, n, order), separate / 4, atol=1e-6, rtol=0)


def test_what_directions_share_is_computed_once_along_the_first():
    """Vision Mamba's v1: one convolution and one projection, forwards; the second scan has its own decay only."""
    mixer, n = made(Bimamba(WIDTH, 1, own="decay")), tokens()
    first, second = mixer.directions
    u, z = mixer.in_proj(n).chunk(2, -1)
    v = first.convolve(u, None)
    dt, B, C = first.project(v)
    dt = torch.nn.functional.softplus(dt + first.dt_proj.bias)
    ways = ((rates(first.A_log), False), (rates(second.A_log), True))
    expected = sum(_scan(v, dt, A, B, C, first.D, reverse) for A, reverse in ways)
    expected = mixer.out_proj(expected * torch.nn.functional.silu(z))
    torch.testing.assert_close(run(mixer, n), expected.detach(), atol=1e-6, rtol=0)


def _scan(u, dt, A, B, C, D, reverse):
    """The recurrence, written out."""
    h, out = 0, torch.empty_like(u)
    for t in reversed(range(u.shape[1])) if reverse else range(u.shape[1]):
        h = h * torch.exp(dt[:, t, :, None] * A) + (dt[:, t] * u[:, t])[..., None] * B[:, t, None]
        out[:, t] = (h * C[:, t, None]).sum(-1) + D * u[:, t]
    return out


@pytest.mark.parametrize("own", OWN)
def test_a_change_at_any_token_reaches_every_token(own):
    mixer, n = made(Bimamba(WIDTH, 1, own=own)), tokens()
    for late in (0, CELLS // 2, CELLS - 1):
        changed = n.clone()
        changed[:, late] += 1
        assert (run(mixer, changed) - run(mixer, n)).abs().amax((0, 2)).min() > 1e-9
    changed = n.clone()
    changed[:, -1] += 1
    assert torch.equal(run(made(Mamba(WIDTH, 1)), changed)[:, :-1], run(made(Mamba(WIDTH, 1)), n)[:, :-1])


def test_each_level_of_sharing_has_fewer_weights_and_none_as_many_as_one_direction():
    counts = [sum(p.numel() for p in Bimamba(WIDTH, 1, own=own).parameters()) for own in OWN]
    assert counts == sorted(set(counts), reverse=True)
    assert counts[-1] == sum(p.numel() for p in Mamba(WIDTH, 1).parameters())


def test_one_direction_is_mamba_and_starts_as_mamba():
    mixer, mamba = Bimamba(WIDTH, 7, directions=1), Mamba(WIDTH, 7)
    for module in (mamba, mixer, *mixer.directions):
        module.reset(7)
    for name in ("A_log", "D"):
        assert torch.equal(getattr(mixer.directions[0], name), getattr(mamba, name))
    steps = torch.nn.functional.softplus(mixer.directions[0].dt_proj.bias)
    assert steps.min() >= 0.001 and steps.max() <= 0.1
    assert mixer.out_proj.weight.abs().max() <= (2 * WIDTH * 7) ** -0.5
    single = alone(made(mixer), 0)
    torch.testing.assert_close(run(mixer, tokens()), run(single, tokens()))


def test_the_published_slip_of_the_second_direction_is_a_field():
    for slip in (False, True):
        mixer = Bimamba(WIDTH, 1, zero_dt_bias=slip)
        for module in mixer.directions:
            module.reset(1)
        assert mixer.directions[0].dt_proj.bias.abs().min() > 0
        assert bool(mixer.directions[1].dt_proj.bias.eq(0).all()) is slip


def test_another_number_of_orders_is_refused_with_the_fix():
    order = torch.from_numpy(together(GRID, of=cross)[0])
    with pytest.raises(ShapeError, match=r"2 directions was given 4 scan orders.*\n?.*together"):
        run(made(Bimamba(WIDTH, 1)), tokens(), order)
    with pytest.raises(ShapeError, match="4 directions was given 1"):
        run(made(Bimamba(WIDTH, 1, directions=4)), tokens())
    with pytest.raises(ShapeError, match=r"4 orders together(.|\n)*bimamba, directions: 4"):
        run(made(Mamba(WIDTH, 1)), tokens(), order)
    with pytest.raises(RecipeError, match=r"backbone\.mixer\.directions"):
        Bimamba(WIDTH, 1, directions=0)


def test_attention_between_several_directions_attends_within_their_rows():
    grid = Grid(4, 4)
    attention = made(Attention(WIDTH, 1, heads=4))
    n = torch.randn(2, 16, WIDTH, dtype=torch.float64)
    rows = torch.from_numpy(windows(grid, size=2, independent=True)[0])
    both = torch.from_numpy(together(grid, of=partial(windows, size=2, independent=True, count=2))[0])
    assert both.shape == (2, 4, 4)
    torch.testing.assert_close(run(attention, n, both), run(attention, n, rows))
    assert not torch.allclose(run(attention, n, rows), run(attention, n))


def test_appended_tokens_are_met_first_by_the_directions_that_run_backwards():
    backbone = build("mamba_s_cifar", ["shape=[3,8,12]", "backbone.width=16", "backbone.depth=1",
                                       "backbone.tokens_at=end", "backbone.scan={use: together, of: two_way}",
                                       "backbone.mixer=bimamba"])
    (order,) = backbone.orders(Grid(4, 6, prefix=2), torch.device("cpu"))
    assert order.shape == (2, 1, 26)
    assert order[0, 0, -2:].tolist() == [0, 1] == order[1, 0, :2].tolist()
    assert torch.equal(order[1, 0, 2:], order[0, 0, :-2].flip(0))


def test_any_scan_may_be_taken_together_with_its_fields():
    backbone = build("mamba_s_cifar", ["shape=[3,8,12]", "backbone.width=16", "backbone.depth=2",
                                       "backbone.scan={use: together, of: {use: zigzag, count: 3}}",
                                       "backbone.mixer={use: bimamba, directions: 3, own: none, merge: mean}"])
    assert {tuple(order.shape) for order in backbone.orders(Grid(4, 6, prefix=2), torch.device("cpu"))} == {(3, 1, 26)}
    assert backbone(torch.randn(1, 3, 8, 12), torch.tensor([0.5])).shape == (1, 3, 8, 12)


def test_a_recipe_scans_four_ways_in_every_block_and_every_cell_reads_every_cell():
    backbone = build("mamba_s_cifar", ["shape=[3,8,12]", "backbone.width=16", "backbone.depth=1",
                                       "backbone.scan={use: together, of: cross}",
                                       "backbone.mixer={use: bimamba, directions: 4, own: step}"]).double()
    x, t = torch.randn(1, 3, 8, 12, dtype=torch.float64, requires_grad=True), torch.tensor([0.5], dtype=torch.float64)
    out = backbone(x, t, torch.tensor([1]))
    (gradient,) = torch.autograd.grad(out[0, :, 0, 0].sum(), x)
    assert gradient.abs().sum((0, 1)).gt(0).all()

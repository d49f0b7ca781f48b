"""The kernel in front of a mixer's scan computes its parts, in every tile, the same bits in every run."""

import pytest
import torch

from zoo import ops
from zoo.ops.dispatch import load
from zoo.ops.mamba import cuda_front as front
from zoo.ops.mamba import operator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.cuda.get_device_capability() != front.CAPABILITY, reason="needs Hopper"
    ),
]


def new(*size):
    return torch.randn(*size, device="cuda")


def case(batch, length, channels, rank, rows, width=3, kind=torch.bfloat16, bias=True, lines=0):
    """Inputs whose x is the first half of a product, as in a mixer."""
    torch.manual_seed(length)
    order = torch.randperm(length, device="cuda") if lines else None
    x = new(batch, length, 2 * channels).bfloat16()[..., :channels]
    weight, given = new(channels, width).to(kind), new(channels).to(kind) if bias else None
    x_proj, dt_proj = (new(rows, channels) / channels**0.5).bfloat16(), (new(channels, rank) / rank**0.5).bfloat16()
    return front.Front(x, weight, given, x_proj, dt_proj, order.view(lines, -1) if lines else None)


def check(f, tile):
    rank = f.dt_proj.shape[1]
    u, rows, dt = front.forward(f, tile)
    bias = None if f.bias is None else f.bias.double()
    exact = ops.causal_conv(f.x.double(), f.weight.double(), bias, order=f.order, backend="naive")
    wanted = (exact, u.double() @ f.x_proj.double().T, rows[..., :rank].double() @ f.dt_proj.double().T)
    for name, found, true in zip(("u", "rows", "dt"), (u, rows, dt), wanted):
        assert ((found.double() - true).norm() / true.norm()).item() < 3e-3, name
    assert all(torch.equal(a, b) for a, b in zip((u, rows, dt), front.forward(f, tile)))


@pytest.mark.parametrize("tile", front.TILES, ids=str)
@pytest.mark.parametrize(("length", "lines"), [(1, 0), (63, 1), (129, 1), (200, 0), (385, 5)])
def test_agrees_with_its_parts(length, lines, tile):
    check(case(3, length, 320, 32, 64, lines=lines), tile)


@pytest.mark.parametrize(("channels", "rank", "rows", "width", "kind", "tile"), [
    (1024, 32, 64, 3, torch.float32, (64, 8)), (1024, 32, 64, 2, torch.bfloat16, (128, 2)),
    (2048, 64, 96, 4, torch.float32, (128, 4)), (2048, 64, 96, 3, torch.bfloat16, (64, 2)),
    (3072, 96, 128, 2, torch.float32, (64, 4)), (3072, 96, 128, 4, torch.bfloat16, (128, 8)),
    (64, 16, 64, 3, torch.bfloat16, (64, 8)),
])  # fmt: skip
def test_of_every_size(channels, rank, rows, width, kind, tile):
    check(case(2, 150, channels, rank, rows, width, kind, bias=width != 2, lines=1), front.Tile(*tile))


def test_memory_that_holds_no_numbers_is_not_read():
    f = case(2, 100, 320, 32, 64, lines=1)
    new(2, 100, 2 * 320).bfloat16().fill_(torch.nan)  # its memory is taken again for results
    assert all(t.isfinite().all() for t in front.forward(f, front.Tile(128, 2)))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("many", [1, 10**9])
def test_a_mixer_gives_the_same_through_it(many, autocast, monkeypatch):
    width, inner, state, rank, length = 512, 1024, 16, 32, 273
    projections = ((2 * inner, width), (rank + 2 * state, inner), (inner, rank), (width, inner))
    in_proj, x_proj, dt_proj, out_proj = (new(*size) / size[1] ** 0.5 for size in projections)
    weights = [in_proj, new(inner, 3), new(inner), x_proj, dt_proj, new(inner) - 4]
    weights += [new(inner, state).abs().log(), new(inner), out_proj]
    n, order = new(2, length, width), torch.randperm(length, device="cuda").int()
    if not autocast:
        n, weights = n.bfloat16(), [t.bfloat16() for t in weights]
    taken = []
    run = front.forward
    assert front.unfit(n.device) is None  # the self-test has run before `forward` is another
    monkeypatch.setattr(operator, "MANY", many)
    monkeypatch.setattr(front, "forward", lambda f: taken.append(f) or run(f))
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        found = ops.mamba(n, *weights, order)
        monkeypatch.setattr(front, "takes", lambda *of: False)
        wanted = ops.mamba(n, *weights, order)
    assert len(taken) == 1
    assert ((found - wanted).float().norm() / wanted.float().norm()).item() < 1e-2


def test_who_names_a_backend_gets_it(monkeypatch):
    f = case(2, 100, 320, 32, 64)
    arguments = (f.x, f.weight, f.bias, f.x_proj, f.dt_proj, None, 16)
    assert front.takes(*arguments)
    monkeypatch.setenv("ZOO_CAUSAL_CONV_BACKEND", "triton")
    assert load("causal_conv", "triton").name == "triton" and not front.takes(*arguments)

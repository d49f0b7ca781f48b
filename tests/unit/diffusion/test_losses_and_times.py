"""Losses weight as their papers say; training times and grids have their distributions."""

from __future__ import annotations

import math

import pytest
import torch
from every_process import PROCESSES

from zoo.diffusion.loss.edm import EDMLoss
from zoo.diffusion.loss.hybrid_vlb import HybridVLB, gaussian_kl, pixel_log_likelihood
from zoo.diffusion.loss.min_snr import MinSNR
from zoo.diffusion.loss.simple import Simple
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.diffusion.time.logit_normal import LogitNormal
from zoo.diffusion.time.lognormal import LogNormal
from zoo.diffusion.time.stratified import Stratified
from zoo.diffusion.time.uniform import Uniform
from zoo.diffusion.time_grid.karras import Karras
from zoo.diffusion.time_grid.log_snr import LogSNR
from zoo.errors import ZooError
from zoo.registry import parts

X0, EPS, OUT = (
    torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(3)
)
T = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
U = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000


def x0_error(process, t=T):
    """Squared error of x0, which every weighted loss is written in."""
    return (process.x0(OUT, process.perturb(X0, t, EPS), t) - X0).square().flatten(1).mean(1)


def test_simple_is_the_mean_squared_error_of_the_target():
    for process in PROCESSES.values():
        loss = Simple()(process, OUT, X0, EPS, T)
        assert torch.allclose(loss, (OUT - process.target(X0, EPS, T)).square().flatten(1).mean(1))
    assert torch.equal(Simple()(VPSDE(), torch.cat([OUT, OUT], 1), X0, EPS, T), Simple()(VPSDE(), OUT, X0, EPS, T))


def test_min_snr_weights_x0_whatever_is_predicted():
    for name, process in PROCESSES.items():
        snr = (process.alpha(T) / process.sigma(T)) ** 2
        expected = snr.clamp(max=5.0) * x0_error(process)
        assert torch.allclose(MinSNR()(process, OUT, X0, EPS, T), expected, rtol=1e-6), name
    snr = (2 * VPSDE().log_snr(T)).exp()
    weight = MinSNR()(VPSDE(), OUT, X0, EPS, T) / Simple()(VPSDE(), OUT, X0, EPS, T)
    assert torch.allclose(weight, snr.clamp(max=5.0) / snr)
    weight = MinSNR()(VPSDE(predict="v"), OUT, X0, EPS, T) / Simple()(VPSDE(predict="v"), OUT, X0, EPS, T)
    assert torch.allclose(weight, snr.clamp(max=5.0) / (snr + 1))


def test_edm_loss_is_plain_on_edm_outputs():
    for process in PROCESSES.values():
        level = process.sigma(T) / process.alpha(T)
        expected = (level**2 + 0.25) / (level * 0.5) ** 2 * x0_error(process)
        assert torch.allclose(EDMLoss()(process, OUT, X0, EPS, T), expected, rtol=1e-6)
    assert torch.allclose(EDMLoss()(EDM(), OUT, X0, EPS, T), Simple()(EDM(), OUT, X0, EPS, T))


def test_the_bound_trains_the_variance_only():
    process, t = Discrete(variance="learned_range", first=0), torch.tensor([1, 300, 1000]) / 1000
    output = torch.cat([OUT, OUT], 1).requires_grad_()
    HybridVLB().bound(process, output, X0, EPS, t).sum().backward()
    assert output.grad[:, :2].abs().max() == 0 and output.grad[:, 2:].abs().min() > 0
    assert torch.isfinite(output.grad).all()
    HybridVLB().check(process)
    with pytest.raises(ZooError, match="learned variance"):
        HybridVLB().check(Discrete())


def test_kl_and_pixel_likelihood():
    zero = torch.zeros(1, dtype=torch.float64)
    assert gaussian_kl(zero, zero, zero, zero).item() == 0
    assert gaussian_kl(zero + 1, zero, zero, zero + 2).item() == pytest.approx(
        0.5 * (math.exp(-2) - 1 + 2 + math.exp(-2))
    )
    pixels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    total = pixel_log_likelihood(pixels, 0.1 + zero, 2 * (zero + 0.2).log()).exp().sum().item()
    assert total == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MinSNR(gamma=0.0).check(VPSDE()),
        lambda: EDMLoss(sigma_data=0.0).check(VPSDE()),
        lambda: LogitNormal(std=0.0),
        lambda: LogNormal(std=-1.0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(ZooError):
        make()


def test_times_have_their_distributions():
    assert torch.equal(Uniform()(U, VPSDE()), U)
    logits = LogitNormal(mean=0.5, std=0.8)(U, Flow()).logit()
    assert logits.mean().item() == pytest.approx(0.5, abs=1e-3) and logits.std().item() == pytest.approx(0.8, abs=1e-2)
    levels = EDM().sigma(LogNormal()(U, EDM())).log()
    assert levels.mean().item() == pytest.approx(-1.2, abs=1e-3) and levels.std().item() == pytest.approx(1.2, abs=1e-2)
    for time in (Uniform(), LogitNormal(), LogNormal(), Stratified()):
        n = Discrete().network_time(time(U, Discrete()))
        assert torch.allclose(n, n.round()) and n.min() >= 1 and n.max() <= 1000
    edges = torch.tensor([0.0, 1 - 1e-16], dtype=torch.float64)
    assert torch.isfinite(LogitNormal()(edges, Flow())).all() and torch.isfinite(LogNormal()(edges, EDM())).all()


def test_stratified_batches_visit_every_part():
    u = torch.rand(64, generator=torch.Generator().manual_seed(0))
    assert torch.equal((Stratified()(u, VPSDE()) * 64).long(), torch.arange(64))
    assert (Stratified(of="logit_normal")(u, Flow()).diff() > 0).all()


@pytest.mark.parametrize("part", parts("time_grid"), ids=lambda p: p.name)
def test_grids_fall_from_start_to_end(part):
    grid = part.load()()
    for name, process in PROCESSES.items():
        times = grid(process, 7, 0.9, 0.01)
        assert times.shape == (8,) and times.dtype == torch.float64 and (times.diff() < 0).all(), name
        assert times[0].item() == pytest.approx(0.9, abs=1e-12) and times[-1].item() == pytest.approx(0.01, abs=1e-12)


def test_grids_are_even_where_they_say():
    steps = VPSDE().log_snr(LogSNR()(VPSDE(), 9, 1.0, 0.001)).diff()
    assert torch.allclose(steps, steps[:1].expand(9), rtol=1e-6)
    levels = EDM().sigma(Karras()(EDM(), 17, 1.0, 0.0))
    expected = (80 ** (1 / 7) + torch.arange(18) / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert torch.allclose(levels, expected.double(), rtol=1e-4)

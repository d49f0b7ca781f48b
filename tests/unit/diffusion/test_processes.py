"""Every process inverts, moves along its own velocity, and says what the network receives."""

from __future__ import annotations

import pytest
import torch
from every_process import PROCESSES
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.errors import ZooError

times = st.floats(0.002, 0.998)
names = st.sampled_from(sorted(PROCESSES))


def images(seed=0, shape=(2, 3, 4, 5)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(a, b, tolerance=1e-6):
    assert (a - b).abs().max().item() < tolerance * (1 + b.abs().max().item())


@settings(max_examples=200, deadline=None)
@given(names, times)
def test_a_prediction_gives_back_data_noise_and_velocity(name, t):
    process, x0, eps = PROCESSES[name], images(0), images(1)
    x, target = process.perturb(x0, t, eps), process.target(x0, eps, t)
    close(process.x0(target, x, t), x0)
    close(process.eps(target, x, t), eps)
    close(process.prediction(process.eps(target, x, t), x, t), target)
    close(process.velocity(target, x, t), process.mix(x0, eps, *process.rates(t)))


@settings(max_examples=200, deadline=None)
@given(names, times)
def test_log_snr_inverts_and_falls(name, t):
    process = PROCESSES[name]
    assert process.time_of_log_snr(process.log_snr(t)).item() == pytest.approx(t, abs=1e-9)
    assert process.log_snr(t * 0.99) > process.log_snr(t)
    assert process.log_snr(t).item() == pytest.approx((process.alpha(t) / process.sigma(t)).log().item(), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(names, st.floats(0.01, 0.97))
def test_rates_are_derivatives_and_make_the_sde(name, t):
    process, h = PROCESSES[name], 1e-7
    if name.startswith("discrete"):
        t = (int(t * 1000) + 0.5) / 1000  # between knots, where log alpha has a slope
    for rate, value in zip(process.rates(t), (process.alpha, process.sigma)):
        assert rate.item() == pytest.approx(((value(t + h) - value(t - h)) / (2 * h)).item(), rel=1e-4, abs=1e-5)
    sigma, (slope_a, slope_s) = process.sigma(t), process.rates(t)
    assert process.drift(t).item() == pytest.approx((slope_a / process.alpha(t)).item(), rel=1e-6)
    squared = 2 * sigma * slope_s - 2 * slope_a / process.alpha(t) * sigma**2
    assert process.squared_diffusion(t).item() == pytest.approx(squared.item(), rel=1e-6)


@pytest.mark.parametrize("name", PROCESSES)
def test_times_of_a_batch_equal_times_one_by_one(name):
    process, x0, eps, t = PROCESSES[name], images(0), images(1), torch.tensor([0.1, 0.8])
    x = process.perturb(x0, t, eps)
    for i in range(2):
        close(x[i : i + 1], process.perturb(x0[i : i + 1], t[i], eps[i : i + 1]), 1e-12)
    assert process.perturb(x0.float(), t, eps.float()).dtype == torch.float32
    assert process.perturb(images(0, (2, 3, 3, 4, 4)), t, images(1, (2, 3, 3, 4, 4))).shape == (2, 3, 3, 4, 4)


def test_network_times():
    assert VPSDE().network_time(1.0) == 999
    assert Discrete().network_time(0.25) == 250 and Discrete(first=0).network_time(0.001) == 0
    assert Flow().network_time(0.25) == 250 and Flow(clock="data", time_scale=1.0).network_time(0.25) == 0.75
    assert EDM().network_time(1.0).item() == pytest.approx(torch.tensor(80.0).log().item() / 4)


def test_published_flow_predicts_data_minus_noise():
    x0, eps = images(0), images(1)
    close(Flow(clock="data").target(x0, eps, 0.3), x0 - eps, 1e-12)
    close(Flow().target(x0, eps, 0.3), eps - x0, 1e-12)


def test_edm_preconditioning():
    edm, x, out, sigma = EDM(), images(0), images(1), 1.7
    t = edm.time_of_log_snr(-torch.tensor(sigma, dtype=torch.float64).log())
    skip, scale = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / (sigma**2 + 0.25) ** 0.5
    close(edm.x0(out, x, t), skip * x + scale * out, 1e-12)
    assert edm.input_scale(t).item() == pytest.approx((sigma**2 + 0.25) ** -0.5)
    assert edm.prior(x).std() == pytest.approx(80 * x.std())


def test_discrete_training_times_are_every_step_alike():
    n = Discrete().network_time(Discrete().sample_time(torch.arange(0, 1, 1 / 3000, dtype=torch.float64) + 1e-6))
    assert torch.equal(n.round().long().bincount()[1:], torch.full((1000,), 3))
    assert (n - n.round()).abs().max() < 1e-9


def test_learned_variance_doubles_the_outputs():
    assert Discrete(variance="learned_range").outputs(4) == 8 and Discrete().outputs(4) == 4 == Flow().outputs(4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VPSDE(predict="velocity"),
        lambda: Discrete(steps=1),
        lambda: EDM(sigma_min=0.0),
        lambda: Flow(predict="noise"),
    ],
)
def test_impossible_processes_are_refused(make):
    with pytest.raises(ZooError):
        make()


def test_data_are_exact_at_time_zero():
    for name, process in PROCESSES.items():
        if not name.startswith("edm"):
            assert process.alpha(0.0) == 1 and process.sigma(0.0) == 0, name

"""Samplers converge at their order, draw noise by image, and refuse before a network runs."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch
from every_process import PROCESSES

from zoo.builder import factory
from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exact import GAUSSIAN, Exact, Mixture
from zoo.diffusion.noise import Noise
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.diffusion.sampler.ddim import DDIM
from zoo.diffusion.sampler.ddpm import DDPM
from zoo.diffusion.sampler.dpm_solver import DPMSolver, fast_orders
from zoo.diffusion.sampler.dpm_solver_adaptive import DPMSolverAdaptive
from zoo.diffusion.sampler.euler import Euler
from zoo.diffusion.sampler.euler_maruyama import EulerMaruyama
from zoo.diffusion.sampler.heun import Heun
from zoo.diffusion.sampler.ode import ODE
from zoo.diffusion.sampler.sde import SDE
from zoo.diffusion.sampler.sde_dpm_solver_pp_2m import SDEDPMSolverPP2M
from zoo.diffusion.sampler.unipc import UniPC
from zoo.diffusion.time_grid.karras import Karras
from zoo.errors import ZooError
from zoo.registry import parts

VP, FLOW, LATENT = VPSDE(), Flow(), Discrete()


def start(count=2, process=VP, dtype=torch.float64, size=(3, 4, 4)):
    return process.prior(Noise(0, range(count)).start(size, dtype=dtype))


TABLE = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "sampler_table.py"))
"""What docs/samplers.md shows: each sampler with the order that it claims, and how that is measured."""


def states(sampler, denoiser, x):
    """x after every step."""
    seen = []
    sampler(denoiser, x, on_step=lambda i, n, x: seen.append(x))
    return seen


def slope(errors):
    """Observed order when steps double."""
    return math.log2(errors[0] / errors[1])


@pytest.mark.parametrize("data", [GAUSSIAN, Mixture()], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("name", TABLE["ODES"])
def test_solvers_converge_to_the_exact_flow_at_the_order_that_they_claim(name, data):
    case = TABLE["ODES"][name]
    assert TABLE["order"](case, data) > case.claims - 0.35
    assert TABLE["error"](case, data, 80) < 0.06


@pytest.mark.parametrize(
    "process", [FLOW, Flow(path="gvp"), Flow(clock="data"), VPSDE(predict="v")], ids=lambda p: type(p).__name__
)
@pytest.mark.parametrize("sampler, order", [(Euler, 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_ode_samplers_converge_at_their_order(process, sampler, order):
    x, errors = start(), []
    end = 0.0 if isinstance(process, Flow) else 0.05
    for n in (20, 40):
        solve = Euler(steps=n, end=end) if sampler is Euler else ODE(steps=n, method=sampler, end=end)
        seen = states(solve, Denoiser(Exact(process, GAUSSIAN), process), x)
        out = seen[-1] if end == 0 else seen[-2]  # before the last step, which is Euler's from end to 0
        errors.append((out - GAUSSIAN.flow(process, x, 1.0, end)).abs().max().item())
    assert slope(errors) > order - (0.35 if order < 4 else 0.7), errors


@pytest.mark.parametrize("process, end", [(EDM(), 0.0), (VP, 0.01), (LATENT, 0.01)], ids=["edm", "vp", "latent"])
def test_heun_converges_and_ends_on_the_data(process, end):
    x, errors = start(process=process), []
    exact = GAUSSIAN.flow(process, x, 1.0, 0.0)
    for n in (20, 40):
        network = Exact(process, GAUSSIAN)
        *_, near, out = states(Heun(steps=n, end=end), Denoiser(network, process), x)
        assert network.calls == 2 * n - 1
        errors.append((near - GAUSSIAN.flow(process, x, 1.0, end)).abs().max().item())
    assert slope(errors) > 1.6, errors
    assert (out - exact).abs().max() < 0.03


NOISY = {
    "euler_maruyama": (VP, lambda: EulerMaruyama(steps=200)),
    "euler_maruyama-latent": (LATENT, lambda: EulerMaruyama(steps=200)),
    "sde-flow": (FLOW, lambda: SDE(steps=200)),
    "sde-flow-data": (Flow(clock="data"), lambda: SDE(steps=200, amount=2.0)),
    "sde-vp": (VP, lambda: SDE(steps=200, end=0.01)),
    "sde2m": (VP, lambda: SDEDPMSolverPP2M(steps=60)),
    "sde2m-edm": (EDM(), lambda: SDEDPMSolverPP2M(steps=60, end=0.0)),
    "ddpm": (Discrete(betas="linear", first=0), lambda: DDPM(steps=250)),
    "ddim-1": (Discrete(betas="linear", first=0), lambda: DDIM(steps=250, eta=1.0)),
    "ddim-0": (Discrete(betas="linear", first=0), lambda: DDIM(steps=250)),
    "heun-churn": (EDM(), lambda: Heun(steps=40, churn=14.0, churn_max=50.0)),
}


@pytest.mark.parametrize("name", TABLE["SDES"])
def test_samples_have_the_mean_and_the_covariance_of_the_data(name):
    process, make = TABLE["SDES"][name]
    *_, mean_error, covariance_error = TABLE["moments"](process, make())
    assert mean_error < 3.5 and covariance_error < 3.5, "in standard deviations of the estimates"


@pytest.mark.parametrize("name", NOISY)
def test_samples_of_a_gaussian_have_its_moments(name):
    process, make = NOISY[name]
    x, noise = start(4, process, size=(8, 20, 20)), Noise(1, range(4))
    out = make()(Denoiser(Exact(process, GAUSSIAN), process), x, noise=noise)
    assert out.mean().item() == pytest.approx(0.4, abs=0.02)
    assert out.std().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", NOISY)
def test_an_image_does_not_depend_on_its_batch(name):
    process, make = NOISY[name]
    sampler, seeds = make(), [3, 7, 11]
    sampler.steps = min(sampler.steps, 25)
    size = (2, 4, 4)

    def sample(images):
        noise = Noise(5, images)
        x = process.prior(noise.start(size, dtype=torch.float64))
        return sampler(Denoiser(Exact(process), process), x, noise=noise)

    together = sample(seeds)
    for i, image in enumerate(seeds):
        assert torch.equal(sample([image])[0], together[i])


def test_adaptive_steps_belong_to_one_image_unless_together():
    x, sampler = start(3), DPMSolverAdaptive()
    denoiser = Denoiser(Exact(VP), VP)
    assert torch.equal(sampler(denoiser, x)[1:2], sampler(denoiser, x[1:2]))
    exact = GAUSSIAN.flow(VP, x, 1.0, 1e-3)
    tight = DPMSolverAdaptive(rtol=1e-5, atol=1e-5)(Denoiser(Exact(VP, GAUSSIAN), VP), x)
    assert (tight - exact).abs().max() < 1e-3


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("stages", ["grid", "log_snr"])
def test_fast_spends_exactly_its_evaluations(order, stages):
    assert all(sum(fast_orders(steps, order)) == steps for steps in range(1, 100))
    for steps in (1, 2, 3, 7, 9):
        network = Exact(LATENT, GAUSSIAN)
        DPMSolver(steps=steps, order=order, stages=stages)(Denoiser(network, LATENT), start())
        assert network.calls == steps


@pytest.mark.parametrize(
    "make, calls",
    [
        (Euler, 10),
        (EulerMaruyama, 10),
        (SDE, 10),
        (UniPC, 10),
        (SDEDPMSolverPP2M, 10),
        (lambda steps: DPMSolver(steps=steps, method="multistep"), 10),
        (lambda steps: ODE(steps=steps, method="midpoint"), 19),
    ],
)
def test_network_evaluations_and_callbacks(make, calls):
    network, heard = Exact(VP, GAUSSIAN), []
    make(steps=10)(
        Denoiser(network, VP), start(), noise=Noise(0, range(2)), on_step=lambda i, n, x: heard.append((i, n))
    )
    assert network.calls == calls
    assert heard == [(i, 10) for i in range(10)]


@pytest.mark.parametrize("part", parts("sampler"), ids=lambda p: p.name)
def test_a_sampler_fits_a_process_or_is_refused_before_the_network_runs(part):
    """Every sampler with every process and prediction: what the check lets pass draws the data."""
    fields = {"heun": {"end": 1e-3, "steps": 100}, "dpm_solver_adaptive": {"rtol": 0.005, "atol": 0.0008},
              "euler_maruyama": {"steps": 200}}.get(part.name, {})  # fmt: skip
    for name, process in PROCESSES.items():
        sampler = part.load()(**fields)
        if refused(sampler, process):
            continue
        x = process.prior(Noise(0, range(2)).start((3, 24, 24)))
        out = sampler(Denoiser(Exact(process, GAUSSIAN), process), x, noise=Noise(1, range(2)))
        assert out.mean().item() == pytest.approx(0.4, abs=0.04), name
        assert out.std().item() == pytest.approx(0.5, abs=0.04), name


def never(x, t, y=None):
    raise AssertionError("the network ran")


@pytest.mark.parametrize("sampler, process, words", [
    (DDPM(), VP, "no discrete chain"),
    (DDIM(), FLOW, "no discrete chain"),
    (DDIM(steps=300), LATENT, "no whole stride"),
    (DDPM(steps=1001), LATENT, "give 1 to 1000"),
    (DDPM(sections=[400, 10, 10]), LATENT, "of a section of 334"),
    (DDIM(eta=2.0), LATENT, "eta"),
    (DPMSolver(), FLOW, "not finite at t = 1"),
    (DPMSolver(end=0.0), VP, "not finite at t = 0"),
    (DPMSolver(), VPSDE(schedule="cosine"), "not finite at t = 1"),
    (DPMSolverAdaptive(), Flow(path="gvp"), "not finite at t = 1"),
    (DPMSolver(steps=0), VP, "steps 0"),
    (DPMSolver(steps=2, method="singlestep"), VP, "at least 3"),
    (DPMSolver(start=0.1, end=0.2), VP, "end < start"),
    (DPMSolverAdaptive(atol=0.0), VP, "positive"),
    (Euler(), EDM(), "still has noise"),
    (Euler(), Flow(predict="eps"), "not finite at t = 1"),
    (Euler(end=0.0, grid="log_snr"), FLOW, "not finite|no falling times"),
    (EulerMaruyama(), FLOW, "not finite"),
    (EulerMaruyama(), VPSDE(schedule="cosine"), "not finite"),
    (SDE(), EDM(), "still has noise"),
    (SDE(amount=-1.0), FLOW, "amount -1"),
    (Heun(), VP, "not finite at t = 0"),
    (Heun(churn=-1.0, end=0.001), VP, "churn"),
    (ODE(end=0.0), VP, "not finite"),
    (UniPC(), FLOW, "not finite"),
    (SDEDPMSolverPP2M(end=0.0), VP, "not finite"),
], ids=lambda v: type(v).__name__ if not isinstance(v, str) else v)  # fmt: skip
def test_what_cannot_work_is_refused_before_the_network_runs(sampler, process, words):
    with pytest.raises(ZooError, match=words):
        sampler.check(process, None)
    with pytest.raises(ZooError, match=words):
        sampler(Denoiser(never, process), start(), noise=Noise(0, range(2)))


def test_a_reverse_sde_without_noise_is_the_euler_ode():
    x, denoiser = start(process=FLOW), Denoiser(Exact(FLOW, GAUSSIAN), FLOW)
    quiet = SDE(steps=20, end=0.05, amount=0.0)(denoiser, x, noise=Noise(0, range(2)))
    torch.testing.assert_close(quiet, Euler(steps=20, end=0.05)(denoiser, x))


def test_flows_can_use_every_solver_a_little_inside():
    x = start()
    exact = GAUSSIAN.flow(FLOW, x, 0.999, 0.001)
    for sampler in (DPMSolver(steps=60, start=0.999, grid="log_snr"), UniPC(steps=60, start=0.999)):
        assert (sampler(Denoiser(Exact(FLOW, GAUSSIAN), FLOW), x) - exact).abs().max() < 3e-3


@pytest.mark.parametrize("sampler", [DDIM(eta=1.0), Heun(churn=5.0, end=0.001)], ids=lambda s: type(s).__name__)
def test_noise_is_asked_for_before_the_network_runs(sampler):
    with pytest.raises(ZooError, match="draw noise"):
        sampler(Denoiser(never, LATENT), start())


def test_a_recipe_sets_nested_parts():
    made = factory("sampler", {"use": "dpm_solver", "steps": 20, "grid": {"use": "karras", "rho": 5.0}})()
    assert made == DPMSolver(steps=20, grid=Karras(rho=5.0)) and DPMSolver(grid=Karras) == DPMSolver(grid="karras")
    made = factory("guidance", {"use": "upsample", "base": {"use": "cfg", "scale": 4.0}})()
    assert made.inner.scale == 4.0


def test_every_sampler_runs_by_default_on_some_process():
    for part in parts("sampler"):
        sampler = part.load()()
        fitting = [p for p in PROCESSES.values() if not refused(sampler, p)]
        assert fitting, part.name


def refused(sampler, process):
    try:
        sampler.check(process, None)
    except ZooError:
        return True
    return False


def test_clip_keeps_the_data_in_range():
    process = Discrete(betas="linear", first=0)
    out = DDIM(steps=10, clip=0.1)(Denoiser(Exact(process, GAUSSIAN), process), start())
    assert out.abs().max() <= 0.1 + 1e-9

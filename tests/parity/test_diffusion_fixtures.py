"""Schedules, samplers, guidance and losses give the numbers of the published code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from analytic import Network, eps_of
from safetensors.torch import load_file

from zoo.diffusion.chain import Chain, even_indices, strided_indices
from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.guidance.upsample import Upsample
from zoo.diffusion.loss.hybrid_vlb import HybridVLB
from zoo.diffusion.loss.simple import Simple
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.diffusion.sampler.ddim import DDIM
from zoo.diffusion.sampler.ddpm import DDPM
from zoo.diffusion.sampler.dpm_solver import DPMSolver
from zoo.diffusion.sampler.dpm_solver_adaptive import DPMSolverAdaptive
from zoo.diffusion.sampler.euler import Euler
from zoo.diffusion.sampler.euler_maruyama import EulerMaruyama

FIXTURES = Path(__file__).parent / "fixtures" / "diffusion"
DTYPES = {"f32": torch.float32, "f64": torch.float64}


def fixture(name):
    return load_file(FIXTURES / f"{name}.safetensors"), json.loads((FIXTURES / f"{name}.json").read_text())


def cases(name):
    """(case, f32 | f64), without what was not recorded."""
    data, info = fixture(name)
    return [(case, kind) for case in info["cases"] for kind in DTYPES if f"{case}.{kind}.out" in data]


def error(ours, theirs):
    return (ours.double() - theirs.double()).abs().max().item()


def relative(ours, theirs):
    """Error over the largest value: DiM's dummy network lets images grow to hundreds."""
    return error(ours, theirs) / theirs.abs().max().item()


SCHEDULES, _ = fixture("schedules")
EM, EM_INFO = fixture("euler_maruyama_vp")
VP, VP_INFO = fixture("dpm_solver_linear_vp")
SD, SD_INFO = fixture("dpm_solver_pp_sd")
DIT, DIT_INFO = fixture("dit_gaussian_diffusion")
DIM, DIM_INFO = fixture("guidance_and_samplers")


def test_vp_schedule():
    vp, s = VPSDE(), SCHEDULES
    assert error(vp.alpha(s["vp.t"]) ** 2, s["vp.cum_alpha"]) < 1e-15
    assert error(vp.sigma(s["vp.t"]) ** 2, s["vp.cum_beta"]) < 1e-15
    assert error(vp.squared_diffusion(s["vp.t"]), s["vp.squared_diffusion"]) < 1e-13
    assert error(vp.log_snr(s["vp_cont.t"]), s["vp_cont.lambda"]) < 1e-11
    assert error(vp.time_of_log_snr(s["vp_cont.lambda"]), s["vp_cont.inv_lambda"]) < 1e-11
    for row in DIM_INFO["vpsde"]:
        assert vp.alpha(row["t"]).item() ** 2 == pytest.approx(row["cum_alpha"], abs=1e-6)
        assert vp.squared_diffusion(row["t"]).sqrt().item() == pytest.approx(row["diffusion"], rel=1e-6)


def test_cosine_schedule():
    vp, s = VPSDE(schedule="cosine"), SCHEDULES
    assert error(vp.alpha(s["vp.t"]) ** 2, s["vpcos.cum_alpha"]) < 1e-14
    assert error(vp.squared_diffusion(s["vp.t"][:-2]).sqrt(), s["vpcos.diffusion"]) < 1e-13


def test_latent_diffusion_schedule():
    sd, s = Discrete(), SCHEDULES
    assert error(sd.betas, s["sd.betas"]) < 1e-15
    assert error(sd.alphas_cumprod, s["sd.cum_alphas"][1:]) < 1e-14
    assert error(sd.log_alpha(s["sd_cont.t"]), s["sd_cont.log_alpha"]) < 1e-6
    assert error(sd.log_snr(s["sd_cont.t"][:6]), s["sd_cont.lambda"]) < 1e-6
    assert error(sd.time_of_log_snr(s["sd_cont.lambda"]), s["sd_cont.inv_lambda"]) < 1e-6


def test_forward_process():
    s = SCHEDULES
    assert (
        error(VPSDE().perturb(s["fwd.x0"], s["fwd.vp.t"], s["fwd.eps"]), s["fwd.vp.xt"]) < 1e-5
    )  # float32 1 - alpha^2 there
    assert error(Discrete().perturb(s["fwd.x0"], s["fwd.sd.n"] / 1000, s["fwd.eps"]), s["fwd.sd.xn"]) < 1e-6


@pytest.mark.parametrize("case, kind", cases("euler_maruyama_vp"))
def test_euler_maruyama_and_ode(case, kind):
    process, dtype = VPSDE(), DTYPES[kind]
    network = Network(eps_of(case.split(".")[0], EM), process, lambda t: t / 999)
    sampler = (EulerMaruyama if ".sde" in case else Euler)(steps=EM_INFO["cases"][case]["steps"])
    out = sampler(Denoiser(network, process), EM["x_T"].to(dtype), noise=lambda i, x: EM["noise"][i].to(x))
    assert error(out, EM[f"{case}.{kind}.out"]) < {"f64": 1e-10, "f32": 2e-5}[kind]
    assert (
        error(torch.tensor(network.times, dtype=torch.float64), EM[f"{case}.{kind}.t999"])
        < {"f64": 1e-9, "f32": 2e-4}[kind]
    )


def linear_vp_sampler(info):
    order = info.get("order", 3)
    if info.get("adaptive_step_size"):
        return DPMSolverAdaptive(order=order, predict="eps", end=info["eps"], together=True)
    fast = info["fast_version"]
    grid = {"time_uniform": "uniform", "logSNR": "log_snr"}[info.get("skip_type", "logSNR")]
    return DPMSolver(
        steps=info["steps"],
        method="fast" if fast else "singlestep",
        order=order,
        predict="eps",
        grid=grid,
        stages="log_snr",
        end=info["eps"],
    )


@pytest.mark.parametrize("case, kind", cases("dpm_solver_linear_vp"))
def test_dpm_solver_on_linear_vp(case, kind):
    process = VPSDE(time_scale=1.0)
    network = Network(eps_of(case.split(".")[0], VP), process, lambda t: t)
    out = linear_vp_sampler(VP_INFO["cases"][case])(Denoiser(network, process), VP["x_T"].to(DTYPES[kind]))
    assert error(out, VP[f"{case}.{kind}.out"]) < {"f64": 1e-10, "f32": 5e-4}[kind]
    if kind == "f64":
        assert error(torch.tensor(network.times, dtype=torch.float64), VP[f"{case}.f64.calls_t"]) < 1e-10


def latent_sampler(info):
    grid = {"time_uniform": "uniform", "logSNR": "log_snr"}[info.get("skip_type", "time_uniform")]
    method, predict = info.get("method", "fast"), "x0" if info["predict_x0"] else "eps"
    if method == "adaptive":
        return DPMSolverAdaptive(order=info["order"], predict=predict, together=True)
    return DPMSolver(
        steps=info["steps"],
        method=method,
        order=info.get("order", 3),
        grid=grid,
        predict=predict,
        solver_type=info.get("solver_type", "dpm_solver"),
        stages="grid" if method == "fast" else "log_snr",
    )


@pytest.mark.parametrize("case, kind", cases("dpm_solver_pp_sd"))
def test_dpm_solver_on_latent_diffusion(case, kind):
    process = Discrete()
    network = Network(eps_of(case.split(".")[0], SD), process, lambda t: t / 1000)
    out = latent_sampler(SD_INFO["cases"][case])(Denoiser(network, process), SD["x_T"].to(DTYPES[kind]))
    by_chance = kind == "f32" and "adaptive3" in case  # rounding decides its steps (DPMSolverAdaptive), and CPUs differ
    assert error(out, SD[f"{case}.{kind}.out"]) < (2e-2 if by_chance else {"f64": 1e-10, "f32": 1e-5}[kind])
    assert len(network.times) == SD_INFO["cases"][case]["nfe"] or (kind == "f32" and "adaptive" in case)
    if kind == "f64":
        times = torch.tensor(network.times, dtype=torch.float64) / 1000
        assert error(times, SD[f"{case}.f64.calls_t"]) < 1e-10


def dummy(x, t, y=None):
    """The network of DiM's fixtures; t is network time."""
    return torch.tanh(x) * (0.5 + t / 1000).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("m", [2, 3])
def test_upsample_guidance_as_published(m):
    process = Discrete()
    guidance = Upsample(factor=m, base="none", published=True)
    denoiser = Denoiser(dummy, process, guidance=guidance)
    for i, t in enumerate(DIM[f"m{m}.t_continuous"]):
        eps = denoiser.eps(DIM[f"m{m}.x"], t)
        assert error(eps, DIM[f"m{m}.guided_eps"][i]) < 1e-5
        if DIM[f"m{m}.w_t"][i] > 0:
            x_low, tau = guidance.low(process, DIM[f"m{m}.x"], t)
            assert error(process.network_time(tau), DIM[f"m{m}.tau_model_input"][i]) < 2e-4
            assert error(x_low, DIM[f"m{m}.low_input"][i]) < 1e-5
    sampler = DPMSolver(steps=50, predict="eps")
    assert relative(sampler(denoiser, DIM[f"m{m}.x"]), DIM[f"m{m}.dpm50_guided_final"]) < 1e-5


def test_dim_samplers():
    x, noises = DIM["sampler.x"], DIM["sampler.cifar_sde_em20_noises"]
    latent, vp = Denoiser(dummy, Discrete()), Denoiser(dummy, VPSDE())
    assert relative(DPMSolver()(latent, x), DIM["sampler.dpmpp_fast50_predict_x0"]) < 1e-6
    assert relative(DPMSolver(predict="eps")(latent, x), DIM["sampler.dpm_fast50_noise"]) < 1e-6
    em = EulerMaruyama(steps=20)(vp, x, noise=lambda i, x: noises[i])
    assert relative(em, DIM["sampler.cifar_sde_em20"]) < 1e-5
    assert relative(Euler(steps=1000)(vp, x), DIM["sampler.cifar_ode_euler1000"]) < 1e-5
    fast = DPMSolver(predict="eps", grid="log_snr", stages="log_snr", end=1e-4)
    assert relative(fast(vp, x), DIM["sampler.cifar_dpm_fast50"]) < 1e-5


@pytest.mark.parametrize("key", ["10,15,20", "50", "250", "ddim50", "ddim250"])
def test_respacing(key):
    if key.startswith("ddim"):
        indices = strided_indices(1000, int(key[4:]))
    else:
        indices = even_indices(1000, [int(n) for n in key.split(",")])
    assert indices == SCHEDULES[f"dit.timestep_map[{key}]"].tolist()
    chain = Chain(Discrete(betas="linear").alphas_cumprod[indices])
    assert error(chain.betas, SCHEDULES[f"dit.betas[{key}]"]) < 1e-13


def test_ancestral_chain():
    process = Discrete(betas="linear")
    chain = Chain(process.alphas_cumprod)
    assert error(process.betas, SCHEDULES["dit.betas"]) < 1e-15
    assert error(process.alphas_cumprod, SCHEDULES["dit.alphas_cumprod"]) < 1e-15
    assert error(chain.posterior_variance, SCHEDULES["dit.posterior_variance"]) < 1e-13
    assert error(chain.log_small, SCHEDULES["dit.posterior_log_variance_clipped"]) < 1e-10
    assert error(chain.mean_x0, SCHEDULES["dit.posterior_mean_coef1"]) < 1e-10
    assert error(chain.mean_x, SCHEDULES["dit.posterior_mean_coef2"]) < 1e-10


def dit_network(eps, process):
    """eps at the original step's alpha and sigma, and the fixtures' variance values where these are learned."""

    def network(x, t, y=None):
        signal = process.alphas_cumprod[t.round().long()].to(x.dtype).reshape(-1, 1, 1, 1)
        out = eps(x, signal.sqrt(), (1 - signal).sqrt())
        return torch.cat([out, 0.4 * torch.sin(3 * x) + 0.1], 1) if process.learned_variance else out

    return network


@pytest.mark.parametrize("case", DIT_INFO["cases"])
def test_ancestral_and_ddim(case):
    info = DIT_INFO["cases"][case]
    variance = "learned_range" if info["learn_sigma"] else "fixed_small" if info.get("sigma_small") else "fixed_large"
    process = Discrete(betas="linear", first=0, variance=variance)
    stride = info["respacing"].startswith("ddim")
    fields = dict(
        steps=int(info["respacing"].removeprefix("ddim")),
        spacing="stride" if stride else "even",
        clip=1.0 if info["clip_denoised"] else None,
    )
    sampler = DDIM(eta=info["eta"], **fields) if "eta" in info else DDPM(**fields)
    denoiser, states = Denoiser(dit_network(eps_of(case.split(".")[0], DIT), process), process), []
    out = sampler(denoiser, DIT["x_T"], noise=lambda i, x: DIT["noise"][i], on_step=lambda i, n, x: states.append(x))
    assert error(out, DIT[f"{case}.out"]) < 1e-5
    if f"{case}.traj" in DIT:
        assert error(torch.stack(states), DIT[f"{case}.traj"]) < 1e-5


def test_hybrid_loss():
    process = Discrete(betas="linear", first=0, variance="learned_range")
    x0, eps, t = SCHEDULES["fwd.x0"], SCHEDULES["fwd.eps"], (SCHEDULES["dit.loss.t"] + 1) / 1000
    data = {name: SCHEDULES[f"base.{name}"] for name in ("mu", "mu1", "mu2")}
    x = process.perturb(x0, t, eps)
    output = Denoiser(dit_network(eps_of("gmm", data), process), process)(x, t)
    loss = HybridVLB()
    assert error(x, SCHEDULES["dit.loss.x_t"]) < 1e-6
    assert error(Simple()(process, output, x0, eps, t), SCHEDULES["dit.loss.mse.mse"]) < 1e-6
    assert error(loss.bound(process, output, x0, eps, t), SCHEDULES["dit.loss.mse.vb"]) < 1e-4
    assert error(loss(process, output, x0, eps, t), SCHEDULES["dit.loss.mse.loss"]) < 1e-4

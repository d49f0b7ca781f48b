"""Guidance asks the network once per step, mixes as its paper says, and refuses what cannot work."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exact import GAUSSIAN, Exact
from zoo.diffusion.guidance.cfg import ClassifierFree
from zoo.diffusion.guidance.none import NoGuidance
from zoo.diffusion.guidance.upsample import Upsample, shrink
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.diffusion.sampler.dpm_solver import DPMSolver
from zoo.errors import ShapeError, ZooError


class Labelled:
    """A backbone whose answer shows its label: label / 10 in every value; remembers what it was given."""

    def __init__(self, outputs=1):
        self.outputs, self.batches = outputs, []

    def null(self, y):
        return {name: torch.zeros_like(v) for name, v in y.items()} if isinstance(y, dict) else torch.zeros_like(y)

    def __call__(self, x, t, y):
        self.batches.append(len(x))
        label = y["label"] if isinstance(y, dict) else y
        out = x + label.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)) / 10
        return torch.cat([out] * self.outputs, dim=-3)


X, Y = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 7])
C = X + Y.reshape(2, 1, 1, 1) / 10
ROUND = 1e-6


def guided(scale=1.0, x=X, y=Y, t=0.5, backbone=None, process=None, **fields):
    backbone = backbone or Labelled()
    out = Denoiser(backbone, process or VPSDE(), y, ClassifierFree(scale=scale, **fields))(x, t)
    return out, backbone.batches


def test_scale_one_is_off_and_costs_one_forward():
    out, batches = guided(1.0)
    assert torch.equal(out, C) and batches == [2]


def test_guidance_is_one_forward_of_the_doubled_batch():
    out, batches = guided(4.0)
    assert batches == [4]
    assert torch.allclose(out, X + 4.0 * (C - X), atol=ROUND)


@pytest.mark.parametrize(("convention", "number", "mix"), [
    ("dit", 4.0, lambda c, u: u + 4.0 * (c - u)), ("uvit", 0.4, lambda c, u: c + 0.4 * (c - u)),
    ("dim", 3.0, lambda c, u: c + 3.0 * (c - u)), ("dim_paper", 1.7, lambda c, u: u + 1.7 * (c - u)),
    ("ho_salimans", 0.3, lambda c, u: 1.3 * c - 0.3 * u),
])  # fmt: skip
def test_scales_of_the_papers_mean_what_their_formulas_say(convention, number, mix):
    guidance = ClassifierFree.written_as(convention, number)
    out = Denoiser(Labelled(), VPSDE(), Y, guidance)(X, 0.5)
    assert torch.allclose(out, mix(C, X), atol=ROUND)


def test_a_convention_that_is_none_is_refused():
    with pytest.raises(ZooError, match="did you mean 'uvit'"):
        ClassifierFree.written_as("u-vit", 0.4)


def test_scale_zero_is_unconditional():
    assert torch.allclose(guided(0.0)[0], X, atol=ROUND)


def test_published_dit_guides_three_channels_and_keeps_the_conditional_rest():
    out, _ = guided(4.0, channels=3, backbone=Labelled(2), process=Discrete(variance="learned_range"))
    assert torch.allclose(out[:, :3], X[:, :3] + 4.0 * (C - X)[:, :3], atol=ROUND)
    assert torch.equal(out[:, 3:], torch.cat([C, C], 1)[:, 3:])


def test_learned_variance_is_not_guided():
    out, _ = guided(4.0, backbone=Labelled(2), process=Discrete(variance="learned_range"))
    assert torch.allclose(out[:, :4], X + 4.0 * (C - X), atol=ROUND) and torch.equal(out[:, 4:], C)


def test_interval_is_in_time_and_per_image():
    assert guided(4.0, t=0.9, interval=[0.2, 0.8])[1] == [2]
    assert guided(4.0, t=0.5, interval=[0.2, 0.8])[1] == [4]
    out, _ = guided(4.0, t=torch.tensor([0.9, 0.5]), interval=[0.2, 0.8])
    assert torch.allclose(out[0], C[0], atol=ROUND) and torch.allclose(out[1], (X + 4 * (C - X))[1], atol=ROUND)


def test_labels_by_name_and_video():
    video = X.unsqueeze(1).repeat(1, 3, 1, 1, 1)
    out, batches = guided(2.0, x=video, y={"label": Y})
    assert batches == [4] and torch.allclose(out[:, 1], X + 2.0 * (C - X), atol=ROUND)


def test_null_labels_can_be_given():
    denoiser = Denoiser(
        lambda x, t, y: x * 0 + y.reshape(-1, 1, 1, 1), VPSDE(), Y, ClassifierFree(scale=2.0), null=Y * 0 + 1
    )
    assert torch.equal(denoiser(X, 0.5)[:, 0, 0, 0], 1 + 2.0 * (Y - 1.0))
    with pytest.raises(ZooError, match="null"):
        Denoiser(lambda x, t, y: x, VPSDE(), Y, ClassifierFree(scale=2.0))(X, 0.5)


def test_guiding_predictions_is_guiding_noise():
    """c and u stand at the same (x, t), where x0, v and velocity are affine in eps."""
    for process in (VPSDE(predict="v"), VPSDE(predict="x0"), Flow()):
        c, u = (process.eps(value, X, 0.4) for value in (C, X))
        eps = Denoiser(Labelled(), process, Y, ClassifierFree(scale=3.0)).eps(X, 0.4)
        assert torch.allclose(eps, u + 3.0 * (c - u), atol=1e-5)


@pytest.mark.parametrize("make", [
    lambda: Denoiser(None, VPSDE(), None, ClassifierFree(scale=2.0)),
    lambda: Denoiser(None, VPSDE(), None, Upsample(base=ClassifierFree(scale=2.0))),
    lambda: Denoiser(None, VPSDE(), Y, Upsample(published=True)),
    lambda: ClassifierFree(interval=[0.8, 0.2]),
    lambda: ClassifierFree(channels=0),
    lambda: Upsample(factor=1),
    lambda: guided(2.0, channels=5),
])  # fmt: skip
def test_what_cannot_work_is_refused_before_the_network_runs(make):
    with pytest.raises(ZooError):
        make()


@pytest.mark.parametrize("factor, size", [(2, (4, 6)), (3, (6, 3)), (4, (4, 8)), (5, (10, 5))])
@pytest.mark.parametrize(
    "process", [VPSDE(), Discrete(), Flow(), VPSDE(predict="v")], ids=lambda p: f"{type(p).__name__}-{p.predict}"
)
def test_upsample_takes_the_coarse_part_from_the_small_image(process, factor, size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, guidance = Denoiser(Exact(process, GAUSSIAN), process), Upsample(factor=factor, base="none")
    denoiser = Denoiser(plain.backbone, process, guidance=guidance)
    low_x, tau = guidance.low(process, x, 0.9)
    assert process.log_snr(tau) - process.log_snr(0.9) == pytest.approx(math.log(factor), abs=1e-9)
    eps = denoiser.eps(x, 0.9)
    assert torch.allclose(shrink(eps, factor), plain.eps(low_x, tau) / factor, atol=1e-9)
    fine = plain.eps(x, 0.9)
    enlarged = (eps - fine).reshape(2, 3, size[0] // factor, factor, size[1] // factor, factor)
    assert (enlarged - enlarged[:, :, :, :1, :, :1]).abs().max() < 1e-9
    assert torch.allclose(denoiser.eps(x, 0.69), plain.eps(x, 0.69))


@pytest.mark.parametrize("process", [Flow(), Flow(path="gvp"), VPSDE(predict="x0")], ids=lambda p: type(p).__name__)
def test_upsample_acts_on_pure_noise_as_just_before(process):
    x = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    denoiser = Denoiser(Exact(process, GAUSSIAN), process, guidance=Upsample(base="none"))
    at, before = denoiser(x, 1.0), denoiser(x, 1 - 1e-7)
    assert torch.isfinite(at).all() and torch.allclose(at, before, atol=1e-5)


def test_a_small_image_of_noise_is_noise():
    x = torch.randn(1, 1, 300, 300, generator=torch.Generator().manual_seed(0))
    for process in (VPSDE(), Discrete(), Flow()):
        low_x, tau = Upsample(factor=3).low(process, x * process.sigma(0.99), 0.99)
        assert (low_x.std() / process.sigma(tau)).item() == pytest.approx(1.0, abs=0.02)


def test_published_grid_is_within_two_steps_of_exact():
    process = Discrete()
    for factor in (2, 3):
        for t in torch.linspace(0.7, 1.0, 31):
            tau = [
                Upsample(factor=factor, published=p).low(process, X.repeat(1, 1, 1, 1), t)[1].item()
                for p in (True, False)
            ]
            assert abs(tau[0] - tau[1]) < 0.0025


def test_sizes_that_do_not_divide_are_refused():
    denoiser = Denoiser(lambda x, t, y: x, VPSDE(), guidance=Upsample(factor=4, base="none"))
    with pytest.raises(ShapeError, match="6x6"):
        denoiser.eps(X, 0.9)


def test_upsample_on_top_of_cfg_in_a_sampler():
    backbone = Labelled()
    denoiser = Denoiser(backbone, Discrete(), Y, Upsample(base=ClassifierFree(scale=2.0)))
    DPMSolver(steps=10, predict="eps")(denoiser, X)
    assert backbone.batches == [4] * 13 + [4] * (len(backbone.batches) - 13) and len(backbone.batches) == 14
    assert torch.equal(Denoiser(backbone, Discrete(), Y, NoGuidance())(X, 0.2), C)

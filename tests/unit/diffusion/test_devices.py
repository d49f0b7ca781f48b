"""Images may live on another device than the times, which stay on the CPU; nothing waits for that device."""

from __future__ import annotations

import pytest
import torch

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.guidance.cfg import ClassifierFree
from zoo.diffusion.guidance.upsample import Upsample
from zoo.diffusion.noise import Noise
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.errors import ZooError
from zoo.registry import parts

META = torch.device("meta")  # a device that has no values: reading one would fail


class Network:
    def null(self, y):
        return torch.zeros_like(y)

    def __call__(self, x, t, y):
        assert x.device == t.device == y.device == META and t.shape == (len(x),) and t.dtype == torch.float32
        return torch.cat([x, x], -3) if self.double else x


ADAPTIVE = ("dpm_solver_adaptive", "dopri5")  # their steps depend on the images
PROCESSES = [VPSDE(), Discrete(variance="learned_range"), Flow(), EDM()]


def fits(part, process):
    try:
        part.check(process)
    except ZooError:
        return False
    return True


@pytest.mark.parametrize("part", [p for p in parts("sampler") if p.name not in ADAPTIVE], ids=lambda p: p.name)
def test_samplers_never_read_the_images(part):
    sampler, noise, backbone = part.load()(), Noise(0, range(2)), Network()
    sampler.steps = 10
    y = torch.zeros(2, dtype=torch.int64, device=META)
    fitting = [process for process in PROCESSES if fits(sampler, process)]
    assert fitting
    for process in fitting:
        backbone.double = process.learned_variance
        guidances = [ClassifierFree(scale=2.0)] + [Upsample()] * (process.alpha(1.0).item() > 0)
        for guidance in guidances:
            x = process.prior(noise.start((4, 8, 8), META))
            out = sampler(Denoiser(backbone, process, y, guidance), x, noise=noise)
            assert out.device == META and out.shape == x.shape and out.dtype == torch.float32


@pytest.mark.parametrize("part", parts("loss"), ids=lambda p: p.name)
def test_losses_take_times_from_the_cpu(part):
    loss, t = part.load()(), torch.tensor([0.1, 0.9])
    for process in (p for p in PROCESSES if fits(loss, p)):
        x0, eps = torch.empty(2, 3, 4, 4, device=META), torch.empty(2, 3, 4, 4, device=META)
        output = torch.empty(2, process.outputs(3), 4, 4, device=META, dtype=torch.bfloat16)
        result = loss(process, output, x0, eps, t)
        assert result.shape == (2,) and result.device == META and result.dtype == torch.float32

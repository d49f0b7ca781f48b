"""Backbones that answer exactly for known data, for any process and whatever it predicts."""

from __future__ import annotations

import torch

from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE

PROCESSES = {
    **{f"vp_sde-{p}": VPSDE(predict=p) for p in ("eps", "x0", "v")},
    "vp_sde-cosine": VPSDE(schedule="cosine"),
    **{f"discrete-{b}": Discrete(betas=b) for b in ("scaled_linear", "linear", "cosine")},
    "discrete-v": Discrete(predict="v"),
    **{f"flow-{p}": Flow(predict=p) for p in ("velocity", "eps", "x0", "v")},
    "flow-gvp": Flow(path="gvp"),
    "flow-data": Flow(clock="data"),
    **{f"edm-{p}": EDM(predict=p) for p in ("residual", "x0", "eps")},
}
MEANS, SPREADS, WEIGHTS = (-0.6, 0.8), (0.25, 0.35), (0.3, 0.7)


def mixture_answers(x, alpha, sigma, means=MEANS, spreads=SPREADS, weights=WEIGHTS):
    """E[x0 | x] and E[eps | x] of an elementwise mixture of Gaussians, at sigma = 0 too."""
    logs, x0, eps = [], [], []
    for mean, spread, weight in zip(means, spreads, weights):
        variance = alpha**2 * spread**2 + sigma**2
        logs.append(torch.log(weight / variance.sqrt()) - 0.5 * (x - alpha * mean) ** 2 / variance)
        x0.append(mean + alpha * spread**2 / variance * (x - alpha * mean))
        eps.append(sigma / variance * (x - alpha * mean))
    share = torch.softmax(torch.stack(logs), 0)
    return (share * torch.stack(x0)).sum(0), (share * torch.stack(eps)).sum(0)


class Exact:
    """The perfect network for a mixture (or, with one mean, a Gaussian); counts its calls."""

    def __init__(self, process, means=MEANS, spreads=SPREADS, weights=WEIGHTS):
        self.process, self.data, self.calls = process, (means, spreads, weights), 0
        self.first, self.last = process.network_time(0.0), process.network_time(1.0)

    def __call__(self, x, n, y=None):
        self.calls += 1
        t = (n[0].double() - self.first) / (self.last - self.first)  # network time is affine in t for all
        scale = self.process.input_scale(t)
        x = x if scale is None else x / scale
        x0, eps = mixture_answers(x, self.process.alpha(t), self.process.sigma(t), *self.data)
        return self.process.target(x0, eps, t)


def gaussian(process, mean=0.4, spread=0.5):
    """The perfect network for data N(mean, spread^2)."""
    return Exact(process, (mean,), (spread,), (1.0,))


def gaussian_flow(process, x, start, end, mean=0.4, spread=0.5):
    """Where the probability-flow ODE takes x for data N(mean, spread^2)."""
    (a, s), (b, r) = ((process.alpha(t), process.sigma(t)) for t in (start, end))
    return mean * b + (x - mean * a) * ((b**2 * spread**2 + r**2) / (a**2 * spread**2 + s**2)).sqrt()

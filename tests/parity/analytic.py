"""Exact noise predictions for the data of the fixtures, a Gaussian and a mixture of two, as their JSON writes them."""

from __future__ import annotations

import math

import torch


def eps_of(model: str, data: dict):
    """`eps(x, alpha, sigma)` of a fixture's model, on the fixture's means."""

    def gaussian(x, alpha, sigma):
        return sigma * (x - alpha * data["mu"].to(x)) / (alpha**2 * 0.5**2 + sigma**2)

    def mixture(x, alpha, sigma):
        logs, terms = [], []
        for weight, mean, spread in ((0.3, "mu1", 0.25), (0.7, "mu2", 0.35)):
            variance, away = alpha**2 * spread**2 + sigma**2, x - alpha * data[mean].to(x)
            logs.append(math.log(weight) - 0.5 * torch.log(variance) - 0.5 * away**2 / variance)
            terms.append((away, variance))
        share = torch.softmax(torch.stack(logs), 0)
        return sigma * sum(r * away / variance for r, (away, variance) in zip(share, terms))

    return {"gauss": gaussian, "gmm": mixture}[model]


class Network:
    """A backbone that answers exactly, and remembers the network times it was asked at."""

    def __init__(self, eps, process, time_of):
        self.eps, self.process, self.time_of, self.times = eps, process, time_of, []

    def __call__(self, x, t, y=None):
        self.times.append(t[0].item())
        t = self.time_of(t[0].double())
        alpha, sigma = self.process.alpha(t).to(x.dtype), self.process.sigma(t).to(x.dtype)
        return self.eps(x, alpha, sigma)

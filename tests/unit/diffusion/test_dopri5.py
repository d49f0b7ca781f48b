"""Adaptive steps of each image's own: another library's results and costs, whatever the batch."""

from __future__ import annotations

import pytest
import torch

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exact import GAUSSIAN, Exact, Mixture
from zoo.diffusion.guidance.cfg import ClassifierFree
from zoo.diffusion.noise import Noise
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.diffusion.sampler.dopri5 import Dopri5
from zoo.errors import ZooError

FLOW, VP = Flow(), VPSDE()
X = torch.linspace(-1.6, 1.9, 12, dtype=torch.float64).reshape(3, 1, 2, 2)
SCIPY = {  # scipy 1.17.1, solve_ivp(method="RK45") on each of the three images: evaluations, x at `end`
    (FLOW, 0.0, 1e-3): [
        (32, [-0.8260474700072, -0.7080536806245, -0.5643435092291, -0.3284962949322]),
        (32, [0.3580717085473, 0.5956776085681, 0.7636267378305, 0.9078585170299]),
        (26, [1.0415063115428, 1.1674708612353, 1.2892246704159, 1.4083492173215]),
    ],
    (FLOW, 0.0, 1e-6): [
        (92, [-0.8263179372105, -0.7078017820315, -0.5631448796128, -0.3266539839835]),
        (104, [0.3563990943588, 0.5965599911532, 0.7640593139808, 0.9079164153941]),
        (62, [1.0404742527132, 1.1666769124288, 1.2889477371451, 1.4086254316016]),
    ],
    (VP, 1e-3, 1e-3): [
        (44, [-0.8279183275584, -0.7092420457289, -0.5641704810642, -0.3278009134681]),
        (44, [0.3543041149881, 0.5949309924285, 0.7627352915843, 0.9068366470820]),
        (32, [1.0377523798982, 1.1634602704482, 1.2852427998200, 1.4044140859226]),
    ],
    (VP, 1e-3, 1e-6): [
        (134, [-0.8273497242945, -0.7088678611524, -0.5644080552715, -0.3294177491182]),
        (128, [0.3535250381709, 0.5949551936525, 0.7628049500522, 0.9068414316589]),
        (86, [1.0395166350094, 1.1658086689255, 1.2881537961380, 1.4078967975958]),
    ],
}


@pytest.mark.parametrize("case", SCIPY, ids=lambda c: f"{type(c[0]).__name__}-{c[2]:g}")
def test_a_batch_has_the_steps_and_the_results_that_scipy_has_image_by_image(case):
    process, end, rtol = case
    seen = []
    sampler = Dopri5(rtol=rtol, atol=rtol / 1000, end=end)
    solved = sampler.solve(Denoiser(Exact(process), process), X, lambda i, n, x: seen.append(x))
    expected = torch.tensor([values for _, values in SCIPY[case]], dtype=torch.float64)
    torch.testing.assert_close(seen[-1].reshape(3, 4), expected, rtol=0, atol=1e-11)
    last = int(end > 0)  # from `end` to the data
    assert solved.evaluations.tolist() == [calls + last for calls, _ in SCIPY[case]]


@pytest.mark.parametrize("process", [FLOW, Flow(clock="data"), VP, VPSDE(predict="v"), Discrete(), EDM()],
                         ids=lambda p: type(p).__name__)  # fmt: skip
def test_an_image_does_not_depend_on_its_batch(process):
    x = process.prior(Noise(3, range(4)).start((2, 4, 4), dtype=torch.float64))
    x[2] *= 1e-3  # one that is done sooner or later than the others
    sampler, denoiser = Dopri5(), Denoiser(Exact(process), process)
    together = sampler.solve(denoiser, x)
    assert len(set(together.evaluations.tolist())) > 1, "all had the same steps: nothing is shown"
    for i in range(4):
        alone = sampler.solve(denoiser, x[i : i + 1])
        assert torch.equal(alone.images[0], together.images[i])
        assert alone.evaluations[0] == together.evaluations[i]


@pytest.mark.parametrize("process, end", [(FLOW, 0.0), (EDM(), 0.0), (VP, 1e-4)], ids=["flow", "edm", "vp"])
def test_the_error_falls_with_the_tolerance(process, end):
    x, errors = process.prior(Noise(0, range(2)).start((3, 4, 4), dtype=torch.float64)), []
    for rtol in (1e-2, 1e-4, 1e-6):
        out = Dopri5(rtol=rtol, atol=rtol / 1000, end=end)(Denoiser(Exact(process), process), x)
        errors.append((out - Mixture().flow(process, x, 1.0, 0.0)).abs().max().item())
    assert errors[1] < errors[0] / 5 and errors[2] < max(errors[1] / 5, 2e-4), errors


def test_images_that_have_arrived_cost_nothing_more():
    asked = []

    class Counting(Exact):
        def __call__(self, x, n, y=None):
            asked.append(len(x))
            return super().__call__(x, n, y)

    solved = Dopri5(end=0.0).solve(Denoiser(Counting(FLOW), FLOW), X)
    assert sum(asked) == solved.evaluations.sum() and min(asked) < len(X)


def test_labels_and_guidance_go_with_their_images():
    class Shifted(Exact):
        """Data whose mean is moved by the label; the null label is 0."""

        def null(self, y):
            return torch.zeros_like(y)

        def __call__(self, x, n, y=None):
            return super().__call__(x, n) + 0.1 * y.reshape(-1, 1, 1, 1)

    y, guidance = torch.tensor([1, 5, 2]), ClassifierFree(scale=2.0, interval=[0.3, 0.7])
    sampler = Dopri5(end=0.0)
    together = sampler(Denoiser(Shifted(FLOW), FLOW, y, guidance), X)
    for i in range(3):
        alone = sampler(Denoiser(Shifted(FLOW), FLOW, y[i : i + 1], guidance), X[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-12)


def test_float32_draws_the_same_images():
    out = Dopri5(end=0.0)(Denoiser(Exact(FLOW), FLOW), X.float())
    wide = Dopri5(end=0.0)(Denoiser(Exact(FLOW), FLOW), X)
    assert out.dtype == torch.float32 and (out - wide).abs().max() < 5e-4


@pytest.mark.parametrize("sampler, process, words", [
    (Dopri5(atol=0.0), FLOW, "atol"), (Dopri5(end=0.0), VP, "not finite at t = 0"),
    (Dopri5(most=3), FLOW, "at least 8"),
    (Dopri5(), Flow(predict="eps"), "not finite at t = 1"), (Dopri5(), VPSDE(schedule="cosine"), "not finite"),
], ids=["atol", "t0", "few", "t1", "cosine"])  # fmt: skip
def test_what_cannot_work_is_refused_before_the_network_runs(sampler, process, words):
    def never(x, t, y=None):
        raise AssertionError("the network ran")

    with pytest.raises(ZooError, match=words):
        sampler(Denoiser(never, process), X)


def test_an_image_that_costs_too_much_is_given_up():
    with pytest.raises(ZooError, match="50 evaluations have come to t = "):
        Dopri5(rtol=1e-9, atol=1e-12, most=50)(Denoiser(Exact(VP, GAUSSIAN), VP), X)


def test_a_network_that_breaks_is_named():
    with pytest.raises(ZooError, match="not finite"):
        Dopri5()(Denoiser(lambda x, t, y=None: x * float("nan"), FLOW), X)

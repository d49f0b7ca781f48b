"""Writes docs/samplers.md: what every sampler does on data whose exact scores are known.

    python tools/sampler_table.py                      measures, about a minute, and writes the page
    python tools/sampler_table.py --picture RUN        draws docs/samplers.png from a run trained on a vp_sde
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exact import GAUSSIAN, Correlated, Exact, Mixture
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.guidance.cfg import CONVENTIONS
from zoo.diffusion.noise import Noise
from zoo.diffusion.process.discrete import Discrete
from zoo.diffusion.process.edm import EDM
from zoo.diffusion.process.flow import Flow
from zoo.diffusion.process.vp_sde import VPSDE
from zoo.diffusion.sampler.ddim import DDIM
from zoo.diffusion.sampler.ddpm import DDPM
from zoo.diffusion.sampler.dopri5 import Dopri5
from zoo.diffusion.sampler.dpm_solver import DPMSolver
from zoo.diffusion.sampler.dpm_solver_adaptive import DPMSolverAdaptive
from zoo.diffusion.sampler.euler import Euler
from zoo.diffusion.sampler.euler_maruyama import EulerMaruyama
from zoo.diffusion.sampler.heun import Heun
from zoo.diffusion.sampler.ode import ODE
from zoo.diffusion.sampler.sde import SDE
from zoo.diffusion.sampler.sde_dpm_solver_pp_2m import SDEDPMSolverPP2M
from zoo.diffusion.sampler.unipc import UniPC

DOCS = Path(__file__).resolve().parent.parent / "docs"
VP, FLOW, LATENT, VE = VPSDE(), Flow(), Discrete(), EDM()
CHAIN = Discrete(betas="linear", first=0)
LAST = 0.01  # where solvers that stay away from t = 0 are compared


@dataclass(frozen=True)
class Case:
    """An ODE sampler with the order that it claims; `make(n)` asks the network about `cost` n times."""

    claims: int
    process: Gaussian
    make: Callable[[int], Any]
    end: float = LAST  # the time at which its state is compared
    before: bool = False  # whether that is the state before the last step, which goes on to t = 0
    cost: int = 1


def dpm(order: Literal[1, 2, 3], **fields: Any) -> Case:
    """DPM-Solver of one order on equal steps of log-SNR."""
    single = fields.get("method") == "singlestep"

    def make(n: int) -> DPMSolver:
        return DPMSolver(steps=n * order if single else n, order=order, end=LAST, grid="log_snr", **fields)

    return Case(order, VP, make, cost=order if single else 1)


ODES: dict[str, Case] = {
    "ddim": Case(1, CHAIN, lambda n: DDIM(steps=n, spacing="even"), end=0.0),
    "euler, vp_sde": Case(1, VP, lambda n: Euler(steps=n, end=LAST), before=True),
    "euler, flow": Case(1, FLOW, lambda n: Euler(steps=n, end=0.0), end=0.0),
    "ode midpoint, flow": Case(2, FLOW, lambda n: ODE(steps=n, method="midpoint", end=0.0), end=0.0, cost=2),
    "ode heun, flow": Case(2, FLOW, lambda n: ODE(steps=n, method="heun", end=0.0), end=0.0, cost=2),
    "ode rk4, flow": Case(4, FLOW, lambda n: ODE(steps=n, method="rk4", end=0.0), end=0.0, cost=4),
    "heun, edm": Case(2, VE, lambda n: Heun(steps=n), end=0.0, before=True, cost=2),
    "dpm_solver 1": dpm(1, method="singlestep", predict="eps"),
    "dpm_solver 2": dpm(2, method="singlestep", predict="eps"),
    "dpm_solver 3": dpm(3, method="singlestep", predict="eps"),
    "dpm_solver++ 2": dpm(2, method="singlestep", predict="x0"),
    "dpm_solver++ 3": dpm(3, method="singlestep", predict="x0", stages="log_snr"),
    "dpm_solver++ 3 taylor": dpm(3, method="singlestep", predict="x0", solver_type="taylor"),
    "dpm_solver 2M": dpm(2, method="multistep", predict="eps"),
    "dpm_solver++ 2M": dpm(2, method="multistep", predict="x0"),
    "dpm_solver++ 2M taylor": dpm(2, method="multistep", predict="x0", solver_type="taylor"),
    "dpm_solver++ 3M": replace(dpm(3, method="multistep", predict="x0"), claims=2),  # its first step is of order 1
    "unipc 2, predictor alone": Case(2, VP, lambda n: UniPC(steps=n, correct=False, end=LAST)),
    "unipc 2": Case(3, VP, lambda n: UniPC(steps=n, end=LAST)),
    "unipc 2, eps": Case(3, VP, lambda n: UniPC(steps=n, end=LAST, predict="eps")),
}
"""Corrected, UniPC of order p has order p + 1."""

SDES: dict[str, tuple[Gaussian, Callable[[], Any]]] = {
    "euler_maruyama, vp_sde": (VP, lambda: EulerMaruyama(steps=1000)),
    "euler_maruyama, discrete": (LATENT, lambda: EulerMaruyama(steps=1000)),
    "sde_dpm_solver_pp_2m, vp_sde": (VP, lambda: SDEDPMSolverPP2M(steps=60)),
    "sde_dpm_solver_pp_2m, edm": (VE, lambda: SDEDPMSolverPP2M(steps=60, end=0.0)),
    "ddpm, discrete": (CHAIN, lambda: DDPM(steps=1000)),
    "ddim eta 1, discrete": (CHAIN, lambda: DDIM(steps=1000, eta=1.0)),
    "heun with churn, edm": (VE, lambda: Heun(steps=60, churn=20.0, churn_max=50.0)),
}
ADAPTIVE: dict[str, tuple[Gaussian, Callable[[float], Any]]] = {
    "dopri5, flow": (FLOW, lambda rtol: Dopri5(rtol=rtol, atol=rtol / 1000, end=0.0)),
    "dopri5, vp_sde": (VP, lambda rtol: Dopri5(rtol=rtol, atol=rtol / 1000, end=1e-4)),
    "dopri5, edm": (VE, lambda rtol: Dopri5(rtol=rtol, atol=rtol / 1000, end=0.0)),
    "dpm_solver_adaptive, vp_sde": (VP, lambda rtol: DPMSolverAdaptive(rtol=rtol, atol=rtol / 10, end=1e-4)),
}
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
MEAN = torch.tensor([0.3, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.30, 0.12], [0.12, 0.10]], dtype=torch.float64)


def error(case: Case, data: Mixture, n: int) -> float:
    """The largest distance to where the exact ODE leads, over some values."""
    x = case.process.prior(Noise(0, range(2)).start((3, 4, 4), dtype=torch.float64))
    seen: list[Tensor] = []
    denoiser = Denoiser(Exact(case.process, data), case.process)
    case.make(n)(denoiser, x, noise=Noise(1, range(2)), on_step=lambda i, n, x: seen.append(x))
    found = seen[-2] if case.before else seen[-1]
    return (found - data.flow(case.process, x, 1.0, case.end)).abs().max().item()


def order(case: Case, data: Mixture, n: int = 40) -> float:
    """How often the error halves when steps double."""
    return math.log2(error(case, data, n) / error(case, data, 2 * n))


def cost(process: Gaussian, sampler: Any, data: Mixture, images: int = 4) -> tuple[float, float]:
    """Evaluations an image, and the largest distance to the data where the exact ODE leads."""
    x = process.prior(Noise(0, range(images)).start((3, 4, 4), dtype=torch.float64))
    network, calls = Exact(process, data), 0
    found = []
    for image in x.split(1):  # one at a time: a batch has the same steps, and would be asked about together
        network.calls = 0
        found.append(sampler(Denoiser(network, process), image))
        calls += network.calls
    far = (torch.cat(found) - data.flow(process, x, 1.0, 0.0)).abs().max().item()
    return calls / images, far


def moments(process: Gaussian, sampler: Any, images: int = 4, side: int = 32) -> tuple[Tensor, Tensor, float, float]:
    """Mean and covariance of samples, and their largest errors in standard deviations of such estimates."""
    x = process.prior(Noise(0, range(images)).start((2, side, side)))
    denoiser = Denoiser(Exact(process, Correlated(MEAN, COVARIANCE)), process)
    out = sampler(denoiser, x, noise=Noise(0, range(images)))
    values = out.double().movedim(1, -1).reshape(-1, 2)
    mean, covariance, count = values.mean(0), values.T.cov(), len(values)
    variance = COVARIANCE.diag()
    deviation = ((variance[:, None] * variance + COVARIANCE**2) / count).sqrt()
    off = ((mean - MEAN).abs() / (variance / count).sqrt()).max().item()
    return mean, covariance, off, ((covariance - COVARIANCE).abs() / deviation).max().item()


def page() -> Iterator[str]:
    """The lines of the page."""
    yield INTRODUCTION
    yield "| sampler | claims | Gaussian | mixture | error, mixture, 48 evaluations |\n|---|---|---|---|---|"
    for name, case in ODES.items():
        far = error(case, Mixture(), 48 // case.cost)
        yield f"| {name} | {case.claims} | {order(case, GAUSSIAN):.1f} | {order(case, Mixture()):.1f} | {far:.1e} |"
    yield TOLERATED
    yield f"| sampler | {' | '.join(f'rtol {rtol:.0e}' for rtol in TOLERANCES)} |\n|---|{'---|' * len(TOLERANCES)}"
    for name, (process, make) in ADAPTIVE.items():
        cells = (cost(process, make(rtol), Mixture()) for rtol in TOLERANCES)
        yield f"| {name} | {' | '.join(f'{calls:.0f}: {far:.0e}' for calls, far in cells)} |"
    yield SAMPLES
    yield "| sampler | steps | mean | covariance | errors, in standard deviations |\n|---|---|---|---|---|"
    for name, (process, make) in SDES.items():
        sampler = make()
        mean, covariance, a, b = moments(process, sampler)
        numbers = ", ".join(f"{v:.3f}" for v in mean), ", ".join(f"{covariance[i, j]:.3f}" for i, j in PLACES)
        yield f"| {name} | {sampler.steps} | {numbers[0]} | {numbers[1]} | {a:.1f}, {b:.1f} |"
    yield SCALES
    yield "| written in | off | 1.4 here is there |\n|---|---|---|"
    for name, more in CONVENTIONS.items():
        yield f"| {name} | {1 - more:g} | {1.4 - more:.1f} |"
    yield PICTURE


PLACES = ((0, 0), (0, 1), (1, 1))
INTRODUCTION = """\
# Samplers, measured

Written by `tools/sampler_table.py`. Any sampler works with any process, prediction and guidance; what cannot work is
refused before the network runs. Here the network is replaced by the exact answer for data of known density
(`zoo.diffusion.exact`), so that what is left is the sampler's own error.

## Order of convergence

The largest distance to the end of the exact probability-flow ODE, which on a line keeps quantiles, halves so many
times when 40 steps become 80. The Gaussian is N(0.4, 0.5²), the mixture has two parts. `heun` works with any process
of finite log-SNR; `dpm_solver` and `unipc` are on `vp_sde`. A corrected UniPC of order 2 claims 3;
3M begins with a step of order 1, as published, and claims 2.
"""
TOLERATED = """
## Steps that the error decides

Evaluations an image, and the largest distance to where the exact ODE ends at the data, on the mixture. In a batch each
image has its own steps. `dopri5` is Dormand and Prince's method of order 5(4), `atol` a thousandth of `rtol`; it agrees
with scipy's RK45 in results and evaluations, image by image. With `end` above 0 (1e-4 here on `vp_sde`) the last step
takes the data that the network sees there, which is as near as that allows; on `edm` the ODE ends at sigma_min.
`dpm_solver_adaptive` is order 3, `atol` a tenth of `rtol`, and stops at `end`.
"""
SCALES = """
## Guidance scales

Here a scale of 1 is off: u + scale (c - u). `ClassifierFree.written_as(convention, number)` reads the other ways.
"""
SAMPLES = f"""
`dpm_solver` by default is the *fast* mixture of orders that DiM and U-ViT use; `dpm_solver_adaptive` has no number of
steps, its tolerances decide (on `edm`, whose images start at 80 times the noise, set `rtol: 0.005`).

## Samplers with noise

4,096 pixels of two correlated channels, with mean {MEAN[0]:.3f}, {MEAN[1]:.3f} and covariance {COVARIANCE[0, 0]:.3f},
{COVARIANCE[0, 1]:.3f}, {COVARIANCE[1, 1]:.3f}. The last column divides the largest errors of mean and covariance by the
standard deviation that an estimate from so many pixels has.
"""
PICTURE = """
## Side by side

![The same noise and classes under every sampler](samplers.png)

One small model (`quickstart`, some minutes on a CPU), the same noise and the same classes in every row, averaged
weights. Deterministic samplers agree on the image; those with noise draw another one of the same class. `ddpm` and
`ddim` walk the discrete chain whose limit is the SDE that this model was trained with. `ode`, made for flows, needs the
quadratic grid here: near t = 0 this ODE is stiff, and equal steps leave noise.
"""
SHOWN: dict[str, tuple[Gaussian | None, Any]] = {
    "ddpm 250": (CHAIN, DDPM(steps=250, clip=1.0)),
    "ddim 50": (CHAIN, DDIM(steps=50)),
    "ddim 50, eta 1": (CHAIN, DDIM(steps=50, eta=1.0)),
    "euler_maruyama 250": (None, EulerMaruyama(steps=250)),
    "euler 50": (None, Euler(steps=50)),
    "sde 250": (None, SDE(steps=250, end=0.01)),
    "ode heun 25, quadratic": (None, ODE(steps=25, grid="quadratic")),
    "ode midpoint 25, quadratic": (None, ODE(steps=25, method="midpoint", grid="quadratic")),
    "heun 25": (None, Heun(steps=25, end=1e-3)),
    "heun 25, churn 10": (None, Heun(steps=25, end=1e-3, churn=10.0)),
    "dpm_solver 30": (None, DPMSolver(steps=30)),
    "dpm_solver++ 2M 30": (None, DPMSolver(steps=30, order=2, method="multistep")),
    "dpm_solver_adaptive": (None, DPMSolverAdaptive()),
    "dopri5": (None, Dopri5()),
    "unipc 20": (None, UniPC(steps=20)),
    "sde_dpm_solver_pp_2m 30": (None, SDEDPMSolverPP2M(steps=30)),
}


def draw(run: str, path: Path, images: int = 10, zoom: int = 2) -> None:
    """One row a sampler: the same images of a trained run."""
    from PIL import Image, ImageDraw, ImageFont

    from zoo.sampling.api import pick_device
    from zoo.sampling.generate import plan
    from zoo.sampling.picture import BLACK, WHITE, grid
    from zoo.weights.load import from_pretrained

    backbone = from_pretrained(run, device=pick_device("auto"))
    recipe = backbone.recipe
    if recipe["process"]["use"] != "vp_sde":
        raise SystemExit("the run must have been trained with process vp_sde")
    base, rows = plan(backbone, recipe), {}
    for name, (process, sampler) in SHOWN.items():
        chain = Discrete(betas="linear", first=0, predict=base.process.predict) if process else base.process
        drawn = replace(base, sampler=sampler, process=chain).draw(range(images))
        rows[name] = grid([image for _, image in drawn], columns=images)
        print(name)
    font, left = ImageFont.load_default(13), 200
    first = next(iter(rows.values()))
    height = first.height * zoom + 4
    sheet = Image.new("RGB", (left + first.width * zoom, height * len(rows)), WHITE)
    pen = ImageDraw.Draw(sheet)
    for i, (name, row) in enumerate(rows.items()):
        pen.text((left - 10, i * height + height // 2), name, fill=BLACK, font=font, anchor="rm")
        larger = row.resize((row.width * zoom, row.height * zoom), Image.Resampling.NEAREST)
        sheet.paste(larger, (left, i * height))
    sheet.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Write the page, or the picture."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--picture", metavar="RUN", help="draw docs/samplers.png from this run instead")
    args = p.parse_args()
    if args.picture:
        draw(args.picture, DOCS / "samplers.png")
    else:
        (DOCS / "samplers.md").write_text("\n".join(page()), encoding="utf-8")


if __name__ == "__main__":
    main()

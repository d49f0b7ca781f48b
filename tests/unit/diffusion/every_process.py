"""Every process with everything that it may predict."""

from __future__ import annotations

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

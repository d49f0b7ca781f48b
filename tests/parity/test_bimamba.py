"""The bidirectional mixers of DiS and of ZigMa's baseline give their published outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.grid import Grid
from zoo.parts.mixer.bimamba import Bimamba
from zoo.parts.protocols import Condition

FIXTURE = Path(__file__).parent / "fixtures/ssm/bidirectional_mixers.safetensors"
FIRST = {"conv_weight": "conv1d.weight", "conv_bias": "conv1d.bias", "x_proj.weight": "x_proj.weight",
         "dt_proj.weight": "dt_proj.weight", "dt_proj.bias": "dt_proj.bias", "A_log": "A_log", "D": "D"}  # fmt: skip
SECOND = {**{ours: theirs.replace(".", "_b.") for ours, theirs in FIRST.items()}, "A_log": "A_b_log", "D": "D_b"}


@pytest.mark.parametrize("system", ["dis", "zigma"])
def test_a_bidirectional_mixer_gives_the_published_output(system):
    published = {k.removeprefix(f"{system}."): v for k, v in load_file(FIXTURE).items() if k.startswith(system)}
    state = {f"directions.{k}.{ours}": published[theirs].flatten(1) if ours == "conv_weight" else published[theirs]
             for k, names in enumerate((FIRST, SECOND)) for ours, theirs in names.items()}  # fmt: skip
    mixer = Bimamba(32, 1)
    mixer.load_state_dict(state | {f"{name}.weight": published[f"{name}.weight"] for name in ("in_proj", "out_proj")})
    with torch.no_grad():
        out = mixer(published["input"], None, Grid(1, 1), Condition())
    torch.testing.assert_close(out, published["output"], atol=1e-5, rtol=0)

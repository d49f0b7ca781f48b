"""The bidirectional mixer (v2) with the weights of DiS's first block gives what the published one computed."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from ssm_fixtures import KEPT, fixture

from zoo.grid import Grid
from zoo.parts.mixer.bimamba import Bimamba
from zoo.parts.protocols import Condition

BLOCK = "in_blocks.0.mixer."  # of the network in dis_classcond_sigma
FIRST = {"conv_weight": "conv1d.weight", "conv_bias": "conv1d.bias", "x_proj.weight": "x_proj.weight",
         "dt_proj.weight": "dt_proj.weight", "dt_proj.bias": "dt_proj.bias", "A_log": "A_log", "D": "D"}  # fmt: skip
SECOND = {**{ours: theirs.replace(".", "_b.") for ours, theirs in FIRST.items()}, "A_log": "A_b_log", "D": "D_b"}


def test_a_bidirectional_mixer_gives_the_published_output():
    published = load_file(KEPT / "dis_mixer.safetensors")  # its input and its output
    published |= {k.removeprefix(BLOCK): v for k, v in fixture("dis_classcond_sigma")[2].items() if k.startswith(BLOCK)}
    state = {f"directions.{k}.{ours}": published[theirs].flatten(1) if ours == "conv_weight" else published[theirs]
             for k, names in enumerate((FIRST, SECOND)) for ours, theirs in names.items()}  # fmt: skip
    mixer = Bimamba(32, 1)
    mixer.load_state_dict(state | {f"{name}.weight": published[f"{name}.weight"] for name in ("in_proj", "out_proj")})
    with torch.no_grad():
        out = mixer(published["input"], None, Grid(1, 1), Condition())
    torch.testing.assert_close(out, published["output"], atol=1e-5, rtol=0)

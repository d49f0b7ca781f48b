"""A block's own table of modulation, where blocks are sharded, recomputed or compiled one by one."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist

from zoo.builder import build
from zoo.train import parallel
from zoo.train.ranks import Ranks

MODULATED = ["backbone.modulation=adaln_single", "backbone.depth=3"]


@pytest.fixture
def backbone(tiny):
    torch.manual_seed(0)
    made = build(tiny(*MODULATED, "backbone.modulation.source=[time,label]"))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def gradients(backbone) -> list[torch.Tensor]:
    """Of every parameter, after the output."""
    chance = torch.Generator().manual_seed(1)
    out = backbone(torch.randn(2, 3, 8, 8, generator=chance), torch.tensor([0.2, 0.7]), torch.tensor([0, 1]))
    out.square().mean().backward()
    whole = [getattr(p.grad, "full_tensor", lambda p=p: p.grad)() for p in backbone.parameters()]
    return [out.detach(), *whole]


@pytest.fixture
def alone():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Ranks(torch.device("cpu"))
    dist.destroy_process_group()


@pytest.mark.parametrize("recompute", ["none", "block"])
def test_a_sharded_block_takes_its_gate_before_its_weights_are_gone(backbone, alone, recompute):
    wanted = gradients(copy.deepcopy(backbone))
    if recompute != "none":
        for block in backbone.blocks:
            block.forward = parallel.recomputed(block.forward, recompute)
    parallel.shard(backbone, alone)
    torch.testing.assert_close(gradients(backbone), wanted)


@pytest.mark.parametrize("mode", ["block", "selective"])
def test_recomputed_blocks_have_the_same_gradients(backbone, mode):
    wanted = gradients(copy.deepcopy(backbone))
    for block in backbone.blocks:
        block.forward = parallel.recomputed(block.forward, mode)
    torch.testing.assert_close(gradients(backbone), wanted)

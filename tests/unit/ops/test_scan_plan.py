"""How a call of the CUDA scan is divided into blocks."""

import pytest
import torch

from zoo.ops.selective_scan import cuda_plan as plan
from zoo.ops.selective_scan.inputs import Inputs

KIB = 1024


def call(sequences, channels, dtype=torch.bfloat16, steps=40):
    u, dt, z = (torch.empty(sequences, steps, channels, dtype=dtype) for _ in range(3))
    B, C = (torch.empty(sequences, steps, 16, dtype=dtype) for _ in range(2))
    return plan.Call(Inputs(u, dt, torch.empty(channels, 16), B, C, None, z, None, None, True, False))


@pytest.fixture
def gpu(monkeypatch):
    def has(processors, shared):
        monkeypatch.setattr(plan, "multiprocessors", lambda device: processors)
        monkeypatch.setattr(plan, "shared_memory", lambda device: shared)

    return has


@pytest.mark.parametrize(("sequences", "channels", "channels_a_block", "consumers"), [
    (128, 1024, 64, 4), (8, 3072, 64, 4), (4, 3072, 32, 4), (8, 1024, 16, 2), (2, 3072, 16, 4), (1, 3072, 16, 4),
    (1, 16, 16, 4),
])  # fmt: skip
def test_the_fuller_the_gpu_the_larger_the_blocks(gpu, sequences, channels, channels_a_block, consumers):
    gpu(132, 227 * KIB)
    shape = plan.forward_shape(call(sequences, channels))
    found = shape.CHANNELS, shape.CHANNELS // 16 * shape.SPLIT
    assert found == (channels_a_block, consumers)


@pytest.mark.parametrize("shared", [99 * KIB, 163 * KIB, 227 * KIB])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sequences", [1, 2, 8, 64, 512])
def test_a_block_fits_into_the_memory_there_is(gpu, sequences, dtype, shared):
    gpu(40, shared)
    c = call(sequences, 256, dtype)
    assert plan.forward_shape(c).shared(c) + plan.STATIC <= shared


@pytest.mark.parametrize(("steps", "tail"), [(32, False), (33, True), (40, True), (41, False)])
def test_a_short_last_tile_is_a_variant_of_its_own(gpu, steps, tail):
    gpu(132, 227 * KIB)
    shape = plan.forward_shape(call(2, 3072, steps=steps))
    assert bool(shape.TAIL) is tail
    assert not plan.forward_shape(call(128, 1024, steps=steps)).TAIL  # tiles of 8 steps

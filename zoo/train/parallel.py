"""How a backbone is run by training: recomputed, compiled, and shared by several processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from zoo.errors import RecipeError
from zoo.ops.add_norm import plain
from zoo.parts.protocols import Condition, Stream
from zoo.train.exchange import Exchange, Marks
from zoo.train.graphed import obstacle
from zoo.train.ranks import Ranks
from zoo.train.settings import Train

DEAR = ("mm", "addmm", "bmm", "baddbmm", "convolution", "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_flash_attention_for_cpu", "selective_scan", "mamba")  # fmt: skip
"""Operators whose results `recompute: selective` keeps."""


class Parallel:
    """A backbone as the training step calls it; its own names, weights and methods stay as they are.

    `ddp`: every process has all weights, and gradients are averaged while they are computed: by torch's own DDP, or, if
    that is a CUDA graph, by `average`. `fsdp`: every process has its part of each weight, gradient and average, and
    blocks are gathered when they run.
    """

    def __init__(self, backbone: nn.Module, settings: Train, ranks: Ranks):
        self.backbone, self.ranks = backbone, ranks
        self.sharded = ranks.size > 1 and settings.parallel == "fsdp"
        captured = ranks.size > 1 and not obstacle(settings, ranks)
        self.exchange = Exchange(from_the_end(backbone), ranks) if captured else None
        if self.sharded and settings.batch % ranks.size:
            raise RecipeError(f"{settings.batch} images cannot be shared evenly by {ranks.size} processes",
                              where="train.batch", fix=f"use a multiple of {ranks.size}, or train.parallel=ddp")
        if settings.recompute != "none":
            for block in blocks_of(backbone):
                block.forward = recomputed(block.forward, settings.recompute)
        if settings.compile:
            compile_blocks(backbone)
        if self.sharded:
            shard(backbone, ranks)

    def network(self) -> Callable[..., Any]:
        """What to call in training; made once weights are where they should be."""
        if self.ranks.size == 1 or self.sharded or self.exchange:
            return self.backbone
        # said of a side of one element, whose stride means nothing
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
        return nn.parallel.DistributedDataParallel(self.backbone, broadcast_buffers=False, gradient_as_bucket_view=True)

    def average(self, marks: Marks) -> None:
        """Gradients become their means over the processes where nothing else has seen to it.

        Args:
            marks: where in the CUDA graph that was launched last they are complete.
        """
        if self.exchange:
            self.exchange(marks)


def quiet(network: Callable[..., Any]) -> AbstractContextManager:
    """Within it, gradients add up in this process alone; only DDP needs to be told."""
    ddp = isinstance(network, nn.parallel.DistributedDataParallel)
    return network.no_sync() if ddp else nullcontext()  # type: ignore[union-attr]


def blocks_of(backbone: nn.Module) -> list[nn.Module]:
    """The units of compilation, recomputation and sharding; a backbone without blocks is one unit."""
    return list(getattr(backbone, "blocks", [backbone]))


def from_the_end(backbone: nn.Module) -> list[nn.Parameter]:
    """Parameters as backward meets them: those of the last block first, then what all blocks share or come after."""
    blocks = [p for block in reversed(blocks_of(backbone)) for p in reversed(list(block.parameters()))]
    return list(dict.fromkeys([*blocks, *backbone.parameters()]))


def compile_blocks(backbone: nn.Module) -> None:
    """Compile each block by itself, which is quick. Only `forward`: hooks of FSDP and of the guard stay outside."""
    limits = torch._dynamo.config  # one for all blocks, which differ in skips, orders and whether a branch is pending
    limits.recompile_limit = max(limits.recompile_limit, 64)
    for block in blocks_of(backbone):
        block.forward = torch.compile(block.forward)


def recomputed(forward: Callable[..., Any], mode: str) -> Callable[..., Any]:
    """A forward whose inside is computed again in backward: all of it (`block`), or what is cheap (`selective`)."""
    choice = {"context_fn": partial(create_selective_checkpoint_contexts, keep_dear)} if mode == "selective" else {}
    # chance: a forward pass draws no random numbers
    return partial(checkpoint, forward, use_reentrant=False, preserve_rng_state=False, **choice)


def keep_dear(context: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Keep what products, attention and scans computed; norms, gates and activations are computed again."""
    kept = op.name().partition("::")[2].partition(".")[0] in DEAR
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def shard(backbone: nn.Module, ranks: Ranks) -> None:
    """FSDP2: each block is a unit, the rest is another. Weights stay float32; autocast chooses what is computed in."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    _teach_trees(Condition)
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for block in blocks_of(backbone):
        if block is not backbone:
            block.forward = closed(block.forward)
            fully_shard(block, mesh=mesh)
    fully_shard(backbone, mesh=mesh, reshard_after_forward=True)  # else averages would meet gathered weights


def closed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A block's forward that hands out its gate as a tensor: half of a sum may be a weight, gone behind the block."""

    def run(*args: Any, **kwargs: Any) -> Any:
        h = forward(*args, **kwargs)
        return h._replace(gate=plain(h.gate)) if isinstance(h, Stream) else h

    return run


def _teach_trees(kind: type[dict]) -> None:
    """Let FSDP see the tensors inside a dict of ours: it must know when the gradients of a block are complete."""
    from torch.utils import _pytree as tree

    if kind not in tree.SUPPORTED_NODES:
        tree.register_pytree_node(kind, lambda d: (list(d.values()), list(d)), lambda v, k: kind(zip(k, v)),
                                  serialized_type_name=kind.__qualname__)

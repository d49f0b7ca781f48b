"""Tensors that are spread over processes (FSDP), and those that are not, through the same functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

from zoo.errors import CheckpointError


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: all of it, or its part; memory is shared."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The complete tensor, in every process; all of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process holds of something shaped and spread like a parameter, as the whole thing; memory is shared."""
    if not isinstance(like, DTensor):
        return tensor
    mesh, places = like.device_mesh, like.placements
    return DTensor.from_local(tensor, mesh, places, shape=like.shape, stride=like.stride())


def room(dtype: torch.dtype, shape: tuple[int, ...], like: Tensor, name: str) -> Tensor:
    """An empty tensor, spread as `like`; one without dimensions is on the host.

    Raises: CheckpointError as `spread`.
    """
    if not shape:
        return torch.empty((), dtype=dtype)
    _check_shape(shape, like, name)
    return torch.empty_like(like.detach(), dtype=dtype)


def spread(tensor: Tensor, like: Tensor, name: str) -> Tensor:
    """A complete tensor as `like` is spread.

    Raises: CheckpointError if it has another shape, and so cannot be cut in the same way.
    """
    if not isinstance(like, DTensor) or tensor.ndim == 0:
        return tensor
    _check_shape(tensor.shape, like, name)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _check_shape(shape: tuple[int, ...], like: Tensor, name: str) -> None:
    if tuple(shape) != tuple(like.shape):
        raise CheckpointError(f"{name} {tuple(shape)} is not shaped like its weight {tuple(like.shape)}",
                              where="train.parallel=fsdp", fix="use train.parallel=ddp with this optimizer")


def everywhere(flag: Tensor, like: Tensor) -> Tensor:
    """A tensor that all processes hold, in a form that may meet `like` in one operator."""
    return DTensor.from_local(flag, like.device_mesh, [Replicate()]) if isinstance(like, DTensor) else flag


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The 2-norm of all tensors together, () float32, the same in every process."""
    return whole(torch.nn.utils.get_total_norm(tensors))

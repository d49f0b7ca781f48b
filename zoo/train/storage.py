"""torch.distributed.checkpoint into one ordinary weights file: each process reads and writes its part of every tensor.

DCP's own storage has an index that is a pickle. Here the header of the weights file is the index: a checkpoint has the
same bytes whoever saved it, and nothing is gathered, as FSDP cuts tensors into rows and rows lie together in a file.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, SavePlan
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from zoo.weights.file import digest, framed, raw, torch_type
from zoo.weights.header import read_header

UNKNOWN = "0" * 64


def save_parts(path: Path, tensors: Mapping[str, Tensor], recipe_yaml: str, card: Mapping[str, Any]) -> None:
    """`save_weights` for tensors that are spread over processes; all of them must ask.

    Raises: in every process what the first one that failed raised, for instance OSError.
    """
    with _failing_together():
        dcp.save(dict(tensors), storage_writer=Writer(path, recipe_yaml, json.dumps(dict(card), sort_keys=True)))


def load_parts(path: Path, into: Mapping[str, Tensor]) -> None:
    """Fill tensors, spread over processes or not, from a weights file of the same names and shapes; all must ask.

    Raises: as `save_parts`; CheckpointError if the file is damaged.
    """
    read_header(path)
    with _failing_together():
        dcp.load(dict(into), storage_reader=Reader(path))


class Writer(dcp.StorageWriter):
    """The coordinator makes room for everything, each process writes its rows, the coordinator adds the checksum."""

    def __init__(self, path: Path, recipe_yaml: str, card_json: str):
        self.path, self.recipe_yaml, self.card_json = path, recipe_yaml, card_json

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Header and room; every process learns where each tensor begins."""
        shapes = {item.index.fqn: torch.empty(item.tensor_data.size, dtype=item.tensor_data.properties.dtype,
                                              device="meta")
                  for plan in plans for item in plan.items if item.tensor_data}  # fmt: skip
        header = self._header(shapes, UNKNOWN)
        entries = json.loads(header[8:])
        starts = {name: len(header) + entries[name]["data_offsets"][0] for name in shapes}
        with self.path.open("wb") as file:
            file.write(header)
            file.truncate(len(header) + sum(raw_bytes(like) for like in shapes.values()))
        return [dataclasses.replace(plan, storage_data=starts) for plan in plans]

    def write_data(self, plan: SavePlan, planner: dcp.SavePlanner) -> Future[list[WriteResult]]:
        """This process's rows of each tensor, one tensor after the other through the host."""
        written = []
        with self.path.open("r+b") as file:
            for item in plan.items:
                assert item.tensor_data is not None  # nothing else is ever in a checkpoint
                rows = planner.resolve_data(item).detach().cpu().contiguous()  # type: ignore[union-attr]
                if rows.shape[1:] != item.tensor_data.size[1:]:
                    raise NotImplementedError(f"{item.index.fqn} is not cut into rows")
                row = raw_bytes(rows[:1]) if rows.ndim else 0
                file.seek(plan.storage_data[item.index.fqn] + row * next(iter(item.tensor_data.chunk.offsets), 0))
                file.write(raw(rows))
                written.append(WriteResult(index=item.index, size_in_bytes=raw_bytes(rows), storage_data=None))
            _sync(file)
        done: Future[list[WriteResult]] = Future()
        done.set_result(written)
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """The digest of what all have written."""
        tensors = load_file(self.path)
        header = self._header(tensors, digest(tensors, self.recipe_yaml, self.card_json))
        with self.path.open("r+b") as file:
            file.write(header)
            _sync(file)

    def _header(self, tensors: Mapping[str, Tensor], sha256: str) -> bytes:
        return framed(tensors, self.recipe_yaml, self.card_json, sha256, str(self.path))

    def reset(self, checkpoint_id: Any = None) -> None:
        """Nothing is kept between two saves."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing to set up."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """As the planner has it."""
        return plan

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """Any path."""
        return True


class Reader(dcp.StorageReader):
    """Each process reads the rows that it needs, however many processes wrote the file."""

    def __init__(self, path: Path):
        self.path = path

    def read_metadata(self, *args: Any) -> Metadata:
        """Every tensor is one whole."""
        found, places = {}, {}
        for name, (kind, shape) in read_header(self.path).shapes.items():
            size, start = torch.Size(shape), torch.Size([0] * len(shape))
            found[name] = TensorStorageMetadata(TensorProperties(torch_type(kind)), size,
                                                [ChunkStorageMetadata(start, size)])  # fmt: skip
            places[MetadataIndex(name, start)] = None
        return Metadata(state_dict_metadata=found, storage_data=places)

    def read_data(self, plan: LoadPlan, planner: dcp.LoadPlanner) -> Future[None]:
        """Rows of the file into rows of tensors."""
        with safe_open(self.path, "pt") as file:
            for item in plan.items:
                name, target = item.storage_index.fqn, planner.resolve_tensor(item)
                where = tuple(slice(a, a + n) for a, n in zip(item.storage_offsets, item.lengths))
                target.detach().copy_(file.get_slice(name)[where] if where else file.get_tensor(name))
                planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def reset(self, checkpoint_id: Any = None) -> None:
        """Nothing is kept between two loads."""

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing to set up."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """As the planner has it."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """As the planner has them."""
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """Any path."""
        return True


def raw_bytes(tensor: Tensor) -> int:
    """How many a tensor takes in a file."""
    return tensor.numel() * tensor.element_size()


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _failing_together() -> Iterator[None]:
    """DCP tells every process what went wrong in any; it is raised as what it is."""
    try:
        yield
    except CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from None

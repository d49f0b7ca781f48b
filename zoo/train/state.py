"""Everything that training changes, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.builder import build_backbone
from zoo.errors import CheckpointError, RecipeError
from zoo.recipe import Recipe
from zoo.train.ema import EMA
from zoo.train.meter import Meter
from zoo.train.parallel import Parallel
from zoo.train.precision import LossScale
from zoo.train.ranks import Ranks
from zoo.train.settings import Train
from zoo.train.shards import room, spread
from zoo.train.storage import load_parts
from zoo.weights.adapt import adapt
from zoo.weights.file import read_weights, torch_type
from zoo.weights.header import read_header
from zoo.weights.load import check_fit, locate

Files = dict[str, dict[str, Tensor]]


@dataclass
class State:
    """A model in training. There is no random state: chance is a function of the seed and of `images`."""

    backbone: nn.Module
    optimizer: Any  # a torch.optim.Optimizer
    emas: list[EMA]
    scale: LossScale
    meter: Meter
    ranks: Ranks
    parallel: Parallel
    batch: int
    micro: int  # images a forward pass of this process
    step: int = 0  # updates done

    def __post_init__(self):
        self.parameters = list(self.backbone.parameters())

    @classmethod
    def start(cls, recipe: Recipe, settings: Train, ranks: Ranks) -> State:
        """Fresh weights, the same on every device."""
        backbone = fresh(recipe, settings.seed).to(ranks.device).train()
        parallel = Parallel(backbone, settings, ranks)
        try:
            optimizer: Any = settings.optimizer(backbone.named_parameters())
        except (ValueError, IndexError) as error:  # the libraries' own limits; too few betas
            raise RecipeError(str(error), where="train.optimizer") from error
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        emas, share = [EMA(backbone, decay) for decay in settings.ema], -(-settings.batch // ranks.size)
        return cls(backbone, optimizer, emas, LossScale(settings.precision, ranks.device), Meter(ranks.device), ranks,
                   parallel, settings.batch, min(settings.micro_batch or share, share))  # fmt: skip

    @property
    def images(self) -> int:
        """Images seen: the one clock."""
        return self.step * self.batch

    def averages_follow(self) -> None:
        """Update every moving average."""
        for ema in self.emas:
            ema.update()

    def files(self) -> Files:
        """The tensors of a checkpoint, by file: `model`, `ema` (the first average), `ema-<decay>`, `optim`.

        Memory is shared. Where FSDP spreads them, each process has its part; else any process has all.
        """
        optim = {name: t.detach() for name, t in self._optimizer_tensors()}
        return {**self._weights(), "optim": optim}

    def _weights(self) -> Files:
        model = {name: t.detach() for name, t in self.backbone.state_dict().items()}
        return {"model": model, **{name: {**model, **e.tensors()} for name, e in zip(self._ema_files(), self.emas)}}

    def scalars(self) -> dict[str, Any]:
        """The numbers of a checkpoint."""
        return {"micro": self.micro, "ranks": self.ranks.size, "scale": self.scale.state(),
                "meter": self.meter.state(), "groups": self._group_numbers()}  # fmt: skip

    def load(self, folder: Path, step: int, scalars: dict[str, Any]) -> None:
        """Continue from a checkpoint that was saved with the same settings.

        Raises: CheckpointError if a file is damaged or belongs to another network.
        """
        optim = folder / "optim.safetensors"
        if self.parallel.sharded:
            for name, tensors in self._weights().items():
                load_parts(folder / f"{name}.safetensors", tensors)
            self._take_optimizer(self._optimizer_parts(optim), optim)
        else:
            model = folder / "model.safetensors"
            self.load_weights(read_weights(model).tensors, str(model))
            for name, ema in zip(self._ema_files(), self.emas):
                ema.load(read_weights(folder / f"{name}.safetensors").tensors)
            self._take_optimizer(read_weights(optim).tensors, optim)
        self.scale.load(scalars["scale"])
        self.meter.load(scalars["meter"])
        self.step = step
        if scalars.get("ranks", 1) == self.ranks.size:
            self.micro = min(scalars["micro"], self.micro)
        for group, numbers in zip(self.optimizer.param_groups, scalars.get("groups", [])):
            group.update({key: _number(value) for key, value in numbers.items()})

    def load_weights(self, tensors: dict[str, Tensor], where: str) -> None:
        """Take over complete weights. Raises: CheckpointError if they do not fit."""
        own = self.backbone.state_dict()
        check_fit(own, tensors, where)
        self.backbone.load_state_dict({name: spread(tensors[name], like, name) for name, like in own.items()})

    def begin_from(self, source: str, recipe: Recipe, seed: int) -> Iterator[str]:
        """Start with the weights of another run, each part adapting its own; yields what became of them, in lines.

        Raises: CheckpointError if there are none.
        """
        try:
            path = locate(source)
            saved = read_weights(path).tensors
        except CheckpointError as error:
            raise CheckpointError(str(error), where="train.init_from",
                                  fix="name a run that has saved; train.init_from=null starts from scratch") from None
        start = fresh(recipe, seed)
        yield from adapt(start, saved).lines()
        self.load_weights(start.state_dict(), str(path))
        for ema in self.emas:
            ema.load(start.state_dict())

    def _ema_files(self) -> list[str]:
        return ["ema", *(f"ema-{ema.decay:g}" for ema in self.emas[1:])][: len(self.emas)]

    def _optimizer_tensors(self):
        """Its state by "key/parameter"; Python's numbers as the only 0-dimensional tensors of 64 bits."""
        for name, parameter in self.backbone.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, (int, float)):
                    value = torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64)
                if value is None:
                    continue
                if not isinstance(value, Tensor):
                    raise CheckpointError(f"{type(self.optimizer).__name__} keeps a {type(value).__name__} as {key!r}",
                                          where="train.optimizer", fix="use another optimizer: this cannot be saved")
                yield f"{key}/{name}", value

    def _group_numbers(self) -> list[dict[str, Any]]:
        """What some optimizers count in their groups; the learning rate is the schedule's."""
        return [{key: _plain(value) for key, value in group.items()
                 if key not in ("lr", "initial_lr") and (type(value) in (int, float) or _is_number(value))}
                for group in self.optimizer.param_groups]  # fmt: skip

    def _take_optimizer(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Each parameter's tensors by its name; the recipe, not the file, has the rates and decays."""
        order = [p for group in self.optimizer.param_groups for p in group["params"]]
        index = {id(p): i for i, p in enumerate(order)}
        names = {name: index[id(p)] for name, p in self.backbone.named_parameters()}
        state: dict[int, dict[str, Tensor | int | float]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            if name not in names:
                raise CheckpointError(f"the optimizer knows no parameter {name!r}", where=str(path))
            state.setdefault(names[name], {})[kind] = _restored(tensor)
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})

    def _optimizer_parts(self, path: Path) -> dict[str, Tensor]:
        """What this process needs of the optimizer's tensors in a file."""
        likes = dict(self.backbone.named_parameters())
        rooms = {}
        for key, (kind, shape) in read_header(path).shapes.items():
            if (name := key.partition("/")[2]) not in likes:
                raise CheckpointError(f"the optimizer knows no parameter {name!r}", where=str(path))
            rooms[key] = room(torch_type(kind), shape, likes[name], key)
        load_parts(path, rooms)
        return rooms


def fresh(recipe: Recipe, seed: int) -> nn.Module:
    """A backbone with the first weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone(recipe)


def _restored(tensor: Tensor) -> Tensor | int | float:
    """A tensor of its own, not a view of the file; or the number that it stands for, see `_optimizer_tensors`."""
    if tensor.ndim == 0 and tensor.dtype in (torch.int64, torch.float64):
        return tensor.item()
    return tensor.clone()


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _plain(value: Any) -> Any:
    """A number for JSON: itself, or {type: value} of a tensor ()."""
    return {str(value.dtype).removeprefix("torch."): value.item()} if _is_number(value) else value


def _number(value: Any) -> Any:
    """What `_plain` was given."""
    return torch.tensor(*value.values(), dtype=getattr(torch, *value)) if isinstance(value, dict) else value

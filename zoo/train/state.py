"""Everything that training changes, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.builder import build_backbone
from zoo.errors import CheckpointError
from zoo.recipe import Recipe
from zoo.train.ema import EMA
from zoo.train.meter import Meter
from zoo.train.precision import LossScale
from zoo.train.settings import Train
from zoo.weights.file import read_weights
from zoo.weights.load import load_strict

Files = dict[str, dict[str, Tensor]]


@dataclass
class State:
    """A model in training. There is no random state: chance is a function of the seed and of `images`."""

    backbone: nn.Module
    optimizer: Any  # a torch.optim.Optimizer
    emas: list[EMA]
    scale: LossScale
    meter: Meter
    batch: int
    micro: int  # images a forward pass
    step: int = 0  # updates done

    def __post_init__(self):
        self.parameters = list(self.backbone.parameters())

    @classmethod
    def start(cls, recipe: Recipe, settings: Train, device: torch.device) -> State:
        """Fresh weights, the same on every device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            backbone = build_backbone(recipe).to(device).train()
        optimizer: Any = settings.optimizer(backbone.named_parameters())
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        emas = [EMA(backbone, decay) for decay in settings.ema]
        return cls(backbone, optimizer, emas, LossScale(settings.precision, device), Meter(device),
                   settings.batch, min(settings.micro_batch or settings.batch, settings.batch))  # fmt: skip

    @property
    def images(self) -> int:
        """Images seen: the one clock."""
        return self.step * self.batch

    def averages_follow(self) -> None:
        """Update every moving average."""
        for ema in self.emas:
            ema.update()

    def files(self) -> Files:
        """The tensors of a checkpoint, by file: `model`, `ema` (the first average), `ema-<decay>`, `optim`."""
        whole = {name: t.detach() for name, t in self.backbone.state_dict().items()}
        averaged = {name: {**whole, **ema.tensors()} for name, ema in zip(self._ema_files(), self.emas)}
        return {"model": whole, **averaged, "optim": dict(self._optimizer_tensors())}

    def scalars(self) -> dict[str, Any]:
        """The numbers of a checkpoint."""
        return {"micro": self.micro, "scale": self.scale.state(), "meter": self.meter.state()}

    def load(self, folder: Path, step: int, scalars: dict[str, Any]) -> None:
        """Continue from a checkpoint that was saved with the same settings.

        Raises: CheckpointError if a file is damaged or belongs to another network.
        """
        model = folder / "model.safetensors"
        load_strict(self.backbone, read_weights(model).tensors, str(model))
        for name, ema in zip(self._ema_files(), self.emas):
            ema.load(read_weights(folder / f"{name}.safetensors").tensors)
        self._load_optimizer(folder / "optim.safetensors")
        self.scale.load(scalars["scale"])
        self.meter.load(scalars["meter"])
        self.step, self.micro = step, min(scalars["micro"], self.micro)

    def _ema_files(self) -> list[str]:
        return ["ema", *(f"ema-{ema.decay:g}" for ema in self.emas[1:])][: len(self.emas)]

    def _optimizer_tensors(self):
        for name, parameter in self.backbone.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                yield f"{key}/{name}", torch.as_tensor(value)

    def _load_optimizer(self, path: Path) -> None:
        """Each parameter's tensors by its name; the recipe, not the file, has the rates and decays."""
        tensors = read_weights(path).tensors
        order = [p for group in self.optimizer.param_groups for p in group["params"]]
        index = {id(p): i for i, p in enumerate(order)}
        names = {name: index[id(p)] for name, p in self.backbone.named_parameters()}
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            if name not in names:
                raise CheckpointError(f"the optimizer knows no parameter {name!r}", where=str(path))
            state.setdefault(names[name], {})[kind] = tensor.clone()  # not a view of the file
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})

"""Forward and backward of a micro-batch as one CUDA graph: the host launches it at once instead of kernel by kernel.

Source: PyTorch's notes on CUDA graphs, whole-network capture.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from zoo.errors import RecipeError
from zoo.train.capture import Recorder, Replay
from zoo.train.exchange import Exchange, Marks
from zoo.train.ranks import Ranks
from zoo.train.settings import Train

WARM = 3
"""Updates that run as usual before anything is captured: they compile, tune, fill caches, and are looked at."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def obstacle(settings: Train, ranks: Ranks) -> str:
    """Why no graph can be made, as far as it is known before the first update, or "".

    Raises: RecipeError if there is a reason, and the recipe insists.
    """
    if settings.cuda_graph is False:
        return "train.cuda_graph=false"
    if ranks.device.type != "cuda":
        return insisted(settings, "graphs need a CUDA device")
    if ranks.size > 1 and settings.parallel == "fsdp":
        return insisted(settings, "parts of weights travel between processes")
    return ""


def insisted(settings: Train, reason: str) -> str:
    """The reason. Raises: RecipeError if the recipe does not allow it."""
    if settings.cuda_graph is True:
        raise RecipeError(f"no CUDA graph: {reason}", where="train.cuda_graph", fix="auto does without one")
    return reason


class Graphed:
    """`graphed(*inputs)` does what `run(*inputs)` does: gradients are added to the parameters', the loss comes back.

    After WARM ordinary updates, each kind of micro-batch that they met is captured once, and from then on replayed on
    inputs that are copied to where the graph reads them. A kind is shapes, and whether there are gradients to add to:
    those of an update's first micro-batch are not added but written, into memory of the graph, which every replay
    makes `.grad` again. What was not met runs as usual. Kernels and their order are those of `run`, so are the bits.

    Args:
        run: tensors, in tuples or dicts -> loss (), detached; it must leave no trace but gradients.
        say: is told, once, why nothing is captured.
        exchange: wants to know where in a graph which gradients are complete (`marks`, of the last call).
        recorder: captures; the CUDA device's own unless given.
    """

    def __init__(self, run: Callable[..., Tensor], backbone: nn.Module, settings: Train, ranks: Ranks,
                 say: Callable[[str], None], exchange: Exchange | None = None, recorder: Any = None):  # fmt: skip
        self.run, self.backbone, self.settings, self.say = run, backbone, settings, say
        self.exchange = exchange
        self.parameters = list(backbone.parameters())
        self.refused = "" if recorder else obstacle(settings, ranks)
        self.recorder = recorder if recorder or self.refused else Recorder(ranks.device)
        self.forget()

    def forget(self) -> None:
        """Give back all graphs and their memory; it begins again with ordinary updates."""
        self.updates, self.met = 0, set[Any]()
        self.inputs: dict[Any, list[Tensor]] = {}
        self.graphs: dict[Any, tuple[Replay, Tensor, Marks]] = {}
        self.marks: Marks = {}
        self.gradients: list[Tensor | None] = []
        self.places: list[int] = []
        if self.recorder:
            self.recorder.reset()

    def make_room(self) -> None:
        """Give the memory back if nothing like it is left for what is not an update."""
        if self.graphs and self.recorder.crowded():
            self.forget()
            torch.cuda.empty_cache()

    @property
    def uncounted(self) -> int:
        """Bytes of a replay that are not among those allocated."""
        return self.recorder.uncounted if self.graphs else 0

    def __call__(self, *inputs: Any) -> Tensor:
        """The loss, (), which the next call may overwrite.

        Raises: RecipeError if nothing can be captured, and the recipe insists; torch.OutOfMemoryError.
        """
        self.marks = {}
        if self.refused:
            return self.run(*inputs)
        leaves, tree = tree_flatten(inputs)
        shapes, first = tuple((leaf.shape, leaf.dtype) for leaf in leaves), all(p.grad is None for p in self.parameters)
        self.updates += first
        if self.updates <= WARM:
            self.met.add((shapes, first))
            return self._warm(inputs)
        if self.graphs and self.places != [p.data_ptr() for p in self.parameters]:
            self.forget()  # somebody gave a parameter other memory
        if (shapes, first) not in self.graphs and not self._capture(shapes, first, leaves, tree):
            return self.run(*inputs)
        torch._foreach_copy_(self.inputs[shapes], leaves)
        replay, loss, self.marks = self.graphs[shapes, first]
        replay()
        if first:
            for parameter, gradient in zip(self.parameters, self.gradients):
                parameter.grad = gradient
        return loss

    def _warm(self, inputs: tuple) -> Tensor:
        with self.recorder.warming() as found:
            loss = self.run(*inputs)
        if found and self.updates == WARM:  # what happened earlier need not happen again
            self._refuse(found[0])
        return loss

    def _capture(self, shapes: Any, first: bool, leaves: list[Tensor], tree: Any) -> bool:
        """Whether there is a graph now."""
        if (shapes, first) not in self.met:
            return False
        if reason := hooked(self.backbone):
            return self._refuse(reason)
        fixed = self.inputs.setdefault(shapes, [leaf.clone() for leaf in leaves])
        try:
            with self.exchange.watched(self.recorder.mark) if self.exchange else nullcontext({}) as marks:
                replay, loss = self.recorder.record(lambda: self.run(*tree_unflatten(fixed, tree)))
            self.graphs[shapes, first] = replay, loss, marks
        except Exception as error:
            if first:
                for parameter in self.parameters:
                    parameter.grad = None
            if not ran_out(error):
                return self._refuse(f"{str(error).splitlines()[0] or type(error).__name__}")
            self.forget()
            if self.settings.micro_batch or len(leaves[0]) == 1:  # nothing smaller to try
                return self._refuse("memory is not enough for one")
            raise torch.OutOfMemoryError(str(error)) from error
        if first:
            self.gradients, self.places = ([p.grad for p in self.parameters], [p.data_ptr() for p in self.parameters])
        return True

    def _refuse(self, reason: str) -> bool:
        """Never try again; False."""
        self.refused = insisted(self.settings, reason)
        self.say(f"no CUDA graph: {reason}")
        self.forget()
        return False


def hooked(backbone: nn.Module) -> str:
    """Why hooks forbid a graph, which would not call them; or ""."""
    for name, module in backbone.named_modules():
        if any(getattr(module, kind) for kind in HOOKS):
            return f"{name or 'the backbone'} has hooks"
    for name, parameter in backbone.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            return f"{name} has hooks"
    return ""


def ran_out(error: BaseException | None) -> bool:
    """Whether memory is behind an error, or behind what led to it."""
    return error is not None and (isinstance(error, torch.OutOfMemoryError) or ran_out(error.__context__))

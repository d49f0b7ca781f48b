"""What a recipe may say under `train:`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from zoo.errors import RecipeError
from zoo.registry import Make, register

if TYPE_CHECKING:
    from zoo.diffusion.protocols import Sampler
    from zoo.loggers.protocol import Logger
    from zoo.train.optimizer.protocol import Optimizer

FREE = (
    "sampler", "guidance", "train.steps", "train.micro_batch", "train.workers", "train.log_every", "train.val_every",
    "train.val_images", "train.preview_every", "train.preview_count", "train.preview_sampler", "train.save_every",
    "train.keep", "train.keep_best", "train.max_minutes", "train.compile", "train.cuda_graph", "train.recompute",
    "train.parallel", "train.loggers",
)  # fmt: skip
"""What a resumed run may change: when to stop, look and save, not what is learned."""


@register("train", "default")
@dataclass(frozen=True, kw_only=True)
class Train:
    """Training: everything is a function of the seed and of the number of images seen."""

    steps: int = 100000  # updates of the weights
    batch: int = 128  # images an update, over all devices
    micro_batch: int = 0  # images a forward pass of one device; 0: its whole share, halved whenever memory runs out
    seed: int = 1234  # of the first weights, the order of the data, flips, noise, times and dropped labels
    init_from: str | None = None  # run, checkpoint, file or hub id whose (averaged) weights are adapted to this model
    optimizer: Make[Optimizer] = "adamw"
    schedule: Literal["constant", "cosine", "inverse_sqrt"] = "constant"  # of the learning rate, after the warm-up
    warmup: int = 0  # updates until the full learning rate; the first of them has rate 0
    ema: list[float] = field(default_factory=lambda: [0.9999])  # decays of averages; the first is sampled from
    clip: float | None = None  # largest norm of the gradient
    label_dropout: float = 0.0  # how often labels are replaced by "no class", for guidance
    flip: bool = False  # mirror every second image
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"  # of matrix products; weights are always float32
    nonfinite: Literal["raise", "skip", "rollback"] = "raise"  # not a number: end, leave out, or back to what was saved
    workers: int = 2  # processes that read images
    log_every: int = 50  # updates between lines of metrics
    val_every: int = 1000  # updates between validations; 0: never
    val_images: int = 1024  # images of the held-out split that are used
    preview_every: int = 5000  # updates between grids of samples; 0: never
    preview_count: int = 36  # images a grid
    preview_sampler: Make[Sampler] | None = None  # None: dpm_solver if it fits the process, else the recipe's own
    save_every: int = 5000  # updates between checkpoints; the end of a run is always saved
    keep: int = 2  # newest checkpoints that stay; 0: all
    keep_best: bool = False  # also the one with the lowest loss on held-out images, where it was measured
    max_minutes: float = 0.0  # stop and save after this time; 0: no limit
    compile: bool = False  # compile the blocks with torch.compile
    cuda_graph: bool | Literal["auto"] = "auto"  # launch forward and backward as a CUDA graph; auto: where it can be
    recompute: Literal["none", "block", "selective"] = "none"  # in backward: all of a block, or its cheap operators
    parallel: Literal["ddp", "fsdp"] = "ddp"  # with several GPUs: copies of the weights, or a part of them on each
    deterministic: bool = False  # the same bits on every run of a GPU, more slowly
    loggers: list[Make[Logger]] = field(default_factory=lambda: ["jsonl", "csv"])  # where metrics go

    def __post_init__(self):
        for name in ("batch", "log_every", "preview_count"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{getattr(self, name)} is too small", where=f"train.{name}", allowed="1 or more")
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and value < 0:
                raise RecipeError(f"{value} is too small", where=f"train.{name}", allowed="0 or more")
        if bad := [d for d in self.ema if not 0 <= d < 1]:
            raise RecipeError(f"decay {bad[0]}", where="train.ema", allowed="numbers from 0 up to, not including, 1")
        if not 0 <= self.label_dropout <= 1:
            raise RecipeError(f"{self.label_dropout}", where="train.label_dropout", allowed="0 to 1")

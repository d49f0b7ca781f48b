"""`evaluate`: figures for a run, a weights file or a folder of pictures, with the protocol behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.eval.collect import SILENT, Share, Watch, default_cache, statistics
from zoo.eval.figures import Figures, open_metrics
from zoo.eval.images import Generated, Images, open_pictures
from zoo.eval.lens import Lens, Wanted
from zoo.eval.reference import Reference, find_reference
from zoo.eval.result import Result, versions
from zoo.eval.tally import Tally
from zoo.recipe import Recipe
from zoo.sampling.api import adjusted, pick_device
from zoo.sampling.generate import Plan, plan
from zoo.sampling.labels import class_counts, trained_labels
from zoo.sampling.size import Size
from zoo.train.precision import configure
from zoo.weights.header import read_header
from zoo.weights.hub import on_hub
from zoo.weights.load import from_pretrained, locate

DEFAULT_COUNT = 1000


@dataclass(frozen=True)
class Request:
    """What is to be measured, and how; see `evaluate`."""

    source: str | Path
    metrics: Sequence[Wanted] = ("fd",)
    extractor: Wanted = "efficientnet_lite0"
    count: int | None = None
    reference: str | Path | Recipe | Reference | None = None
    split: str | None = None
    device: str | None = None
    overrides: Sequence[str] = ()
    batch: int = 64
    seed: int = 0
    ema: bool = True
    precision: str = "fp32"
    size: Size | None = None
    share: Share = (0, 1)
    allow_plugins: bool = False
    cache: Path | None = None


def evaluate(source: str | Path, *, metrics: Sequence[Wanted] = ("fd",), extractor: Wanted = "efficientnet_lite0",
             count: int | None = DEFAULT_COUNT, reference: str | Path | Recipe | Reference | None = None,
             split: str | None = None, out: str | Path | None = None, device: str | None = None,
             overrides: Sequence[str] = (), batch: int = 64, seed: int = 0, ema: bool = True, precision: str = "fp32",
             size: Size | None = None, allow_plugins: bool = False, cache: str | Path | None = None,
             watch: Watch = SILENT) -> Result:  # fmt: skip
    """Figures of a model's images, or of pictures, against a reference.

    Args:
        source: a run or checkpoint folder, a weights file, a hub id; or a folder, zip or npz of pictures.
        metrics: fd, sfd, kd, is, pr, dc, or nodes such as {use: kd, subsets: 10}; also fid, sfid, kid with Inception.
        extractor: efficientnet_lite0, inception, clip, dinov2, a plug-in, or a node with its fields.
        count: images drawn, or the first of the pictures; None is 1,000, or all pictures.
        reference: an npz of statistics or images, a folder or zip of pictures, a recipe, a run or a Reference; None is
            the data set of the model's own recipe.
        split: of that data set, "train" (also for None) or "val".
        out: where `eval.json` is written, a folder or a file; None writes none.
        overrides: settings of sampler, guidance and autoencoder, such as "guidance.scale=2".
        batch: images at a time; it changes figures by rounding alone.
        seed: image i is a function of (seed, i).
        ema: prefer averaged weights where there are any.
        precision: of matrix products of the model: fp32, tf32, bf16 or fp16.
        size: (height, width) of the images in pixels; None is the recipe's, or the pictures' own.
        cache: folder of statistics by content; None is the default one.

    Raises: ZooError and its kin, before anything is drawn, if something is missing or does not fit.
    """
    result = measure(Request(
        source=source, metrics=metrics, extractor=extractor, count=count, reference=reference, split=split,
        device=device, overrides=overrides, batch=batch, seed=seed, ema=ema, precision=precision, size=size,
        allow_plugins=allow_plugins, cache=Path(cache) if cache else None), watch)  # fmt: skip
    assert result is not None  # one share is the whole
    if out:
        result.save(out)
    return result


def measure(asked: Request, watch: Watch = SILENT) -> Result | None:
    """The result; None while the shares of other processes are missing."""
    device = pick_device(asked.device or "auto")
    lens = Lens(asked.extractor, device)
    figures, cache = open_metrics(asked.metrics, lens), asked.cache or default_cache()
    images = open_images(asked)
    source = asked.reference or (images.plan.recipe if isinstance(images, Generated) else None)
    if figures.compare and source is None:
        raise ZooError("nothing to compare these pictures with", where="reference",
                       fix="give statistics (.npz), a folder of pictures, or the recipe whose data set it is")

    def look() -> Reference | None:
        if not figures.compare or source is None:
            return None
        return find_reference(source, asked.split, images.size, lens, figures.reference_needs, batch=asked.batch,
                              share=asked.share, cache=cache, watch=Watch(say=watch.say))  # fmt: skip

    reference = look()
    tally = statistics(images, lens, figures.needs, batch=asked.batch, share=asked.share, cache=cache, watch=watch)
    reference = reference or look()  # other processes may have ended their shares of it meanwhile
    if tally is None or (figures.compare and reference is None):
        return None
    return report(figures, images, tally, reference, asked.batch)


def open_images(asked: Request) -> Images:
    """The images behind the source: a model that draws them, or pictures."""
    path = Path(asked.source)
    if is_model(asked.source):
        return _model(asked)
    if asked.overrides:
        raise ZooError("pictures have no settings", where=str(asked.overrides[0]), fix="leave them out")
    return open_pictures(path, asked.size, asked.count)


def is_model(source: str | Path) -> bool:
    """Whether a source holds weights; a folder without any, a zip and an npz are pictures."""
    path = Path(source)
    if on_hub(source) or not path.is_dir():
        return path.suffix not in (".npz", ".zip")
    return any((path / name).exists() for name in ("checkpoints", "MANIFEST.json", "model.safetensors", "recipe.yaml"))


def _model(asked: Request) -> Generated:
    count = DEFAULT_COUNT if asked.count is None else asked.count
    if count < 2:
        raise ZooError(f"{count} images", where="evaluation", fix="a distribution needs at least 2")
    device, path = pick_device(asked.device or "auto"), locate(str(asked.source), asked.ema)
    configure(device, asked.precision, deterministic=False)
    backbone = from_pretrained(path, device=device, allow_plugins=asked.allow_plugins)
    trained = backbone.recipe
    recipe = adjusted(trained, asked.overrides)  # type: ignore[arg-type]
    weights, card = read_header(path).sha256, getattr(backbone, "card", {})
    model = {"source": str(asked.source), "recipe": trained.hash, "weights": weights,  # type: ignore[union-attr]
             "ema": path.stem.startswith("ema"), "step": card.get("step")}  # fmt: skip
    return drawn_by(plan(backbone, recipe, seed=asked.seed, size=asked.size), count, asked.precision, model)


def drawn_by(planned: Plan, count: int, precision: str, model: dict[str, Any]) -> Generated:
    """The images of a plan; `model` says whose they are."""
    recipe: Recipe = planned.recipe
    labelled = trained_labels(recipe, class_counts(planned.backbone))
    parts = {name: recipe[name] for name in ("sampler", "guidance", "autoencoder")}
    said = {"model": model, **parts, "labels": "all classes in turn" if labelled else "none",
            "seed": planned.seed, "dtype": precision}  # fmt: skip
    identity = {"weights": model["weights"], "recipe": model["recipe"], **parts}
    images = Generated(planned, count, precision, identity, said)
    images.plan.draw(range(0))  # sampler, process and guidance must fit before anything else is done
    return images


def report(figures: Figures, images: Images, tally: Tally, reference: Reference | None, batch: int) -> Result:
    """Figures, protocol and notes."""
    lens = figures.lens
    protocol = {
        "count": len(tally),
        "images": {**images.said, "sha256": tally.pixels},
        **getattr(images, "model", {}),
        "extractor": {**lens.identity, "resize": lens.resize},
        "reference": reference.said if reference else None,
        "metrics": {name: dict(fields) for name, fields in figures.fields.items()},
        "batch": batch,
        "device": lens.device.type,
        "versions": versions(),
    }
    return Result(figures.compute(tally, reference and reference.tally), protocol,
                  list(notes(tally, reference, images)))  # fmt: skip


def notes(tally: Tally, reference: Reference | None, images: Images) -> Iterator[str]:
    """What a reader of the figures should know."""
    for name, count in (("images", len(tally)), ("reference images", reference.said["count"] if reference else None)):
        if count is not None and count <= tally.width:
            yield (f"{count:,} {name} for {tally.width:,} features: a Frechet distance of so few is far too large; "
                   "compare it only with one of the same counts")  # fmt: skip
    size = images.said["size"]
    if reference and reference.said["size"] not in (None, size):
        yield f"the images have {size} pixels, the reference was cut to {reference.said['size']}"

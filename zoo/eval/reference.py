"""What images are compared with: statistics of a data set's split, of a folder, or published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.builder import section
from zoo.errors import DataError, RecipeError
from zoo.eval.collect import SILENT, Share, Watch, default_cache, statistics
from zoo.eval.figures import open_metrics
from zoo.eval.images import Arrays, Images, Split, file_digest, load_array, open_pictures
from zoo.eval.lens import Lens, Wanted
from zoo.eval.tally import Needs, Tally
from zoo.recipe import Recipe, load_recipe
from zoo.sampling.api import pick_device
from zoo.sampling.size import Size


@dataclass(frozen=True)
class Reference:
    """Statistics of real images, and what the protocol says about them; `hash` is that of their pixels or file."""

    tally: Tally
    said: dict[str, Any]

    @property
    def hash(self) -> str:
        """The identity of the images, or of the published file."""
        return self.said["hash"]

    def save(self, path: str | Path) -> None:
        """An npz that other tools read as well: `mu`, `sigma`."""
        self.tally.save(Path(path))


def build_reference(source: str | Path, *, split: str = "train", metrics: Sequence[Wanted] = ("fd",),
                    extractor: Wanted = "efficientnet_lite0", size: Size | None = None, count: int | None = None,
                    out: str | Path | None = None, device: str | None = None, batch: int = 64,
                    cache: Path | None = None, watch: Watch = SILENT) -> Reference:  # fmt: skip
    """Statistics of a recipe's data set, or of a folder, zip or npz of pictures.

    Args:
        metrics: what they must serve; "kd", "pr" and "dc" keep a row an image.
        size: (height, width) to which images are cut; None is the recipe's, or the pictures' own.
        count: at most so many images, spread evenly over the data set.
        out: an npz to write.
        cache: folder of statistics by content; None is the default one.

    Raises: ZooError if there are no images, or the extractor is missing.
    """
    lens = Lens(extractor, pick_device(device or "auto"))
    needs = open_metrics(metrics, lens).needs
    images = images_of(source, split, size, count)
    found = seen(images, lens, needs, batch=batch, cache=cache or default_cache(), watch=watch)
    assert found is not None  # one share is the whole
    if out:
        found.save(out)
    return found


def images_of(source: str | Path | Recipe, split: str | None, size: Size | None, count: int | None = None) -> Images:
    """The real images behind whatever names them."""
    if isinstance(source, Recipe) or is_recipe(source):
        recipe = source if isinstance(source, Recipe) else load_recipe(source)
        if recipe.get("data", None) is None:
            raise RecipeError("this recipe names no data to compare with", where=recipe.name, fix="give a reference")
        return Split(recipe, split or "train", size or pixel_size(recipe), count)
    return open_pictures(Path(source), size, count)


def is_recipe(source: str | Path) -> bool:
    """Whether a name means a recipe: a file .yaml, a run folder, or a name that is no path here."""
    path = Path(source)
    return path.suffix in (".yaml", ".yml") or (path / "recipe.yaml").is_file() or not path.exists()


def pixel_size(recipe: Recipe) -> Size:
    """(height, width) of a recipe's images in pixels."""
    height, width = (side * section(recipe, "autoencoder")().factor for side in recipe["shape"][-2:])
    return height, width


def find_reference(source: str | Path | Recipe | Reference, split: str | None, size: Size, lens: Lens, needs: Needs, *,
                   batch: int = 64, share: Share = (0, 1), cache: Path | None = None,
                   watch: Watch = SILENT) -> Reference | None:  # fmt: skip
    """The reference for images of `size`; None while the shares of other processes are missing.

    Raises: ZooError if statistics are of another extractor, or lack what a metric reads.
    """
    if isinstance(source, Reference):
        return _fitting(source, lens, needs, "reference")
    if not isinstance(source, Recipe) and Path(source).suffix == ".npz":
        loaded = load_reference(Path(source), lens, needs)
        if loaded:
            return loaded
    return seen(images_of(source, split, size), lens, needs, batch=batch, share=share, cache=cache, watch=watch)


def seen(images: Images, lens: Lens, needs: Needs, *, batch: int, share: Share = (0, 1), cache: Path | None,
         watch: Watch = SILENT) -> Reference | None:  # fmt: skip
    """A reference from its images."""
    tally = statistics(images, lens, needs, batch=batch, share=share, cache=cache, watch=watch)
    if tally is None:
        return None
    said = {"split": None, **images.said, "count": len(tally), "hash": tally.pixels}
    tally.meta = {"reference": said, "extractor": {**lens.identity, "resize": lens.resize}}
    return Reference(tally, said)


def load_reference(path: Path, lens: Lens, needs: Needs) -> Reference | None:
    """Statistics from an npz: ours, or published `mu` and `sigma`; None if it holds images alone.

    Raises: DataError if it is unreadable, of another extractor, or lacks what a metric reads.
    """
    tally = Tally.load(path)
    if not tally.needs.streams:
        return None
    said = tally.meta.get("reference")
    if said is None:
        if not lens.standard:
            raise DataError("these statistics do not say what they are of; published ones are Inception's",
                            where=str(path), fix=f"take extractor inception, or build those of {lens.name} with "
                            "zoo-data stats")  # fmt: skip
        said = {"kind": "published", "source": str(path), "split": None, "count": None, "size": None,
                "resize": "unknown", "rounding": "unknown", "hash": file_digest(path)}  # fmt: skip
        tally = _with_rows(tally, path, lens, needs)
    return _fitting(Reference(tally, said), lens, needs, str(path))


def _with_rows(tally: Tally, path: Path, lens: Lens, needs: Needs) -> Tally:
    """Published statistics with a row for each image that the same file publishes, where a metric reads rows."""
    if not needs.rows:
        return tally
    try:
        load_array(path)
    except DataError:
        return tally
    rows = statistics(Arrays(path), lens, Needs(rows=needs.rows), cache=default_cache())
    assert rows is not None
    rows.given, rows.needs = tally.given, Needs(tally.needs.moments, needs.rows)
    return rows


def _fitting(reference: Reference, lens: Lens, needs: Needs, where: str) -> Reference:
    tally, made_by = reference.tally, reference.tally.meta.get("extractor")
    if made_by and made_by["sha256"] != lens.sha256:
        raise DataError(f"these statistics are of extractor {made_by['name']} {made_by['sha256'][:8]}, not of "
                        f"{lens.name} {lens.sha256[:8]}", where=where, fix="build them with zoo-data stats")
    if not tally.needs.covers(needs):
        lacking = sorted({f"mean and covariance of {s}" for s in needs.moments - tally.needs.moments}
                         | {f"{s} of each image" for s in needs.rows - tally.needs.rows})  # fmt: skip
        raise DataError(f"these statistics lack {' and '.join(lacking)}", where=where,
                        fix="build them with zoo-data stats --metrics, naming the same metrics")
    return reference

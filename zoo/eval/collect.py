"""One pass over images: draw or read, look through the extractor, keep statistics; shared, stored and resumed.

Images are taken in chunks of one batch. A chunk is always drawn and seen as a whole, by whichever process, so that
any number of processes gives the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zoo.data.places import data_folder
from zoo.errors import DataError, ZooError
from zoo.eval.clips import check_kind
from zoo.eval.images import Images
from zoo.eval.lens import Lens
from zoo.eval.tally import Needs, Tally

Share = tuple[int, int]
SAVE_EVERY = 60.0
"""Seconds between the files from which an interrupted pass goes on."""
PART = re.compile(r"part-(\d+)-of-(\d+)\.npz")


@dataclass(frozen=True)
class Watch:
    """Who hears of every step of a sampler, of every image and of what is worth a line, and may ask to stop."""

    step: Callable[[int, int, Tensor], None] = lambda i, n, x: None
    image: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda text: None
    stopped: Callable[[], bool] = lambda: False


SILENT = Watch()

def statistics(images: Images, lens: Lens, needs: Needs, *, batch: int = 64, share: Share = (0, 1),
               cache: Path | None = None, watch: Watch = SILENT) -> Tally | None:  # fmt: skip
    """What is kept of all the images; None while the shares of other processes are missing.

    Args:
        share: (index, of how many); this process's part.
        cache: folder of statistics by content; None keeps nothing.

    Raises: ZooError if the images cannot be drawn or read, or the extractor lacks a stream.
    """
    check_share(share, batch)
    check_kind(needs.streams, images.frames)
    if cache is None:
        return collect(images, lens, needs, batch=batch, share=share, watch=watch)
    place = cache / key_of(images, lens, batch)
    if whole := assembled(place, needs, len(images), batch):
        watch.say(f"found the statistics of these {len(images):,} images in {place}")
        return whole
    said = [str(images.said[key]) for key in ("kind", "source", "split") if images.said.get(key)]
    watch.say(f"looking at {len(images):,} images: {' '.join(said)}")
    collect(images, lens, needs, batch=batch, share=share, watch=watch, path=place / _name(share))
    return assembled(place, needs, len(images), batch)


def collect(images: Images, lens: Lens, needs: Needs, *, batch: int, share: Share = (0, 1), watch: Watch = SILENT,
            path: Path | None = None) -> Tally:  # fmt: skip
    """The statistics of one share; with a path it goes on from what is there, and saves on the way."""
    check_kind(needs.streams, images.frames)
    tally, saved = _resumed(path, needs, watch), time.monotonic()
    starts = chunks(len(images), batch, share)
    try:
        for start in starts:
            numbers = range(start, min(start + batch, len(images)))
            if len(tally) >= numbers[-1] + 1 - starts[0]:
                continue
            if watch.stopped():
                break
            pixels = images.read(numbers, watch.step)
            tally.add(numbers, pixels, lens(pixels, tally.needs.streams))
            for _ in numbers:
                watch.image()
            if path and time.monotonic() - saved > SAVE_EVERY:
                tally.save(path)
                saved = time.monotonic()
    finally:
        if path and len(tally):
            tally.save(path)
    return tally


def chunks(total: int, batch: int, share: Share) -> range:
    """The first images of the chunks of one share."""
    index, of = share
    count = -(-total // batch)
    return range(count * index // of * batch, min(count * (index + 1) // of * batch, total), batch)


def assembled(place: Path, needs: Needs, total: int, batch: int) -> Tally | None:
    """The statistics of all images if the files of all shares, of whatever number, are there and complete."""
    found: dict[int, dict[int, Path]] = defaultdict(dict)
    for file in place.glob("part-*.npz"):
        if match := PART.fullmatch(file.name):
            found[int(match[2])][int(match[1])] = file
    for of, files in sorted(found.items()):
        if len(files) == of:
            parts = [_loaded(files[i]) for i in range(of)]
            whole = [part for part in parts if part is not None and (part.needs.covers(needs) or not len(part))]
            if len(whole) == of and sum(map(len, whole)) == total:
                kept = [part for part in whole if len(part)]
                return kept[0].merge(kept[1:])
    return None


def key_of(images: Images, lens: Lens, batch: int) -> str:
    """A name for the statistics of these images through this extractor."""
    facts = {"images": images.identity, "count": len(images), "extractor": lens.identity, "batch": batch}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def default_cache() -> Path:
    """Where statistics are kept; the folder may be deleted at any time."""
    return data_folder() / "eval"


def own_share() -> Share:
    """This process's share under torchrun; everything elsewhere."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def check_share(share: Share, batch: int) -> None:
    """Raises: ZooError for a share or a batch that cannot be."""
    if not 0 <= share[0] < share[1]:
        raise ZooError(f"share {share[0]}/{share[1]}", where="evaluation", allowed="0/N to N-1/N")
    if batch < 1:
        raise ZooError(f"batch {batch}", where="evaluation", fix="give at least 1")


def _resumed(path: Path | None, needs: Needs, watch: Watch) -> Tally:
    found = _loaded(path) if path and path.exists() else None
    if found is None:
        return Tally(needs)
    if found.needs.covers(needs):
        watch.say(f"goes on behind {len(found):,} images")
        return found
    return Tally(needs | found.needs)  # so that two requests do not undo each other


def _loaded(path: Path) -> Tally | None:
    """A part; None if it is damaged: then it is made anew."""
    try:
        return Tally.load(path)
    except DataError:
        return None


def _name(share: Share) -> str:
    return f"part-{share[0]:03d}-of-{share[1]:03d}.npz"

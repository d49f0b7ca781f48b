"""`zoo-data encode`: images and clips to latents."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from zoo.data.encode import Encoder, Request
    from zoo.data.protocols import Split
    from zoo.recipe import Recipe

EXAMPLES = """\
examples:
  zoo-data encode dim_h_imagenet256 autoencoder=kl data="{use: folder, path: imagenet/train}" --out latents/imagenet256
  zoo-data encode my.yaml --out latents/mine --gpus 8            shards are shared by eight processes
  zoo-data encode my.yaml --out latents/mine --split train --no-flips --float32
  zoo-data encode bidim_b_video data="{use: clips, path: UCF-101, stride: 2}" --out latents/ucf101 --shard 64 --batch 4

then train on them with
  zoo-train dim_h_imagenet256 autoencoder=kl data="{use: latents, path: latents/imagenet256}" train.flip=true
  zoo-train bidim_b_video data.path=latents/ucf101

Images and frames are cut to the recipe's size. Stopped or killed, the same command goes on with the next shard.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-data encode."""
    p = argparse.ArgumentParser("zoo-data encode", description="Encode images or clips by the recipe's autoencoder.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe", help="name of a shipped recipe, a .yaml file or a run folder")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of the recipe, dotted")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the latents")
    p.add_argument("--split", choices=("train", "val"), help="one of them (default both)")
    p.add_argument("--no-flips", action="store_true", help="store no mirrored copies")
    p.add_argument("--float32", action="store_true", help="twice as large as the default float16")
    p.add_argument("--shard", type=int, default=1024, metavar="N", help="images or clips a file (default 1024)")
    p.add_argument("--batch", type=int, default=32, metavar="N", help="of them at a time (default 32)")
    p.add_argument("--workers", type=int, default=4, metavar="N", help="threads that read them (default 4)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    p.add_argument("--gpus", type=int, default=1, metavar="N", help="processes to start, one a GPU; -1 for all")
    return p


def encode(argv: Sequence[str]) -> int:
    """Parse, start the processes if there are to be several, and encode. Raises: ZooError."""
    args = parser().parse_intermixed_args(argv)
    from zoo.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.settings)
    from zoo.data.encode import Request
    from zoo.sampling.api import pick_device
    from zoo.train.launch import gpus, launch
    from zoo.train.ranks import joined
    from zoo.train.stop import Stop

    if (processes := gpus(args.gpus, args.device)) > 1:
        return launch("zoo.cli.data", ["encode", *argv], processes)
    request = Request(args.out, (args.split,) if args.split else ("train", "val"), not args.no_flips,
                      "float32" if args.float32 else "float16", args.shard, args.batch, args.workers)
    with joined(pick_device(args.device)) as ranks, Stop() as stop:
        encoder = encoder_of(recipe, request, ranks.device)
        whole = encoder.run(ranks.share, stop)
        if ranks.any(not whole):
            print(f"stopped by {stop.reason or 'another process'}; the same command goes on")
            return 0
        done = ranks.on_first(lambda: finish(encoder))
    if ranks.first:
        print(f"{done} in {args.out}")
    return 0


def finish(encoder: Encoder) -> str:
    """Write the index; what there is now, in words. Raises: DataError if a shard is missing."""
    from zoo.data.latent_files import things

    index = encoder.finish()
    return f"{index['images']:,} {things(index)}"


def encoder_of(recipe: Recipe, request: Request, device: torch.device) -> Encoder:
    """What encodes the images or clips of a recipe. Raises: RecipeError if it names none; DataError."""
    from zoo.builder import section
    from zoo.data.encode import Encoder
    from zoo.errors import RecipeError

    if recipe.get("data", None) is None:
        raise RecipeError("this recipe names no images", where=recipe.name, fix="data={use: folder, path: pictures}")
    autoencoder = section(recipe, "autoencoder")()
    *frames, _, height, width = recipe["shape"]
    size = (*frames, height * autoencoder.factor, width * autoencoder.factor)
    datasets: dict[Split, Any] = {split: section(recipe, "data")(size, split) for split in request.splits}
    return Encoder(autoencoder, recipe["autoencoder"], datasets, recipe["shape"], request, device)

"""zoo-train: train a recipe in a run folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.cli.entry import command

if TYPE_CHECKING:
    from zoo.recipe import Recipe

EXAMPLES = """examples:
  zoo-train dim_s_cifar                                    into runs/dim_s_cifar
  zoo-train dim_s_cifar train.batch=64 backbone.scan=two_way --out runs/two_way
  zoo-train my.yaml --dry-run                              size, kernels and data; trains nothing
  zoo-train my.yaml --explain train.optimizer.lr           the value, and the file and line that set it
  zoo-train my.yaml --resume --max-minutes 55              continue if there is something to continue
  zoo-train runs/a --out runs/a --resume train.steps=200000   train a finished run for longer
  zoo-train dim_h_imagenet256 --gpus 8 train.parallel=fsdp    eight processes, each with a part of the weights
  srun zoo-train dim_h_imagenet256                            also under torchrun or SLURM, on several machines

Ctrl-C finishes the update, saves and exits with 0; a second one exits at once. --resume then continues as if
nothing had happened: every number is a function of the seed and of the images seen.
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of zoo-train."""
    p = argparse.ArgumentParser("zoo-train", description="Train a diffusion backbone from a recipe.", epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe", help="name of a shipped recipe, a .yaml file or a run folder")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of the recipe, dotted")
    p.add_argument("--out", type=Path, metavar="DIR", help="run folder (default runs/NAME)")
    p.add_argument("--resume", action="store_true", help="continue the run in that folder, if there is one")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    p.add_argument("--gpus", type=int, default=1, metavar="N", help="processes to start, one a GPU; -1 for all")
    p.add_argument("--max-minutes", type=float, default=0.0, metavar="M", help="stop and save after this time")
    p.add_argument("--explain", metavar="KEY", help="say where a setting comes from, and stop")
    p.add_argument("--dry-run", action="store_true", help="say what would be trained, and stop")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Parse, then explain, plan or train."""
    args = parser().parse_intermixed_args(argv)
    from zoo.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.settings)
    if args.explain is not None:
        print(recipe.explain(args.explain))
        return 0
    from zoo.train.launch import gpus, launch
    from zoo.train.loop import rehearse, train

    if args.dry_run:
        print(*rehearse(recipe, args.device), sep="\n")
        return 0
    if (processes := gpus(args.gpus, args.device)) > 1:
        return launch("zoo.cli.train", sys.argv[1:] if argv is None else argv, processes)
    folder = args.out or run_folder(recipe)
    ended = train(recipe, folder, resume=args.resume, device=args.device, max_minutes=args.max_minutes)
    if ended:
        print(ended)
    return 0


def run_folder(recipe: Recipe) -> Path:
    """Where a recipe trains unless told: the run folder it comes from, else runs/NAME."""
    if recipe.path is not None and recipe.path.name == "recipe.yaml":
        return recipe.path.parent
    return Path("runs") / recipe.name


if __name__ == "__main__":
    raise SystemExit(main())

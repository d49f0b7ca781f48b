"""`zoo-sample`: draw images from a run or a weights file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.cli.entry import command

EXAMPLES = """\
examples:
  zoo-sample runs/a -n 64 --out samples/a                  newest checkpoint, averaged weights, classes in turn
  zoo-sample runs/a --classes cat,ship --seed 1            only these classes, by name or number
  zoo-sample runs/a --size 32x48                           height x width in pixels
  zoo-sample runs/a sampler.steps=50 guidance.scale=2      another sampler setting, stronger guidance
  zoo-sample runs/a/checkpoints/step-00012000 --raw        one checkpoint, weights without averaging
  zoo-sample runs/clips --classes left,bounce --format mp4   videos: GIF, or MP4 and WebM with the extra `video`
  zoo-sample hf-hub:org/name --batch 16                    weights from the hub

Image i depends on the seed, i and its class only: -n 100 later adds to -n 64, and a stopped command goes on
where it was. A folder that holds other samples is left alone.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-sample."""
    p = argparse.ArgumentParser("zoo-sample", description="Draw images from a trained backbone.", epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", help="run folder, checkpoint folder, .safetensors file or hf-hub:org/name")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of sampler, guidance and autoencoder")
    p.add_argument("-n", type=int, default=64, metavar="N", help="images (default 64)")
    p.add_argument("--seed", type=int, default=0, help="default 0")
    p.add_argument("--classes", metavar="A,B", help="names, numbers or label=class, in turn (default: all)")
    p.add_argument("--size", metavar="HxW", help="height x width in pixels (default: the recipe's)")
    p.add_argument("--out", type=Path, default=Path("samples"), metavar="DIR", help="default samples")
    p.add_argument("--format", metavar="F", help="of videos: gif (default), mp4 or webm")
    p.add_argument("--fps", type=float, metavar="N", help="frames a second of videos (default 8)")
    p.add_argument("--batch", type=int, default=64, metavar="N", help="images at a time (default 64)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    p.add_argument("--raw", action="store_true", help="the trained weights, not their moving average")
    p.add_argument("--allow-plugins", action="store_true", help="run plug-ins that the weights name: others' code")
    return p


@command
def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_intermixed_args(argv)
    from zoo.sampling.fill import Request, fill

    fill(Request(source=args.source, images=args.n, out=args.out, seed=args.seed, size=args.size,
                 classes=args.classes.split(",") if args.classes else None, batch=args.batch, device=args.device,
                 ema=not args.raw, settings=args.settings, allow_plugins=args.allow_plugins, format=args.format,
                 fps=args.fps))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""`zoo-sample`: draw images from a run or a weights file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.cli.entry import command

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")  # those of zoo.ops.precision, which would import torch

EXAMPLES = """\
examples:
  zoo-sample runs/a -n 64 --out samples/a                  newest checkpoint, averaged weights, classes in turn
  zoo-sample runs/a --classes cat,ship,0..3 --class-grids  only these classes, by name, number or range
  zoo-sample runs/a --size 32x48                           height x width in pixels
  zoo-sample runs/a --size 1024x1536 guidance.use=upsample  twice as high and wide as it was trained, or more
  zoo-sample runs/a --preset picture                       settings that the recipe names
  zoo-sample runs/a sampler.steps=50 guidance.scale=2      another sampler setting, stronger guidance
  zoo-sample runs/a/checkpoints/step-00012000 --raw        one checkpoint, weights without averaging
  zoo-sample runs/clips --classes left,bounce --format mp4   videos: GIF, or MP4 and WebM with the extra `video`
  zoo-sample hf-hub:org/name --batch 16                    weights from the hub
  zoo-sample runs/a -n 50000 --out fid.npz --gpus 8        arr_0 (N,[T,]H,W,C) uint8, labels; 8 processes

Image i depends on the seed, i and its class only: -n 100 later adds to -n 64, and a stopped command goes on
where it was, with any number of processes. Samples that were made otherwise are left alone. On a cluster,
run it under torchrun, or give --shard 0/8 ... 7/8 to eight jobs: the last to end makes the pictures.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-sample."""
    p = argparse.ArgumentParser("zoo-sample", description="Draw images from a trained backbone.", epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", help="run folder, checkpoint folder, .safetensors file or hf-hub:org/name")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of sampler, guidance and autoencoder")
    p.add_argument("-n", type=int, default=64, metavar="N", help="images (default 64)")
    p.add_argument("--seed", type=int, default=0, help="default 0")
    p.add_argument("--classes", metavar="A,B", help="names, numbers, ranges or label=class, in turn (default: all)")
    p.add_argument("--class-grids", action="store_true", help="a grid for each class as well")
    p.add_argument("--size", metavar="HxW", help="height x width in pixels (default: the recipe's)")
    p.add_argument("--preset", metavar="NAME", help="settings under presets: in the recipe, such as fid or picture")
    p.add_argument("--out", type=Path, default=Path("samples"), metavar="PATH", help="folder, or file.npz (samples)")
    p.add_argument("--format", metavar="F", help="of videos: gif (default), mp4 or webm")
    p.add_argument("--fps", type=float, metavar="N", help="frames a second of videos (default 8)")
    p.add_argument("--batch", type=int, default=64, metavar="N", help="images at a time (default 64)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    p.add_argument("--precision", default="auto", choices=("auto", *PRECISIONS),
                   help="of matrix products (auto: on a GPU that of training, else fp32)")
    p.add_argument("--gpus", type=int, default=1, metavar="N", help="processes, a GPU each (default 1)")
    p.add_argument("--shard", metavar="I/N", help="draw only the I-th of N shares, I from 0")
    p.add_argument("--raw", action="store_true", help="the trained weights, not their moving average")
    p.add_argument("--allow-plugins", action="store_true", help="run plug-ins that the weights name: others' code")
    return p


@command
def main(argv: Sequence[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_intermixed_args(argv)
    if args.gpus != 1:
        from zoo.sampling.ranks import run_ranks

        print(run_ranks(argv, args.gpus, args.n, args.out, args.device))
        return
    from zoo.sampling.fill import Request, fill
    from zoo.sampling.work import parse_shard

    print(fill(Request(
        source=args.source, images=args.n, out=args.out, seed=args.seed, size=args.size, preset=args.preset,
        classes=args.classes.split(",") if args.classes else None, class_grids=args.class_grids, batch=args.batch,
        device=args.device, precision=args.precision, ema=not args.raw, settings=args.settings,
        allow_plugins=args.allow_plugins, shard=parse_shard(args.shard), format=args.format, fps=args.fps,
    )))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""`zoo-data stats`: statistics of real images for zoo-eval, with a hash of their content."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """\
examples:
  zoo-data stats dim_s_cifar --out cifar10-train.npz                      the training images of a recipe's data set
  zoo-data stats dim_s_cifar --extractor inception --metrics fid,kid,pr --out cifar10-inception.npz
  zoo-data stats pictures/ --size 64 --out pictures.npz                   a folder, zip or npz of pictures

The file has the usual `mu` and `sigma`, and says what they are of. kd, pr and dc keep a row an image.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-data stats."""
    p = argparse.ArgumentParser("zoo-data stats", description="Statistics of real images, to compare others with.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", help="recipe, run folder; or folder, zip or npz of pictures")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of the extractor")
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .npz to write")
    p.add_argument("--split", choices=("train", "val"), default="train", help="of a recipe's data (default train)")
    p.add_argument("--metrics", default="fd", metavar="A,B", help="which they must serve (default fd)")
    p.add_argument("--extractor", metavar="NAME", help="default efficientnet_lite0; zoo-list extractor shows all")
    p.add_argument("--size", metavar="HxW", help="cut to height x width (default: the recipe's, or as they are)")
    p.add_argument("-n", type=int, metavar="N", help="at most so many images, spread evenly (default all)")
    p.add_argument("--batch", type=int, default=64, metavar="N", help="images at a time (default 64)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    p.add_argument("--plugin", action="append", default=[], metavar="FILE", help="your extractors and metrics")
    return p


def stats(argv: Sequence[str] | None = None) -> int:
    """Build the statistics and say what they are of. Raises: ZooError."""
    args = parser().parse_intermixed_args(argv)
    from zoo.cli.eval import split_settings
    from zoo.errors import ZooError
    from zoo.eval.collect import Watch
    from zoo.eval.reference import build_reference
    from zoo.registry import add_plugin
    from zoo.sampling.size import parse_size

    if args.out.suffix != ".npz":
        raise ZooError(f"--out {args.out}", allowed="a file .npz")
    for file in args.plugin:
        add_plugin(Path(file))
    extractor, others = split_settings(args.extractor, args.settings)
    if others:
        raise ZooError(f"{others[0]!r} is no setting of the extractor", allowed=["extractor.*"])
    made = build_reference(args.source, split=args.split, metrics=args.metrics.split(","), extractor=extractor,
                           size=parse_size(args.size) if args.size else None, count=args.n, out=args.out,
                           device=args.device, batch=args.batch,
                           watch=Watch(say=lambda text: print(text, file=sys.stderr)))  # fmt: skip
    said = made.said
    split = f" {said['split']}" if said["split"] else ""
    print(f"{said['count']:,} images {said['size']} of {said['source']}{split}, hash {made.hash[:16]}; {args.out}")
    return 0

"""`zoo-eval`: figures of merit with the protocol behind them, and whether two of them may be compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.cli.entry import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.eval.api import Request

EXAMPLES = """\
examples:
  zoo-eval runs/a                                          1,000 images against the training images, offline extractor
  zoo-eval runs/a -n 50000 --extractor inception --metrics fid,sfid,kid,is,pr,dc
  zoo-eval runs/a extractor=inception extractor.weights=weights-inception.pth --reference fid_stats_cifar10.npz
  zoo-eval samples/a --reference cifar10/test              pictures against pictures
  zoo-eval runs/a --sweep guidance.scale=1..4:0.25         a table and sweep.svg
  zoo-eval runs/a -n 50000 --shard 0/4                     one of four processes; torchrun says it by itself
  zoo-eval compare runs/a/eval.json runs/b/eval.json       may these figures be compared? exit code 1 if not

Figures are FID only with Inception's features; others say whose they are, such as FD-efficientnet_lite0. Statistics
are kept by content: the same request answers at once, an interrupted one goes on where it was.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-eval."""
    p = argparse.ArgumentParser("zoo-eval", description="Measure a model's images, or pictures.", epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", help="run, checkpoint or weights file; folder, zip or npz of pictures; or `compare`")
    p.add_argument("settings", nargs="*", metavar="key=value",
                   help="settings of sampler, guidance, autoencoder and extractor")
    p.add_argument("-n", type=int, metavar="N", help="images (default 1000 drawn, or all pictures)")
    p.add_argument("--metrics", default="fd", metavar="A,B", help="fd sfd kd is pr dc, or fid sfid kid (default fd)")
    p.add_argument("--extractor", metavar="NAME", help="default efficientnet_lite0; zoo-list extractor shows all")
    p.add_argument("--reference", metavar="R", help="npz, pictures, recipe or run (default: the model's own data)")
    p.add_argument("--split", choices=("train", "val"), help="of the reference's data set (default train)")
    p.add_argument("--size", metavar="HxW", help="height x width in pixels (default: the recipe's)")
    p.add_argument("--seed", type=int, default=0, help="default 0")
    p.add_argument("--batch", type=int, default=64, metavar="N", help="images at a time (default 64)")
    p.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16"), help="default fp32")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    p.add_argument("--raw", action="store_true", help="the trained weights, not their moving average")
    p.add_argument("--sweep", metavar="KEY=A..B:STEP", help="evaluate at every value; also KEY=a,b,c")
    p.add_argument("--shard", metavar="I/N", help="this process's share; whichever ends last writes the result")
    p.add_argument("--out", type=Path, metavar="PATH", help="eval.json, or the folder of a sweep (default: in the run)")
    p.add_argument("--plugin", action="append", default=[], metavar="FILE", help="your extractors and metrics")
    p.add_argument("--allow-plugins", action="store_true", help="run plug-ins that the weights name: others' code")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare, sweep or evaluate."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["compare"]:
        return comparison(given[1:])
    args = parser().parse_intermixed_args(given)
    from zoo.cli.evaluation import run

    run(request(args), sweep=args.sweep, out=args.out)
    return 0


def request(args: argparse.Namespace) -> Request:
    """What was asked for."""
    from zoo.eval.api import Request
    from zoo.eval.collect import own_share
    from zoo.registry import add_plugin
    from zoo.sampling.size import parse_size

    for file in args.plugin:
        add_plugin(Path(file))
    extractor, settings = split_settings(args.extractor, args.settings)
    return Request(
        source=args.source, metrics=[name.strip() for name in args.metrics.split(",") if name.strip()],
        extractor=extractor, count=args.n, reference=args.reference, split=args.split, device=args.device,
        overrides=settings, batch=args.batch, seed=args.seed, ema=not args.raw, precision=args.precision,
        size=parse_size(args.size) if args.size else None, allow_plugins=args.allow_plugins,
        share=parse_share(args.shard) if args.shard else own_share())  # fmt: skip


def split_settings(name: str | None, settings: Sequence[str]) -> tuple[dict, list[str]]:
    """(extractor node, the other settings)."""
    from zoo.recipe.node import plain
    from zoo.recipe.yaml import parse_value

    node, others = {"use": name or "efficientnet_lite0"}, []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key == "extractor" and equals:
            node["use"] = value
        elif key.startswith("extractor.") and equals:
            node[key.removeprefix("extractor.")] = plain(parse_value(value, setting))
        else:
            others.append(setting)
    return node, others


def parse_share(text: str) -> tuple[int, int]:
    """ "0/4" -> (0, 4)."""
    first, slash, last = text.partition("/")
    if not (slash and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise ZooError(f"--shard {text}", allowed="0/N to N-1/N", fix="write for instance 0/4")
    return int(first), int(last)


def comparison(argv: Sequence[str]) -> int:
    """`zoo-eval compare A B`; 1 if the figures may not be compared."""
    p = argparse.ArgumentParser("zoo-eval compare", description="Say why two figures are or are not comparable.")
    p.add_argument("ours", metavar="A", help="eval.json, or a folder that holds one")
    p.add_argument("theirs", metavar="B", help="another")
    p.add_argument("--json", action="store_true", help="print JSON")
    args = p.parse_args(argv)
    from zoo.cli.evaluation import show_comparison

    return show_comparison(args.ours, args.theirs, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())

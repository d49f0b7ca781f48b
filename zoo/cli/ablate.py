"""`zoo-ablate`: what each part of a recipe is worth."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.cli.entry import command

EXAMPLES = """\
examples:
  zoo-ablate --drop padding_tokens                             DiM-S on CIFAR-10, with and without
  zoo-ablate dim_s_cifar --drop long_skip --drop enhancer      names of the recipe, or slots that may be none
  zoo-ablate quickstart --drop long_skip+padding_tokens        one row without both
  zoo-ablate dim_s_cifar --set backbone.scan.use=two_way --set two_way backbone.depth=13
  zoo-ablate dim_s_cifar --table 4 --seeds 3 --max-images 4000000
  zoo-ablate quickstart --sweep padding --plan                 a row for each part of a shelf; what it would cost
  zoo-ablate quickstart --drop long_skip --set two_way --grid  every combination
  zoo-ablate runs/a sampler.steps=20 --sweep sampler           rows that only draw otherwise share their weights

Rows differ in nothing else: they share seeds, data order and noise. A stopped study goes on with the same command;
finished rows stay. The folder gets results.json, table.md, table.csv, study.png and samples.png.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-ablate."""
    p = argparse.ArgumentParser("zoo-ablate", description="Train and compare a recipe with and without its parts.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe", nargs="?", default="dim_s_cifar", help="name, file or run folder (default dim_s_cifar)")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of every row")
    rows = p.add_argument_group("rows")
    rows.add_argument("--drop", action="append", default=[], metavar="NAME", help="a row without this; A+B: both")
    rows.add_argument("--set", action="append", default=[], nargs="+", metavar="key=value",
                      help="a row with these settings, or with a name of the recipe's `ablate:`")
    rows.add_argument("--table", metavar="N", help="the rows of the paper's table, beside its figures (4 or 6)")
    rows.add_argument("--sweep", action="append", default=[], metavar="SHELF",
                      help="a row for each part of a shelf, and each form of it")
    rows.add_argument("--grid", action="store_true", help="every combination of these rows")
    rows.add_argument("--match-params", action="store_true", help="widen or narrow rows to equal parameters")
    run = p.add_argument_group("training and measuring")
    run.add_argument("--seeds", type=int, default=1, metavar="K", help="training seeds a row (default 1)")
    run.add_argument("--max-images", type=int, default=0, metavar="N",
                     help="shorten every run, warm-up and averages in proportion")
    run.add_argument("--metrics", default="fd", metavar="A,B", help="of samples (default fd); none: loss alone")
    run.add_argument("--extractor", default="efficientnet_lite0", metavar="NAME", help="default efficientnet_lite0")
    run.add_argument("--reference", metavar="FILE", help="reference statistics (default: from the recipe's data)")
    run.add_argument("--count", type=int, default=1000, metavar="N", help="samples measured (default 1000)")
    run.add_argument("--draws", type=int, default=2, metavar="J", help="times that they are drawn anew (default 2)")
    run.add_argument("--shown", type=int, default=16, metavar="N", help="samples a row in the picture (default 16)")
    run.add_argument("--scale", type=int, action="append", default=[], metavar="M",
                     help="also show samples at M times the training size (default 2 with --table 6)")
    run.add_argument("--out", type=Path, metavar="DIR", help="default runs/ablate-RECIPE")
    run.add_argument("--device", default="auto", help="auto: all GPUs, a row each; or cpu, cuda:1, cuda:0,cuda:1")
    run.add_argument("--plan", action="store_true", help="show rows, sizes, time and memory, and stop")
    p.add_argument("--task", type=Path, help=argparse.SUPPRESS)  # zoo-ablate starts itself so, once a device
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    args = parser().parse_intermixed_args(given)
    from zoo.cli import ablation as session

    if args.task:
        return session.work(args.task, args.device)
    study, left_out = session.study_of(args, shlex.join(["zoo-ablate", *given]))
    session.introduce(study, left_out)
    if args.plan:
        session.show_plan(study, args.device)
        return 0
    return session.run(study, args.device)


if __name__ == "__main__":
    sys.exit(main())

"""`zoo-list`: what parts and recipes there are."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo import registry
from zoo.cli.entry import command
from zoo.cli.listing import answer, citation
from zoo.cli.starter import write_starter
from zoo.cli.table import show, show_json
from zoo.recipe import json_schema, load_recipe

EXAMPLES = """\
examples:
  zoo-list                                all kinds of parts, and the recipes
  zoo-list mixer                          the mixers, a line each
  zoo-list mixer mamba                    what a recipe may set on it
  zoo-list recipes 'dim_*' --long         with parameters and multiply-adds
  zoo-list skip --long                    with what each costs in one recipe
  zoo-list '*mamba*' --json               by name, over all kinds, for a program
  zoo-list --copy dim_s_cifar mine.yaml   a recipe of your own to change
  zoo-list --schema > zoo.schema.json     for completion in an editor
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-list."""
    p = argparse.ArgumentParser("zoo-list", description="Show the parts and the recipes that there are.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("words", nargs="*", metavar="KIND [PART]",
                   help="a kind and a part or pattern; `recipes` and a pattern; a pattern over everything")
    p.add_argument("--long", action="store_true",
                   help="recipes, or the parts of a slot, with their sizes (builds each, without memory)")
    p.add_argument("--json", action="store_true", help="print JSON")
    only = p.add_mutually_exclusive_group()
    only.add_argument("--schema", action="store_true", help="print the JSON schema of recipes")
    only.add_argument("--copy", nargs=2, metavar=("RECIPE", "FILE"), help="write a recipe that extends RECIPE")
    only.add_argument("--cite", metavar="RECIPE", help="print the paper of a recipe")
    return p


@command
def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if len(args.words) > 2:
        parser().error("give at most a kind and a part")
    if args.schema:
        print(json.dumps(json_schema(), indent=2))
    elif args.copy:
        write_starter(args.copy[0], Path(args.copy[1]))
    elif args.cite:
        print(citation(load_recipe(args.cite)))
    else:
        tables = answer(args.words, long=args.long)
        show_json(tables) if args.json else show(tables)
    for problem in registry.problems:
        print(f"warning: plug-in {problem}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

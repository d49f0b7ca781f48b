"""`zoo-data`: what happens to images before training."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from zoo.cli.entry import command
from zoo.errors import ZooError

COMMANDS = {
    "encode": "images or clips to latents, once, so that training needs no autoencoder",
    "check": "sizes, classes and files that cannot be read",
    "stats": "statistics of real images, which samples are compared with",
}
HELP = """usage: zoo-data {{{names}}} ...

{commands}

`zoo-data COMMAND --help` has examples, for instance
  zoo-data check pictures/
  zoo-data encode dim_h_imagenet256 autoencoder=kl data="{{use: folder, path: pictures}}" --out latents/mine
"""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Hand over to the module of the subcommand, `zoo.cli.data_<name>`; the others are not imported."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in ("-h", "--help"):
        rows = "\n".join(f"  {key:<8} {text}" for key, text in COMMANDS.items())
        print(HELP.format(names=",".join(COMMANDS), commands=rows), end="")
        return 0
    if name not in COMMANDS:
        raise ZooError(f"there is no {name!r}", where="zoo-data", allowed=COMMANDS, given=name)
    return getattr(importlib.import_module(f"zoo.cli.data_{name}"), name)(rest)


if __name__ == "__main__":
    raise SystemExit(main())

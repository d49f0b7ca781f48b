"""`zoo-doctor`: what this machine and this installation can do, and how to mend what they cannot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from zoo.cli.entry import command
from zoo.cli.table import Table, show, show_json

EXAMPLES = """\
examples:
  zoo-doctor                   a table; the last column is a command that mends or adds the line
  zoo-doctor --json            the same for programs
  zoo-doctor | grep ' broken'  plain lines in a pipe

ok works; warn works, but at a cost; absent is optional; broken is required, and makes the exit code 1.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-doctor."""
    p = argparse.ArgumentParser("zoo-doctor", description="Look at the installation.", epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--json", action="store_true", help="print JSON")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from zoo.cli.checks import examine

    checks = list(examine())
    rows = [(c.name, c.status, c.detail, c.fix) for c in checks]
    table = Table(key="checks", title="zoo-doctor", columns=("name", "status", "detail", "fix"), rows=rows)
    show_json([table]) if args.json else show([table])
    return int(any(c.status == "broken" for c in checks))


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Commit new loss curves of the shipped recipes; what changed them must be said.

    python tools/refresh_goldens.py "times are drawn stratified now"
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "unit" / "train"


def main(argv: list[str]) -> int:
    """Train each recipe for 20 updates and write the file."""
    if len(argv) != 1 or not argv[0].strip():
        print(__doc__, file=sys.stderr)
        return 2
    sys.path[:0] = [str(FOLDER), str(FOLDER.parents[2])]
    from test_train_numbers import CURVES, RECIPES, golden_run

    before = json.loads(CURVES.read_text()) if CURVES.exists() else {"reasons": []}
    with tempfile.TemporaryDirectory() as folder:
        curves = {name: golden_run(name, Path(folder) / name) for name in RECIPES}
    CURVES.write_text(json.dumps({"reasons": [*before["reasons"], argv[0]], "curves": curves}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

#!/usr/bin/env bash
# Make .venv with the pinned set; `setup.sh test` adds what the tests need. Does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:-}"
python="${PYTHON:-python3}"
stamp=".venv/.ready${extra:+-$extra}"
want="$(cat pyproject.toml tools/constraints.txt | sha256sum | cut -d' ' -f1)"
for made in "$stamp" .venv/.ready-test; do # what the tests need includes all else
  [ -f "$made" ] && [ "$(cat "$made")" = "$want" ] && exit 0
done
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; set PYTHON=" >&2; exit 2; }
echo "Installing the pinned set into .venv ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
  -c tools/constraints.txt -e ".${extra:+[$extra]}"
echo "$want" > "$stamp"

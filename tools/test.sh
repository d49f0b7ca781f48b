#!/usr/bin/env bash
# Run the tests in the same environment as the quickstart; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh test
exec .venv/bin/python -m pytest "$@"

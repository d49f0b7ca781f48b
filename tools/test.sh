#!/usr/bin/env bash
# Run the tests in the same environment as the quickstart; arguments go to pytest, but --full: every trial of the long ones.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ "${1:-}" == --full ]]; then
  export ZOO_TEST_FULL=1
  shift
fi
bash tools/setup.sh test
unset PYTHONDONTWRITEBYTECODE # pip compiled nothing, and the tests start dozens of processes that import torch
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # processes, not threads
exec .venv/bin/python -m pytest -n "${WORKERS:-2}" --dist worksteal "$@" # neighbours stay together, for what they share

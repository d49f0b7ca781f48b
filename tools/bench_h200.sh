#!/usr/bin/env bash
# Every benchmark of docs/benchmarks.md on one GPU, within eight minutes on an H200; OUT= and PYTHON= may be set.
# Most wanted first. A part that runs out of its minutes leaves the rest out and writes what it has.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python="${PYTHON:-python3}"
out="${OUT:-docs/results}"
status=0
bench() {
  echo "== zoo-bench $*"
  SECONDS=0
  "$python" -m zoo.cli.bench "$@" --out "$out" || { status=1; echo "== failed: zoo-bench $*"; }
  echo "== $SECONDS s"
}
bench ops --max-minutes 0.8                                             # operators against the bound
bench --res 256..1536 --max-minutes 3                                   # Figure 3, a point every 64 pixels
bench train uvit_s_cifar dim_s_cifar mamba_s_cifar --batch 128 --compile --max-minutes 1.3
bench ops --versus attention --max-minutes 0.5
bench --res 512..1536:512 --compile --max-minutes 1.3 --name compiled   # every form, torch.compile too
"$python" tools/bench_page.py --results "$out" --page "${PAGE:-docs/benchmarks.md}" || status=1
exit "$status"

#!/usr/bin/env bash
# Every benchmark of docs/benchmarks.md on one GPU, within twelve minutes on an H200; OUT= and PYTHON= may be set.
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
images="bidim_xl_imagenet256 backbone.depth=52 dit_xl2_imagenet256 --labels bidirectional,DiT --detail none"
videos="bidim_xl_video backbone.depth=52 dit_xl2_imagenet256 backbone.position=sincos_space_time"
bench $images --res 256,512,768,1024,1536,2048 --max-minutes 0.8 --name bidim-res        # linear in tokens?
bench $videos --labels bidirectional,DiT --detail none --frames 4,8,16,32,64 --res 256 --max-minutes 0.8 --name bidim-frames
bench $images --res 512,1024,1536,2048,3072 --backward --max-minutes 0.7 --name bidim-res-backward
bench $images --res 512,1024,1536,2048 --attention math --max-minutes 0.6 --name bidim-res-math
"$python" tools/bench_page.py --results "$out" --page "${PAGE:-docs/benchmarks.md}" || status=1
exit "$status"

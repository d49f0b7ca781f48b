#!/usr/bin/env bash
# From nothing to a trained model: .venv, a small DiM on emoji, pictures in runs/quickstart.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh
unset PYTHONDONTWRITEBYTECODE # pip compiled nothing: what the first command compiles, the next ones keep
out="${OUT:-runs/quickstart}"
resume=(); [ -d "$out/checkpoints" ] && resume=(--resume)
.venv/bin/zoo-train quickstart --out "$out" "${resume[@]}" "$@"
rm -rf "$out/final" # of an earlier run, which this one may have continued
.venv/bin/zoo-sample "$out" -n 64 --out "$out/final"
cat <<EOF

Done. Look at:
  $out/loss.png            the loss curve
  $out/samples/strip.png   samples over time
  $out/final/grid.png      64 samples of the final model
Next:
  .venv/bin/zoo-sample $out -n 16 --classes flags --seed 1 --out $out/flags
  .venv/bin/zoo-train quickstart --out runs/no-pads backbone.padding=none     # an ablation is one override
  .venv/bin/zoo-list recipes
EOF

"""`zoo-convert`: published checkpoints in, published checkpoints out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.cli.entry import command
from zoo.errors import ZooError

EXAMPLES = """\
examples:
  zoo-convert DiT-XL-2-256x256.pt dit_xl2/                          family and size are told by names and shapes
  zoo-convert imagenet256_uvit_huge.pth uvit_h/ --recipe uvit_h_imagenet256   with its process and sampler
  zoo-convert nnet_ema.pth mine.safetensors num_heads=16 img_size=64          hints: what shapes cannot tell
  zoo-convert runs/a back.pt --to dit                               a run of ours for published code
  zoo-convert --hints zigma                                         the hints that a family knows

What is written reads with zoo-sample and zoo.from_pretrained. Pickles are read as tensors only; what else they hold
is never run.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-convert."""
    p = argparse.ArgumentParser("zoo-convert", description="Convert published checkpoints to ours, and back.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", nargs="?", help=".pt, .pth or .safetensors as published; with --to, weights of ours")
    p.add_argument("out", nargs="?", type=Path, help="a folder, or a .safetensors file; with --to, also .pt or .pth")
    p.add_argument("hints", nargs="*", metavar="hint=value", help="published settings that shapes do not tell")
    p.add_argument("--from", dest="family", metavar="FAMILY", help="dim, u-vit, dit, dis, zigma (default: by names)")
    p.add_argument("--to", metavar="FAMILY", help="write under this family's published names")
    p.add_argument("--recipe", help="the recipe that trained the weights: brings process and sampler")
    p.add_argument("--raw", action="store_true", help="the trained weights, not their moving average")
    p.add_argument("--hints", dest="about", metavar="FAMILY", help="list the hints of a family and stop")
    return p


@command
def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_intermixed_args(argv)
    if args.about:
        return _list_hints(args.about)
    if not args.source or not args.out:
        raise ZooError("give what to convert and where to write", fix="zoo-convert --help has examples")
    if args.to:
        return _export(args)
    _import(args)


def _import(args: argparse.Namespace) -> None:
    from zoo.interop import family_of, load_official, read_official
    from zoo.interop.official import module_of
    from zoo.weights.file import save_weights
    from zoo.weights.load import save_pretrained

    hints = dict(map(_hint, args.hints))
    state = read_official(args.source, ema=not args.raw)
    family = args.family or family_of(state)
    for name in hints.keys() - (known := module_of(family).HINTS).keys():
        raise ZooError(f"{family} knows no hint {name!r}", allowed=known, given=name)
    backbone = load_official(family, state, args.recipe, **hints)
    card = {"family": family, "converted from": Path(args.source).name}
    if args.out.suffix == ".safetensors":
        save_weights(args.out, backbone.state_dict(), backbone.recipe.to_yaml(), card)
    else:
        save_pretrained(backbone, args.out, card=card)
    print(f"{family}, {sum(p.numel() for p in backbone.parameters()):,} parameters: {args.out}")


def _export(args: argparse.Namespace) -> None:
    from zoo.interop import save_official, to_official
    from zoo.weights.load import from_pretrained

    if args.hints or args.recipe or args.family:
        raise ZooError("--to takes no hints, --from or --recipe: the weights bring their recipe")
    tensors, settings = to_official(args.to, from_pretrained(args.source, ema=not args.raw))
    save_official(args.out, tensors)
    print(f"{args.to}, {len(tensors)} tensors: {args.out}")
    print("build the published model with", ", ".join(f"{k}={v}" for k, v in settings.items()))


def _list_hints(family: str) -> None:
    from zoo.interop.official import module_of

    for name, meaning in module_of(family).HINTS.items():
        print(f"{name:24} {meaning}")


def _hint(text: str) -> tuple[str, Any]:
    """"num_heads=16" -> ("num_heads", 16)."""
    import yaml

    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ZooError(f"{text!r} is no hint", fix="write name=value, for instance num_heads=16")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ZooError(f"{text!r} is no hint", fix="write a number, a word or a list such as [32,48]") from None


if __name__ == "__main__":
    sys.exit(main())

"""`zoo-bench`: how fast, how large, and where the time goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.entry import command

if TYPE_CHECKING:
    import torch

EXAMPLES = """\
examples:
  zoo-bench --res 256..1536                           DiM, U-ViT and plain Mamba: one denoising step at each size
  zoo-bench --res 256..1536:256 --compile             with torch.compile among the forms
  zoo-bench dim_s_cifar dim_s_cifar backbone.scan=raster --res 256,512      any recipes, each with its own settings
  zoo-bench --frames 4..64 my_video.yaml              along the frames of a video
  zoo-bench bidim_xl_imagenet256 backbone.depth=52 dit_xl2_imagenet256 --labels ours,DiT --res 256..2048:256 --backward
                                                      with gradients, up to where memory ends: that is a result
  zoo-bench train dim_s_cifar uvit_s_cifar --batch 32,128                   one update of training
  zoo-bench ops                                       every operator, every backend
  zoo-bench ops --versus attention                    one scan, one attention at equal tokens and width

It prints tables and writes JSON and pictures to --out. Times are the best of three medians, all networks in turn in
each. On a GPU the three have 0.9 billion parameters, bf16; on a CPU 50 million, fp32, and sizes whose estimate is above
--limit minutes are listed as skipped.
"""
FORMAT = argparse.RawDescriptionHelpFormatter
TOKENS = {"cuda": "256,512,1024,2048,4096,8192,16384", "cpu": "128,256,512,1024,2048"}
WIDTH = {"cuda": 1536, "cpu": 128}
BATCHES = {"cuda": "128", "cpu": "8"}
STEP = {"cuda": 64, "cpu": 256}  # pixels between sizes of a range that names no step


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-bench without a word in front."""
    p = argparse.ArgumentParser("zoo-bench", description="Measure one denoising step; or `train`, or `ops`.",
                                epilog=EXAMPLES, formatter_class=FORMAT)  # fmt: skip
    p.add_argument("recipes", nargs="*", metavar="RECIPE [key=value]", help="default: the three of Figure 3")
    p.add_argument("--res", default="256..1536", metavar="A..B", help="pixels a side (default 256..1536)")
    p.add_argument("--frames", metavar="A..B", help="frames of a video, at the first size of --res")
    p.add_argument("--detail", metavar="A..B", help="sizes to measure in every form and to profile, or none "
                                                    "(default: multiples of 256; all of --frames)")
    p.add_argument("--compile", action="store_true", help="measure torch.compile too, where there is detail")
    p.add_argument("--batch", type=int, default=2, metavar="N", help="images (default 2)")
    p.add_argument("--labels", default="", metavar="A,B", help="names of the networks (default: recipes and settings)")
    p.add_argument("--backward", action="store_true", help="the gradients too, as training needs them")
    p.add_argument("--attention", choices=["cudnn", "flash", "math"],
                   help="of softmax attention; math holds all scores in memory (default: torch's choice)")
    p.add_argument("--limit", type=float, default=5.0, metavar="M", help="minutes a size may take (default 5)")
    return _common(p)


def train_parser() -> argparse.ArgumentParser:
    """The command line of zoo-bench train."""
    p = argparse.ArgumentParser("zoo-bench train", description="Measure one update of training, on made-up images.",
                                epilog="example:\n  zoo-bench train dim_s_cifar --batch 32,128 --compile",
                                formatter_class=FORMAT)  # fmt: skip
    p.add_argument("recipes", nargs="*", metavar="RECIPE [key=value]", help="default: the S size of each")
    p.add_argument("--batch", metavar="A,B", help="images an update (default 128 on a GPU, 8 on a CPU)")
    p.add_argument("--compile", action="store_true", help="measure compiled blocks too; graphs are, on a GPU")
    return _common(p, dtype=False)


def ops_parser() -> argparse.ArgumentParser:
    """The command line of zoo-bench ops."""
    p = argparse.ArgumentParser("zoo-bench ops", description="Measure operators against every installed backend.",
                                epilog="example:\n  zoo-bench ops --backends cuda,mamba_ssm", formatter_class=FORMAT)
    p.add_argument("--backends", default="", metavar="A,B", help="only these (default all)")
    p.add_argument("--versus", choices=["attention"], help="one scan against one attention instead")
    p.add_argument("--tokens", metavar="A,B", help="for --versus (default 256..16384 on a GPU, 128..2048 on a CPU)")
    p.add_argument("--width", type=int, metavar="N", help="for --versus (default 1536 on a GPU, 128 on a CPU)")
    p.add_argument("--batch", type=int, default=2, metavar="N", help="for --versus (default 2)")
    return _common(p)


def _common(p: argparse.ArgumentParser, *, dtype: bool = True) -> argparse.ArgumentParser:
    if dtype:
        p.add_argument("--dtype", choices=["bf16", "fp16", "fp32"], help="default bf16 on a GPU, fp32 on a CPU")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default auto)")
    p.add_argument("--max-minutes", type=float, default=0.0, metavar="M", help="leave out what is not reached by then")
    p.add_argument("--out", type=Path, default=Path("bench"), metavar="DIR", help="default bench")
    p.add_argument("--name", help="in the names of the files (default: the device)")
    p.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return p


@command
def main(argv: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    modes = {"train": (train_parser, train), "ops": (ops_parser, operators)}
    parse, work = modes.get(words[0], (parser, steps)) if words else (parser, steps)
    args = parse().parse_intermixed_args(words[work is not steps :])
    import torch

    from zoo.sampling.api import pick_device

    device = pick_device(args.device)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    publish(work(args, device), args, device)


def steps(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One denoising step over a sweep."""
    from zoo.bench.contestant import CPU_TRIO, GPU_TRIO, contestants
    from zoo.bench.points import by_frames, by_resolution
    from zoo.bench.ranges import numbers
    from zoo.bench.steps import Options, sweep

    positive(args.batch, "--batch")
    names = [name for name in args.labels.split(",") if name]
    who = contestants(args.recipes, names) or [*(GPU_TRIO if device.type == "cuda" else CPU_TRIO)]
    sizes = numbers(args.res, of(STEP, device), "--res")
    counts = numbers(args.frames, 4, "--frames") if args.frames else []
    points = by_frames(counts, sizes[0]) if counts else by_resolution(sizes)
    usual = counts or [size for size in sizes if size % 256 == 0] or sizes
    detail = usual if args.detail is None else []
    if args.detail not in (None, "none"):
        detail = numbers(args.detail, 256, "--detail")
    return sweep(who, points, Options(
        device=device, dtype=args.dtype or of({"cuda": "bf16", "cpu": "fp32"}, device), batch=args.batch,
        axis="frames" if counts else "resolution", limit=60 * args.limit, detail=detail, compiled=args.compile,
        minutes=args.max_minutes, backward=args.backward, attention=args.attention,
    ), say)  # fmt: skip


def train(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One update of training."""
    from zoo.bench.contestant import CPU_TRIO, contestants
    from zoo.bench.ranges import numbers
    from zoo.bench.training import train_bench

    batches = numbers(args.batch or of(BATCHES, device), 1, "--batch")
    who = contestants(args.recipes) or [*CPU_TRIO]
    return train_bench(who, batches, device, compiled=args.compile, minutes=args.max_minutes, say=say)


def operators(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Operators against backends, or one scan against attention."""
    from zoo.bench.contestant import DTYPES
    from zoo.bench.op_cases import CPU_CASES, GPU_CASES
    from zoo.bench.operators import bench
    from zoo.bench.ranges import numbers
    from zoo.bench.versus import against_attention

    dtype = DTYPES[args.dtype or of({"cuda": "bf16", "cpu": "fp32"}, device)]
    if args.versus:
        tokens = numbers(args.tokens or of(TOKENS, device), 1024, "--tokens")
        width = of(WIDTH, device) if args.width is None else positive(args.width, "--width")
        return against_attention(tokens, width, positive(args.batch, "--batch"), device, dtype, args.max_minutes, say)
    cases = GPU_CASES if device.type == "cuda" else CPU_CASES
    return bench(cases, device, dtype, [name for name in args.backends.split(",") if name], args.max_minutes, say)


def publish(result: dict[str, Any], args: argparse.Namespace, device: torch.device) -> None:
    """Tables or JSON on the screen, JSON and pictures in the folder."""
    from zoo.bench.machine import slug
    from zoo.bench.pictures import draw
    from zoo.bench.results import as_text, save
    from zoo.bench.tables import conditions, tables
    from zoo.cli.table import Table, show

    name = args.name or slug(device)
    paths = [save(result, args.out, name), *draw(result, args.out, name)]
    if args.json:
        print(as_text(result), end="")
    else:
        show([Table(*table) for table in tables(result)])
        print(f"\n{conditions(result)}")
    say(f"written: {', '.join(map(str, paths))}")


def of(choices: dict[str, Any], device: torch.device) -> Any:
    """What a kind of device has by default; others are like a CPU."""
    return choices.get(device.type, choices["cpu"])


def positive(value: int, where: str) -> int:
    """Raises: ZooError unless the value is 1 or more."""
    from zoo.errors import ZooError

    if value < 1:
        raise ZooError(f"{value} is too small", where=where, allowed="1 or more")
    return value


def say(line: str) -> None:
    """Progress, beside what is printed."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

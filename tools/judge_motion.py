"""How often a model's videos show the class that was asked for, as a small classifier of real clips sees it.

    python tools/judge_motion.py runs/bidim_tiny_emoji_video -n 200

The classifier learns on the training split of the recipe's data and is checked on the held-out one.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.builder import section
from zoo.data.loader import batches, val_batches
from zoo.data.transform import to_float
from zoo.errors import ZooError
from zoo.recipe import Recipe
from zoo.sampling.api import pick_device
from zoo.sampling.generate import generate
from zoo.sampling.labels import class_counts, in_turn
from zoo.weights.load import from_pretrained


def classifier(frames: int, channels: int, classes: int, width: int = 32) -> nn.Sequential:
    """A network from clips (B,T,C,H,W) to classes: frames are channels, so that the first layer sees motion."""
    return nn.Sequential(
        nn.Flatten(1, 2), nn.Conv2d(frames * channels, width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * width, classes),
    )  # fmt: skip


def learned(recipe: Recipe, label: str, steps: int, batch: int = 32, seed: int = 0,
            device: str | torch.device = "cpu") -> tuple[nn.Module, Tensor]:  # fmt: skip
    """A classifier of real clips by `label`, and how many held-out clips of each class (row) it takes for which."""
    frames, channels, height, width = recipe["shape"]
    train, held_out = (section(recipe, "data")((frames, height, width), split) for split in ("train", "val"))
    torch.manual_seed(seed)
    count = len(train.classes[label])
    network = classifier(frames, channels, count).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _, part in zip(range(steps), batches(train, seed=seed, batch=batch, device=torch.device(device))):
        loss = F.cross_entropy(network(part.images), part.labels[label])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    table = torch.zeros(count, count, dtype=torch.int64)
    for part in val_batches(held_out, batch=64, device=torch.device(device)):
        table += confusion(part.labels[label], seen_as(network, part.images), count)
    return network, table


def confusion(asked: Tensor, seen: Tensor, count: int) -> Tensor:
    """How often each class (row) was taken for each (column), (count,count)."""
    return (asked * count + seen).bincount(minlength=count**2).view(count, count).cpu()


@torch.no_grad()
def seen_as(network: nn.Module, clips: Tensor) -> Tensor:
    """The class (B,) that the network sees in clips (B,T,C,H,W) in [-1, 1]."""
    return network(clips).argmax(1)


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("source", help="run folder or weights file of a model of videos with one label")
    p.add_argument("-n", type=int, default=200, help="videos (default 200)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--steps", type=int, default=400, help="of the classifier (default 400)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default auto)")
    args = p.parse_args()
    device = pick_device(args.device)
    backbone = from_pretrained(args.source, device=device)
    recipe, counts = backbone.recipe, class_counts(backbone)
    if len(recipe["shape"]) != 4 or recipe["shape"][1] not in (1, 3) or len(counts) != 1:
        raise ZooError("this is for models of videos in pixels with one label", where=args.source)
    ((label, count),) = counts.items()
    network, real = learned(recipe, label, args.steps, device=device)
    asked = in_turn({label: range(count)}, range(args.n))
    clips = [clip for _, clip in generate(backbone, recipe, range(args.n), seed=args.seed, labels=asked,
                                          batch=args.batch)]  # fmt: skip
    seen = seen_as(network, to_float(torch.from_numpy(np.stack(clips)).to(device))).cpu()
    names = section(recipe, "data").func.known_classes(recipe["data"])[label]
    say("real, held out", names, real)
    say("samples", names, confusion(asked[label], seen, count))


def say(title: str, names: list[str], table: Tensor) -> None:
    """A confusion in lines: how often the classifier saw each class as itself, and as which others."""
    for name, row in zip(names, table.tolist()):
        i = names.index(name)
        others = "".join(f", {n} {names[k]}" for k, n in enumerate(row) if n and k != i)
        print(f"{title}: {name:>16} {row[i]} of {sum(row)}{others}")
    print(f"{title}: {table.diagonal().sum() / table.sum():.1%} of {table.sum()} seen as what they are asked to be")


if __name__ == "__main__":
    main()

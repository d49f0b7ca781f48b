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


def learned(recipe: Recipe, label: str, steps: int, batch: int = 32, seed: int = 0) -> tuple[nn.Module, float]:
    """A classifier of real clips by `label`, and its accuracy on the held-out ones."""
    frames, channels, height, width = recipe["shape"]
    train, held_out = (section(recipe, "data")((frames, height, width), split) for split in ("train", "val"))
    torch.manual_seed(seed)
    network = classifier(frames, channels, len(train.classes[label]))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _, part in zip(range(steps), batches(train, seed=seed, batch=batch)):
        loss = F.cross_entropy(network(part.images), part.labels[label])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    real = [seen_as(network, part.images) == part.labels[label] for part in val_batches(held_out, batch=64)]
    return network, torch.cat(real).float().mean().item()


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
    args = p.parse_args()
    backbone = from_pretrained(args.source)
    recipe, counts = backbone.recipe, class_counts(backbone)
    if len(recipe["shape"]) != 4 or recipe["shape"][1] not in (1, 3) or len(counts) != 1:
        raise ZooError("this is for models of videos in pixels with one label", where=args.source)
    ((label, count),) = counts.items()
    network, accuracy = learned(recipe, label, args.steps)
    asked = in_turn({label: range(count)}, range(args.n))
    clips = [clip for _, clip in generate(backbone, recipe, range(args.n), seed=args.seed, labels=asked,
                                          batch=args.batch)]  # fmt: skip
    seen = seen_as(network, to_float(torch.from_numpy(np.stack(clips))))
    names = section(recipe, "data").func.known_classes(recipe["data"])[label]
    print(f"classifier: {accuracy:.1%} of held-out real clips")
    for i, name in enumerate(names):
        mine = seen[asked[label] == i]
        others = ", ".join(f"{names[k]} {n}" for k, n in enumerate(mine.bincount(minlength=count).tolist()) if n)
        print(f"{name:>10}: {(mine == i).float().mean():.0%} of {len(mine)} ({others})")
    print(f"samples that show what was asked for: {(seen == asked[label]).float().mean():.1%} of {args.n}")


if __name__ == "__main__":
    main()

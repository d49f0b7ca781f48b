"""A number that a part cannot have is one line that says so, never a traceback, whichever part and field it is."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from zoo.builder import section, summary
from zoo.errors import ZooError
from zoo.recipe import load_recipe
from zoo.recipe.layers import recipes
from zoo.recipe.yaml import inline

BUILT = ("backbone", "process", "sampler", "loss", "time", "train")
STRANGE = {bool: (True, False), int: (0, -1, 1, 3, 7), type(None): (0, -1, 3),
           float: (0.0, -1.0, 2.5, math.nan, math.inf)}  # fmt: skip


def fields(node: Any, path: str) -> Iterator[tuple[tuple[str, str], str, Any]]:
    """((part, field), dotted key, value) of every field of the parts in a recipe, those in lists left out."""
    if isinstance(node, dict):
        for name, value in node.items():
            if "use" in node and name != "use":
                yield (node["use"], name), f"{path}.{name}", value
            yield from fields(value, f"{path}.{name}")


def places() -> dict[tuple[str, str], list[tuple[str, str, Any]]]:
    """(part, field) -> the recipes, keys and values at which it stands."""
    found: dict[tuple[str, str], list[tuple[str, str, Any]]] = {}
    for name in recipes():
        tree = load_recipe(name).tree
        for part in BUILT:
            for which, key, value in fields(tree[part], part):
                found.setdefault(which, []).append((name, key, value))
    return found


def build(name: str, key: str, value: str) -> None:
    """The part of a recipe in which a field has another value."""
    recipe = load_recipe(name, [f"{key}={value}"])
    summary(recipe) if key.startswith("backbone.") else section(recipe, key.partition(".")[0])()


def test_numbers_out_of_range_are_refused_in_one_line(trials):
    chance, where = random.Random(25), places()
    tried = [(which, value) for which in sorted(where) for value in STRANGE.get(type(where[which][0][2]), ())]
    assert len(tried) > 300
    refused = 0
    for which, value in chance.sample(tried, trials(len(tried))):
        name, key, _ = chance.choice(where[which])
        try:
            build(name, key, inline(value))
        except ZooError as error:
            assert "\n" not in str(error), (name, key, value)
            refused += 1
        except Exception as error:
            pytest.fail(f"{name} {key}={value}: {type(error).__name__}: {error}")
    assert refused > 5


@pytest.mark.parametrize(("recipe", "setting", "said"), [
    ("quickstart", "backbone.width=33", "backbone.width: a sinusoid of 33 channels"),
    ("dit_b2_imagenet256", "backbone.conditioning.embed.time.frequencies=3", "frequencies of time_mlp"),
    ("quickstart", "backbone.mixer.dt_min=0.5", "backbone.mixer.dt_min and dt_max: steps from 0.5 to 0.1"),
    ("dim_h_imagenet256", "backbone.padding.std=-1.0", "backbone.padding.std: -1.0 is too small"),
    ("uvit_s_cifar", "backbone.init.std=0.0", "backbone.init.std: 0.0 is not above zero"),
    ("uvit_s_cifar", "backbone.patch.refine=2", "a kernel of 2 pixels has no middle"),
    ("dim_h_imagenet256", "backbone.padding.std=.nan", "backbone.padding.std: not a number"),
    ("dim_h_imagenet256", "process.beta_start=-1", "betas with beta_start -1.0 and beta_end 0.012 leave the range"),
    ("dim_h_imagenet256", "process.steps=10000000", "10000000 steps; give 2 to 1,000,000 steps"),
    ("dim_h_imagenet256", f"process.steps={10**30}", "process.steps: too large for 64 bits"),
    ("dit_b2_imagenet256", "process.beta_end=1", "leave the range from 0 to 1; need 0 < beta < 1 in every step"),
    ("dim_s_cifar", "process.beta_min=20", "process vp_sde: beta from 20.0 to 20.0; need 0 <= beta_min < beta_max"),
])  # fmt: skip
def test_what_is_wrong_is_named(recipe, setting, said):
    with pytest.raises(ZooError, match=re.escape(said)):
        build(recipe, *setting.split("="))

"""Whatever is typed, the answer is a recipe or a RecipeError with a place and, for a typo, the right word."""

import json
import random
import re
import string
import sys
import time
import timeit

import pytest

from zoo import registry
from zoo.errors import ZooError
from zoo.recipe import Recipe, load_recipe
from zoo.recipe.schema import sections
from zoo.recipe.yaml import dump

LETTERS = string.ascii_lowercase + "_"


def typo(word, rng):
    """One letter deleted, inserted, replaced, or two swapped."""
    i, letter = rng.randrange(len(word)), rng.choice(LETTERS)
    return rng.choice([
        word[:i] + word[i + 1 :], word[:i] + letter + word[i:], word[:i] + letter + word[i + 1 :],
        word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :],
    ])  # fmt: skip


def suggestions(text, key):
    """The words that the errors about `key` suggest."""
    with pytest.raises(ZooError) as caught:
        Recipe.from_text(text, "r")
    return [line.partition("did you mean ")[2].partition("?")[0].strip("'")
            for line in str(caught.value).splitlines() if f": {key}: " in line]  # fmt: skip


def slots():
    """(text of a recipe with {} for a word, the right words, the key that errors name) over the real parts."""
    yield "{}: 1\n", ["extends", *sections()], "{}"
    kinds = {f.type.kinds[0]: name for name, f in sections().items() if f.type.kinds}
    for kind, section in kinds.items():
        parts = registry.parts(kind)
        yield f"{section}: {{}}\n", [p.name for p in parts], section
        for part in parts:
            yield f"{section}: {{{{use: {part.name}, {{}}: 1}}}}\n", list(part.fields), section + ".{}"
    for kind in ("mixer", "norm", "scan", "skip", "head", "position", "padding", "patch"):
        for part in registry.parts(kind):
            text = f"backbone: {{{{{kind}: {{{{use: {part.name}, {{}}: 1}}}}}}}}\n"
            yield text, list(part.fields), f"backbone.{kind}.{{}}"
        yield f"backbone: {{{{{kind}: {{}}}}}}\n", [p.name for p in registry.parts(kind)], f"backbone.{kind}"


def test_a_typo_is_answered_with_the_right_word(real):
    rng = random.Random(1)
    right, missed = 0, []
    for text, words, key in slots():
        for word in words:
            wrong = typo(word, rng)
            if wrong in words or not wrong or wrong in ("use", "null", "y", "n"):
                continue
            if suggestions(text.format(wrong), key.format(wrong))[:1] == [word]:
                right += 1
            else:
                missed.append((word, wrong))
    assert right > 150 and right / (right + len(missed)) >= 0.95, missed


RECIPE = {
    "version": 1, "title": "t", "plugins": [], "shape": [3, 32, 32], "published": {"fid": 2.9},
    "backbone": {"use": "sequence", "width": 8, "depth": 2, "patch": {"use": "conv", "size": 2},
                 "mixer": ["mamba", {"use": "attention"}],
                 "norm": "rms", "conditioning": {"tokens": ["time"], "embed": {"time": "sinusoid"}}},
    "process": {"use": "vp_sde", "predict": "eps"}, "data": {"use": "cifar10", "labels": ["x"]},
    "train": {"lr": 1e-4, "clip": None},
    "ablate": {"skip": {"backbone.skip": "long_concat"}},
}  # fmt: skip
STRANGE = [None, True, -1, 0, 10**30, 1e308, float("inf"), float("nan"), "", "none", "use", "0", ".", "a.b", "\u2028",
           "é",
           [], {}, [[]], [None], {"use": None}, {"use": []}, {"use": {"use": "x"}}, {"0": 1}, {"": 1},
           {"use": "nested"},
           "nested", {"a.b": {"c": 1}}, "x" * 3000, [[[[[[1]]]]]], {"use": "mamba", "": []}]  # fmt: skip


def places(tree, found):
    """Every (container, key) inside a plain tree."""
    for key, child in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        found.append((tree, key))
        if isinstance(child, (dict, list)):
            places(child, found)
    return found


def mutate(rng):
    """The recipe with a few things put elsewhere, removed, renamed or made strange."""
    import copy

    tree = copy.deepcopy(RECIPE)
    for _ in range(rng.randrange(1, 5)):
        container, key = rng.choice(places(tree, []))
        action = rng.randrange(4)
        if action == 0:
            container[key] = copy.deepcopy(rng.choice(STRANGE))
        elif action == 1:
            del container[key]
        elif action == 2 and isinstance(container, dict):
            container[rng.choice([typo(f"{key}_", rng), f"{key}.x", ""])] = container.pop(key)
        else:
            container[key] = copy.deepcopy(rng.choice([c[k] for c, k in places(tree, [])]))
        if not tree:
            break
    return tree


PLACED = re.compile(r"(r(:\d+)?|command line|default of [\w ]+|base\.yaml:\d+): \S")


def outcome(make):
    """True for a recipe, False for an error in words; anything else fails the test."""
    found = []

    def load():
        try:
            found.append(make())
        except ZooError as error:
            assert all(PLACED.match(line) for line in str(error).splitlines()), str(error)

    assert timeit.timeit(load, number=1, timer=time.process_time) < 1  # collects no garbage meanwhile
    return any(r.hash[0] > "3" or Recipe.from_text(r.to_yaml(), "r").hash == r.hash for r in found)  # a quarter of them


def test_mutated_recipes(trials):
    rng, before = random.Random(7), set(sys.modules)
    outcomes = [outcome(lambda: Recipe.from_text(json.dumps(mutate(rng)), "r")) for _ in range(trials(20_000))]
    assert 0.05 < sum(outcomes) / len(outcomes) < 0.95  # both happen, or the test says nothing
    assert "torch" not in set(sys.modules) - before


def test_mutated_texts(trials):
    rng, text = random.Random(8), dump(RECIPE)
    for _ in range(trials(4000)):
        i, j = sorted(rng.choices(range(len(text)), k=2))
        cut = text[:i] + "".join(rng.choices("{}[]:,-'\"#&*!|>%@` \n\t0aé\0", k=rng.randrange(4))) + text[min(j,
                                                                                                              i + 5) :]
        outcome(lambda cut=cut: Recipe.from_text(cut, "r"))


def test_random_bytes(trials):
    rng = random.Random(9)
    for _ in range(trials(5000)):
        data = bytes(rng.choices(range(256), k=rng.randrange(60))) if rng.random() < 0.5 else bytes(
            rng.choices(b"abc:{}[]&*!-,'\"\n #?|>%01.", k=rng.randrange(60)))  # fmt: skip
        assert outcome(lambda data=data: Recipe.from_text(data, "r")) is False


def test_random_overrides(base):
    rng, recipe = random.Random(10), load_recipe(base)
    keys = ["train", "lr", "backbone", "mixer", "0", "1", "use", "shape", "plugins", "extends", "ablate", "embed", "",
            " "]
    values = ["1", "none", "mamba", "[mamba]", "{use: attention}", "{", "null", "", "'", "- a", "*x", "!!x 1", "a: b",
              "{0: 1}"]
    for _ in range(500):
        text = [".".join(rng.choices(keys, k=rng.randrange(1, 5))) + rng.choice(["=", "=", "=",
                                                                                 ""]) + rng.choice(values)
                for _ in range(rng.randrange(1, 4))]  # fmt: skip
        outcome(lambda text=text: recipe.override(text))



"""What a recipe file means, and what it may not hold."""

import math
import random

import pytest

from zoo.errors import RecipeError
from zoo.recipe import yaml
from zoo.recipe.node import plain
from zoo.recipe.yaml import dump, inline, parse, parse_value


def value(text):
    return plain(parse(f"key: {text}\n", "x.yaml"))["key"]


@pytest.mark.parametrize(
    "text, meaning",
    [
        ("1e-4", 1e-4), ("1e5", 1e5), ("1.0e-4", 1e-4), ("-.5", -0.5), ("3.", 3.0), ("+1E3", 1000.0),
        (".inf", math.inf), ("-.inf", -math.inf),
        ("7", 7), ("-7", -7), ("010", 10), ("0o17", 15), ("0x1F", 31),
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("NO", "NO"),
        ("12:30:00", "12:30:00"), ("1:2", "1:2"), ("2024-05-14", "2024-05-14"), ("1_000", "1_000"),
        ("'1e-4'", "1e-4"), ('"true"', "true"), ("0b11", "0b11"), ("1e", "1e"), (".", "."), ("e5", "e5"),
        ("<<", "<<"), ("860M", "860M"),
    ],
)  # fmt: skip
def test_plain_words_have_their_yaml_1_2_meaning(text, meaning):
    assert value(text) == meaning and type(value(text)) is type(meaning)


def test_nan_is_a_number():
    assert math.isnan(value(".nan"))


def test_keys_stay_words():
    assert plain(parse("on: 1\n3: 2\nnull: 3\n1e-4: 4\n", "x")) == {"on": 1, "3": 2, "null": 3, "1e-4": 4}


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice; the first is at r.yaml:1"),
        ("a:\n  b: 1\n  b: 2\n", 3, "stands twice"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "tag"),
        ("a: !!str 1\n", 1, "tag"),
        ("a: ! x\n", 1, "tag"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\nb: *nothing\n", 2, "no anchor"),
        ("a: &x [*x]\n", 1, "no anchor"),
        ("a: 1\n? [b]\n: 2\n", 2, "plain word"),
        ("a: 1\nb: [1, 2\n", 3, "not YAML"),
        ("a: 1\nb: c: d\n", 2, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 1e999\n", 1, "too large"),
        (f"a: 1\nb: {'9' * 5000}\n", 2, "more than 100 digits"),
        ("- a\n- b\n", 1, "mapping"),
        ("just words\n", 1, "mapping"),
        ("", 1, "mapping"),
    ],
)
def test_refusals_name_file_and_line(text, line, words):
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    assert str(caught.value).startswith(f"r.yaml:{line}: ") and words in str(caught.value)


def test_every_node_knows_its_line():
    root = parse("a: 1\nb:\n  c: [x,\n    y]\n  d: {e: 2}\n", "r.yaml")
    assert root["a"].origin == "r.yaml:1" and root["b"].origin == "r.yaml:2" and root["b"]["c"].origin == "r.yaml:3"
    assert [n.origin for n in root["b"]["c"].value] == ["r.yaml:3", "r.yaml:4"]
    assert root["b"]["d"]["e"].origin == "r.yaml:5"


def test_anchors_are_allowed():
    root = parse("a: &x {p: 1}\nb: *x\n", "r.yaml")
    assert plain(root) == {"a": {"p": 1}, "b": {"p": 1}}
    assert root["b"].origin == "r.yaml:2"


LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
DEEP_ALIAS = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60))
BOMBS = {
    "billion laughs": LAUGHS,
    "deep by aliases": DEEP_ALIAS,
    "flow depth": "a: " + "[" * 10_000,
    "closed flow depth": "a: " + "[" * 10_000 + "]" * 10_000,
    "mapping depth": "".join("  " * i + "a:\n" for i in range(600)),
    "many values": "a: [" + "1," * 400_000 + "]",
    "many keys": "".join(f"k{i}: 1\n" for i in range(60_000)),
    "five megabytes": "a: " + "x" * 5_000_000,
    "long key": "x" * 1_000_000,
    "open quotes": "a: " + '"' * 1_000_000,
    "anchors": "a: [" + "&a " * 300_000,
    "question marks": "? " * 400_000,
    "dashes": "- " * 400_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name, seconds):
    def refused():
        with pytest.raises(RecipeError):
            parse(BOMBS[name], "bomb.yaml")

    assert seconds(refused) < 0.2


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \x80", b"\x00", b"a: '\xed\xa0\x80'", b"a: \x07"])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(RecipeError):
        parse(data, "r.yaml")


def test_a_byte_order_mark_is_no_part_of_the_key():
    assert plain(parse(b"\xef\xbb\xbfa: 1", "r.yaml")) == {"a": 1}


def test_an_override_value_has_one_origin():
    node = parse_value("{a: [1, 2]}", "command line")
    assert node.origin == node["a"].origin == node["a"].value[1].origin == "command line"


def test_what_is_dumped_reads_back_unchanged():
    rng = random.Random(0)
    letters = "ab10eE.-+:_#&*!|>'\"%@`{}[],? \n\t~ox<=é\u2028\x85"
    words = ["1e-4", "0o17", "on", "No", "12:30:00", "2024-05-14", "null", "~", "", " ", "true", "1_000", "=", "<<"]
    strings = words + ["".join(rng.choices(letters, k=rng.randrange(12))) for _ in range(1500)]
    numbers = [0.1, 1e-5, 1e22, -0.0, 3.0, 7, -7, math.inf, True, None, 10**40, 2.5e-310]
    tree = {"strings": strings, "numbers": numbers, **{s: {"x": [s, {s: 1}]} for s in strings[:200]}}
    assert plain(parse(dump(tree), "x")) == tree
    assert [type(v) for v in plain(parse(dump(tree), "x"))["numbers"]] == [type(v) for v in numbers]
    assert all(plain(parse_value(inline(s), "x")) == s for s in strings)


def test_the_pure_python_parser_says_the_same(monkeypatch):
    import yaml as pyyaml

    text = "a: [1e-4, on, {b: 0o17}]\nc: &x 'q'\nd: *x\n"
    fast = plain(parse(text, "x"))
    monkeypatch.setattr(yaml, "Loader", pyyaml.SafeLoader)
    assert plain(parse(text, "x")) == fast
    with pytest.raises(RecipeError, match=r"^x:2: not YAML"):
        parse("a: 1\nb: c: d\n", "x")

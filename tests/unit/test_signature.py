"""A part's fields, read from its source."""

from textwrap import dedent

import pytest

from zoo.errors import PartError
from zoo.signature import REQUIRED, Type, declarations, fields_of

INT, STR, NONE = Type("int"), Type("str"), Type("None")


@pytest.fixture
def read(tmp_path):
    """read(source) -> the declarations in it."""

    def declared(source):
        path = tmp_path / "part.py"
        path.write_text(dedent(source), encoding="utf-8")
        return declarations(path)

    return declared


@pytest.fixture
def fields(read):
    """fields(arguments) -> the fields of a function part with these keyword arguments."""

    def declared(arguments):
        return {f.name: f for f in read(f"@register('mixer', 'x')\ndef x(width, *, {arguments}): ...\n")[0].fields}

    return declared


@pytest.mark.parametrize(
    "annotation, type",
    [
        ("int", INT), ("float", Type("float")), ("bool", Type("bool")), ("str", STR), ("Any", Type("Any")),
        ("None", NONE),
        ("'int'", INT),
        ("int | None", Type("union", (INT, NONE))),
        ("int | str | None", Type("union", (INT, STR, NONE))),
        ("'int | None'", Type("union", (INT, NONE))),
        ("Literal['a', 2, None]", Type("literal", ("a", 2, None))),
        ("typing.Literal['a']", Type("literal", ("a",))),
        ("list[int]", Type("list", (INT,))), ("Sequence[int]", Type("list", (INT,))),
        ("tuple[int, ...]", Type("list", (INT,))),
        ("dict[str, int]", Type("dict", (STR, INT))),
        ("dict[str, dict[str, Any]]", Type("dict", (STR, Type("dict", (STR, Type("Any")))))),
        ("Make[Norm]", Type("part", ("norm",))), ("Make[TimeGrid]", Type("part", ("time_grid",))),
        ("Make['time_grid']", Type("part", ("time_grid",))), ("Make['Norm']", Type("part", ("norm",))),
        ("Make[slot.Norm]", Type("part", ("norm",))), ("registry.Make[slot.Norm]", Type("part", ("norm",))),
        ("Make[Norm] | None", Type("union", (Type("part", ("norm",)), NONE))),
        ("list[Make[Norm]]", Type("list", (Type("part", ("norm",)),))),
        ("dict[str, Make[Embed]]", Type("dict", (STR, Type("part", ("embed",))))),
        ("Make[Mixer] | list[Make[Mixer]]",
         Type("union", (Type("part", ("mixer",)), Type("list", (Type("part", ("mixer",)),))))),
    ],
)  # fmt: skip
def test_every_annotation(fields, annotation, type):
    assert fields(f"a: {annotation}")["a"].type == type


def test_types_read_well(fields):
    found = fields("a: Literal['x', 2] | None, b: dict[str, Make[Norm]], c: list[int | str]")
    assert [str(f.type) for f in found.values()] == ["'x' | 2 | None", "dict[str, part of kind norm]",
                                                     "list[int | str]"]
    assert found["b"].type.kinds == ("norm",) and found["c"].type.kinds == ()


@pytest.mark.parametrize("annotation", ["Tensor", "Optional[int]", "set[int]", "np.ndarray", "'not python'", "3"])
def test_other_annotations_are_refused_with_their_line(fields, annotation):
    with pytest.raises(PartError, match=r"part.py:2: a field cannot have the type"):
        fields(f"a: {annotation}")


def test_a_field_needs_a_type_and_a_literal_default(fields):
    with pytest.raises(PartError, match="field 'a' has no type"):
        fields("a=3")
    for default in ("SIZE", "f(3)", "{[]: 1}"):
        with pytest.raises(PartError, match="the default of field 'a' is not a literal"):
            fields(f"a: int = {default}")


def test_defaults(fields):
    found = fields("a: int, b: float = -1e-3, c: list[str] = ['x'], d: dict[str, Any] = {}, e: Any = None, "
                   "f: tuple[int] = (1,)")  # fmt: skip
    assert [f.default for f in found.values()] == [REQUIRED, -1e-3, ["x"], {}, None, (1,)]
    assert [f.required for f in found.values()] == [True] + [False] * 5


def test_only_keyword_arguments_are_fields(read):
    (part,) = read("@register('mixer', 'x')\nclass X:\n    def __init__(self, width, depth=3, *, a: int = 1): ...\n")
    assert [f.name for f in part.fields] == ["a"]


def test_comments_become_docs(read):
    (part,) = read("""
        @register("mixer", "x", aliases=("y", "z"))
        class X(Base):
            '''One line.

            More.
            '''
            def __init__(self, width, *,
                         a: int = 1,  # plain
                         b: str = "#fff",  # a colour, é
                         c: str = "éééééééé#",  # after letters
                         d: list[int] = [
                             1,
                         ],  # over lines
                         e: Literal["a"] = "a", f: int = 3,  # only the last
                         g: int = 2):  # before the colon
                pass  # not this
    """)
    docs = {f.name: f.doc for f in part.fields}
    assert docs == {"a": "plain", "b": "a colour, é", "c": "after letters", "d": "over lines", "e": "",
                    "f": "only the last", "g": "before the colon"}  # fmt: skip
    assert (part.kind, part.name, part.aliases, part.qualname) == ("mixer", "x", ("y", "z"), "X")
    assert part.summary == "One line." and part.line == 3


def test_a_dataclass(read):
    (part,) = read("""
        @register("sampler", "x")
        @dataclass(kw_only=True)
        class X:
            steps: int = 50  # evaluations
            grid: Make["time_grid"] = "uniform"
            betas: list[float] = field(default_factory=lambda: [0.9, 0.999])  # of Adam
            names: list[str] = field(default_factory=list)
            free: dict[str, Any] = dataclasses.field(default_factory=dict)
            size: int = field(default=3, repr=False)  # said at the end
            must: int = field(repr=False)
            shared: ClassVar[tuple[str, ...]] = ("a",)
            def __post_init__(self): ...
    """)
    found = {f.name: (f.default, f.doc) for f in part.fields}
    assert found == {
        "steps": (50, "evaluations"), "grid": ("uniform", ""), "betas": ([0.9, 0.999], "of Adam"), "names": ([], ""),
        "free": ({}, ""), "size": (3, "said at the end"), "must": (REQUIRED, ""),
    }  # fmt: skip


def test_fields_of_a_base_in_the_same_file(read):
    shared, alone, both, again = read("""
        class Shared(nn.Module):
            def __init__(self, width, *, a: int = 1): ...
        @dataclass
        class Data:
            a: int = 1
            b: int = 2

        @register("mixer", "shared")
        class A(Shared): ...
        @register("mixer", "alone")
        class B(Elsewhere): ...
        @register("mixer", "both")
        @dataclass
        class C(Data):
            b: int = 3
            c: int = 4
        @register("mixer", "again")
        class Elsewhere(Elsewhere): ...
    """)
    assert [(f.name, f.default) for f in shared.fields] == [("a", 1)] and alone.fields == again.fields == ()
    assert [(f.name, f.default) for f in both.fields] == [("a", 1), ("b", 3), ("c", 4)]


def test_one_thing_may_be_two_parts(read):
    assert [d.name for d in read("@zoo.register('norm', 'a')\n@register('norm', 'b')\ndef f(): ...\n")] == ["a", "b"]


@pytest.mark.parametrize("source, words", [
    ("@register('mixer', NAME)\ndef f(): ...", "part.py:1: register.. takes a literal kind and name"),
    ("@register('mixer')\ndef f(): ...", "takes a literal kind and name"),
    ("@register(\n", "part.py:1: cannot read this part"),
    ("register\0", "cannot read this part"),
    ("register = " + "(" * 500, "cannot read this part"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_an_error_in_words(read, source, words):
    with pytest.raises(PartError, match=words):
        read(source)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "a.py").write_bytes(b"register \xff")
    with pytest.raises(PartError, match=r"a.py: cannot read this part"):
        declarations(tmp_path / "a.py")


def test_reading_runs_nothing(read, tmp_path):
    read(f"open(r'{tmp_path / 'canary'}', 'w')\n@register('mixer', 'x')\ndef x(): ...\n")
    assert not (tmp_path / "canary").exists()


def test_fields_of_an_unregistered_class(tmp_path):
    (tmp_path / "a.py").write_text("@dataclass\nclass Sections:\n    shape: list[int]  # sizes\n    title: str = ''\n")
    found = fields_of(tmp_path / "a.py", "Sections")
    assert list(found) == ["shape", "title"] and found["shape"].required and found["shape"].doc == "sizes"

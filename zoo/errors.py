"""One family of errors, one way of wording them: what, where, what is allowed, the nearest fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """A mistake that a user can mend; every command turns it into one message and exit code 2."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        allowed: Iterable[object] | str | None = None,
        given: object = None,
        fix: str | None = None,
    ):
        super().__init__(compose(what, where, allowed, given, fix))


class RecipeError(ZooError):
    """A recipe, an override or a part's fields are wrong."""


class PartError(ZooError):
    """A part is unknown, registered twice, or its file cannot be read."""


class ShapeError(ZooError):
    """A tensor or an image size does not fit what receives it."""


class DataError(ZooError):
    """A data set is missing, incomplete or holds something unreadable."""


class CheckpointError(ZooError):
    """A checkpoint or a weights file is missing, damaged or belongs to another recipe."""


class BackendError(ZooError):
    """An operator's backend was asked for by name and cannot do the job."""


def at_least(least: int, value: float, where: str) -> None:
    """Refuse a number of a recipe that is too small.

    Raises: RecipeError.
    """
    if value < least:
        raise RecipeError(f"{value} is too small", where=where, allowed=f"{least} or more")


def positive(value: float, where: str) -> None:
    """Refuse a number of a recipe that is not above zero.

    Raises: RecipeError.
    """
    if not value > 0:
        raise RecipeError(f"{value} is not above zero", where=where)


def nearest(word: object, candidates: Iterable[object]) -> str | None:
    """The candidate most like `word`, or None when none is close."""
    names = [str(c) for c in candidates]
    exact = [n for n in names if n.replace("-", "_").lower() == str(word).replace("-", "_").lower()]
    close = exact or difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    return close[0] if close else None


def compose(
    what: str,
    where: str | None = None,
    allowed: Iterable[object] | str | None = None,
    given: object = None,
    fix: str | None = None,
) -> str:
    """The message: `where: what; did you mean X? allowed: ...; fix`."""
    names = [allowed] if isinstance(allowed, str) else [str(a) for a in allowed or ()]
    hint = nearest(given, names) if given is not None and not isinstance(allowed, str) else None
    text = f"{where}: {what}" if where else what
    if hint:
        text += f"; did you mean {hint!r}?"
    if names:
        text += f"{'' if text.endswith('?') else ';'} allowed: {', '.join(names)}"
    return f"{text}; {fix}" if fix else text

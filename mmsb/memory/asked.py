"""What a caller passes, checked: paths, numbers, names, rows. UsageError says what was wanted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import UsageError, quote
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import kinds as schemas
from mmsb.memory.cells import Array, numbers, whole

T = TypeVar("T")

#: So many pages, rows or symbols there can be.
_MOST = 2**32
#: More rows than these beyond a page's last one are not made up of fill.
BEYOND = 2**20
#: What file systems take.
_PATH_BYTES, _NAME_BYTES = 4095, 255


def folder(path: str | os.PathLike[str]) -> Path:
    """The path of a memory."""
    try:
        found = Path(path)
        named = os.fsencode(found)
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"pass the path of a memory, not {quote(path)}") from error
    if b"\0" in named:
        raise UsageError(f"{quote(path)} cannot be a path, for it has a NUL in it; name another")
    if len(named) > _PATH_BYTES or max(map(len, named.split(b"/"))) > _NAME_BYTES:
        raise UsageError(f"{quote(path)} is too long for a path; name a shorter one")
    return found


def of_type(value: Any, types: type[T] | tuple[type[T], ...], wanted: str) -> T:
    """Of one of the types; ``wanted`` begins the sentence that says so."""
    if not isinstance(value, types):
        raise UsageError(f"{wanted}, not {quote(value)}")
    return value


def bounded(values: Any, what: str) -> None:
    """No range of more numbers than pages, rows or symbols can have, which no memory would hold."""
    if isinstance(values, range) and values[_MOST:]:
        raise UsageError(f"{quote(values)} are more {what} than there can be; pass fewer")


def listed(values: Any, what: str) -> tuple[Any, ...]:
    """What an iterable gives."""
    bounded(values, what)
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        try:
            return tuple(values)
        except TypeError:  # an array without a dimension
            pass
    raise UsageError(f"pass a list of {what}, not {quote(values)}")


def names(columns: Any) -> tuple[str, ...]:
    """Names of columns; one alone may be passed as it is."""
    found = (columns,) if isinstance(columns, str) else listed(columns, "column names")
    for name in found:
        if not isinstance(name, str):
            raise UsageError(f"a column's name is a text, not {quote(name)}")
    return found


def texts(values: Any) -> tuple[Any, ...]:
    """Many texts; a lone one is not taken for a list of its letters."""
    return listed(values, "texts")


def flag(value: Any, what: str) -> bool:
    """True or False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise UsageError(f"{what} is True or False, not {quote(value)}; pass one of the two")


def text(value: Any, what: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise UsageError(f"{what} is a text, not {quote(value)}")
    return value


def one_of(value: Any, known: Iterable[str], what: str) -> None:
    """A word among those known."""
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{what} {quote(value)} is not known; use {', '.join(map(repr, known))}")


def durability(value: Any) -> None:
    """One of a writer's policies."""
    one_of(value, ("none", "group", "every"), "durability")


def count(value: Any, what: str) -> int:
    """A whole number, 1 or more."""
    found = whole(value, what)
    if found < 1:
        raise UsageError(f"{what} is {quote(found)}; ask for 1 or more")
    return found


def ids(values: Any) -> Array:
    """Numbers of pages, rows or symbols, u32."""
    return numbers(values if isinstance(values, np.ndarray) else listed(values, "numbers"), "ids")


def kinds(values: Any) -> tuple[Kind, ...]:
    """Kinds to know."""
    found = listed(values, "kinds")
    for kind in found:
        if not isinstance(kind, Kind):
            raise UsageError(f"pass kinds as mmsb.base.schema.Kind makes them, not {quote(kind)}")
        if schema.BY_NAME.get(kind.name) is not kind:
            schemas.check(kind)
    return found


def some_kinds(values: Any) -> tuple[Any, ...]:
    """Kinds, or names of kinds, that a memory is asked for; one alone may be passed as it is."""
    return (values,) if isinstance(values, str | Kind) else listed(values, "kinds")


def seconds(value: Any, what: str) -> float:
    """A number of seconds."""
    try:
        if isinstance(value, int | float | np.integer | np.floating) and type(value) is not bool:
            found = float(value)
            if not math.isnan(found):
                return found
    except OverflowError:
        pass
    raise UsageError(f"{what} is a number of seconds, not {quote(value)}; or None, to wait forever")


def kind_id(value: Any) -> int:
    """What stands for a kind and is neither one nor a name."""
    try:
        return whole(value, "kind")
    except UsageError as error:
        raise UsageError(f"pass a kind or its name, not {quote(value)}") from error


def span(rows: Any) -> Rows:
    """A range of rows."""
    return of_type(rows, Rows, "pass rows as mmsb.base.rect.Rows(first, stop)")


def within(rows: Rows, page: int, count: int) -> None:
    """Not more than `BEYOND` rows after the ``count`` that the page has."""
    beyond = rows.stop - max(rows.start, count)
    if beyond > BEYOND:
        raise UsageError(
            f"rows {rows.start} … {rows.stop - 1} go {beyond} beyond the {count} rows that page "
            f"{page} has; read up to row_count, or at most {BEYOND} rows more"
        )

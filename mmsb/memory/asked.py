"""What a caller passes, checked: paths, numbers, names, rows. UsageError says what was wanted."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import UsageError
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import kinds as schemas
from mmsb.memory.cells import Array, cast

#: More rows than these beyond a page's last one are not made up of fill.
BEYOND = 2**20
_U32 = np.dtype("<u4")


def folder(path: str | os.PathLike[str]) -> Path:
    """The path of a memory."""
    try:
        return Path(path)
    except TypeError as error:
        raise UsageError(f"pass the path of a memory, not {path!r:.60}") from error


def listed(values: Any, what: str) -> tuple[Any, ...]:
    """What an iterable gives."""
    if not isinstance(values, Iterable):
        raise UsageError(f"pass a list of {what}, not {values!r:.60}")
    return tuple(values)


def names(columns: Any) -> tuple[str, ...]:
    """Names of columns; one alone may be passed as it is."""
    found = (columns,) if isinstance(columns, str) else listed(columns, "column names")
    for name in found:
        if not isinstance(name, str):
            raise UsageError(f"a column's name is a text, not {name!r:.60}")
    return found


def texts(values: Any) -> tuple[Any, ...]:
    """Many texts; a lone one is not taken for a list of its letters."""
    if isinstance(values, str):
        raise UsageError(f"pass a list of texts, not {values!r:.60}")
    return listed(values, "texts")


def one_of(value: Any, known: Iterable[str], what: str) -> None:
    """A word among those known."""
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{what} {value!r:.40} is not known; use {', '.join(map(repr, known))}")


def ids(values: Any) -> Array:
    """Numbers of pages, rows or symbols, u32."""
    if not isinstance(values, np.ndarray):
        values = list(listed(values, "numbers"))
    return cast(values, _U32, "ids")


def kinds(values: Any) -> tuple[Kind, ...]:
    """Kinds to know."""
    found = listed(values, "kinds")
    for kind in found:
        if not isinstance(kind, Kind):
            raise UsageError(f"pass kinds as mmsb.base.schema.Kind makes them, not {kind!r:.60}")
        if schema.BY_NAME.get(kind.name) is not kind:
            schemas.check(kind)
    return found


def kind_id(value: Any) -> int:
    """What stands for a kind and is neither one nor a name."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise UsageError(f"pass a kind or its name, not {value!r:.60}") from error


def span(rows: Any) -> Rows:
    """A range of rows."""
    if not isinstance(rows, Rows):
        raise UsageError(f"pass rows as mmsb.base.rect.Rows(first, stop), not {rows!r:.60}")
    return rows


def within(rows: Rows, page: int, count: int) -> None:
    """Not more than `BEYOND` rows after the ``count`` that the page has."""
    beyond = rows.stop - max(rows.start, count)
    if beyond > BEYOND:
        raise UsageError(
            f"rows {rows.start} … {rows.stop - 1} go {beyond} beyond the {count} rows that page "
            f"{page} has; read up to row_count, or at most {BEYOND} rows more"
        )

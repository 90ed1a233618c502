"""Hypothesis strategies for what a memory holds: cells, deltas, commits.

A commit is a list of operations on names, so that one list plays on a `Memory` and on the oracle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mmsb.base import schema
from mmsb.base.rect import Rows
from mmsb.base.schema import DTYPES, Column, Kind
from mmsb.memory.cells import frozen
from mmsb.memory.delta import Delta, new_delta

#: Every dtype, references of each sort, fills other than zero.
THING = Kind(
    40,
    "thing",
    (
        Column(0, "byte", "u8", 0),
        Column(1, "short", "u16", 0xFFFF),
        Column(2, "name", "u32", 0xFFFF_FFFF, "symbol"),
        Column(3, "type", "u32", 0xFFFF_FFFF, "type"),
        Column(4, "big", "u64", 2**64 - 1),
        Column(5, "line", "i32", -(2**31)),
        Column(6, "wide", "i64", 0),
        Column(7, "real", "f64", 0),
        Column(8, "scope", "u32", 0xFFFF_FFFF, "scope"),
        Column(9, "clock", "u64", 0, digest=False),
    ),
)
SMALL = Kind(41, "small", (Column(0, "value", "u32", 0),))
KINDS = (*schema.KINDS[:8], THING, SMALL)
#: What a later program knows besides: a new column, a new kind of pages, a new table.
GROWN = (
    *KINDS[:8],
    Kind(THING.id, THING.name, (*THING.columns, Column(20, "later", "i64", -1))),
    SMALL,
    Kind(50, "new", (Column(0, "note", "u32", 0xFFFF_FFFF, "note"), Column(3, "x", "f64", 0))),
    Kind(51, "note", (Column(0, "text", "u32", 0xFFFF_FFFF, "symbol"),), append_only=True),
)
_PAGED = (THING, SMALL)
_APPENDED = (schema.TYPE, schema.SCOPE, schema.EVENT, schema.RECORDING)


@dataclass(frozen=True)
class Write:
    """A dense patch."""

    kind: Kind
    subject: str
    start: int
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class Scatter:
    """A sparse patch."""

    kind: Kind
    subject: str
    rows: list[int]
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class WriteMany:
    """A dense patch for each of some subjects: the i-th has ``counts[i]`` rows from ``starts[i]``.

    Cells lie behind one another. A page that it wrote is not patched singly in the same commit.
    """

    kind: Kind
    subjects: list[str]
    starts: list[int]
    counts: list[int]
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class Append:
    """Rows of an append-only kind."""

    kind: Kind
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class Delete:
    """A tombstone for the page of a subject, which is made first if there is none."""

    kind: Kind
    subject: str


@dataclass(frozen=True)
class Intern:
    """A symbol."""

    text: str


Operation = Write | Scatter | WriteMany | Append | Delete | Intern


def play(operations: list[Operation], changes: Any) -> None:
    """Does the operations on a `Changes` or on the oracle's."""
    for op in operations:
        match op:
            case Write(kind, subject, start, columns):
                changes.patch(kind, changes.page(kind, subject), columns, start)
            case Scatter(kind, subject, rows, columns):
                changes.patch_rows(kind, changes.page(kind, subject), rows, columns)
            case WriteMany(kind, subjects, starts, counts, columns):
                pages = changes.pages(kind, subjects)
                changes.patch_many(kind, pages, columns, starts, counts)
            case Append(kind, columns):
                changes.append(kind, columns)
            case Delete(kind, subject):
                changes.delete(changes.page(kind, subject))
            case Intern(text):
                changes.symbol(text)


def cell(column: Column) -> st.SearchStrategy[Any]:
    """One cell. References are small, so that some point at rows and some at nothing."""
    if column.ref:
        return st.integers(0, 3) | st.just(column.fill) | st.just(column.fill - 1)
    dtype = np.dtype(DTYPES[column.dtype][1])
    if dtype.kind == "f":
        return st.floats(width=64) | st.just(float(column.fill))
    info = np.iinfo(dtype)
    return st.integers(int(info.min), int(info.max)) | st.just(column.fill) | st.integers(0, 3)


def _cells(column: Column, count: int) -> st.SearchStrategy[list[Any]]:
    """Cells of a column, perhaps all the same."""
    return st.lists(cell(column), min_size=count, max_size=count) | cell(column).map(
        lambda one: [one] * count
    )


def columns(kind: Kind, count: int) -> st.SearchStrategy[dict[str, list[Any]]]:
    """One to three columns of ``count`` cells."""
    some = st.lists(st.sampled_from(kind.columns), min_size=1, max_size=3, unique=True)
    return some.flatmap(
        lambda chosen: st.fixed_dictionaries({c.name: _cells(c, count) for c in chosen})
    )


def row_lists(most: int = 12) -> st.SearchStrategy[list[int]]:
    """Sorted rows, each once, perhaps with gaps, perhaps none."""
    return st.lists(st.integers(0, most), max_size=6, unique=True).map(sorted)


subjects = st.sampled_from(["f(::Int64)", "g()", "", "ünï", "h(::Vector{Float64}, ::Int)"])


def _backward(kind: Kind, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    # A scope is written after its parent, so references among scopes never close a circle.
    own = {c.name for c in kind.columns if c.ref == kind.name}
    return {name: values for name, values in columns.items() if name not in own} or {"line": [7]}


@st.composite
def many_writes(draw: st.DrawFn) -> WriteMany:
    """Some pages at once, perhaps one twice, perhaps some with no rows."""
    kind, count = draw(st.sampled_from(_PAGED)), draw(st.integers(1, 4))
    names = draw(st.lists(subjects, min_size=count, max_size=count))
    starts = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    counts = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return WriteMany(kind, names, starts, counts, draw(columns(kind, sum(counts))))


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """One operation."""
    kind, subject = draw(st.sampled_from(_PAGED)), draw(subjects)
    which = draw(st.integers(0, 9))
    if which <= 3:
        held = draw(st.integers(0, 5).flatmap(lambda count: columns(kind, count)))
        return Write(kind, subject, draw(st.integers(0, 8)), held)
    if which <= 6:
        rows = draw(row_lists())
        return Scatter(kind, subject, rows, draw(columns(kind, len(rows))))
    if which == 7:
        table = draw(st.sampled_from(_APPENDED))
        held = draw(st.integers(1, 3).flatmap(lambda count: columns(table, count)))
        return Append(table, _backward(table, held))
    return Delete(kind, subject) if which == 8 else Intern(draw(st.text(max_size=8)))


def grown_operations() -> st.SearchStrategy[Operation]:
    """One operation on what only `GROWN` has."""
    thing, new, note = (kind for kind in GROWN if kind.name in ("thing", "new", "note"))
    later = st.lists(cell(thing.columns[-1]), min_size=1, max_size=3)
    written = later.map(lambda values: {"later": values})
    return st.one_of(
        st.builds(Write, st.just(thing), subjects, st.integers(0, 8), written),
        st.builds(Write, st.just(new), subjects, st.integers(0, 8), columns(new, 2)),
        st.builds(Append, st.just(note), columns(note, 2)),
        st.builds(Delete, st.just(new), subjects),
    )


#: Without `WriteMany`: any number of these can follow each other in one commit.
single_commits = st.lists(operations(), max_size=6)
commits = st.tuples(single_commits, st.lists(many_writes(), max_size=1)).map(
    lambda both: [*both[0], *both[1]]
)


@st.composite
def deltas(draw: st.DrawFn, kind: Kind = THING, page: int = 0) -> Delta:
    """An uncommitted delta of one page; sparse, dense or empty."""
    rows = draw(row_lists())
    gapless: bool = draw(st.booleans())
    if rows and gapless:
        rows = list(range(rows[0], rows[0] + len(rows)))
    held = draw(columns(kind, len(rows)))
    buffers = {
        name: frozen(np.array(values, DTYPES[kind.column(name).dtype][1]))
        for name, values in held.items()
    }
    touched = np.array(rows, "<u4") if rows else Rows(0, 0)
    return new_delta(page, kind, touched, buffers)

"""Derived pages: what is kept of them, and what the function that makes them is given."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import CodeType
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError, quote
from mmsb.base.model import NONE_U32
from mmsb.base.schema import Column, Kind
from mmsb.graph.edges import EdgeKind
from mmsb.memory import asked
from mmsb.memory.cells import Array, cells, common_length, dtype_of, filled, frozen, whole
from mmsb.memory.symbols import normal

Columns = Mapping[str, Any]
Function = Callable[["Given"], Columns | None]
#: The source of commits that hold derived pages.
SOURCE = 0xD5
#: The subject of the one page of a derivation over the whole memory.
WHOLE = ""

# What is kept of derived pages depends on their history, and is no content: no digest sees it.
DERIVATION = Kind(
    32,
    "derivation",  # subject: the name of the derived kind; row 0
    (
        Column(0, "version", "u32", NONE_U32, "symbol", digest=False),  # of its function
        Column(
            1, "inputs", "u32", NONE_U32, "symbol", digest=False
        ),  # kinds and columns it may read
        Column(2, "seen", "u64", 0, digest=False),  # all it read is as of this epoch
    ),
)
DERIVED = Kind(
    33,
    "derived",  # subject: the name of the derived kind; a row for each of its pages
    (
        Column(0, "output", "u32", NONE_U32, "symbol", digest=False),  # the subject of the page
        Column(1, "state", "u8", 0, digest=False),  # DerivedState
        Column(2, "rows", "u32", 0, digest=False),  # of the page; what lies behind is fill
        Column(3, "error", "u32", NONE_U32, "symbol", digest=False),  # why it failed
    ),
)
DERIVED_FROM = Kind(
    34,
    "derived_from",  # subject: the name of the derived kind; what its pages read of other subjects
    (
        Column(0, "alive", "u8", 0, digest=False),
        Column(
            1, "output", "u32", NONE_U32, "symbol", digest=False
        ),  # the subject of the derived page
        Column(
            2, "kind", "u32", NONE_U32, "symbol", digest=False
        ),  # name of the kind that was read
        Column(
            3, "input", "u32", NONE_U32, "symbol", digest=False
        ),  # its page's subject; NONE: all of the kind
    ),
)
KINDS = (DERIVATION, DERIVED, DERIVED_FROM)
#: Edges from a subject to those whose derived pages read a page of it.
READS = EdgeKind("reads", "derived_from", "input", "output", where=(("alive", 1),))


class DerivedState(IntEnum):
    """What is known of a derived page."""

    NONE = 0  # there is none: its input is gone, or the function made none
    CURRENT = 1
    STALE = 2  # something it reads is stale or failed
    FAILED = 3  # its function failed: the page is the last one that it made, if any


@dataclass(frozen=True, slots=True)
class Derivation:
    """A function that makes pages of ``kind``; ``inputs`` maps the kinds it reads to columns."""

    kind: Kind
    function: Function
    inputs: Mapping[str, frozenset[str] | None]  # None: all columns
    paged: tuple[str, ...]  # the inputs that have a page for each subject, in order
    whole: bool
    version: str

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def declared(self) -> str:
        """The inputs as stored: ``call(callee kind) code``."""
        parts = [
            kind if columns is None else f"{kind}({' '.join(sorted(columns))})"
            for kind, columns in self.inputs.items()
        ]
        return " ".join((["whole"] if self.whole else []) + parts)

    def wants(self, kind: str, columns: frozenset[str] | None) -> bool:
        """Whether a change of these columns (None: all) of a kind can reach its pages."""
        if kind not in self.inputs:
            return False
        own = self.inputs[kind]
        return own is None or columns is None or not own.isdisjoint(columns)


class Source(ABC):
    """Where `Given` reads: a moment of the memory, with what this run already made anew.

    ``names``: the columns wanted; None: all.
    """

    @abstractmethod
    def columns(
        self, kind: str, subject: str, names: frozenset[str] | None
    ) -> dict[str, Array] | None:
        """Columns of a page, None if there is none."""

    @abstractmethod
    def everything(
        self, kind: str, names: frozenset[str] | None
    ) -> tuple[tuple[str, ...], dict[str, Array], Array]:
        """Subjects, columns and offsets of a kind."""

    @abstractmethod
    def empty(self, kind: str, names: frozenset[str] | None) -> dict[str, Array]:
        """Columns of a kind without a row."""

    @abstractmethod
    def texts(self, ids: Iterable[int]) -> list[str]:
        """The texts of symbols."""


class Given:
    """What a derivation's function is given: a subject, and reads of the declared inputs.

    Arrays are read-only. What is read of other subjects is remembered as a dependency.
    """

    __slots__ = ("_derivation", "_source", "read_of", "subject")

    def __init__(self, derivation: Derivation, subject: str, source: Source) -> None:
        self._derivation, self._source, self.subject = derivation, source, subject
        #: (kind, subject) of other subjects' pages that were read; None: all of the kind.
        self.read_of: set[tuple[str, str | None]] = set()

    def __getitem__(self, kind: Kind | str) -> dict[str, Array]:
        """The declared columns of the subject's own page, empty where there is none; of an
        append-only kind, the whole table."""
        name = self._declared(kind)
        if name not in self._derivation.paged:
            return self.all(name)[1]
        found = self.read(name, self.subject)
        return self._source.empty(name, self._derivation.inputs[name]) if found is None else found

    def read(self, kind: Kind | str, subject: str) -> dict[str, Array] | None:
        """The declared columns of any subject's page; None if it has none."""
        name = self._declared(kind)
        if name not in self._derivation.paged:
            raise UsageError(f"{name!r} has no page of {subject!r:.80}: it is one table; use all")
        subject = normal(asked.text(subject, "a subject"))
        if subject != self.subject or self._derivation.whole:
            self.read_of.add((name, subject))
        return self._source.columns(name, subject, self._derivation.inputs[name])

    def all(self, kind: Kind | str) -> tuple[tuple[str, ...], dict[str, Array], Array]:
        """Every page of a kind end to end, by subject: subjects, columns, offsets (i64).

        Subject i has the cells ``offsets[i]:offsets[i + 1]``. Any change of the kind reaches this.
        """
        name = self._declared(kind)
        self.read_of.add((name, None))
        return self._source.everything(name, self._derivation.inputs[name])

    def texts(self, ids: Iterable[int] | Array) -> list[str]:
        """The texts of symbols, "" for none."""
        numbers = [whole(id, "symbol") for id in asked.listed(ids, "symbols")]
        found = iter(self._source.texts([id for id in numbers if id != NONE_U32]))
        return ["" if id == NONE_U32 else next(found) for id in numbers]

    # Inside.

    def _declared(self, kind: Kind | str) -> str:
        name = kind.name if isinstance(kind, Kind) else asked.text(kind, "a kind's name")
        if name not in self._derivation.inputs:
            raise UsageError(
                f"{quote(name)} is no input of {self._derivation.name!r}: name it in `inputs`, "
                f"which has {', '.join(self._derivation.inputs)}"
            )
        return name


def page_of(kind: Kind, made: Columns, intern: Callable[[str], int]) -> dict[str, Array]:
    """All columns of a page out of what a function returned; UsageError if it is none.

    Columns that refer to symbols take texts. A column that is not named is filled.
    """
    if not isinstance(made, Mapping):
        raise UsageError(f"{kind.name}: return columns by name, or None, not {quote(made)}")
    unknown = sorted(set(asked.names(made)) - {column.name for column in kind.columns})
    if unknown:
        raise UsageError(f"{kind.name} has no column {quote(unknown[0])}; return its columns alone")
    held = {
        column.name: cells(kind, column, _ids(column, made[column.name], intern))
        for column in kind.columns
        if column.name in made
    }
    count = common_length(kind, held) if held else 0
    return {c.name: held.get(c.name, frozen(filled(c, count))) for c in kind.columns}


def _ids(column: Column, values: Any, intern: Callable[[str], int]) -> Any:
    if column.ref != "symbol" or isinstance(values, np.ndarray):
        return values
    return [
        NONE_U32 if value is None else intern(value) if isinstance(value, str) else value
        for value in asked.listed(values, f"cells of {column.name}")
    ]


def stretched(column: Column, values: Array, count: int) -> Array:
    """The cells with fill behind them, up to ``count``."""
    if len(values) == count:
        return values
    found = filled(column, count)
    found[: len(values)] = values
    return frozen(found)


def differing(column: Column, old: Array, new: Array) -> Array:
    """Where two columns of one length differ, bit by bit: rows."""
    bits = f"u{dtype_of(column).itemsize}"
    return np.flatnonzero(
        np.ascontiguousarray(old).view(bits) != np.ascontiguousarray(new).view(bits)
    )


def fingerprint(function: Callable[..., Any]) -> str:
    """A text that changes with the function's own code; not with what it calls or closes over.

    UsageError for what has no code in Python.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        raise UsageError(f"{quote(function)} has no code to tell its version by; pass version=")
    digest = hashlib.sha256()
    for part in _parts(code):
        digest.update(part + b"\0")
    return f"code {digest.hexdigest()[:16]}"


def _parts(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant))).encode()
        else:
            yield repr(constant).encode()

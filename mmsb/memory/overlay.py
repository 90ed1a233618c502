"""What a transaction sees: its base epoch with its own writes laid over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory import asked
from mmsb.memory.cells import U32, Array, filled, frozen, whole
from mmsb.memory.many import Many
from mmsb.memory.snapshot import Snapshot

#: Touched rows (a range, or sorted u32) and a buffer for each column, all frozen.
Cells = tuple[Rows | Array, dict[str, Array]]


def table_rows(snapshot: Snapshot, kind: Kind | str) -> int:
    """Rows of an append-only kind; 0 before its schema is stored."""
    pages = snapshot.pages(kind).tolist()
    return snapshot.row_count(kind, pages[0]) if pages else 0


@dataclass(slots=True)
class Own:
    """What a transaction wrote so far, under the ids that it gave out."""

    created: dict[int, tuple[Kind, str]] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    #: By page, oldest first.
    patched: dict[int, list[Cells]] = field(default_factory=dict)
    #: Over those: an earlier one may not be patched singly again.
    many: list[Many] = field(default_factory=list)
    #: By id of an append-only kind: consecutive rows that follow the base's.
    appended: dict[int, list[Cells]] = field(default_factory=dict)
    #: Texts whose symbols follow the base's.
    texts: list[str] = field(default_factory=list)

    def written(self) -> set[int]:
        """Pages that it wrote or deleted, tables of append-only kinds not among them."""
        found = self.patched.keys() | self.deleted
        return found.union(*(made.pages.tolist() for made in self.many))

    def cells(self, page: int) -> list[Cells]:
        """What it wrote to a page that is no table, oldest first. O(deltas of the kind)."""
        return self.patched.get(page, []) + [one for made in self.many for one in made.of(page)]


class Overlay:
    """Reads like a `Snapshot` of the base epoch that holds the transaction's writes too.

    What is written later is seen later. Arrays are read-only; raises as a `Snapshot` does.
    """

    __slots__ = ("_own", "base")

    def __init__(self, base: Snapshot, own: Own) -> None:
        """Get one from ``transaction.at()``."""
        self.base, self._own = base, own

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All kinds of the memory, by id."""
        return self.base.kinds

    def kind(self, kind: Kind | str) -> Kind:
        """The kind as this memory knows it."""
        return self.base.kind(kind)

    def pages(self, kind: Kind | str) -> Array:
        """Ids of the kind's live pages, u32, in creation order."""
        shown = self.kind(kind)
        made = [page for page, (own, _) in self._own.created.items() if own.id == shown.id]
        both = np.append(self.base.pages(shown), np.array(made, U32))
        return frozen(both[~np.isin(both, np.array(sorted(self._own.deleted), U32))])

    def page(self, kind: Kind | str, subject: str) -> int | None:
        """The live page of a subject, or None. O(pages created here)."""
        shown, dead = self.kind(kind), self._own.deleted
        subject = asked.text(subject, "a subject")
        for page, (own, text) in self._own.created.items():
            if (own.id, text) == (shown.id, subject) and page not in dead:
                return page
        found = self.base.page(shown, subject)
        return None if found in dead else found

    def kind_of(self, page: int) -> Kind:
        """The kind of a page."""
        made = self._own.created.get(whole(page, "page"))
        return self.base.kind_of(page) if made is None else made[0]

    def subject(self, page: int) -> str:
        """The subject of a page; "" for the page of an append-only kind."""
        made = self._own.created.get(whole(page, "page"))
        return self.base.subject(page) if made is None else made[1]

    def symbols(self, ids: Iterable[int] | Array) -> list[str]:
        """The texts of symbols."""
        first, own = self.base.symbol_count, self._own.texts
        numbers = [whole(id, "symbol") for id in asked.listed(ids, "symbols")]
        stored = iter(self.base.symbols([n for n in numbers if not 0 <= n - first < len(own)]))
        return [own[n - first] if 0 <= n - first < len(own) else next(stored) for n in numbers]

    def row_count(self, kind: Kind | str, page: int) -> int:
        """One past the last row ever written."""
        shown = self._live(kind, page)
        before = 0 if page in self._own.created else self.base.row_count(shown, page)
        return max([before, *(rows_end(rows) for rows, _ in self._writes(shown, page))])

    def column(self, kind: Kind | str, page: int, name: str, rows: Rows | None = None) -> Array:
        """Cells of the rows (default: all), fill where nothing was written."""
        shown = self._live(kind, page)
        if rows is None or len(asked.span(rows)) > asked.BEYOND:
            count = self.row_count(shown, page)
            span = Rows(0, count) if rows is None else rows
            asked.within(span, page, count)
        else:
            span = rows
        return self._read(shown, page, name, span)

    def columns(
        self, kind: Kind | str, page: int, names: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Whole columns by name, all of them by default."""
        shown = self._live(kind, page)
        span = Rows(0, self.row_count(shown, page))
        wanted = [column.name for column in shown.columns] if names is None else asked.names(names)
        return {name: self._read(shown, page, name, span) for name in wanted}

    def table(self, kind: Kind | str) -> dict[str, Array]:
        """Whole columns of an append-only kind by name. UsageError for another kind.

        ``heap`` and ``symbol`` are those of the base; new texts show in `symbols`.
        """
        shown = self.kind(kind)
        stored, own = self.base.table(shown), self._own.appended.get(shown.id, [])
        last = own[-1][0] if own else Rows(0, 0)
        out = {}
        for column in shown.columns:
            before = stored[column.name]
            cells = filled(column, max(len(before), rows_end(last)))
            cells[: len(before)] = before
            for rows, buffers in own:
                if column.name in buffers:
                    _lay(cells, Rows(0, len(cells)), rows, buffers[column.name])
            out[column.name] = frozen(cells)
        return out

    # Inside.

    def _read(self, kind: Kind, page: int, name: str, span: Rows) -> Array:
        if page in self._own.created:
            stored = frozen(filled(_column(kind, name), len(span)))
        else:
            stored = self._stored(kind, page, name, span)
        out = stored
        for rows, buffers in self._writes(kind, page):
            if name in buffers:
                out = out.copy() if out is stored else out
                _lay(out, span, rows, buffers[name])
        return frozen(out)

    def _stored(self, kind: Kind, page: int, name: str, span: Rows) -> Array:
        """Of the base, and fill beyond its rows, which may be any number."""
        count = self.base.row_count(kind, page)
        if span.stop <= count:
            return self.base.column(kind, page, name, span)
        inside = Rows(min(span.start, count), count)
        out = filled(_column(kind, name), len(span))
        out[: len(inside)] = self.base.column(kind, page, name, inside)
        return frozen(out)

    def _writes(self, kind: Kind, page: int) -> list[Cells]:
        if kind.append_only:
            return self._own.appended.get(kind.id, [])
        return self._own.cells(page)

    def _live(self, kind: Kind | str, page: int) -> Kind:
        shown, actual = self.kind(kind), self.kind_of(page)
        if shown.id != actual.id:
            raise UsageError(f"page {page} is of kind {actual.name!r}, not {shown.name!r}")
        if page in self._own.deleted:
            raise UnknownName(f"page {page} is deleted by this transaction; read it at its base")
        return shown


def _column(kind: Kind, name: str) -> Column:
    for column in kind.columns:
        if column.name == name:
            return column
    raise UnknownName(f"kind {kind.name!r} has no column {name!r}; see its columns")


def rows_end(rows: Rows | Array) -> int:
    """One past the last."""
    if isinstance(rows, Rows):
        return rows.stop
    return int(rows[-1]) + 1 if len(rows) else 0


def _lay(out: Array, span: Rows, rows: Rows | Array, values: Array) -> None:
    """Writes the values of ``rows`` into ``out``, which holds the cells of ``span``."""
    if isinstance(rows, Rows):
        low, high = max(rows.start, span.start), min(rows.stop, span.stop)
        if low < high:
            out[low - span.start : high - span.start] = values[low - rows.start : high - rows.start]
        return
    low, high = np.searchsorted(rows, [span.start, span.stop])
    out[rows[low:high].astype(np.int64) - span.start] = values[low:high]

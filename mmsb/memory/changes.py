"""What one commit will write, collected in memory. Nothing here touches the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import Conflict, UnknownName, UsageError, quote
from mmsb.base.model import NONE_U32
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import asked
from mmsb.memory.batch import PAGE_ROWS
from mmsb.memory.cells import Array, cells, common_length, filled, frozen, sorted_rows, whole
from mmsb.memory.delta import Delta, merge, new_delta
from mmsb.memory.grow import Grow
from mmsb.memory.index import Index
from mmsb.memory.many import Many, many, one
from mmsb.memory.symbols import Symbols, normal, to_bytes

_TEXT_KINDS = (schema.HEAP.id, schema.SYMBOL.id)


@dataclass(frozen=True, slots=True)
class Sealed:
    """One commit's content, final: schemas and pages to create, deltas, tombstones."""

    kinds: tuple[Kind, ...]
    page_kinds: Array  # u16
    page_subjects: Array  # u32
    deltas: tuple[Delta, ...]
    deleted: tuple[tuple[int, int], ...]  # (kind id, page)
    many: tuple[Many, ...] = ()  # after the deltas, in this order


class Changes:
    """Collects one commit. Ids it gives out are final once it is committed.

    Of two writes to one cell the later wins. A `Changes` is committed once; it conflicts if
    another commit came in between and this one gives out ids or writes to a page that one wrote.
    """

    def __init__(self, index: Index, symbols: Symbols) -> None:
        """Get one from ``memory.changes()``."""
        self._index, self._symbols = index, symbols
        self.base = index.head
        self.committed = False
        self._first_symbol = symbols.count(self.base)
        self._texts: dict[str, int] = {}
        self._raw: list[bytes] = []
        self._first_page = index.page_count
        self._known, self._kinds = index.known, tuple(index.unstored())
        # Storing the schema of an append-only kind creates its page.
        tables = [k for k in self._kinds if k.append_only and k.id not in index.stored]
        self._page_kinds, self._page_subjects = Grow("<u2"), Grow("<u4")
        self._page_kinds.extend([kind.id for kind in tables])
        self._page_subjects.extend([NONE_U32] * len(tables))
        self._tables = {kind.id: self._first_page + at for at, kind in enumerate(tables)}
        self._by_subject: dict[tuple[int, int], int] = {}
        self._appended: dict[int, list[dict[str, Array]]] = {}
        self._next_row: dict[int, int] = {}
        self._patched: dict[int, list[Delta]] = {}
        self._deleted: dict[int, Kind] = {}
        self._many: list[Many] = []

    def symbol(self, text: str) -> int:
        """The id of a text, new or known. UsageError if it cannot be written as UTF-8."""
        text = normal(text)
        id = self._texts.get(text)
        if id is None:
            id = self._symbols.id(text, self._first_symbol)
            if id is None:
                id = self._first_symbol + len(self._raw)
                _check_room("symbol", id, 1)
                self._raw.append(to_bytes(text))
            self._texts[text] = id
        return id

    def page(self, kind: Kind | str, subject: str) -> int:
        """The live page of a subject, created by this commit if there is none."""
        shown = self._index.kind(kind)
        if shown.append_only:
            raise UsageError(f"{shown.name!r} is append-only and has one page; use append")
        key = (shown.id, self.symbol(subject))
        page = self._by_subject.get(key)
        if page is None or page in self._deleted:
            page = None if page in self._deleted else self._stored_page(shown, key[1])
            if page is None:
                page = self._first_page + self._page_kinds.count
                _check_room("page", page, 1)
                self._page_kinds.append(shown.id)
                self._page_subjects.append(key[1])
            self._by_subject[key] = page
        return page

    def pages(self, kind: Kind | str, subjects: Sequence[str]) -> Array:
        """`page` for many subjects: their pages, u32, those created in the order of the subjects.

        O(subjects). UsageError, UnknownName.
        """
        shown = self._index.kind(kind)
        if shown.append_only:
            raise UsageError(f"{shown.name!r} is append-only and has one page; use append")
        symbols = self.symbols(subjects)
        found = self._index.catalog.pages_of(shown.id, symbols, self.base)
        if self._deleted:
            found[np.isin(found, list(self._deleted))] = -1
        for at in np.flatnonzero(found < 0).tolist() if self._by_subject else ():
            page = self._by_subject.get((shown.id, int(symbols[at])), -1)
            found[at] = -1 if page in self._deleted else page
        new, first, which = np.unique(symbols[found < 0], return_index=True, return_inverse=True)
        order = np.argsort(first)  # in the order of the subjects, each once
        pages = np.empty(len(new), np.int64)
        pages[order] = self._first_page + self._page_kinds.count + np.arange(len(new))
        _check_room("page", self._first_page + self._page_kinds.count, len(new))
        found[found < 0] = pages[which]
        self._page_kinds.extend(np.full(len(new), shown.id, "<u2"))
        self._page_subjects.extend(new[order])
        keys = zip([shown.id] * len(new), new.tolist(), strict=True)
        self._by_subject.update(zip(keys, pages.tolist(), strict=True))
        return frozen(found.astype("<u4"))

    def symbols(self, texts: Sequence[str]) -> Array:
        """`symbol` for many texts, u32. O(texts)."""
        known = self._texts
        texts = asked.texts(texts)
        try:
            missing = [text for text in dict.fromkeys(texts) if text not in known]
        except TypeError:
            missing = [*texts]
        if any(type(text) is not str or not text.isascii() for text in missing):
            for text in missing:
                normal(text)  # one that is refused takes no id from the others
            return np.array([self.symbol(text) for text in texts], "<u4")
        first = self._first_symbol + len(self._raw)
        for text, id in zip(missing, self._symbols.ids(missing, self._first_symbol), strict=True):
            if id is None:
                known[text] = self._first_symbol + len(self._raw)
                self._raw.append(text.encode())
            else:
                known[text] = id
        _check_room("symbol", first, len(missing))
        return np.fromiter(map(known.__getitem__, texts), "<u4", len(texts))

    def append(self, kind: Kind | str, columns: Mapping[str, Any]) -> int:
        """Appends rows to an append-only kind; returns the number (= id) of the first.

        Columns are array-likes of one length; those not named are filled. UsageError, UnknownName.
        """
        shown = self._index.kind(kind)
        if not shown.append_only or shown.id in _TEXT_KINDS:
            how = "symbol" if shown.append_only else "patch"
            raise UsageError(f"rows are not appended to {shown.name!r}; use {how}")
        return self._append(shown, self.buffers(shown, columns))

    def patch(
        self, kind: Kind | str, page: int, columns: Mapping[str, Any], start: int = 0
    ) -> None:
        """Writes rows ``start``, ``start + 1``, … of the named columns. UsageError, UnknownName."""
        page, start = whole(page, "page"), whole(start, "start")
        shown = self._writable(kind, page)
        length = common_length(shown, buffers := self.buffers(shown, columns))
        _check_rows(shown, start, start + length)
        self._add(new_delta(page, shown, Rows(start, start + length), buffers))

    def patch_rows(
        self, kind: Kind | str, page: int, rows: Any, columns: Mapping[str, Any]
    ) -> None:
        """Writes the listed rows (sorted, each once) of named columns. UsageError, UnknownName."""
        page = whole(page, "page")
        shown = self._writable(kind, page)
        touched = sorted_rows(rows)
        _check_rows(shown, 0, int(touched[-1]) + 1 if len(touched) else 0)
        buffers = self.buffers(shown, columns)
        if common_length(shown, buffers) != len(touched):
            raise UsageError(f"{shown.name}: pass a value for each of the {len(touched)} rows")
        self._add(new_delta(page, shown, touched, buffers))

    def patch_many(
        self,
        kind: Kind | str,
        pages: Any,
        columns: Mapping[str, Any],
        starts: Any = 0,
        counts: Any = None,
    ) -> None:
        """One dense delta for each of many pages: delta i writes ``counts[i]`` rows from
        ``starts[i]`` of page ``pages[i]``, its cells behind those of delta i - 1 in each column.

        ``starts`` is an array or one number; without ``counts`` all deltas have equally many rows.
        A page may be named twice: the later delta wins, as it does over `patch` and earlier calls.
        O(cells); no object for a delta. UsageError, UnknownName.
        """
        shown = self._index.kind(kind)
        if shown.append_only:
            raise UsageError(f"{shown.name!r} is append-only: each row is written once; use append")
        made = many(shown, asked.ids(pages), self.buffers(shown, columns), starts, counts)
        if not len(made.pages):
            return
        _check_rows(shown, 0, int(made.stops.max()))
        self._check_many(shown, made.pages)
        self._many.append(made)

    def buffers(self, kind: Kind, columns: Any) -> dict[str, Array]:
        """Checked copies of columns, in the kind's order. UsageError, UnknownName."""
        if not (isinstance(columns, Mapping) and columns):
            raise UsageError(f"{kind.name}: name at least one column")
        given = {self._index.column(kind, name): values for name, values in columns.items()}
        ordered = sorted(given, key=lambda column: column.id)
        buffers = {column.name: cells(kind, column, given[column]) for column in ordered}
        common_length(kind, buffers)
        return buffers

    def delete(self, page: int) -> None:
        """A tombstone: gone from this epoch on. Its subject may get a new page later."""
        page = whole(page, "page")
        kind = self._writable(self._kind_of(page), page)
        self._patched.pop(page, None)
        self._many = [left for m in self._many if len((left := m.without(page)).pages)]
        self._deleted[page] = kind

    def told(self) -> None:
        """Committed: the texts of its symbols are known to the memory from now on."""
        self.committed, first = True, self._first_symbol
        self._symbols.learn(first, [text for text, id in self._texts.items() if id >= first])

    def check_owner(self, index: Index) -> None:
        """UsageError unless these are changes of the memory that ``index`` belongs to; Conflict if
        its log was written anew since."""
        own: Index | None = self._index
        while own is not None and own is not index:
            own = own.later
        if own is None:
            raise UsageError(
                f"these changes were collected for {self._index.folder}, opened elsewhere or "
                f"earlier; commit them there, or collect them with changes() of {index.folder}"
            )
        if own is not self._index:
            raise Conflict(
                f"{index.folder} forgot epochs (retain) since these began at epoch {self.base}, "
                "and nothing of them is written; do them again in new ones"
            )

    @property
    def unknowing(self) -> bool:
        """Were kinds made known since, whose schemas this commit would not store?"""
        return self._known is not self._index.known

    def conflict(self, head: int) -> str | None:
        """Why this cannot be committed on top of ``head``, or None."""
        if head == self.base:
            return None
        if self._raw or self._page_kinds.count or self._appended:
            return "these give out ids which that epoch may have given out"
        own = [np.array([*self._patched, *self._deleted], np.int64), *(m.pages for m in self._many)]
        both = np.intersect1d(np.concatenate(own), self._index.written_since(self.base))
        if len(both):
            more = f" and {len(both) - 8} more" if len(both) > 8 else ""
            return f"it wrote page {', '.join(map(str, both[:8].tolist()))}{more}, as these do"
        return None

    def plain(self) -> Many | None:
        """All that it holds, if that is patches of one call."""
        other = (self._raw, self._appended, self._deleted, self._kinds, self._page_kinds.count)
        if any(other) or len(self._many) + len(self._patched) != 1:
            return None
        return self._many[0] if self._many else one(*self._patched.values())

    def seal(self) -> Sealed:
        """The content in its final order. Changes nothing here: a failed commit can be retried."""
        deltas = self._text_deltas() if self._raw else []
        deltas += [self._table_delta(kind) for kind in sorted(self._appended)]
        for patches in self._patched.values():
            deltas += patches if len(patches) == 1 else merge(*patches).deltas()
        return Sealed(
            self._kinds,
            self._page_kinds.values,
            self._page_subjects.values,
            tuple(delta for delta in deltas if len(delta) and delta.columns),
            tuple((kind.id, page) for page, kind in self._deleted.items()),
            tuple(self._many),
        )

    # Inside.

    def _text_deltas(self) -> list[Delta]:
        lengths = np.array([len(raw) for raw in self._raw], np.int64)
        start = self._symbols.heap_bytes(self.base)
        _check_room("heap byte", start, int(lengths.sum()))
        heap, symbol = self._index.kind("heap"), self._index.kind("symbol")
        offsets = start + np.cumsum(lengths) - lengths
        text = np.frombuffer(b"".join(self._raw), np.uint8)
        return [
            self._tail(heap, start, self.buffers(heap, {"byte": text})),
            self._tail(
                symbol,
                self._first_symbol,
                self.buffers(symbol, {"offset": offsets, "length": lengths}),
            ),
        ]

    def _tail(self, kind: Kind, start: int, buffers: dict[str, Array]) -> Delta:
        """A delta that continues the table of an append-only kind at row ``start``."""
        page = self._tables.get(kind.id)
        if page is None:
            page = self._index.catalog.table_page(kind)
            assert page is not None  # storing its schema created it
        return new_delta(page, kind, Rows(start, start + common_length(kind, buffers)), buffers)

    def _append(self, kind: Kind, buffers: dict[str, Array]) -> int:
        count = common_length(kind, buffers)
        row = self._next_row.get(kind.id)
        if row is None:
            row = self._index.tables.rows(kind.id, self.base)
        _check_room(kind.name, row, count)
        self._next_row[kind.id] = row + count
        if count:
            self._appended.setdefault(kind.id, []).append(buffers)
        return row

    def _table_delta(self, kind_id: int) -> Delta:
        kind, parts = self._index.kind(kind_id), self._appended[kind_id]
        names = [c for c in kind.columns if any(c.name in part for part in parts)]
        lengths = [len(next(iter(part.values()))) for part in parts]
        buffers = {
            column.name: frozen(
                np.concatenate(
                    [
                        part.get(column.name, filled(column, length))
                        for part, length in zip(parts, lengths, strict=True)
                    ]
                )
            )
            for column in names
        }
        return self._tail(kind, self._next_row[kind_id] - sum(lengths), buffers)

    def _check_many(self, kind: Kind, pages: Array) -> None:
        """`_writable` for each of many pages. O(pages)."""
        catalog = self._index.catalog
        first, count = self._first_page, self._page_kinds.count
        kinds = catalog.kinds.held[:first]
        kinds = np.concatenate([kinds, self._page_kinds.values]) if count else kinds
        inside = pages < first + count
        fits = inside.all() and bool((kinds[pages] == kind.id).all())
        suspects = pages.tolist() if not fits else catalog.dead_among(pages, self.base)
        suspects += [page for page in self._deleted if page in pages]
        for page in suspects:
            self._writable(kind, page)

    def _add(self, delta: Delta) -> None:
        if any(delta.page in made.pages for made in self._many):
            raise UsageError(
                f"page {delta.page} is written by an earlier patch_many of these changes; write it "
                "with patch_many again, or commit in between"
            )
        self._patched.setdefault(delta.page, []).append(delta)

    def _stored_page(self, kind: Kind, symbol: int) -> int | None:
        if symbol >= self._first_symbol:
            return None
        page = self._index.catalog.page_of(kind.id, symbol, self.base)
        return None if page is None or page in self._deleted else page

    def _kind_of(self, page: int) -> Kind:
        own = page - self._first_page
        if 0 <= own < self._page_kinds.count:
            return self._index.kind(int(self._page_kinds.held[own]))
        if not self._index.catalog.exists(page, self.base):
            raise UnknownName(f"page {page} does not exist; get pages from changes.page")
        return self._index.kind(int(self._index.catalog.kinds.values[page]))

    def _writable(self, kind: Kind | str, page: int) -> Kind:
        shown, actual = self._index.kind(kind), self._kind_of(page)
        if shown.id != actual.id:
            raise UsageError(f"page {page} is of kind {actual.name!r}, not {shown.name!r}")
        if shown.append_only:
            raise UsageError(f"{shown.name!r} is append-only: each row is written once; use append")
        gone = page < self._first_page and self._index.catalog.deleted_at(page) <= self.base
        if gone or page in self._deleted:
            raise UsageError(f"page {page} is deleted; changes.page makes a new one of its subject")
        return shown


def _check_room(what: str, first: int, count: int) -> None:
    # The two highest numbers are sentinels: "none" and "the method itself".
    if not 0 <= first <= first + count <= 2**32 - 2:
        raise UsageError(f"{what} {first} + {count} is outside 0 … 2**32 - 2, which ids can name")


def _check_rows(kind: Kind, start: int, stop: int) -> None:
    if not 0 <= start <= stop <= PAGE_ROWS:
        raise UsageError(
            f"rows {quote(start)} … {quote(stop - 1)} of {kind.name!r} are outside 0 … "
            f"{PAGE_ROWS - 1}, the rows that a page can have; use smaller row numbers"
        )

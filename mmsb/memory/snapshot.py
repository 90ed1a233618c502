"""A memory as of one epoch. Cheap to make; everything is read when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import NONE_U32
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import replay
from mmsb.memory.cells import Array, dtype_of, frozen, whole
from mmsb.memory.changes import as_ids
from mmsb.memory.index import Index
from mmsb.memory.symbols import Symbols


class Snapshot:
    """Reads at a fixed epoch. Arrays are read-only, of the column's dtype.

    A ``kind`` may be a `Kind` or its name. Reads raise UnknownName for what does not exist as of
    the epoch, UsageError for a page of another kind, CorruptData for damaged bytes.
    """

    __slots__ = ("_index", "_symbols", "epoch")

    def __init__(self, index: Index, symbols: Symbols, epoch: int) -> None:
        """Get one from ``memory.at(epoch)``."""
        self._index, self._symbols, self.epoch = index, symbols, epoch

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All kinds of the memory, stored or known, by id."""
        return tuple(self._index.kinds.values())

    def kind(self, kind: Kind | str) -> Kind:
        """The kind as this memory knows it."""
        return self._index.kind(kind)

    # Pages.

    def pages(self, kind: Kind | str) -> Array:
        """Ids of the kind's live pages, u32, in creation order. An append-only kind has one."""
        return frozen(self._index.pages(self._index.kind(kind), self.epoch))

    def page(self, kind: Kind | str, subject: str) -> int | None:
        """The live page of a subject, or None. The first call reads all symbols."""
        shown = self._index.kind(kind)
        symbol = self._symbols.id(subject, self._symbols.count(self.epoch))
        return None if symbol is None else self._index.page_of(shown, symbol, self.epoch)

    def subject(self, page: int) -> str:
        """The subject of a page; "" for the page of an append-only kind."""
        self._check_exists(page)
        symbol = int(self._index.page_subjects()[page])
        return "" if symbol == NONE_U32 else self.symbol(symbol)

    def subjects(self, pages: Array) -> list[str]:
        """The subjects of many pages."""
        symbols = self._index.page_subjects()[pages]
        texts = iter(self.symbols(symbols[symbols != NONE_U32]))
        return ["" if symbol == NONE_U32 else next(texts) for symbol in symbols.tolist()]

    def kind_of(self, page: int) -> Kind:
        """The kind of a page."""
        self._check_exists(page)
        return self._index.kind(int(self._index.page_kinds()[page]))

    def row_count(self, kind: Kind | str, page: int) -> int:
        """One past the last row ever written; never shrinks."""
        self._live(kind, page)
        return replay.row_count(self._index, page, self.epoch)

    # Cells.

    def column(self, kind: Kind | str, page: int, name: str, rows: Rows | None = None) -> Array:
        """Cells of the rows (default: all), fill where nothing was written or beyond the end.

        Zero-copy where one patch covers them and none after it touches them.
        """
        shown = self._live(kind, page)
        if rows is None:
            rows = Rows(0, replay.row_count(self._index, page, self.epoch))
        return replay.read(self._index, page, self._index.column(shown, name), rows, self.epoch)

    def columns(
        self, kind: Kind | str, page: int, names: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Whole columns by name, all of them by default, each ``row_count`` cells."""
        shown = self._live(kind, page)
        rows = Rows(0, replay.row_count(self._index, page, self.epoch))
        named = (self._index.column(shown, name) for name in names or ())
        wanted = shown.columns if names is None else tuple(named)
        return replay.read_all(self._index, page, wanted, rows, self.epoch)

    def table(self, kind: Kind | str) -> dict[str, Array]:
        """Whole columns of an append-only kind by name. UsageError for another kind."""
        shown = self._index.kind(kind)
        if not shown.append_only:
            raise UsageError(f"{shown.name!r} has a page for each subject; use columns or gather")
        pages = self.pages(shown)
        if not len(pages):
            return {c.name: frozen(np.zeros(0, dtype_of(c))) for c in shown.columns}
        return self.columns(shown, int(pages[0]))

    def gather(
        self, kind: Kind | str, name: str, pages: Iterable[int] | Array | None = None
    ) -> tuple[Array, Array]:
        """One column over many pages (default: all live): values end to end, offsets i64.

        Page i holds ``values[offsets[i]:offsets[i + 1]]``. All pages: one pass over the column's
        batches; chosen pages: a `column` for each.
        """
        shown = self._index.kind(kind)
        column = self._index.column(shown, name)
        if pages is None:
            return replay.gather(self._index, shown, column, self.pages(shown), self.epoch)
        parts = [self.column(shown, int(page), name) for page in as_ids(_listed(pages))]
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        values = np.concatenate([np.zeros(0, dtype_of(column)), *parts])
        return frozen(values), frozen(offsets)

    # Symbols.

    def symbol(self, id: int) -> str:
        """The text of a symbol."""
        return self.symbols([id])[0]

    def symbols(self, ids: Iterable[int] | Array) -> list[str]:
        """The texts of symbols; cached for the life of the memory."""
        return self._symbols.texts(ids, self._symbols.count(self.epoch))

    # History.

    def written(self, page: int) -> Array:
        """Epochs up to this one that wrote the page, increasing, u64. Also of a deleted page."""
        self._check_exists(page)
        return replay.written(self._index, page, self.epoch)

    def blame(self, kind: Kind | str, page: int, columns: Iterable[str] | str) -> Array:
        """For each row the last epoch that wrote any of the columns, u64; 0 where none did."""
        shown = self._live(kind, page)
        names = (columns,) if isinstance(columns, str) else tuple(columns)
        found = tuple(self._index.column(shown, name) for name in names)
        rows = Rows(0, replay.row_count(self._index, page, self.epoch))
        return replay.last_written(self._index, page, found, rows, self.epoch)

    def symbol_bytes(self) -> list[bytes]:
        """The stored bytes of every symbol as of the epoch."""
        return self._symbols.raw(0, self._symbols.count(self.epoch))

    # Inside.

    def _check_exists(self, page: int) -> None:
        if not self._index.exists(whole(page, "page"), self.epoch):
            raise UnknownName(f"page {page} does not exist at epoch {self.epoch}; see pages(kind)")

    def _live(self, kind: Kind | str, page: int) -> Kind:
        shown, actual = self._index.kind(kind), self.kind_of(page)
        if shown.id != actual.id:
            raise UsageError(f"page {page} is of kind {actual.name!r}, not {shown.name!r}")
        gone = self._index.deleted_at(page)
        if gone <= self.epoch:
            raise UnknownName(f"page {page} was deleted in epoch {gone}; read it at {gone - 1}")
        return shown


def _listed(pages: Any) -> Any:
    return pages if isinstance(pages, np.ndarray) else list(pages)

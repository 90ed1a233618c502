"""A memory as of one epoch. Cheap to make; everything is read when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import NONE_U32
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory import asked, gather, replay
from mmsb.memory.arrow import ArrowStream, place_names
from mmsb.memory.cells import Array, dtype_of, frozen, whole
from mmsb.memory.device import DevicePage, Host
from mmsb.memory.device_cells import There, gathered, on_machine
from mmsb.memory.index import Index
from mmsb.memory.machine import Device, resolve
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
        return frozen(self._index.catalog.live(self._index.kind(kind).id, self.epoch))

    def page(self, kind: Kind | str, subject: str) -> int | None:
        """The live page of a subject, or None. The first call reads all symbols."""
        shown = self._index.kind(kind)
        symbol = self._symbols.id(asked.text(subject, "a subject"), self._symbols.count(self.epoch))
        return None if symbol is None else self._index.catalog.page_of(shown.id, symbol, self.epoch)

    def subject(self, page: int) -> str:
        """The subject of a page; "" for the page of an append-only kind."""
        found = self._check_exists(page)
        symbol = int(self._index.catalog.subjects.values[found])
        return "" if symbol == NONE_U32 else self.symbol(symbol)

    def subjects(self, pages: Array) -> list[str]:
        """The subjects of many pages."""
        symbols = self.subject_ids(pages)
        texts = iter(self.symbols(symbols[symbols != NONE_U32]))
        return ["" if symbol == NONE_U32 else next(texts) for symbol in symbols.tolist()]

    def subject_ids(self, pages: Array) -> Array:
        """The symbols of many pages' subjects, u32; NONE for the page of an append-only kind."""
        wanted = asked.ids(pages)
        if len(wanted):
            self._check_exists(int(wanted.max()))
        found: Array = self._index.catalog.subjects.values[wanted]
        return found

    def lives(self, pages: Array) -> Array:
        """Which of the pages are there as of the epoch: created, and not deleted. O(pages)."""
        catalog, wanted = self._index.catalog, asked.ids(pages)
        there = wanted < catalog.counted(self.epoch)
        if catalog.deleted:
            listed = zip(wanted.tolist(), there.tolist(), strict=True)
            own = [live and catalog.deleted_at(page) > self.epoch for page, live in listed]
            there = np.array(own, bool)
        return there

    def kind_of(self, page: int) -> Kind:
        """The kind of a page."""
        found = self._check_exists(page)
        return self._index.kind(self._index.catalog.kinds.items[found])

    def row_count(self, kind: Kind | str, page: int) -> int:
        """One past the last row ever written; never shrinks."""
        self._live(kind, page)
        return replay.row_count(self._index, page, self.epoch)

    # Cells.

    def column(self, kind: Kind | str, page: int, name: str, rows: Rows | None = None) -> Array:
        """Cells of the rows (default: all), fill where nothing was written or beyond the end,
        of which at most 2**20 rows may be asked for.

        Zero-copy where one patch covers them and none after it touches them.
        """
        meter = self._index.meter
        began = meter.begin()
        shown = self._live(kind, page)
        if rows is None:
            rows = Rows(0, replay.row_count(self._index, page, self.epoch))
        elif len(asked.span(rows)) > asked.BEYOND:
            asked.within(rows, page, replay.row_count(self._index, page, self.epoch))
        found = self._read(shown, page, name, rows)
        if began:
            meter.read(meter.column, began, page, self.epoch, found.nbytes)
        return found

    def columns(
        self, kind: Kind | str, page: int, names: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Whole columns by name, all of them by default, each ``row_count`` cells."""
        meter = self._index.meter
        began = meter.begin()
        shown = self._live(kind, page)
        rows = Rows(0, replay.row_count(self._index, page, self.epoch))
        wanted = shown.columns
        if names is not None:
            wanted = tuple(self._index.column(shown, name) for name in asked.names(names))
        found = replay.read_all(self._index, shown, page, wanted, rows=rows, epoch=self.epoch)
        if began:
            size = sum(cells.nbytes for cells in found.values())
            meter.read(meter.columns, began, page, self.epoch, size)
        return found

    def to_device(
        self,
        kind: Kind | str,
        page: int,
        names: Sequence[str] | None = None,
        *,
        device: Device = "auto",
    ) -> DevicePage:
        """A copy of columns of a page (default: all) on a device, as of this epoch. O(cells).

        ``memory.bring`` and ``commit(changes, to=…)`` take later deltas to it. MissingExtra for
        "gpu" where there is none, EnvironmentProblem where it has no room; "auto" is the CPU then.
        """
        meter = self._index.meter
        machine = resolve(device, meter.instead)
        shown = self._live(kind, page)
        wanted = shown.columns
        if names is not None:
            wanted = tuple(self._index.column(shown, name) for name in asked.names(names))
        about = (self, shown, whole(page, "page"), wanted)
        if machine is not None:
            made = on_machine(lambda: DevicePage(*about, There(machine)), device, meter.instead)
            if made is not None:
                meter.copies.add(made)
                return made
        return DevicePage(*about, Host())

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
        self,
        kind: Kind | str,
        name: str,
        pages: Iterable[int] | Array | None = None,
        *,
        device: Device = "cpu",
        out: Array | None = None,
    ) -> tuple[Array, Array]:
        """One column over many pages (default: all live): values end to end, offsets i64.

        Page i holds ``values[offsets[i]:offsets[i + 1]]``. One pass over the column's batches up to
        the epoch, on all cores. With ``out``, an array of the column's dtype, the values are its
        first cells: for large columns new memory costs as much as the copying. On the GPU they are
        a `DeviceColumn`; MissingExtra without one, EnvironmentProblem without room there; "auto" is
        the CPU then, and `stats` says so. UsageError where ``out`` does not fit.
        """
        columns, offsets = self._gather(kind, (name,), pages, device, out)
        return columns[name], offsets

    def gather_columns(
        self,
        kind: Kind | str,
        names: Iterable[str] | None = None,
        pages: Iterable[int] | Array | None = None,
        *,
        device: Device = "cpu",
    ) -> tuple[dict[str, Array], Array]:
        """`gather` for several columns (default: all), by name, and their common offsets."""
        return self._gather(kind, names, pages, device, None)

    def _gather(
        self, kind: Kind | str, names: Any, pages: Any, device: Device, out: Array | None
    ) -> tuple[dict[str, Array], Array]:
        meter, began = self._index.meter, perf_counter_ns()
        machine = resolve(device, meter.instead)
        shown = self._index.kind(kind)
        chosen = shown.columns
        if names is not None:
            chosen = tuple(self._index.column(shown, name) for name in asked.names(names))
        wanted = self.pages(shown) if pages is None else asked.ids(pages)
        if pages is not None:
            self._all_live(shown, wanted)
            increasing = bool((wanted[1:] > wanted[:-1]).all())
            if not increasing and len(np.unique(wanted)) != len(wanted):
                if machine is not None or out is not None:
                    raise UsageError("a device, and out, hold a page once; name each page once")
                return self._one_by_one(shown, chosen, wanted)
        if machine is not None and out is not None:
            raise UsageError("out is an array of the host; gather to the device without it")
        found, offsets = gather.gather(
            self._index, shown, chosen, pages=wanted, epoch=self.epoch, out=out
        )
        size = sum(cells.nbytes for cells in found)
        meter.read_many(meter.gather, began, None, self.epoch, size)
        named = {c.name: values for c, values in zip(chosen, found, strict=True)}
        if machine is not None:
            where = (wanted, offsets, pages is None)
            there = gathered(machine, self, shown, named, where)
            made = on_machine(there, device, meter.instead)
            if made is not None:
                meter.copies.update(made.values())
                return made, offsets
        return named, offsets

    def cell(self, kind: Kind | str, page: int, name: str, row: int) -> Any:
        """One cell, a numpy scalar; the fill value where nothing was written."""
        meter = self._index.meter
        began = meter.begin()
        shown, page, row = self._live(kind, page), whole(page, "page"), whole(row, "row")
        column = self._index.column(shown, name)
        if not 0 <= row < 2**32:
            raise UsageError(f"row {row} is no row number; rows are 0 … 2**32 - 2")
        found = replay.cell(self._index, shown, column, page=page, row=row, epoch=self.epoch)
        if began:
            meter.read(meter.cell, began, page, self.epoch, found.nbytes)
        return found

    def cells(self, kind: Kind | str, name: str, pages: Any, rows: Any) -> Array:
        """One column's cells at (pages[i], rows[i]), in that order; fill where nothing was written.

        O(log deltas) for each, on all cores. The first call loads the kernels.
        """
        meter, began = self._index.meter, perf_counter_ns()
        shown = self._index.kind(kind)
        column = self._index.column(shown, name)
        wanted, at = asked.ids(pages), asked.ids(rows)
        if len(wanted) != len(at):
            raise UsageError(f"pass a row for each page: {len(wanted)} pages, {len(at)} rows")
        self._all_live(shown, wanted)
        found = replay.cells(self._index, shown, column, pages=wanted, rows=at, epoch=self.epoch)
        meter.read_many(meter.cells, began, wanted, self.epoch, found.nbytes)
        return found

    # Symbols.

    def symbol(self, id: int) -> str:
        """The text of a symbol."""
        return self.symbols([id])[0]

    def symbol_id(self, text: str) -> int | None:
        """The symbol of a text as of the epoch, or None. The first call reads all symbols."""
        known = asked.text(text, "a symbol")
        return self._symbols.id(known, self._symbols.count(self.epoch))

    def symbols(self, ids: Iterable[int] | Array) -> list[str]:
        """The texts of symbols; cached for the life of the memory."""
        return self._symbols.texts(ids, self._symbols.count(self.epoch))

    @property
    def page_count(self) -> int:
        """How many pages were ever created; the next one has this number."""
        return self._index.catalog.counted(self.epoch)

    @property
    def symbol_count(self) -> int:
        """How many symbols there are."""
        return self._symbols.count(self.epoch)

    # Leaving.

    def arrow(
        self,
        kind: Kind | str,
        columns: Sequence[str] | None = None,
        pages: Iterable[int] | Array | None = None,
        *,
        texts: bool = True,
    ) -> ArrowStream:
        """Rows of the kind for whatever takes Arrow: ``page``, ``subject``, ``row``, its columns.

        ``columns`` names those wanted, in order (also of the first three; an append-only kind has
        only ``row`` of them). ``pages``: default all live. With ``texts`` symbols are
        dictionary-encoded texts, else ids. O(1); cells are read as the stream is.
        """
        shown = self._index.kind(kind)
        place = place_names(shown)
        names = (*place, *(column.name for column in shown.columns))
        if columns is not None:
            names = asked.names(columns)
            for name in names:
                if name not in place:
                    self._index.column(shown, name)
            if len(set(names)) != len(names):
                raise UsageError(f"a column stands twice among {names}; name each once")
        wanted = self.pages(shown) if pages is None else asked.ids(pages)
        self._all_live(shown, wanted)
        return ArrowStream(self, shown, names, wanted, asked.flag(texts, "texts"))

    # History.

    def written(self, page: int) -> Array:
        """Epochs up to this one that wrote the page, increasing, u64. Also of a deleted page."""
        self._check_exists(page)
        return replay.written(self._index, page, self.epoch)

    def blame(self, kind: Kind | str, page: int, columns: Iterable[str] | str) -> Array:
        """For each row the last epoch that wrote any of the columns, u64; 0 where none did."""
        shown = self._live(kind, page)
        found = tuple(self._index.column(shown, name) for name in asked.names(columns))
        rows = Rows(0, replay.row_count(self._index, page, self.epoch))
        return replay.last_written(self._index, shown, page, found, rows=rows, epoch=self.epoch)

    def symbol_bytes(self) -> list[bytes]:
        """The stored bytes of every symbol as of the epoch."""
        return self._symbols.raw(0, self._symbols.count(self.epoch))

    # Inside.

    def _check_exists(self, page: int) -> int:
        number = whole(page, "page")
        if not self._index.catalog.exists(number, self.epoch):
            raise UnknownName(f"page {page} does not exist at epoch {self.epoch}; see pages(kind)")
        return number

    def _read(self, kind: Kind, page: int, name: str, rows: Rows) -> Array:
        column = self._index.column(kind, name)
        return replay.read(self._index, kind, page, column, rows=rows, epoch=self.epoch)

    def _one_by_one(
        self, kind: Kind, columns: tuple[Column, ...], pages: Array
    ) -> tuple[dict[str, Array], Array]:
        """`gather` of pages of which some are named twice."""
        single, at = np.unique(pages, return_inverse=True)
        found, offsets = gather.gather(self._index, kind, columns, pages=single, epoch=self.epoch)
        spans = [slice(int(offsets[i]), int(offsets[i + 1])) for i in at.tolist()]
        lengths = np.diff(offsets)[at]
        named = {
            c.name: frozen(np.concatenate([values[span] for span in spans]))
            for c, values in zip(columns, found, strict=True)
        }
        return named, frozen(np.append(0, np.cumsum(lengths)))

    def _all_live(self, kind: Kind, pages: Array) -> None:
        """As `_live` for each of many pages. O(pages)."""
        catalog = self._index.catalog
        count = catalog.counted(self.epoch)
        fits = pages < count
        if fits.all():
            fits = catalog.kinds.values[pages] == kind.id
        bad = np.flatnonzero(~fits)
        if len(bad):
            self._live(kind, int(pages[bad[0]]))
        for page in catalog.dead_among(pages, self.epoch):
            self._live(kind, page)

    def _live(self, kind: Kind | str, page: int) -> Kind:
        shown, number = self._index.kind(kind), self._check_exists(page)
        catalog = self._index.catalog
        if catalog.kinds.items[number] != shown.id:
            actual = self.kind_of(number).name
            raise UsageError(f"page {page} is of kind {actual!r}, not {shown.name!r}")
        gone = catalog.deleted_at(number)
        if gone <= self.epoch:
            raise UnknownName(f"page {page} was deleted in epoch {gone}; read it at {gone - 1}")
        return shown

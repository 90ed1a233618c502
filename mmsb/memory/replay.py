"""Reading a page as of an epoch: select the buffers and put later cells over earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory import pool, ways
from mmsb.memory.cells import Array, address_of, dtype_of, filled, frozen, unset
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import EPOCH, FIRST, SPARSE_AT
from mmsb.memory.order import distinct, sorted_by_page
from mmsb.memory.run import Run
from mmsb.memory.shapes import Buffer

#: So many random cells of so many deltas are read page by page.
_MANY_CELLS, _MANY_DELTAS = 65_536, 1_000_000


def row_count(index: Index, page: int, epoch: int) -> int:
    """One past the last row ever written up to the epoch.

    O(deltas of the page since an epoch for which it was asked before).
    """
    since, before = index.rows_known.get(page, (-1, 0))
    if since == epoch:
        return before
    if since > epoch:
        since, before = -1, 0
    frame = index.keyframes.find(page, epoch)
    if frame is not None and frame.epoch > since:
        since, before = frame.epoch, frame.rows
    if since == epoch:
        found = before
    elif ways.loaded(index) or frame is not None:
        kernel, known, found = ways.page().row_count, index.described(), 0

        def count(mark: int) -> int:
            nonlocal found
            found, unseen = kernel(*known.told, page, since, epoch, mark)
            return int(unseen)

        index.verified(known, count)
        found = max(int(found), before)
    else:
        stops = [stops.max() for _, _, _, stops in _chain(index, page, epoch) if len(stops)]
        found = int(max(stops, default=0))
    index.remember(page, epoch, found)
    return found


def read(index: Index, kind: Kind, page: int, column: Column, *, rows: Rows, epoch: int) -> Array:
    """Cells of ``rows``, read-only. CorruptData.

    Zero-copy where one delta covers all of ``rows`` and none after it touches them; else O(rows)
    and the cells of the deltas after the last that covers them.
    """
    if ways.loaded(index) or index.keyframes.find(page, epoch) is not None:
        return _read_compiled(index, kind, page, column, rows=rows, epoch=epoch)
    chain = _chain(index, page, epoch)
    if ways.worth(index, ways.OF_DELTA * _deltas(chain)):
        return _read_compiled(index, kind, page, column, rows=rows, epoch=epoch)
    return _read(_touching(index, kind, chain, rows), column, rows)


def read_all(
    index: Index, kind: Kind, page: int, columns: Iterable[Column], *, rows: Rows, epoch: int
) -> dict[str, Array]:
    """`read` for several columns of a page, by name."""
    columns = tuple(columns)
    if not ways.loaded(index) and index.keyframes.find(page, epoch) is None:
        chain = _chain(index, page, epoch)
        if not ways.worth(index, ways.OF_DELTA * _deltas(chain) * len(columns)):
            touching = list(_touching(index, kind, chain, rows))
            return {c.name: _read(touching, c, rows) for c in columns}
    return {c.name: _read_compiled(index, kind, page, c, rows=rows, epoch=epoch) for c in columns}


# With numpy.

_Part = tuple[Run, Array, Array, Array]


def _deltas(chain: list[_Part]) -> int:
    return sum(len(numbers) for _, numbers, _, _ in chain)


def _chain(index: Index, page: int, epoch: int) -> list[_Part]:
    """The page's deltas, oldest first: by run their batches' numbers, first rows, last rows."""
    parts = []
    for run in index.runs_to(epoch):
        numbers = run.numbers(page, epoch)
        if len(numbers):
            _, starts, stops, dead = run.spans(numbers)
            if dead.any():
                numbers, starts, stops = numbers[~dead], starts[~dead], stops[~dead]
            parts.append((run, numbers, starts, stops))
    return parts


@dataclass(frozen=True, slots=True, eq=False)
class _Touch:
    """What of a delta lies in the rows that are read: its cells [first, last), where they land."""

    run: Run
    batch: int
    own: int  # which of its batch's deltas it is
    where: slice | Array
    first: int
    last: int
    places: dict[int, Buffer]  # column id → its buffer in the segment

    def cells(self, column: Column) -> Array:
        """Its cells of a column that it has. CorruptData."""
        buffer, dtype = self.places[column.id], dtype_of(column)
        return self.run.cells(
            self.batch, buffer, dtype, own=self.own, first=self.first, last=self.last
        )


def _touching(index: Index, kind: Kind, chain: list[_Part], rows: Rows) -> Iterator[_Touch]:
    """The deltas of a chain that touch the rows, newest first."""
    widths = index.widths(kind.id)
    for run, numbers, starts, stops in reversed(chain):
        for at in np.flatnonzero((starts < rows.stop) & (stops > rows.start))[::-1].tolist():
            number = int(numbers[at])
            batch = int(run.batch_of(np.array([number]))[0])
            start, stop, begin, end = run.extent(batch, number)
            if int(run.table[batch, SPARSE_AT]) < 0:
                low, high = max(start, rows.start), min(stop, rows.stop)
                first, last = begin + low - start, begin + high - start
                where: slice | Array = slice(low - rows.start, high - rows.start)
            else:
                edges = np.array([begin, end])
                touched = run.listed(batch, edges, np.array([start]), np.array([stop]))
                low, high = np.searchsorted(touched, [rows.start, rows.stop]).tolist()
                first, last = begin + low, begin + high
                where = touched[low:high] - rows.start
            if first < last:
                own = number - int(run.table[batch, FIRST])
                yield _Touch(run, batch, own, where, first, last, run.places(batch, widths))


def _read(touching: Iterable[_Touch], column: Column, rows: Rows) -> Array:
    """The column's cells from the deltas that touch the rows, newest first."""
    later: list[_Touch] = []
    base: Array | None = None
    for touch in touching:
        if column.id in touch.places:
            if isinstance(touch.where, slice) and touch.last - touch.first == len(rows):
                base = touch.cells(column)
                break
            later.append(touch)
    if base is not None and not later:
        return base
    out = filled(column, len(rows))
    if base is not None:
        out[:] = base
    for touch in reversed(later):
        out[touch.where] = touch.cells(column)
    return frozen(out)


# With the kernels.


def _read_compiled(
    index: Index, kind: Kind, page: int, column: Column, *, rows: Rows, epoch: int
) -> Array:
    since, base = index.keyframes.held(page, epoch, column) or (-1, None)
    if base is not None and since == epoch and rows.stop <= len(base):
        return base[rows.start : rows.stop]  # without a look at the log
    known, told, count = index.described(), index.told(kind, column), len(rows)
    out, covered = unset(column, count), np.empty((count >> 6) + 1, np.int64)
    to, bits, kernel = address_of(out), address_of(covered), ways.page().read
    order = place = 0

    def run(mark: int) -> int:
        nonlocal order, place
        held = (0, 0) if base is None else (address_of(base), len(base))
        what = (column.id, told.widths, rows.start, rows.stop, told.fill)
        args = (*what, *held, to, bits, mark)
        order, place, unseen = kernel(*known.told, page, since, epoch, *args)
        return int(unseen)

    index.verified(known, run)
    if order >= 0:
        return known.view(order, place, len(rows), told.dtype)
    return frozen(out) if base is None or order == -1 else base[rows.start : rows.stop]


def cell(index: Index, kind: Kind, column: Column, *, page: int, row: int, epoch: int) -> Any:
    """One cell as a numpy scalar; fill where nothing was written. CorruptData. O(log deltas)."""
    if not ways.loaded(index):
        return read(index, kind, page, column, rows=Rows(row, row + 1), epoch=epoch)[0]
    known, told = index.described(), index.told(kind, column)
    since, fill = -1, told.fill
    if index.keyframes.mapped:
        since, base = index.keyframes.held(page, epoch, column) or (-1, None)
        if base is not None and row < len(base):
            fill = told.bits(base, row)
    found, unseen = ways.cells().cell(
        *known.told, page, row, since, epoch, column.id, told.widths, fill, 0
    )
    if unseen:
        numbers = (np.array([page], "<u4"), np.array([row], "<u4"))
        return cells(index, kind, column, pages=numbers[0], rows=numbers[1], epoch=epoch)[0]
    return told.scalar(found)


def cells(
    index: Index, kind: Kind, column: Column, *, pages: Array, rows: Array, epoch: int
) -> Array:
    """One column's cells at (pages[i], rows[i]); fill where nothing was written. CorruptData.

    O(log deltas) for each; on all cores, and page by page where the deltas are in no cache.
    """
    kernels, known, told = ways.cells(), index.described(), index.told(kind, column)
    out, kept = unset(column, len(pages)), None
    if index.keyframes:
        wanted = distinct(pages, index.catalog.counted(epoch))
        kept = index.keyframes.kept(column, wanted, epoch)
    bases = (0, 0, 0, 0, 0) if kept is None else kept.told()
    of_pages, of_rows, to = address_of(pages), address_of(rows), address_of(out)
    turns = np.zeros(0, "<u4")
    if len(pages) > _MANY_CELLS and index.delta_count > _MANY_DELTAS:
        turns = sorted_by_page(pages, 0).numbers
    order = address_of(turns) if len(turns) else 0

    def run(mark: int) -> int:
        def part(low: int, high: int) -> int:
            args = (low, high, epoch, column.id, told.widths, told.fill, bases, to, order, mark)
            return int(kernels.cells(*known.told, of_pages, of_rows, *args))

        return pool.spread(part, len(pages), smallest=4096)

    index.verified(known, run)
    del kept  # until here, for it is what the addresses point into
    return frozen(out)


def last_written(
    index: Index, kind: Kind, page: int, columns: tuple[Column, ...], *, rows: Rows, epoch: int
) -> Array:
    """For each row the last epoch that wrote one of the columns, u64; 0 where none did."""
    out, wanted = np.zeros(len(rows), "<u8"), {column.id for column in columns}
    touching = list(_touching(index, kind, _chain(index, page, epoch), rows))
    for touch in reversed(touching):
        if not wanted.isdisjoint(touch.places):
            out[touch.where] = touch.run.table[touch.batch, EPOCH]
    return frozen(out)


def written(index: Index, page: int, epoch: int) -> Array:
    """Epochs that wrote the page, tombstone included, increasing, u64."""
    found = [np.zeros(0, "<u8")]
    for run in index.runs_to(epoch):
        numbers = run.numbers(page, epoch)
        found.append(np.unique(run.table[run.batch_of(numbers), EPOCH]).astype("<u8"))
    return frozen(np.concatenate(found))

"""Reading a page as of an epoch: select the buffers, newest first, until the rows are covered."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory.cells import Array, dtype_of, filled, frozen
from mmsb.memory.index import Index


def row_count(index: Index, page: int, epoch: int) -> int:
    """One past the last row ever written up to the epoch. O(deltas of the page)."""
    _, stops = index.span(index.deltas(page, epoch))
    return int(stops.max()) if len(stops) else 0


def read(index: Index, page: int, column: Column, rows: Rows, epoch: int) -> Array:
    """Cells of ``rows``, read-only. CorruptData.

    Zero-copy where one patch covers all of ``rows`` and none after it touches them; else O(rows)
    for each patch that touches them, newest first, until each row has its value.
    """
    return read_from(index, _touching(index, page, rows, epoch), column, rows)


def read_all(
    index: Index, page: int, columns: Iterable[Column], rows: Rows, epoch: int
) -> dict[str, Array]:
    """`read` for several columns of a page, by name."""
    numbers = _touching(index, page, rows, epoch)
    return {column.name: read_from(index, numbers, column, rows) for column in columns}


def read_from(index: Index, numbers: Array, column: Column, rows: Rows) -> Array:
    """`read` from deltas of one page that touch the rows, numbers increasing."""
    out: Array | None = None
    missing = np.zeros(0, bool)
    for number in numbers[::-1].tolist():
        batch = index.batch(number)[0]
        if column.id not in batch.places:
            continue
        where, low, high = _clip(index, number, rows)
        if low >= high:
            continue
        values = batch.cells(column.id, dtype_of(column), low, high)
        if out is None:
            if isinstance(where, slice) and high - low == len(rows):
                return values
            out, missing = filled(column, len(rows)), np.ones(len(rows), bool)
        still = missing[where]
        if isinstance(where, slice):
            np.copyto(out[where], values, where=still)
        else:
            out[where[still]] = values[still]
        missing[where] = False
        if not missing.any():
            break
    return frozen(filled(column, len(rows)) if out is None else out)


def _touching(index: Index, page: int, rows: Rows, epoch: int) -> Array:
    numbers = index.deltas(page, epoch)
    starts, stops = index.span(numbers)
    return numbers[(starts < rows.stop) & (stops > rows.start)]


def _clip(index: Index, number: int, rows: Rows) -> tuple[slice | Array, int, int]:
    """Where in ``rows`` a delta lands (a slice where dense), and the batch cells [low, high)."""
    batch, begin, end, _ = index.batch(number)
    if batch.sparse is None:
        start = int(index.span(np.array([number]))[0][0])
        first, stop = max(start, rows.start), min(start + end - begin, rows.stop)
        where = slice(first - rows.start, max(stop, first) - rows.start)
        return where, begin + first - start, begin + max(stop, first) - start
    touched = batch.row_numbers(begin, end)
    low, high = np.searchsorted(touched, [rows.start, rows.stop])
    return touched[low:high].astype(np.int64) - rows.start, begin + int(low), begin + int(high)


def gather(
    index: Index, kind: Kind, column: Column, pages: Array, epoch: int
) -> tuple[Array, Array]:
    """One column of many pages, end to end, with offsets (i64); later cells over earlier ones.

    One pass over each batch that wrote the column: O(cells ever written to it), whatever the
    number of pages. CorruptData, also for damaged cells that later ones hide.
    """
    counts = index.row_counts(epoch)
    offsets = np.cumsum(np.append(0, counts[pages]), dtype=np.int64)
    places = np.full(len(counts), -1, np.int64)
    places[pages] = offsets[:-1]
    out = filled(column, int(offsets[-1]))
    for batch in index.batches_to(epoch):
        if batch.kind == kind.id and column.id in batch.places:
            bases = places[batch.pages()]
            if (bases >= 0).any():
                each, rows = batch.touched()
                bases = np.repeat(bases, each)
                cells = batch.cells(column.id, dtype_of(column), 0, batch.rows)
                wanted = bases >= 0
                out[(bases + rows)[wanted]] = cells[wanted]
    return frozen(out), frozen(offsets)


def last_written(
    index: Index, page: int, columns: tuple[Column, ...], rows: Rows, epoch: int
) -> Array:
    """For each row the last epoch that wrote one of the columns, u64; 0 where none did."""
    out = np.zeros(len(rows), "<u8")
    numbers = _touching(index, page, rows, epoch)
    wanted = {column.id for column in columns}
    for number, at in zip(numbers.tolist(), index.epochs(numbers).tolist(), strict=True):
        if wanted.isdisjoint(index.batch(number)[0].columns):
            continue
        where, low, high = _clip(index, number, rows)
        if low < high:
            out[where] = at
    return frozen(out)


def written(index: Index, page: int, epoch: int) -> Array:
    """Epochs that wrote the page, tombstone included, increasing, u64."""
    return frozen(np.unique(index.epochs(index.deltas(page, epoch))).astype("<u8"))

"""A page's states one after another: the deltas of an epoch put over the state before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory import replay
from mmsb.memory.cells import Array, dtype_of, filled, frozen
from mmsb.memory.frame import SHAPED
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import CELLS, DELTAS, END, EPOCH, FIRST, IDS, META, ROWS, SPARSE_AT
from mmsb.memory.run import Run
from mmsb.memory.shapes import Buffer, buffers_at, row_bytes, widened

State = dict[str, Array]
#: So many deltas are found and verified together.
_TOGETHER = 1024


class _Column:
    """A column of batches that are laid out alike."""

    __slots__ = ("dtype", "each", "name", "place", "plain", "size", "whole")

    def __init__(self, column: Column, raw: Array, buffer: Buffer, first: int) -> None:
        """``raw``: the segment; ``buffer`` is placed as if the batch's first began at ``first``."""
        self.name, self.dtype, self.size = column.name, dtype_of(column), buffer.size
        self.each, self.place = buffer.each, buffer.place - first
        wide = self.size == self.dtype.itemsize
        stored = self.dtype if wide else np.dtype(f"<u{self.size}")
        self.plain = wide and not self.each
        #: The segment as stored cells.
        self.whole = raw[: len(raw) // self.size * self.size].view(stored)

    def cells(self, low: int, high: int, count: int) -> Array:
        """So many cells, stored as [low, high)."""
        held = widened(self.whole[low:high], self.dtype)
        return np.repeat(held, count) if self.each else held


def states(
    index: Index, kind: Kind, page: int, first: int, last: int
) -> Iterator[tuple[int, State]]:
    """(epoch, all columns) after each epoch of first … last that wrote the page. CorruptData.

    A deletion ends it. Columns that an epoch did not write are the same arrays as before it.
    """
    state = _before(index, kind, page, first - 1)
    for run in index.runs_to(last):
        numbers = run.numbers(page, last)
        numbers = numbers[run.table[run.batch_of(numbers), EPOCH] >= first]
        if len(numbers):
            for epoch, after in _of_run(run, index, kind, numbers, state):
                state = dict(after)
                yield epoch, state
            if run.spans(numbers[-1:])[3].any():
                return


def _before(index: Index, kind: Kind, page: int, epoch: int) -> State:
    if not index.catalog.exists(page, epoch):
        return {column.name: frozen(filled(column, 0)) for column in kind.columns}
    rows = Rows(0, replay.row_count(index, page, epoch))
    return replay.read_all(index, kind, page, kind.columns, rows=rows, epoch=epoch)


def _of_run(
    run: Run, index: Index, kind: Kind, numbers: Array, state: State
) -> Iterator[tuple[int, State]]:
    """The states after each epoch that these deltas are of."""
    batches, starts, stops, dead = run.spans(numbers)
    places = _Places(run, index, kind)
    cells = places.of(numbers[~dead], batches[~dead])
    held, fresh, now = dict(state), set[str](), -1
    spans = zip(starts.tolist(), stops.tolist(), dead.tolist(), strict=True)
    epochs = run.table[batches, EPOCH].tolist()
    for epoch, (start, stop, gone) in zip(epochs, spans, strict=True):
        if epoch != now and now >= 0:
            yield now, _settled(held, fresh)
            fresh.clear()
        if gone:
            return
        now = epoch
        rows, columns = next(cells)
        where = slice(start, stop) if rows is None else rows
        for name, values in columns:
            own = held[name]
            if stop > len(own):
                _grow(kind, held, stop)
                fresh.update(held)
                own = held[name]
            if name not in fresh:
                fresh.add(name)
                own = held[name] = own.copy()
            own[where] = values
    yield now, _settled(held, fresh)


def _settled(held: State, fresh: set[str]) -> State:
    for name in fresh:
        held[name].setflags(write=False)
    return held


def _grow(kind: Kind, held: State, rows: int) -> None:
    """More rows, in arrays of their own."""
    for column in kind.columns:
        own = filled(column, rows)
        own[: len(held[column.name])] = held[column.name]
        held[column.name] = own


class _Places:
    """Where the cells of a page's deltas lie in a run's segment."""

    def __init__(self, run: Run, index: Index, kind: Kind) -> None:
        self._run, self._bytes = run, run.segment.bytes.data
        self._columns = {column.id: column for column in kind.columns}
        self._widths = index.widths(kind.id)
        self._shapes: dict[tuple[bytes, int, int, int], list[_Column]] = {}

    def of(
        self, numbers: Array, batches: Array
    ) -> Iterator[tuple[Array | None, list[tuple[str, Array]]]]:
        """Each delta's listed rows (None: dense), and its cells by column, verified."""
        for low in range(0, len(numbers), _TOGETHER):
            part = slice(low, low + _TOGETHER)
            yield from self._of(numbers[part], batches[part])

    def _of(
        self, numbers: Array, batches: Array
    ) -> Iterator[tuple[Array | None, list[tuple[str, Array]]]]:
        run, found = self._run, []
        table = run.table
        spans: list[tuple[int, int, int]] = []
        for number, at in zip(numbers.tolist(), batches.tolist(), strict=True):
            row = table[at].tolist()
            if row[DELTAS] == 1:
                begin, end = 0, row[ROWS]
            else:
                _, _, begin, end = run.extent(at, number)
            listed = None
            if row[SPARSE_AT] >= 0:
                size = row_bytes(row[META] >> 16)
                listed = (row[SPARSE_AT] + size * begin, row[SPARSE_AT] + size * end, size)
                spans.append((at, *listed[:2]))
            places = []
            cells, own = row[CELLS], number - row[FIRST]
            for column in self._shape(row, at):
                first, last = (own, own + 1) if column.each else (begin, end)
                low = cells + column.place + first * column.size  # a multiple of the size
                high = low + (last - first) * column.size
                places.append((column, low // column.size, high // column.size, end - begin))
                spans.append((at, low, high))
            found.append((listed, places))
        run.check_spans(np.array(spans, np.int64).reshape(-1, 3))
        raw = run.segment.bytes
        for listed, places in found:
            rows = None if listed is None else raw[listed[0] : listed[1]].view(f"<u{listed[2]}")
            yield (
                rows,
                [
                    (c.name, c.whole[low:high] if c.plain else c.cells(low, high, count))
                    for c, low, high, count in places
                ],
            )

    def _shape(self, row: list[int], at: int) -> list[_Column]:
        """The columns of a batch, whose table is verified. CorruptData."""
        begin, rows, count, first = row[IDS], row[ROWS], row[META] >> 32 & 0xFFFF, row[CELLS] & 7
        shaped = row[META] >> 16 & SHAPED != 0
        named = bytes(self._bytes[begin : begin + 2 * count * (1 + shaped)])
        deltas = row[DELTAS] if shaped else 0
        # Stored cells lie at multiples of their size in the segment: a place's remainder counts.
        shape = self._shapes.get((named, rows, deltas, first))
        if shape is None:
            raw, numbers = self._run.segment.bytes, np.frombuffer(named, "<u2").tolist()
            ids, shapes = numbers[:count], numbers[count:] if shaped else None
            widths = self._widths[ids].tolist()
            buffers, end = buffers_at(first, widths, shapes, rows, deltas)
            if row[CELLS] - first + end > row[END]:
                raise self._run.misled(at)
            both = zip(ids, buffers, strict=True)
            shape = [_Column(self._columns[id], raw, buffer, first) for id, buffer in both]
            self._shapes[named, rows, deltas, first] = shape
        return shape

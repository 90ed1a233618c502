"""A page's states one after another: the deltas of an epoch put over the state before it."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import numpy as np

from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import replay
from mmsb.memory.cells import Array, dtype_of, filled, frozen
from mmsb.memory.frame import padded
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import CELLS, DELTAS, EPOCH, IDS, META, ROWS, SPARSE_AT
from mmsb.memory.run import Run

State = dict[str, Array]
_ID = Struct("<H")
#: So many deltas are found and verified together.
_TOGETHER = 1024
#: Of a batch's column: its name, the segment as cells of its dtype, the bytes of one, and where
#: the buffer begins after the batch's first.
_Column = tuple[str, Array, int, int]


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
        self._shapes: dict[tuple[bytes, int], list[_Column]] = {}

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
                listed = (row[SPARSE_AT] + 4 * begin, row[SPARSE_AT] + 4 * end)
                spans.append((at, *listed))
            places = []
            cells = row[CELLS]
            for name, whole, width, place in self._shape(row):
                low = cells + place + begin * width  # a multiple of the width, as all buffers
                high = low + (end - begin) * width
                places.append((name, whole, low // width, high // width))
                spans.append((at, low, high))
            found.append((listed, places))
        run.check_spans(np.array(spans, np.int64).reshape(-1, 3))
        raw = run.segment.bytes
        for listed, places in found:
            rows = None if listed is None else raw[listed[0] : listed[1]].view("<u4")
            yield rows, [(name, whole[low:high]) for name, whole, low, high in places]

    def _shape(self, row: list[int]) -> list[_Column]:
        """The columns of a batch, whose table is verified."""
        begin, rows = row[IDS], row[ROWS]
        ids = bytes(self._bytes[begin : begin + 2 * (row[META] >> 32 & 0xFFFF)])
        shape = self._shapes.get((ids, rows))
        if shape is None:
            shape, place, raw = [], 0, self._run.segment.bytes
            for (id,) in _ID.iter_unpack(ids):
                column = self._columns[id]
                width = dtype_of(column).itemsize
                whole = raw[: len(raw) // width * width].view(dtype_of(column))
                shape.append((column.name, whole, width, place))
                place += padded(int(self._widths[id]) * rows, 8)
            self._shapes[ids, rows] = shape
        return shape

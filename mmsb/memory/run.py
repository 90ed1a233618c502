"""The deltas of one segment, without an object for any of them.

A *run* holds a row of numbers for each batch (`BATCH_FIELDS`): where in the mapped segment its
table entries and its cells lie. Deltas are numbered in the order of the log, from 0 in each run.
An *order* lists numbers [low, high) by page; orders are made when something is first read, and
merged as they grow, so that a page's deltas are found in a few of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.memory.batch import Batch
from mmsb.memory.cells import Array, address_of, frozen
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.forked import locks
from mmsb.memory.frame import TOMBSTONE, Frame, table_places
from mmsb.memory.grow import Grow
from mmsb.memory.kernels_fields import (
    BATCH_FIELDS,
    CELLS,
    DELTAS,
    END,
    EPOCH,
    FIRST,
    FRAME,
    META,
    OFFSETS,
    PAGES,
    ROW,
    ROWS,
    SPARSE_AT,
    STARTS,
    STOPS,
)
from mmsb.memory.order import Order, sorted_by_page
from mmsb.memory.rows import row_of, rows_hold
from mmsb.memory.segment import Segment
from mmsb.memory.shapes import Buffer, buffers_at, row_bytes, widened
from mmsb.memory.sidecar import Reading
from mmsb.memory.verified import SEEN, WANTED, Schemas, Verified


@dataclass(slots=True, eq=False)
class Held:
    """What a description of a run points into, kept alive: a run's arrays grow and are replaced."""

    run: Run
    orders: tuple[Order, ...]
    batches: int
    table: Array
    checked: Array
    seen: Array
    bytes: Array

    def describe(self) -> tuple[list[int], list[list[int]]]:
        """For the kernels: all batches without an order, and each order (`ORDER_FIELDS`)."""
        segment, table, seen, checked = map(
            address_of, (self.bytes, self.table, self.seen, self.checked)
        )
        place, at = (segment, table, self.batches), (seen, checked)
        epochs = self.run.table[:, EPOCH]
        orders = []
        for order in self.orders:
            since = int(epochs[self.run.batch_of(np.array([order.low]))[0]])
            orders.append([*place, *order.describe(), *at, since])
        return [*place, 0, 0, 0, 0, 0, *at, self.run.first_epoch], orders

    def wanted(self) -> tuple[Array, Array]:
        """The batches and blocks that a kernel has marked; the marks are taken away."""
        batches = np.flatnonzero(self.checked == WANTED)
        blocks = np.flatnonzero(self.seen == WANTED)
        self.checked[batches], self.seen[blocks] = 0, 0
        return batches, blocks

    def verify(self, batches: Array, blocks: Array) -> None:
        """Verifies those. CorruptData names the first that does not hold."""
        if len(batches):
            self.run.check_tables(batches)
            self.checked[batches] = SEEN
        if len(blocks):
            self.run.check_blocks(blocks)
            self.seen[blocks] = SEEN


class Run(Verified):
    """One segment's batches, epochs [first, last], and which of its bytes were verified."""

    def __init__(self, segment: Callable[[], Segment], first_epoch: int, known: Schemas) -> None:
        """``segment`` opens it when it is first needed; ``known`` has the kinds of its batches."""
        super().__init__(segment, known)
        self.first_epoch = first_epoch
        self.frames = Grow("<i8")  # by epoch: where its frame lies
        self.deltas = 0
        self.orders: tuple[Order, ...] = ()
        #: Is it as an index file has it? Then later frames of its segment go to another run.
        self.recalled = False
        self._late: Callable[[], Reading] | None = None
        self._epochs = 0
        self._lock: threading.Lock
        locks(self, "_lock")

    def recall(self, epochs: int, deltas: int, late: Callable[[], Reading]) -> None:
        """It is as an index file has it; ``late`` reads that when it is first needed (`ready`)."""
        self.recalled, self._late = True, late
        self._epochs, self.deltas = epochs, deltas

    def ready(self) -> Run:
        """Itself, all of it in its place; nothing of the segment is verified yet. CorruptData."""
        if self._late is not None:
            with self._lock:
                if self._late is not None:
                    self._take(self._late())
                    self._late = None
        return self

    def _take(self, reading: Reading) -> None:
        self._table, self.frames = Grow.of(reading.table), Grow.of(reading.frames)
        self._checked = Grow("u1")
        self._checked.grow(len(reading.table) // len(BATCH_FIELDS))
        self._seen.grow(reading.blocks)
        self.deltas = reading.order.high
        self.orders = (reading.order,) if self.deltas else ()

    def reading(self) -> Reading:
        """What an index file holds of it. O(deltas)."""
        nothing = np.zeros(0, "<u4")
        order = Order(0, self.deltas, nothing, nothing, nothing)
        return Reading(self.frames.values, self._table.values, order, self._seen.count)

    # Taking in.

    def add(self, frame: Frame, batches: Iterable[Batch]) -> None:
        """The next epoch's frame, whose bounds were checked."""
        places = table_places(frame.table)
        rows, block = bytearray(), self._seen.count
        for batch in batches:
            rows += row_of(batch, places, self.deltas, block)
        self.add_rows(rows, len(frame.table.delta_page), frame.blocks.of_buffers, frame.offset)

    def add_rows(self, rows: bytes | bytearray, deltas: int, blocks: int, offset: int) -> None:
        """The batch rows of the frame at ``offset``, and how much it holds; its table is sound."""
        self._seen.grow(blocks)
        self._checked.grow(len(rows) // ROW.size)
        self._table.extend_bytes(rows)
        self.frames.append(offset)
        self.deltas += deltas

    @property
    def blocks(self) -> int:
        """How many blocks of buffers its frames have."""
        return self._seen.count

    @property
    def last_epoch(self) -> int:
        """The last epoch it holds."""
        return self.first_epoch + (self.frames.count or self._epochs) - 1

    # Asking.

    def batches(self, after: int, upto: int) -> range:
        """Batches of the epochs (after, upto]."""
        epochs = self.table[:, EPOCH]
        return range(*np.searchsorted(epochs, [after, upto], side="right").tolist())

    def places(self, at: int, widths: Array) -> dict[int, Buffer]:
        """Column id → its buffer, placed in the segment; ``widths`` in bytes by column id."""
        row, ids = self.table[at], self.columns(at).tolist()
        own, shapes = widths[ids].tolist(), self.shapes(at)
        rows, deltas = int(row[ROWS]), int(row[DELTAS])
        buffers, end = buffers_at(int(row[CELLS]), own, shapes, rows, deltas)
        wide = any(buffer.size > width for buffer, width in zip(buffers, own, strict=True))
        if wide or end > row[END]:
            raise self.misled(at)
        return dict(zip(ids, buffers, strict=True))

    def cells(
        self, at: int, buffer: Buffer, dtype: np.dtype[Any], *, own: int, first: int, last: int
    ) -> Array:
        """Cells [first, last) of a batch's buffer, which are its delta ``own``'s. CorruptData.

        A view of the map where they are stored plainly.
        """
        low, high = (own, own + 1) if buffer.each else (first, last)
        held = self._held(at, buffer, dtype, low, high)
        return frozen(np.repeat(held, last - first)) if buffer.each else held

    def all_cells(self, at: int, buffer: Buffer, dtype: np.dtype[Any], counts: Array) -> Array:
        """All cells of a batch's buffer, of which its deltas have so many. CorruptData."""
        if buffer.each:
            return np.repeat(self._held(at, buffer, dtype, 0, len(counts)), counts)
        return self._held(at, buffer, dtype, 0, int(self.table[at, ROWS]))

    def _held(self, at: int, buffer: Buffer, dtype: np.dtype[Any], low: int, high: int) -> Array:
        """Stored cells [low, high), as wide as the dtype."""
        stored = dtype if buffer.size == dtype.itemsize else np.dtype(f"<u{buffer.size}")
        place, size = buffer.place, buffer.size
        return widened(self.view(at, place + size * low, place + size * high, stored), dtype)

    def numbers(self, page: int, epoch: int) -> Array:
        """The page's deltas up to the epoch, increasing, i64. O(log deltas + found)."""
        parts = [order.of_page(page) for order in self.sort()]
        found = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
        if len(found) and epoch < self.last_epoch:
            table = self.table
            end = int(np.searchsorted(table[:, EPOCH], epoch, side="right"))
            upto = int(table[end, FIRST]) if end < len(table) else self.deltas
            found = found[: int(np.searchsorted(found, upto))]
        return found

    def batch_of(self, numbers: Array) -> Array:
        """The batch of each delta."""
        found: Array = np.searchsorted(self.table[:, FIRST], numbers, side="right") - 1
        return found

    def spans(self, numbers: Array) -> tuple[Array, Array, Array, Array]:
        """(batch, first row, one past the last row, is it a tombstone?) of each delta. CorruptData.

        O(numbers).
        """
        batches = self.batch_of(numbers)
        self.check_tables(np.unique(batches))
        rows = self.table[batches]
        words = self.segment.words
        own = numbers - rows[:, FIRST]
        starts = words[(rows[:, STARTS] >> 2) + own].astype(np.int64)
        uniform = rows[:, STOPS] < 0
        stops = starts + rows[:, ROWS] // np.maximum(rows[:, DELTAS], 1)
        if not uniform.all():
            other = ~uniform
            stops[other] = words[(rows[other, STOPS] >> 2) + own[other]]
        dead = (rows[:, META] >> 16 & TOMBSTONE) != 0
        return batches, starts, stops, dead

    def cell_counts(self, numbers: Array) -> Array:
        """How many cells of a column each delta has, i64. CorruptData."""
        rows = self.table[self.spans(numbers)[0]]
        counts: Array = rows[:, ROWS] // np.maximum(rows[:, DELTAS], 1)
        other = np.flatnonzero(rows[:, STOPS] >= 0)
        if len(other):
            words, rows, own = self.segment.words, rows[other], numbers[other] - rows[other, FIRST]
            at, last = (rows[:, OFFSETS] >> 2) + own, own + 1 == rows[:, DELTAS]
            ends = np.where(last, rows[:, ROWS], words[np.where(last, at, at + 1)])
            counts[other] = ends - words[at]
        return counts

    def extent(self, at: int, number: int) -> tuple[int, int, int, int]:
        """First row, one past the last, first cell, one past the last cell of a batch's delta."""
        row, words = self.table[at], self.segment.words
        own, deltas, rows = number - int(row[FIRST]), int(row[DELTAS]), int(row[ROWS])
        start = int(words[(int(row[STARTS]) >> 2) + own])
        if row[STOPS] < 0:
            each = rows // deltas
            return start, start + each, own * each, own * each + each
        offsets = int(row[OFFSETS]) >> 2
        end = rows if own + 1 == deltas else int(words[offsets + own + 1])
        return start, int(words[(int(row[STOPS]) >> 2) + own]), int(words[offsets + own]), end

    def chosen(self, kind: int, after: int, epoch: int) -> Array:
        """Batches of a kind, of the epochs (after, epoch], that hold cells."""
        table = self.table
        meta, epochs = table[:, META], table[:, EPOCH]
        cells = (meta & 0xFFFF == kind) & (meta >> 16 & TOMBSTONE == 0)
        return np.flatnonzero(cells & (epochs > after) & (epochs <= epoch))

    def members(self, batches: Array) -> Array:
        """The deltas of batches, i64."""
        rows = self.table[batches]
        counts = rows[:, DELTAS]
        ends = np.cumsum(counts)
        shift = np.repeat(rows[:, FIRST] - (ends - counts), counts)
        found: Array = np.arange(len(shift), dtype=np.int64) + shift
        return found

    def pages(self, numbers: Array) -> Array:
        """The page of each delta, u32. Tables must be verified."""
        rows = self.table[self.batch_of(numbers)]
        found: Array = self.segment.words[(rows[:, PAGES] >> 2) + numbers - rows[:, FIRST]]
        return found

    def touched(self, at: int) -> tuple[Array, Array]:
        """How many rows each delta of a batch touches, and the row of every cell, i64."""
        row, words = self.table[at], self.segment.words
        deltas, rows = int(row[DELTAS]), int(row[ROWS])
        if row[STOPS] < 0:
            edges = np.arange(deltas + 1, dtype=np.int64) * (rows // max(deltas, 1))
        else:
            begin = int(row[OFFSETS]) >> 2
            edges = np.append(words[begin : begin + deltas].astype(np.int64), rows)
        counts = np.diff(edges)
        begin = int(row[STARTS]) >> 2
        starts = words[begin : begin + deltas].astype(np.int64)
        if row[SPARSE_AT] >= 0:
            begin = int(row[STOPS]) >> 2
            stops = words[begin : begin + deltas].astype(np.int64)
            return counts, self.listed(at, edges, starts, stops)
        return counts, np.arange(rows) + np.repeat(starts - edges[:-1], counts)

    def listed(self, at: int, edges: Array, starts: Array, stops: Array) -> Array:
        """The row of every cell of some deltas of a sparse batch, i64. CorruptData.

        ``edges``: the first cell of each, and one past the last; ``starts``, ``stops``: its rows.
        """
        place, first = int(self.table[at, SPARSE_AT]), int(edges[0])
        size = row_bytes(int(self.table[at, META]) >> 16)
        found = self.view(at, place + size * first, place + size * int(edges[-1]), f"<u{size}")
        found = found.astype(np.int64)
        if not rows_hold(found, edges - first, starts, stops):
            frame, epoch = int(self.table[at, FRAME]), int(self.table[at, EPOCH])
            about = (epoch,), (), "the row numbers of a delta do not increase inside its rows"
            raise corrupt(self.segment.path.parent, Problem(self.segment.name, frame, *about))
        return found

    def cell_bytes(self, kind: int, widths: Array) -> int:
        """Bytes of the cells and row numbers of a kind, without padding. O(batches)."""
        total = 0
        for at in self.chosen(kind, -1, self.last_epoch).tolist():
            row = self.table[at]
            rows, deltas = int(row[ROWS]), int(row[DELTAS])
            for buffer in self.places(at, widths).values():
                total += buffer.size * (deltas if buffer.each else rows)
            total += rows * row_bytes(int(row[META]) >> 16) if row[SPARSE_AT] >= 0 else 0
        return total

    # Orders.

    def sort(self) -> tuple[Order, ...]:
        """The orders of all deltas there are, oldest first. Amortised O(log) for each delta."""
        orders = self.orders
        if (orders[-1].high if orders else 0) == self.deltas:
            return orders
        with self._lock:
            orders, high = self.orders, self.deltas
            low = orders[-1].high if orders else 0
            while orders and 4 * (high - low) >= orders[-1].high - orders[-1].low:
                low, orders = orders[-1].low, orders[:-1]
            if low < high:
                self.orders = (*orders, sorted_by_page(self.pages_in(low, high), low))
            return self.orders

    def pages_in(self, low: int, high: int) -> Array:
        """The page of each of the deltas [low, high), u32."""
        table, words = self.table, self.segment.words
        first, last = self.batch_of(np.array([low, high - 1])).tolist()
        self.check_tables(np.arange(first, last + 1))
        rows = table[first : last + 1]
        if len(rows) > 64 and int(rows[:, DELTAS].max()) <= 64:
            return self.pages(np.arange(low, high))
        parts: list[Array] = []
        for at, count, begin in rows[:, [PAGES, DELTAS, FIRST]].tolist():
            own = slice(max(low - begin, 0), min(high - begin, count))
            parts.append(words[at // 4 + own.start : at // 4 + own.stop])
        return np.concatenate(parts)

    # For the kernels.

    def held(self) -> Held:
        """Its arrays as they are now. What is counted is taken before what it is counted in."""
        orders = self.sort()
        batches = self._table.count // len(BATCH_FIELDS)
        table, checked, seen = self._table.held, self._checked.held, self._seen.held
        return Held(self, orders, batches, table, checked, seen, self.segment.bytes)

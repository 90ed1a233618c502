"""A batch: all deltas of one commit with the same kind, columns and shape, cells side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, dtype_of, frozen
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.frame import (
    FLAGS,
    PLAIN,
    SHAPED,
    SPARSE,
    TOMBSTONE,
    UNIFORM,
    Broken,
    Frame,
    padded,
)
from mmsb.memory.shapes import EACH, Buffer, buffers_at, row_bytes, widened

#: A page that is not append-only has at most so many rows: what one far row asks to be filled.
PAGE_ROWS = 2**27


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One contiguous buffer for each column, over all pages; delta d owns a slice of each."""

    frame: Frame
    kind: int
    flags: int
    columns: tuple[int, ...]
    first: int  # its first delta, counted in the frame
    span: int  # its first span, counted in the frame
    id: int  # its first column id, counted in the frame
    deltas: int
    rows: int  # cells in each buffer
    sparse: int | None  # where the row numbers lie in the payload; None: dense
    places: Mapping[int, Buffer]  # column id → its buffer, placed in the payload

    @property
    def tombstone(self) -> bool:
        """Its deltas delete their pages."""
        return bool(self.flags & TOMBSTONE)

    @property
    def cells_at(self) -> int:
        """From where on its first column's buffer lies in the payload."""
        if self.sparse is not None and self.flags & SHAPED:
            return self.sparse + row_bytes(self.flags) * self.rows
        return next((buffer.place for buffer in self.places.values()), self.frame.payload)

    def edges(self) -> Array:
        """The first cell of each delta, and the number of cells, i64."""
        if self.flags & UNIFORM:
            each = self.rows // max(self.deltas, 1)
            return np.arange(self.deltas + 1, dtype=np.int64) * each
        own = self.frame.table.span_offset[self.span : self.span + self.deltas]
        return np.append(own.astype(np.int64), self.rows)

    def starts(self) -> Array:
        """The first row of each delta, i64."""
        own = self.frame.table.delta_start[self.first : self.first + self.deltas]
        return own.astype(np.int64)

    def stops(self) -> Array:
        """One past the last row of each delta, i64."""
        if self.flags & UNIFORM:
            return self.starts() + self.rows // max(self.deltas, 1)
        own = self.frame.table.span_stop[self.span : self.span + self.deltas]
        return own.astype(np.int64)

    def cells(self, column: int, dtype: np.dtype[np.generic], start: int, stop: int) -> Array:
        """Cells [start, stop) of a column, read-only: a verified view of the map, or a copy where
        they are not stored plainly. CorruptData."""
        buffer = self.places[column]
        stored = dtype if buffer.size == dtype.itemsize else np.dtype(f"<u{buffer.size}")
        if not buffer.each:
            held = self._view(buffer.place, stored, start, stop, start, stop)
            return widened(held, dtype)
        counts = np.diff(self.edges().clip(start, stop))
        owners = np.flatnonzero(counts)
        low, high = (int(owners[0]), int(owners[-1]) + 1) if len(owners) else (0, 0)
        held = widened(self._view(buffer.place, stored, low, high, start, stop), dtype)
        return frozen(np.repeat(held, counts[low:high]))

    def row_numbers(self, start: int, stop: int) -> Array:
        """The touched rows, u32, of cells [start, stop) of a sparse batch; CorruptData."""
        assert self.sparse is not None
        dtype = np.dtype(f"<u{row_bytes(self.flags)}")
        found = self._view(self.sparse, dtype, start, stop, start, stop)
        return found.astype(U32, copy=False)

    def _view(
        self, place: int, dtype: np.dtype[Any], low: int, high: int, start: int, stop: int
    ) -> Array:
        """Stored cells [low, high) of a buffer, which are cells [start, stop) of the batch."""
        begin, end = place + low * dtype.itemsize, place + high * dtype.itemsize
        if begin < end:
            bad = self.frame.unsound(begin, end)
            if bad:
                problem = block_problem(self.frame, self._pages_of(start, stop), bad[0])
                raise corrupt(self.frame.segment.path.parent, problem)
        return self.frame.cells(begin, end, dtype)

    def _pages_of(self, start: int, stop: int) -> Array:
        """Pages that own cells [start, stop), increasing."""
        edges = self.edges()
        return np.unique(self.pages()[(edges[:-1] < stop) & (edges[1:] > start)])

    def pages_in(self, begin: int, end: int) -> Array:
        """Pages with cells in payload bytes [begin, end), increasing."""
        buffers = list(self.places.values())
        if self.sparse is not None:
            buffers.append(Buffer(self.sparse, row_bytes(self.flags), False))
        found = [np.zeros(0, "<u4")]
        for buffer in buffers:
            low = max((begin - buffer.place) // buffer.size, 0)
            high = -((buffer.place - end) // buffer.size)
            if buffer.each:
                found.append(self.pages()[low : max(high, 0)])
            else:
                found.append(self._pages_of(low, min(high, self.rows)))
        return np.unique(np.concatenate(found))

    def pages(self) -> Array:
        """Pages of its deltas, u32."""
        return self.frame.table.delta_page[self.first : self.first + self.deltas]


def block_problem(frame: Frame, pages: Array, block: int) -> Problem:
    """The Problem for a block that fails its checksum."""
    offset = frame.at + frame.blocks.span(block)[0]
    concerned = tuple(int(page) for page in pages)
    what = "a block does not match its checksum"
    return Problem(frame.segment.name, offset, (frame.epoch,), concerned, what)


def batches_of(frame: Frame, kinds: Mapping[int, Kind]) -> list[Batch]:
    """The frame's batches, every bound checked against the schemas; Broken if one does not hold."""
    table, batches = frame.table, []
    delta = column = span = 0
    place = frame.table_bytes
    described = zip(
        table.batch_kind.tolist(),
        table.batch_flags.tolist(),
        table.batch_columns.tolist(),
        table.batch_deltas.tolist(),
        table.batch_rows.tolist(),
        strict=True,
    )
    for kind, flags, columns, deltas, rows in described:
        shaped = bool(flags & SHAPED)
        if flags & ~FLAGS or (shaped and frame.version == PLAIN):
            raise Broken(f"it has a batch with flags {flags}")
        ids = tuple(table.column_id[column : column + columns].tolist())
        shapes = table.column_id[column + columns : column + 2 * columns].tolist()
        widths = _widths(kinds, kind, ids)
        sparse, place = (
            (place, place + row_bytes(flags) * rows) if flags & SPARSE else (None, place)
        )
        if shaped:
            _check_shapes(widths, shapes)
        else:
            place = padded(place, 8)
        buffers, place = buffers_at(place, widths, shapes if shaped else None, rows, deltas)
        places = dict(zip(ids, buffers, strict=True))
        made = Batch(frame, kind, flags, ids, delta, span, column, deltas, rows, sparse, places)
        _check_deltas(made, kinds[kind].append_only)
        batches.append(made)
        delta, column = delta + deltas, column + columns * (1 + shaped)
        span += 0 if flags & UNIFORM else deltas
    ends = (len(table.delta_page), len(table.column_id), len(table.span_stop))
    if (delta, column, span) != ends or place != frame.payload:
        raise Broken("its batches do not add up to its payload")
    return batches


def _widths(kinds: Mapping[int, Kind], kind: int, ids: tuple[int, ...]) -> list[int]:
    if kind not in kinds:
        raise Broken(f"it writes kind {kind}, which no schema names")
    known = {column.id: column for column in kinds[kind].columns}
    if not known.keys() >= set(ids):
        raise Broken(f"it writes columns of kind {kind} that no schema names")
    return [dtype_of(known[id]).itemsize for id in ids]


def _check_shapes(widths: list[int], shapes: list[int]) -> None:
    if len(shapes) != len(widths) or any(
        shape > (EACH | 3) or 1 << (shape & 3) > width
        for shape, width in zip(shapes, widths, strict=True)
    ):
        raise Broken("a column has no such shape")


def _check_deltas(batch: Batch, append_only: bool) -> None:
    """Broken unless each delta's rows lie in its buffers, as many as its range says.

    What is read of a page is as long as its last row says: that has a limit too.
    """
    table, end = batch.frame.table, batch.first + batch.deltas
    limit = 2**32 - 1 if append_only else PAGE_ROWS
    spans = 0 if batch.flags & UNIFORM else batch.deltas
    sound = end <= len(table.delta_page) and batch.span + spans <= len(table.span_stop)
    listed = batch.flags >> 4
    sound = sound and (listed < 3 if batch.flags & SPARSE and batch.flags & SHAPED else not listed)
    sound = sound and not (batch.tombstone and batch.flags & SHAPED)
    bare = not (batch.rows or batch.columns or batch.flags & SPARSE)
    sound = sound and (bare if batch.tombstone else len(batch.columns) > 0)
    sound = sound and not (append_only and batch.flags & SPARSE)
    if sound and batch.flags & UNIFORM:
        whole = not batch.rows if not batch.deltas else batch.rows % batch.deltas == 0
        each = batch.rows // max(batch.deltas, 1)
        starts = table.delta_start[batch.first : end]
        last = int(starts.max(initial=0)) + each
        sound = whole and not batch.flags & SPARSE and last <= limit
    elif sound:
        edges, stops = batch.edges(), batch.stops()
        counts, ranges = np.diff(edges), stops - batch.starts()
        sound = edges[0] == 0 and bool((counts >= 0).all()) and int(stops.max(initial=0)) <= limit
        fits = counts <= ranges if batch.flags & SPARSE else counts == ranges
        sound = sound and bool(fits.all())
    if not sound:
        raise Broken("the rows of its deltas are out of bounds")

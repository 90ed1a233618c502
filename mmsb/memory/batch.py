"""A batch: all deltas of one commit with the same kind, columns and shape, cells side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, dtype_of
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.frame import SPARSE, TOMBSTONE, UNIFORM, Broken, Frame, padded

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
    places: Mapping[int, int]  # column id → where its buffer lies in the payload

    @property
    def tombstone(self) -> bool:
        """Its deltas delete their pages."""
        return bool(self.flags & TOMBSTONE)

    @property
    def cells_at(self) -> int:
        """Where its first column's buffer lies in the payload."""
        return next(iter(self.places.values()), self.frame.payload)

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
        """Cells [start, stop) of a buffer: a verified read-only view of the map; CorruptData."""
        return self._view(self.places[column], dtype, start, stop)

    def row_numbers(self, start: int, stop: int) -> Array:
        """The touched rows that belong to cells [start, stop) of a sparse batch; CorruptData."""
        assert self.sparse is not None
        return self._view(self.sparse, U32, start, stop)

    def _view(self, place: int, dtype: np.dtype[np.generic], start: int, stop: int) -> Array:
        begin, end = place + start * dtype.itemsize, place + stop * dtype.itemsize
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

    def pages_in(self, begin: int, end: int, kind: Kind) -> Array:
        """Pages with cells in payload bytes [begin, end), increasing."""
        widths = {c.id: dtype_of(c).itemsize for c in kind.columns}
        buffers = [(at, widths[id]) for id, at in self.places.items()]
        buffers += [] if self.sparse is None else [(self.sparse, U32.itemsize)]
        spans = [((begin - at) // width, -(-(end - at) // width)) for at, width in buffers]
        found = [self._pages_of(max(low, 0), min(high, self.rows)) for low, high in spans]
        return np.unique(np.concatenate([np.zeros(0, "<u4"), *found]))

    def touched(self) -> tuple[Array, Array]:
        """How many rows each delta touches, and the row of every cell, i64."""
        edges = self.edges()
        counts = np.diff(edges)
        if self.sparse is not None:
            return counts, self.row_numbers(0, self.rows).astype(np.int64)
        shift = self.starts() - edges[:-1]
        return counts, np.arange(self.rows) + np.repeat(shift, counts)

    def size(self, kind: Kind) -> int:
        """Bytes of its cells and row numbers, without padding."""
        widths = sum(dtype_of(c).itemsize for c in kind.columns if c.id in self.places)
        return self.rows * (widths + (0 if self.sparse is None else U32.itemsize))

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
        ids = tuple(table.column_id[column : column + columns].tolist())
        widths = _widths(kinds, kind, ids)
        sparse, places = None, {}
        if flags & SPARSE:
            sparse, place = place, place + padded(4 * rows, 8)
        for id, width in zip(ids, widths, strict=True):
            places[id], place = place, place + padded(width * rows, 8)
        made = Batch(frame, kind, flags, ids, delta, span, column, deltas, rows, sparse, places)
        _check_deltas(made, kinds[kind].append_only)
        batches.append(made)
        delta, column = delta + deltas, column + columns
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


def _check_deltas(batch: Batch, append_only: bool) -> None:
    """Broken unless each delta's rows lie in its buffers, as many as its range says.

    What is read of a page is as long as its last row says: that has a limit too.
    """
    table, end = batch.frame.table, batch.first + batch.deltas
    limit = 2**32 - 1 if append_only else PAGE_ROWS
    spans = 0 if batch.flags & UNIFORM else batch.deltas
    sound = end <= len(table.delta_page) and batch.span + spans <= len(table.span_stop)
    sound = sound and batch.flags <= SPARSE | TOMBSTONE | UNIFORM
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

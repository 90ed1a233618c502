"""What is left of a frame's content when part of it is lost, as the content of a new frame."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import CorruptData
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory import kinds as schemas
from mmsb.memory.batch import Batch
from mmsb.memory.cells import Array, dtype_of
from mmsb.memory.changes import Sealed
from mmsb.memory.delta import Delta, new_delta
from mmsb.memory.frame import Frame

_LOST = ord("?")


@dataclass(slots=True)
class Mended:
    """The content that is left, and the pages of which cells are missing."""

    content: Sealed
    pages: tuple[int, ...]


def mended(
    frame: Frame, batches: list[Batch], kinds: dict[int, Kind], gone: Container[int]
) -> Mended:
    """A frame whose table holds, without the columns of deltas that lie in bad blocks, and without
    what it says of pages in ``gone``. Append-only kinds keep all rows: lost cells are fill values,
    lost texts question marks. O(bytes).
    """
    left = _Left(gone)
    for batch in batches:
        kind = kinds[batch.kind]
        if batch.tombstone:
            left.deleted += [(kind.id, p) for p in batch.pages().tolist() if p not in gone]
        else:
            left.take(batch, kind)
    left.texts()
    table = frame.table
    content = Sealed(
        schemas.decode(table.schema),
        table.page_kind,
        table.page_subject,
        tuple(left.deltas),
        tuple(left.deleted),
    )
    return Mended(content, tuple(sorted(left.hurt)))


@dataclass(slots=True)
class _Left:
    gone: Container[int]
    deltas: list[Delta] = field(default_factory=list)
    deleted: list[tuple[int, int]] = field(default_factory=list)
    hurt: set[int] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)  # of kind symbol, that are lost

    def take(self, batch: Batch, kind: Kind) -> None:
        """All deltas of a batch, as far as they can be read."""
        edges, pages = batch.edges().tolist(), batch.pages().tolist()
        starts, stops = batch.starts().tolist(), batch.stops().tolist()
        columns = [next(c for c in kind.columns if c.id == id) for id in batch.columns]
        for at, page in enumerate(pages):
            begin, end = edges[at], edges[at + 1]
            if page in self.gone:
                self.hurt.add(page)
                continue
            try:
                rows: Rows | Array = Rows(starts[at], stops[at])
                if batch.sparse is not None:
                    rows = batch.row_numbers(begin, end)
                    if len(rows) == stops[at] - starts[at]:
                        rows = Rows(starts[at], stops[at])
            except CorruptData:
                self.hurt.add(page)
                continue
            buffers: dict[str, Array] = {}
            for column in columns:
                cells = _cells(batch, column, begin, end)
                if cells is None:
                    self.hurt.add(page)
                    self.columns |= {column.name} if kind.id == schema.SYMBOL.id else set()
                    cells = _filled(kind, column, end - begin) if kind.append_only else None
                if cells is not None:
                    buffers[column.name] = cells
            if buffers:
                self.deltas.append(new_delta(page, kind, rows, buffers))

    def texts(self) -> None:
        """Symbols follow one another through the heap, so one column tells the other."""
        at = {delta.kind.id: at for at, delta in enumerate(self.deltas)}
        if not self.columns & {"offset", "length"}:
            return
        symbols, heap = self.deltas[at[schema.SYMBOL.id]], Rows(0, 0)
        if schema.HEAP.id in at:
            heap = self.deltas[at[schema.HEAP.id]].rows
        made = lost_symbols(symbols.page, symbols.kind, symbols.rows, heap)
        held = dict(symbols.buffers)
        if "length" not in self.columns:
            ends = np.cumsum(held["length"].astype(np.int64))
            held["offset"] = (heap.start + ends - held["length"]).astype("<u8")
        elif "offset" not in self.columns:
            held["length"] = np.diff(held["offset"], append=np.uint64(heap.stop)).astype("<u4")
        else:
            held = dict(made.buffers)
            if schema.HEAP.id in at:  # where one text ends is not known: none is shown
                old = self.deltas[at[schema.HEAP.id]]
                self.deltas[at[schema.HEAP.id]] = lost_rows(old.page, old.kind, old.rows)
        self.deltas[at[schema.SYMBOL.id]] = new_delta(
            symbols.page, symbols.kind, symbols.rows, held
        )


def _cells(batch: Batch, column: Column, begin: int, end: int) -> Array | None:
    try:
        return batch.cells(column.id, dtype_of(column), begin, end)
    except CorruptData:
        return None


def _filled(kind: Kind, column: Column, count: int) -> Array:
    fill = _LOST if kind.id == schema.HEAP.id else column.fill
    return np.full(count, fill, dtype_of(column))


def lost_symbols(page: int, kind: Kind, rows: Rows, heap: Rows) -> Delta:
    """Symbols whose texts are lost share the heap's rows evenly, so that each has a text."""
    edges = np.linspace(heap.start, heap.stop, len(rows) + 1).astype(np.int64)
    buffers = {
        column.name: values.astype(dtype_of(column))
        for column, values in zip(kind.columns, (edges[:-1], np.diff(edges)), strict=False)
    }
    return new_delta(page, kind, rows, buffers)


def lost_rows(page: int, kind: Kind, rows: Rows) -> Delta:
    """Rows of an append-only kind of which nothing is known."""
    column = kind.columns[0]
    return new_delta(page, kind, rows, {column.name: _filled(kind, column, len(rows))})

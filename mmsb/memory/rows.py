"""Batch rows: what a run says of a batch, in numbers, so that no object is held for one."""

from __future__ import annotations

from struct import Struct

import numpy as np

from mmsb.memory.batch import Batch
from mmsb.memory.cells import Array
from mmsb.memory.frame import UNIFORM

#: What a batch row says, i64 each. Places are bytes from the start of the segment; -1: none.
BATCH_FIELDS = (
    "epoch",
    "first",  # number of its first delta
    "deltas",
    "rows",  # cells in each buffer
    "meta",  # kind, flags << 16, columns << 32, source << 48
    "ids",  # place of its column ids, u16
    "pages",  # place of its deltas' pages, u32
    "starts",  # place of its deltas' first rows, u32
    "stops",  # place of the rows they stop before, u32; -1: UNIFORM
    "offsets",  # place of their first cells, u32; -1: UNIFORM
    "sparse",  # place of the row numbers, u32; -1: dense
    "cells",  # place of its first column's buffer
    "buffers",  # place where its frame's buffers begin
    "block",  # number, in the run, of its frame's first block of buffers
    "frame",  # place of its frame
    "spare",
)
EPOCH, FIRST, DELTAS, ROWS, META, IDS, PAGES, STARTS = range(8)
STOPS, OFFSETS, SPARSE_AT, CELLS, BUFFERS, BLOCK, FRAME, _SPARE = range(8, 16)
ROW = Struct("<16q")


def row_of(batch: Batch, places: dict[str, int], first: int, block: int) -> bytes:
    """A batch's row: ``places`` of its frame's table arrays, and the numbers, in its run, of its
    frame's first delta and first block of buffers."""
    frame, uniform = batch.frame, bool(batch.flags & UNIFORM)
    at = frame.at
    return ROW.pack(
        frame.epoch,
        first + batch.first,
        batch.deltas,
        batch.rows,
        meta_of(batch.kind, batch.flags, len(batch.columns), frame.source),
        at + places["column_id"] + 2 * batch.id,
        at + places["delta_page"] + 4 * batch.first,
        at + places["delta_start"] + 4 * batch.first,
        -1 if uniform else at + places["span_stop"] + 4 * batch.span,
        -1 if uniform else at + places["span_offset"] + 4 * batch.span,
        -1 if batch.sparse is None else at + batch.sparse,
        at + batch.cells_at,
        at + frame.table_bytes,
        block,
        frame.offset,
        0,
    )


def rows_hold(rows: Array, edges: Array, starts: Array, stops: Array) -> bool:
    """Do the row numbers of each sparse delta increase inside its rows [start, stop)?

    Delta d has ``rows[edges[d]:edges[d + 1]]``.
    """
    counts = np.diff(edges)
    inside = (rows >= np.repeat(starts, counts)) & (rows < np.repeat(stops, counts))
    rising = np.append(True, rows[1:] > rows[:-1])
    rising[edges[:-1][counts > 0]] = True
    return bool(inside.all() and rising[: len(rows)].all())


def meta_of(kind: int, flags: int, columns: int, source: int) -> int:
    """Four numbers in one, as a batch row holds them."""
    packed = kind | flags << 16 | columns << 32 | source << 48
    return packed - (1 << 64) if packed >> 63 else packed

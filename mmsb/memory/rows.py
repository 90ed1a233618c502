"""Batch rows: what a run says of a batch, in numbers, so that no object is held for one."""

from __future__ import annotations

import numpy as np

from mmsb.memory.batch import Batch
from mmsb.memory.cells import Array
from mmsb.memory.frame import BLOCK as BLOCK_BYTES
from mmsb.memory.frame import FLAGS, SHAPED, SPARSE, UNIFORM
from mmsb.memory.kernels_fields import (
    BLOCK,
    BUFFERS,
    CELLS,
    DELTAS,
    END,
    EPOCH,
    FIRST,
    FRAME,
    IDS,
    META,
    OFFSETS,
    PAGES,
    ROW,
    ROWS,
    SPARSE_AT,
    STARTS,
    STOPS,
)


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
        at + frame.payload,
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
    return kind | flags << 16 | columns << 32 | source << 48


def bounds_broken(table: Array, words: Array, most: Array, pages: Array) -> Array:
    """Which batches name a row from ``most`` on, a page from ``pages`` on, or share cells out
    otherwise than their rows say; both limits by batch. Places in ``table`` must be sound.

    O(deltas).
    """
    counts = table[:, DELTAS]
    batch = np.repeat(np.arange(len(table)), counts)
    own = np.arange(len(batch)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = words[(table[batch, STARTS] >> 2) + own].astype(np.int64)
    uniform = table[batch, STOPS] < 0
    each = (table[:, ROWS] // np.maximum(counts, 1))[batch]
    stops, held = starts + each, each.copy()
    loose, at = batch[~uniform], own[~uniform]
    stops[~uniform] = words[(table[loose, STOPS] >> 2) + at]
    offsets = words[(table[loose, OFFSETS] >> 2) + at].astype(np.int64)
    last = at + 1 == counts[loose]
    held[~uniform] = np.where(last, table[loose, ROWS], np.append(offsets[1:], 0)) - offsets
    dense = table[batch, SPARSE_AT] < 0
    begins = np.zeros_like(held)  # of the first delta of a batch
    begins[~uniform] = np.where(at == 0, offsets, 0)
    ranges = stops - starts
    sound = (
        (begins == 0)
        & (held >= 0)
        & (stops <= most[batch])
        & np.where(dense, held == ranges, held <= ranges)
    )
    sound &= words[(table[batch, PAGES] >> 2) + own] < pages[batch]
    return np.unique(batch[~sound])


def places_hold(table: Array, frames: Array, first_epoch: int, end: int, blocks: int) -> bool:
    """May these batch rows be followed: does all they point to lie in their frame, below ``end``?

    ``frames``: by epoch, from the first one, where its frame lies. The rows are an index file's.
    """
    numbers = np.delete(table, META, axis=1)
    if ((numbers < -1) | (numbers >= 2**40)).any():
        return False
    epoch, deltas, rows, meta = (table[:, field] for field in (EPOCH, DELTAS, ROWS, META))
    flags, columns = meta >> 16 & 0xFFFF, meta >> 32 & 0xFFFF
    uniform, sparse = (flags & UNIFORM) != 0, (flags & SPARSE) != 0
    shaped = (flags & SHAPED) != 0
    frame, buffers, stop = (table[:, field] for field in (FRAME, BUFFERS, END))

    def inside(field: int, count: Array, width: int | Array, low: Array, high: Array) -> Array:
        place = table[:, field]
        within: Array = (place >= low) & (place + width * count <= high) & (place % width == 0)
        return within

    own = epoch - first_epoch
    if ((own < 0) | (own >= len(frames))).any() or (np.diff(own) < 0).any():
        return False
    whole = rows % np.maximum(deltas, 1) == 0
    sound = (deltas >= 0) & (rows >= 0) & (rows < 2**32) & (flags & ~FLAGS == 0)
    sound &= (table[:, FIRST] == np.cumsum(deltas) - deltas) & (frame == frames[own])
    sound &= (buffers >= frame) & (stop >= buffers) & (stop <= end)
    sound &= inside(IDS, np.where(shaped, 2, 1) * columns, 2, frame, buffers)
    for field in (PAGES, STARTS):
        sound &= inside(field, deltas, 4, frame, buffers)
    for field in (STOPS, OFFSETS):
        sound &= np.where(uniform, table[:, field] == -1, inside(field, deltas, 4, frame, buffers))
    sound &= ((deltas > 0) | (rows == 0)) & (~uniform | (~sparse & whole))
    in_buffers = inside(SPARSE_AT, rows, np.maximum(4 >> (flags >> 4 & 3), 1), buffers, stop)
    sound &= np.where(sparse, in_buffers, table[:, SPARSE_AT] == -1)
    sound &= (flags >> 4 < 3) & (shaped | (flags >> 4 == 0))
    sound &= inside(CELLS, np.zeros_like(rows), np.where(shaped, 1, 8), buffers, stop)
    block = table[:, BLOCK]
    sound &= (block >= 0) & (block + ((stop - buffers + BLOCK_BYTES - 1) // BLOCK_BYTES) <= blocks)
    return bool(sound.all() and (np.diff(block) >= 0).all())

"""Batch rows as an index file has them: without what follows from the rest.

Of the sixteen numbers of a batch most are places that the layout of frames and tables gives. What
does not follow is one number or a few for each frame and each batch, most of them small.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmsb.memory.cells import Array
from mmsb.memory.frame import BLOCK as BLOCK_BYTES
from mmsb.memory.frame import COUNTS, HEADER, LAYOUT, SHAPED, SPARSE, UNIFORM
from mmsb.memory.kernels_fields import (
    BATCH_FIELDS,
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
    ROWS,
    SPARSE_AT,
    STARTS,
    STOPS,
)

#: Of each frame, by epoch.
OF_FRAMES = (
    "held",  # its batches
    "source",
    "head",  # bytes before its buffers
    "body",  # bytes of its buffers
)
#: Of each batch.
OF_BATCHES = (
    "deltas",
    "rows",
    "kind",
    "flags",
    "columns",  # how many
    "start",  # bytes of buffers of its frame that come before its own
    "gap",  # bytes from there to its first column's
)


def fold(table: Array, first_epoch: int, epochs: int) -> dict[str, Array]:
    """What does not follow, i64, of batch rows (batches × fields) of so many epochs."""
    meta, own = table[:, META], table[:, EPOCH] - first_epoch
    of_frames = {name: np.zeros(epochs, np.int64) for name in OF_FRAMES}
    of_frames["held"] += np.bincount(own, minlength=epochs)
    of_frames["source"][own] = meta >> 48 & 0xFFFF
    of_frames["head"][own] = table[:, BUFFERS] - table[:, FRAME]
    of_frames["body"][own] = table[:, END] - table[:, BUFFERS]
    sparse = table[:, SPARSE_AT] >= 0
    start = np.where(sparse, table[:, SPARSE_AT], table[:, CELLS])
    return of_frames | {
        "deltas": table[:, DELTAS],
        "rows": table[:, ROWS],
        "kind": meta & 0xFFFF,
        "flags": meta >> 16 & 0xFFFF,
        "columns": meta >> 32 & 0xFFFF,
        "start": start - table[:, BUFFERS],
        "gap": table[:, CELLS] - start,
    }


def unfold(held: Mapping[str, Array], frames: Array, created: Array, first_epoch: int) -> Array:
    """The batch rows, batches × fields. ``frames``, ``created`` by epoch: a frame's place, the
    pages it created. Numbers that cannot be give rows that do not hold. O(batches)."""
    of, counts = np.repeat(np.arange(len(frames)), held["held"]), held["held"]
    uniform = held["flags"] & UNIFORM != 0
    each = {
        "batches": np.ones(len(of), np.int64),
        "columns": np.where(held["flags"] & SHAPED, 2, 1) * held["columns"],
        "deltas": held["deltas"],
        "spans": np.where(uniform, 0, held["deltas"]),
    }
    begins = np.cumsum(counts) - counts
    sums = {name: np.append(0, np.cumsum(numbers)) for name, numbers in each.items()}
    totals = {name: upto[begins + counts] - upto[begins] for name, upto in sums.items()}
    before = {name: upto[:-1] - upto[begins][of] for name, upto in sums.items()}
    totals["pages"] = created
    blocks = -(-held["body"] // BLOCK_BYTES)
    # Bytes of the table and of its part of the list of checksums, 8 for each block.
    own = held["head"] - HEADER.size - 8 * blocks
    place = frames + HEADER.size + 8 * (blocks - (-own // (BLOCK_BYTES + 8))) + COUNTS.size
    at = {}
    for name, dtype, count in LAYOUT:
        at[name] = place[of] + np.dtype(dtype).itemsize * before.get(count, 0)
        place = place + np.dtype(dtype).itemsize * totals[count]
    buffers = (frames + held["head"])[of]
    start, sparse = buffers + held["start"], held["flags"] & SPARSE != 0
    meta = held["kind"] | held["flags"] << 16 | held["columns"] << 32 | held["source"][of] << 48
    table = np.empty((len(of), len(BATCH_FIELDS)), np.int64)
    table[:, EPOCH], table[:, FIRST] = first_epoch + of, sums["deltas"][:-1]
    table[:, DELTAS], table[:, ROWS], table[:, META] = held["deltas"], held["rows"], meta
    table[:, IDS] = at["column_id"]
    table[:, PAGES], table[:, STARTS] = at["delta_page"], at["delta_start"]
    table[:, STOPS] = np.where(uniform, -1, at["span_stop"])
    table[:, OFFSETS] = np.where(uniform, -1, at["span_offset"])
    table[:, SPARSE_AT], table[:, CELLS] = np.where(sparse, start, -1), start + held["gap"]
    table[:, BUFFERS], table[:, END] = buffers, buffers + held["body"][of]
    table[:, BLOCK], table[:, FRAME] = (np.cumsum(blocks) - blocks)[of], frames[of]
    return table

"""Which pages get keyframes, and making them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from mmsb.base.spans import span
from mmsb.memory import keyframes
from mmsb.memory.disk import Disk
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import EPOCH, META
from mmsb.memory.snapshot import Snapshot

#: A page gets a keyframe if it was read so often, and so many deltas would be walked without.
READS, DELTAS = 16, 64
#: And if it has at most so many times their cells, all its columns counted.
SPARE = 4
#: Of the pages that were read most, so many are looked at.
_LOOKED_AT = 4096


def chosen(index: Index, epoch: int) -> list[int]:
    """Pages whose keyframe would pay, increasing.

    Reads are what the meter has seen in this process. A keyframe pays where there were `READS`,
    each would walk `DELTAS` or more, and the page has at most `SPARE` times the cells that these
    deltas have: most columns of a page are fill, which takes no room.
    """
    found = []
    for page, reads in index.meter.hottest(_LOOKED_AT):
        if reads < READS or not index.catalog.exists(page, epoch):
            continue
        if index.catalog.deleted_at(page) <= epoch:
            continue
        frame = index.keyframes.find(page, epoch)
        since = -1 if frame is None else frame.epoch
        deltas, cells = _walked(index, page, since, epoch)
        kind = index.kinds[int(index.catalog.kinds.values[page])]
        rows = index.rows_known.get(page, (0, 0))[1]
        if deltas >= DELTAS and rows * len(kind.columns) <= SPARE * cells:
            found.append(page)
    return sorted(found)


def _walked(index: Index, page: int, since: int, epoch: int) -> tuple[int, int]:
    """How many deltas of the page lie in epochs (since, epoch], and how many cells they have."""
    deltas = cells = 0
    for run in index.runs_to(epoch):
        if run.last_epoch > since:
            numbers = run.numbers(page, epoch)
            batches = run.batch_of(numbers)
            numbers = numbers[run.table[batches, EPOCH] > since]
            _, starts, stops, _ = run.spans(numbers)
            columns = run.table[run.batch_of(numbers), META] >> 32 & 0xFFFF
            deltas += len(numbers)
            cells += int(((stops - starts) * columns).sum())
    return deltas, cells


@span("keyframe")
def make(index: Index, snapshot: Snapshot, pages: Sequence[int], disk: Disk) -> int:
    """Writes one file with the pages as of the snapshot's epoch, which is durable; how many.

    Pages that have one of that epoch are left out. OSError, CorruptData. O(cells).
    """
    held = []
    for page in dict.fromkeys(pages):
        kind, there = snapshot.kind_of(page), index.keyframes.find(page, snapshot.epoch)
        if there is not None and there.epoch == snapshot.epoch:
            continue
        columns = snapshot.columns(kind, page)
        rows = snapshot.row_count(kind, page)
        cells = {column: np.ascontiguousarray(columns[column.name]) for column in kind.columns}
        held.append((page, snapshot.epoch, rows, cells))
    if not held:
        return 0
    disk.put_derived(index.folder / index.keyframes.next_name(), keyframes.pack(held))
    index.keyframes.load(index.head)
    return len(held)


def drop(index: Index, disk: Disk) -> int:
    """Deletes all keyframes; how many there were. Readers that have them mapped go on."""
    count = len(index.keyframes)
    for path in index.keyframes.clear():
        with suppress(FileNotFoundError):
            disk.unlink(path)
    return count

"""Which pages get keyframes, and making them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from mmsb.base.errors import MmsbError
from mmsb.base.rect import Rows
from mmsb.base.schema import Column
from mmsb.base.spans import span
from mmsb.memory import files, keyframes, replay
from mmsb.memory.cells import Array, dtype_of
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
#: A file gets no further page once it has so many bytes: it is made in memory.
_FILE_BYTES = 64 * 1024 * 1024


def chosen(index: Index, epoch: int, *, lately: bool = False) -> list[int]:
    """Pages whose keyframe would pay, increasing. CorruptData.

    Reads are what the meter has seen in this process; ``lately``: since `behind` looked. A
    keyframe pays where there were `READS`, each would walk `DELTAS` or more, and the page has at
    most `SPARE` times the cells that these deltas have: most columns of a page are fill, which
    takes no room.
    """
    hot = index.meter.hottest(_LOOKED_AT, lately=lately)
    read = np.array(sorted(page for page, reads in hot if reads >= READS), "<u4")
    return [page for page in _often_written(index, read).tolist() if _pays(index, page, epoch)]


def _often_written(index: Index, pages: Array) -> Array:
    """Those of the pages, increasing, that have `DELTAS` deltas at all. O(log pages) for each run
    and page."""
    deltas = np.zeros(len(pages), np.int64)
    for run in index.runs:
        for order in run.sort():
            if len(order.pages):
                at = np.minimum(np.searchsorted(order.pages, pages), len(order.pages) - 1)
                own = order.begins[at + 1].astype(np.int64) - order.begins[at]
                deltas += np.where(order.pages[at] == pages, own, 0)
    return pages[deltas >= DELTAS]


def _pays(index: Index, page: int, epoch: int) -> bool:
    """Looks at the newest deltas, as many as it takes."""
    catalog = index.catalog
    if not catalog.exists(page, epoch) or catalog.deleted_at(page) <= epoch:
        return False
    frame = index.keyframes.find(page, epoch)
    since = -1 if frame is None else frame.epoch
    columns = len(index.kinds[int(catalog.kinds.values[page])].columns)
    wanted = replay.row_count(index, page, epoch) * columns
    deltas = cells = 0
    for run in reversed(index.runs_between(since, epoch)):
        numbers = run.numbers(page, epoch)
        batches = run.batch_of(numbers)
        own = run.table[batches, EPOCH] > since
        numbers, batches = numbers[own], batches[own]
        deltas += len(numbers)
        cells += int((run.cell_counts(numbers) * (run.table[batches, META] >> 32 & 0xFFFF)).sum())
        if deltas >= DELTAS and wanted <= SPARE * cells:
            return True
    return False


def _fitting(index: Index, pages: list[int], epoch: int) -> list[int]:
    """Those that there is room for: all files together take at most `SPARE` times the log, whose
    commits may be narrow."""
    room = SPARE * sum(int(run.frames.values[-1]) for run in index.runs if run.frames.count)
    room -= sum(len(file.bytes) for file in index.keyframes.mapped)
    found = []
    for page in pages:
        kind = index.kinds[int(index.catalog.kinds.values[page])]
        width = sum(dtype_of(column).itemsize for column in kind.columns)
        size = replay.row_count(index, page, epoch) * width
        if size <= room:
            room -= size
            found.append(page)
    return found


@span("keyframe")
def make(index: Index, snapshot: Snapshot, pages: Sequence[int], disk: Disk) -> int:
    """Writes the pages as of the snapshot's epoch, which is durable, in a file or some; how many.

    Pages that have one of that epoch are left out. OSError, CorruptData. O(cells).
    """
    held: list[tuple[int, int, int, dict[Column, Array]]] = []
    count = size = 0
    for page in dict.fromkeys(pages):
        kind, there = snapshot.kind_of(page), index.keyframes.find(page, snapshot.epoch)
        if there is not None and there.epoch == snapshot.epoch:
            continue
        rows = snapshot.row_count(kind, page)
        found = replay.read_all(
            index, kind, page, kind.columns, rows=Rows(0, rows), epoch=snapshot.epoch
        )
        index.meter.read_else()  # it is not read for anybody
        cells = {column: np.ascontiguousarray(found[column.name]) for column in kind.columns}
        held.append((page, snapshot.epoch, rows, cells))
        size += sum(own.nbytes for own in cells.values())
        if size >= _FILE_BYTES:
            count, size, held = count + _put(index, held, disk), 0, []
    return count + _put(index, held, disk)


def _put(index: Index, held: list[tuple[int, int, int, dict[Column, Array]]], disk: Disk) -> int:
    if held:
        disk.put_derived(index.folder / index.keyframes.next_name(), keyframes.pack(held))
        index.keyframes.load(index.head)
    return len(held)


def behind(index: Index, snapshot: Snapshot, disk: Disk) -> None:
    """`make` of the pages that were read so often since this was called last.

    The memory is whole without: what fails is only told.
    """
    try:
        if int(index.meter.lately().max(initial=0)) < READS:
            return
        pages = _fitting(index, chosen(index, snapshot.epoch, lately=True), snapshot.epoch)
        index.meter.look()
        make(index, snapshot, pages, disk)
    except (OSError, MemoryError, MmsbError) as error:
        index.rebuilt.append(f"keyframes as of epoch {snapshot.epoch} were not made: {error}")
    finally:
        index.meter.read_else()  # what it has read counts against a budget


def drop(index: Index, disk: Disk) -> int:
    """Deletes all keyframes; how many there were. Readers that have them mapped go on."""
    count = len(index.keyframes)
    for path in index.keyframes.clear():
        with suppress(FileNotFoundError):
            disk.unlink(path)
    return count


def drop_later(index: Index, disk: Disk) -> None:
    """A writer's, before it commits: deletes keyframes of epochs that the log does not have, for
    those to come will be others. Refused as `mmsb.memory.files.refused` says."""
    for path in index.keyframes.load(index.head):
        index.keyframes.broken.append(f"{path.name}: it tells of epochs that are not there")
        try:
            disk.unlink(path)
        except OSError as error:
            raise files.refused(index.folder, path, error) from error

"""Retention: the log written anew so that it begins at a later epoch. Nothing else forgets.

The new log's first frame holds the whole state as of that epoch, and is that epoch; the frames of
later epochs follow as they were, in new places. Pages and symbols keep their numbers. The new
segments have numbers that none had before, and the manifest that names them takes the place of the
old one at once: what a crash leaves is the old log or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import numpy as np

from mmsb.base.errors import EnvironmentProblem, NoSpace
from mmsb.base.schema import Kind
from mmsb.memory import encode, files, framing, recall
from mmsb.memory import kinds as schemas
from mmsb.memory.cells import Array, room_for
from mmsb.memory.changes import Sealed
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.disk import Disk, File
from mmsb.memory.files import Manifest, Mark
from mmsb.memory.frame import SHAPED, Broken, Draft, Frame, Moved
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import META
from mmsb.memory.log import Log
from mmsb.memory.many import Many
from mmsb.memory.placed import Placed
from mmsb.memory.run import Run
from mmsb.memory.segment import FIRST, capacity, file_name, header
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.writer import Writer

#: A batch has fewer cells in each of its buffers.
_BATCH_ROWS = 2**31


def retain(out: Writer, index: Index, now: Snapshot, disk: Disk) -> tuple[Writer, Index]:
    """Forgets what was before the snapshot's epoch; who writes from then on, and the index.

    NoSpace, EnvironmentProblem and CorruptData leave all as it was. WriterFailed. O(bytes).
    """
    out.sync()
    old = out.log
    found: list[Index] = []

    def reopened() -> Log:
        log, made = recall.opened(old.folder, index.known.values(), beyond=True, spill=old.spill)
        found.append(made)
        return log

    try:
        with room_for(f"the state of {old.folder} as of epoch {now.epoch}"):
            manifest = _written(old, index, now, disk)
    except EnvironmentProblem as error:
        _take_back(old, error, disk)
    try:
        made = out.succeeded(manifest, reopened)
    except NoSpace as error:
        _take_back(old, error, disk)
    for number, size in made.log.manifest.segments:
        if size is not None:
            recall.write(found[0], number, size, disk)
    return made, found[0]


def _take_back(old: Log, error: EnvironmentProblem, disk: Disk) -> NoReturn:
    """Removes what was written of the new log, for which there was no room."""
    with suppress(OSError):  # the next writer does it
        files.remove_unnamed(old.folder, old.manifest, disk)
    if not isinstance(error, NoSpace):
        raise error
    raise NoSpace(
        f"no room in {old.folder} to write the log anew; nothing was forgotten, free some space "
        "and call retain again"
    ) from error


def _written(old: Log, index: Index, now: Snapshot, disk: Disk) -> Manifest:
    """Writes the new segments, synced but not named yet. NoSpace, EnvironmentProblem, ReadOnly."""
    folder, smallest = old.folder, old.manifest.segment_bytes
    number, at = old.manifest.segments[-1][0], 0
    sealed: list[tuple[int, int | None]] = []
    file: File | None = None
    try:
        for draft in _frames(index, now):
            full = capacity(len(sealed) + 1, smallest)
            if file is None or (at > FIRST and at + draft.size > full):
                if file is not None:
                    _finish(file)
                    sealed.append((number, at))
                number, at = number + 1, FIRST
                with suppress(FileNotFoundError):
                    disk.unlink(folder / file_name(number))
                file = disk.make(folder / file_name(number))
                file.write(header(number), 0)
            draft.write(file, number, at)
            at += draft.size
        assert file is not None
        _finish(file)
        framing.drop(index, disk)  # they may hold what is forgotten
    except BaseException as error:
        if file is not None:
            file.close()
        with suppress(OSError):  # the next writer does it
            files.remove_unnamed(folder, old.manifest, disk)
        if isinstance(error, OSError):
            raise files.refused(folder, folder / file_name(number), error) from error
        raise
    end = Mark(number, at, index.head)
    return Manifest(
        smallest, (*sealed, (number, None)), base=now.epoch, end=end, keep=old.manifest.keep
    )


def _finish(file: File) -> None:
    file.sync()
    file.close()


def _frames(index: Index, now: Snapshot) -> Iterator[Placed]:
    """The state as of the snapshot, then the frames of all later epochs. CorruptData."""
    yield _state(index, now)
    for run in index.runs:
        if run.last_epoch > now.epoch:
            later = run.frames.values[max(now.epoch + 1 - run.first_epoch, 0) :]
            for place in later.tolist():
                yield Moved(_frame(index, run, place))


def _frame(index: Index, run: Run, place: int) -> Frame:
    try:
        frame = Frame(run.segment, place, len(run.segment.bytes))
        run.segment.ensure(place, place + frame.size)
        return frame
    except Broken as error:
        problem = Problem(run.segment.name, place, (), (), str(error))
        raise corrupt(index.folder, problem) from error


def _state(index: Index, now: Snapshot) -> Draft:
    """One frame that holds all there is as of an epoch: every page, and each live one's cells."""
    epoch, catalog = now.epoch, index.catalog
    stored, source = _stored(index, epoch)
    count = catalog.counted(epoch)
    sets, of = _written_in(index, epoch, count)
    many: list[Many] = []
    for id in sorted(stored):
        kind, live = index.kind(id), catalog.live(id, epoch)
        for number in sorted(set(of[live].tolist()), key=sets.__getitem__):
            if sets[number]:
                many += _batches(now, kind, sets[number], live[of[live] == number])
    dead = sorted(page for page, at in tuple(catalog.deleted.items()) if at <= epoch)
    content = Sealed(
        tuple(stored.values()),
        catalog.kinds.values[:count],
        catalog.subjects.values[:count],
        (),
        tuple((int(catalog.kinds.values[page]), page) for page in dead),
        tuple(many),
    )
    return encode.draft(content, epoch, source, 0, narrow=_narrowed(index, epoch))


def _narrowed(index: Index, epoch: int) -> bool:
    """Was anything up to the epoch committed narrow? Then what is left of it is kept so."""
    for run in index.runs_to(epoch):
        rows = run.batches(-1, epoch)
        if (run.table[rows.start : rows.stop, META] >> 16 & SHAPED).any():
            return True
    return False


def _stored(index: Index, epoch: int) -> tuple[dict[int, Kind], int]:
    """The schemas that were stored by an epoch, and who wrote it. O(frames)."""
    stored: dict[int, Kind] = {}
    source = 0
    for run in index.runs_to(epoch):
        for place in run.frames.values[: epoch + 1 - run.first_epoch].tolist():
            frame = _frame(index, run, place)
            stored = schemas.replaced(stored, schemas.decode(frame.table.schema))
            source = frame.source
    return stored, source


def _written_in(index: Index, epoch: int, pages: int) -> tuple[list[tuple[int, ...]], Array]:
    """Sets of column ids, and for each page which of them it was written in, i32; O(deltas)."""
    sets: list[tuple[int, ...]] = [()]
    numbers = {(): 0}
    of = np.zeros(pages, np.int32)
    for run in index.runs_to(epoch):
        batches = np.array(run.batches(-1, epoch), np.int64)
        run.check_tables(batches)
        alike: dict[bytes, list[int]] = {}
        for at in batches.tolist():
            alike.setdefault(run.columns(at).tobytes(), []).append(at)
        for ids, chosen in alike.items():
            new = set(np.frombuffer(ids, "<u2").tolist())
            own = np.unique(run.pages(run.members(np.array(chosen))))
            before = of[own]
            for number in np.unique(before).tolist():
                both = tuple(sorted(new.union(sets[number])))
                if both not in numbers:
                    numbers[both] = len(sets)
                    sets.append(both)
                of[own[before == number]] = numbers[both]
    return sets, of


def _batches(now: Snapshot, kind: Kind, ids: tuple[int, ...], pages: Array) -> Iterator[Many]:
    """Pages that were written in the same columns: these, whole, as dense deltas."""
    names = [column.name for column in kind.columns if column.id in ids]
    found, offsets = now.gather_columns(kind, names, pages)
    low = 0
    while low < len(pages):
        limit = int(offsets[low]) + _BATCH_ROWS
        high = max(low + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        counts = np.diff(offsets[low : high + 1])
        cells = slice(int(offsets[low]), int(offsets[high]))
        own = {name: values[cells] for name, values in found.items()}
        each = int(counts[0]) if (counts == counts[0]).all() else None
        yield Many(kind, pages[low:high], np.zeros(high - low, "<u4"), counts, each, own)
        low = high

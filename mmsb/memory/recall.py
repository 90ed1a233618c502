"""Opening by index files: what they tell of sealed segments, and of the tail as it was closed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from mmsb.base.errors import CorruptData, MmsbError, StateError
from mmsb.base.model import NONE_U32
from mmsb.base.schema import SYMBOL, Kind
from mmsb.memory import kinds as schemas
from mmsb.memory import sidecar
from mmsb.memory.batch import batches_of
from mmsb.memory.behind import Behind
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.disk import Disk
from mmsb.memory.files import Mark
from mmsb.memory.frame import HEADER, Broken, Frame
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.order import sorted_by_page
from mmsb.memory.run import Run
from mmsb.memory.segment import FIRST, Segment, file_name
from mmsb.memory.sidecar import Opening, Outdated, Reading, Sidecar
from mmsb.memory.writer import Writer

#: An open segment with so many frames gets an index file when it is closed.
_FRAMES = 512
#: A sealed one gets it in the background from so many deltas on: that takes milliseconds.
_MANY = 65_536


class Recall:
    """Takes segments from their index files into an index, as a scan of the log comes to them."""

    def __init__(self, index: Index, log: Log) -> None:
        self._index, self._log = index, log

    def __call__(self, number: int, size: int | None) -> Mark | None:
        """The place in the segment from which frames must be read, if its file holds.

        ``size`` is a sealed segment's. Of the last one only durable bytes are taken from a file,
        since others may be gone after the loss of power.
        """
        index, log = self._index, self._log
        durable = log.marks.durable
        reach = size
        if size is None:
            reach = durable.offset if durable.segment == number and log.both_slots else FIRST
        try:
            held = Sidecar(log.folder, number)
            counts = held.counts
            fits = counts["end"] == reach if size is not None else counts["end"] <= (reach or 0)
            if not fits:
                return None
            if (counts["first_epoch"], counts["first_page"]) != (index.head + 1, index.page_count):
                raise Broken("it continues somewhere else")
            run = Run(lambda: self._open(number, counts["end"]), counts["first_epoch"], index)
            run.recall(counts["epochs"], counts["deltas"], lambda: self._read(held, run))
            _check(index, run, held)
            index.recall(run, held.opening)
        except (FileNotFoundError, Outdated):
            return None
        except (Broken, MmsbError, ValueError, TypeError, RecursionError) as error:
            index.rebuilt.append(f"{sidecar.file_name(number)}: {error}")
            return None
        return Mark(number, counts["end"], index.head)

    def ends(self, mark: Mark) -> bool:
        """Does the mark's epoch end where the mark says?"""
        index = self._index
        return index.base <= mark.epoch <= index.head and index.end_of(mark.epoch) == mark.place

    def _open(self, number: int, end: int) -> Segment:
        """The segment, as long as its index file says: reading goes by that."""
        try:
            segment = self._log.segment(number)
            if len(segment.bytes) < end:
                segment.remap()
            if len(segment.bytes) < end:
                raise Broken(f"it ends at {len(segment.bytes)}, before {end}")
            return segment
        except (OSError, Broken) as error:
            problem = Problem(file_name(number), 0, (), (), f"the segment cannot be read ({error})")
            raise corrupt(self._log.folder, problem) from error

    def _read(self, held: Sidecar, run: Run) -> Reading:
        """The file's second part; if that does not hold, the same from the segment's frames."""
        segment, counts = run.segment, held.counts
        try:
            reading = held.reading()
            last = int(reading.frames[-1])
            if _mark_of(segment, last) != counts["mark"]:
                raise Broken("it was made for another segment")
        except (Broken, IndexError) as error:
            self._index.rebuilt.append(f"{held.path.name}: {error}")
            return self._again(run, segment, counts["end"])
        return reading

    def _again(self, run: Run, segment: Segment, end: int) -> Reading:
        made, at = Run(lambda: segment, run.first_epoch, self._index), FIRST
        while at < end:
            try:
                frame = Frame(segment, at, min(end, len(segment.bytes)))
                if frame.epoch != made.last_epoch + 1:
                    raise Broken(f"it says epoch {frame.epoch}, not {made.last_epoch + 1}")
                made.add(frame, batches_of(frame, self._index.stored))
            except Broken as error:
                what = f"the frame there does not hold: {error}"
                problem = Problem(segment.name, at, (made.last_epoch + 1,), (), what)
                raise corrupt(self._log.folder, problem) from error
            at += frame.size
        reading = made.reading()
        order = sorted_by_page(made.pages_in(0, made.deltas), 0) if made.deltas else reading.order
        return Reading(reading.frames, reading.table, order, reading.blocks)


def _check(index: Index, run: Run, held: Sidecar) -> None:
    """Broken unless what the file says of pages and tables can be."""
    said, before = held.opening, index.page_count
    first, last, count = run.first_epoch, run.last_epoch, before + len(said.page_kind)
    stored = schemas.replaced(index.stored, schemas.decode(said.schema.tobytes()))
    tables = {id for id, kind in stored.items() if kind.append_only}
    upto = np.append(before, said.upto)
    sound = bool((np.diff(upto) >= 0).all()) and int(upto[-1]) == count < 2**32
    sound = sound and bool((said.dead_page < count).all())
    for epochs in (said.dead_epoch, said.grown_epoch):
        sound = sound and bool(((epochs >= first) & (epochs <= last)).all())
    grown: dict[int, tuple[int, int]] = {}
    entries = (said.grown_kind, said.grown_epoch, said.grown_rows)
    for kind, epoch, rows in zip(*(array.tolist() for array in entries), strict=True):
        at, known = grown.get(kind, (-1, index.tables.rows(kind, index.head)))
        most = known + held.counts["end"]  # each row has a byte at least
        sound = sound and kind in tables and epoch > at and known <= rows <= most
        grown[kind] = (epoch, rows)
    named = said.page_subject != NONE_U32
    symbols = grown.get(SYMBOL.id, (0, index.tables.rows(SYMBOL.id, index.head)))[1]
    new = sorted(tables - index.stored.keys())
    sound = sound and np.sort(said.page_kind[~named]).tolist() == new
    sound = sound and bool((said.page_subject[named] < symbols).all())
    if not (sound and set(said.page_kind[named].tolist()) <= stored.keys() - tables):
        raise Broken("what it says of pages and tables cannot be")


def opened(
    folder: Path, kinds: Iterable[Kind], *, beyond: bool, spill: bool = False
) -> tuple[Log, Index]:
    """What the files say now; again from the start where a writer rewrites the log meanwhile.

    NotAMemory, NewerFormat, CorruptData.
    """
    while True:
        log = Log(folder, spill=spill)
        index = Index(folder, kinds, log.manifest.base)
        try:
            for frame in log.scan(beyond=beyond, recall=Recall(index, log)):
                index.add(frame)
        except (CorruptData, StateError):
            if not log.moved:
                raise
        else:
            index.keyframes.load(index.head)
            return log, index


def _mark_of(segment: Segment, place: int) -> int:
    segment.ensure(place, place + HEADER.size)
    check = segment.bytes[place + HEADER.size - 8 : place + HEADER.size].tobytes()
    return int.from_bytes(check, "little")


def write(index: Index, number: int, end: int, disk: Disk) -> None:
    """Writes a segment's index file, which holds up to ``end``. O(deltas of the segment).

    It is not synced, and the memory is whole without it: what fails is only told.
    """
    try:
        _write(index, number, end, disk)
    except (OSError, MemoryError, MmsbError) as error:
        index.rebuilt.append(f"the index of segment {number} was not written: {error}")


def write_sealed(index: Index, number: int, end: int, disk: Disk, behind: Behind) -> None:
    """`write` for a segment that was just sealed, behind the commit's back if it takes long."""
    work = partial(write, index, number, end, disk)
    if sum(run.deltas for run in index.runs_of(number)) < _MANY:
        work()
    else:
        behind.put(work)


def write_tail(index: Index, log: Log, out: Writer, disk: Disk) -> None:
    """`write` for the open segment, if reading its frames again would take long.

    It is synced before, since an index file is believed of durable epochs only.
    """
    run = index.open_run
    if run is None or run.frames.count < _FRAMES:
        return
    if out.durability == "none" or out.failure is not None:
        return
    with suppress(MmsbError):  # closing says it
        out.sync()
        write(index, *log.end, disk)


def _write(index: Index, number: int, end: int, disk: Disk) -> None:
    runs = index.runs_of(number)
    if not runs or not all(run.frames.count for run in runs):
        return
    first, last, folder = runs[0].first_epoch, runs[-1].last_epoch, index.folder
    page = index.catalog.counted(first - 1)
    listed = [own for epoch, own in index.schemas if first <= epoch <= last]
    kinds = {kind.id: kind for own in listed for kind in own}
    schema = np.frombuffer(schemas.encode(kinds.values()), np.uint8)
    pages, grown = index.catalog.during(first, last), index.tables.during(first, last)
    opening = Opening(**pages, **grown, schema=schema)
    written = [run.pages_in(0, run.deltas) for run in runs if run.deltas]
    data = sidecar.pack(
        opening,
        [run.reading() for run in runs],
        np.concatenate([np.zeros(0, "<u4"), *written]),
        segment=number,
        end=end,
        mark=_mark_of(runs[-1].segment, int(runs[-1].frames.values[-1])),
        first_epoch=first,
        first_page=page,
    )
    disk.put_derived(folder / sidecar.file_name(number), data)

"""Reads a whole memory and lists all that does not hold, without stopping at the first."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmsb.base.errors import CorruptData, NotAMemory
from mmsb.memory import asked
from mmsb.memory.batch import Batch, block_problem
from mmsb.memory.cells import Array
from mmsb.memory.damage import Problem
from mmsb.memory.files import HEADER_BYTES, Manifest, Marks, load_manifest, read_slots
from mmsb.memory.frame import ALIGN, BLOCK, HEADER, MAGIC, Broken, Frame
from mmsb.memory.index import Index
from mmsb.memory.log import Log, floor
from mmsb.memory.rows import rows_hold
from mmsb.memory.segment import FIRST, Segment, file_name


@dataclass(frozen=True, slots=True)
class Report:
    """``problems`` is damage; ``torn`` is what lies above the durable mark and will be cut.

    ``epochs`` counts the frames whose every byte holds, ``bytes`` what was read.
    """

    problems: tuple[Problem, ...]
    torn: tuple[Problem, ...]
    epochs: int
    segments: int
    bytes: int

    @property
    def sound(self) -> bool:
        """No damage."""
        return not self.problems


def check(path: str | os.PathLike[str]) -> Report:
    """Verifies every checksum and bound in the folder. O(bytes); takes no lock, changes nothing.

    UsageError, NotAMemory, NewerFormat. With a writer at work, a commit under way may show as torn.
    """
    walk = _Walk(asked.folder(path))
    manifest = walk.manifest()
    walk.slots(manifest)
    for number, sealed in manifest.segments:
        walk.segment(number, sealed)
    walk.finish()
    # With a slot lost the durable mark is not known, and every problem counts as damage.
    known = walk.marks is not None and walk.both_slots
    durable = floor(manifest, walk.marks) if known and walk.marks else (2**32, 0)
    below = [problem for place, problem in walk.found if place < durable]
    above = [problem for place, problem in walk.found if place >= durable]
    if not below:
        below = _does_not_open(walk.folder)
    return Report(tuple(below), tuple(above), walk.sound, len(manifest.segments), walk.bytes_read)


def _does_not_open(folder: Path) -> list[Problem]:
    """What holds byte by byte may not fit together: a header of another memory does not."""
    try:
        log = Log(folder)
        index = Index(folder, (), log.manifest.base)
        for frame in log.scan(beyond=False):
            index.add(frame)
    except CorruptData as error:
        return [Problem("header", 0, (), (), f"the memory does not open: {error}")]
    return []


@dataclass(slots=True)
class _Walk:
    folder: Path
    found: list[tuple[tuple[int, int], Problem]] = field(default_factory=list)
    marks: Marks | None = None
    both_slots: bool = True
    #: None once a frame is missing: without all schemas and pages, bounds cannot be checked.
    index: Index | None = None
    sound: int = 0
    bytes_read: int = 0
    reached: tuple[int, int] = (0, 0)

    def manifest(self) -> Manifest:
        """The manifest, or what the folder's names say if it is damaged."""
        try:
            found = load_manifest(self.folder)
        except Broken as error:
            self.report("manifest", 0, (0, 0), str(error))
            found = lost_manifest(self.folder)
        self.index = Index(self.folder, (), found.base)
        return found

    def slots(self, manifest: Manifest) -> None:
        """Both header slots."""
        slots = read_slots(self.folder)
        for at, slot in zip((0, HEADER_BYTES // 2), slots, strict=True):
            if slot is None:
                self.report("header", at, (0, 0), "this slot does not match its checksum")
        sound = [slot for slot in slots if slot is not None]
        self.both_slots = len(sound) == len(slots)
        if sound:
            self.marks = manifest.settled(max(sound, key=lambda slot: slot.sequence))

    def segment(self, number: int, sealed: int | None) -> None:
        """Every frame of one segment; after a bad one the next sound header is looked for."""
        try:
            segment = Segment(self.folder, number)
        except (OSError, Broken) as error:
            self.index = None
            self.report(file_name(number), 0, (number, 0), str(error))
            return
        end = len(segment.bytes) if sealed is None else min(sealed, len(segment.bytes))
        self.bytes_read += end
        at = FIRST
        while at < end and not self.is_blank(segment, at, sealed):
            try:
                frame = Frame(segment, at, end)
            except Broken as error:
                self.report(segment.name, at, (number, at), f"the frame there: {error}")
                self.index = None
                at = next_frame(segment, at + ALIGN, end)
                continue
            self.frame(frame)
            at += frame.size
        self.reached = (number, at)
        if sealed is not None and at != sealed:
            self.report(segment.name, at, (number, at), f"it ends here, not at {sealed}")

    def is_blank(self, segment: Segment, at: int, sealed: int | None) -> bool:
        """The end of an unsealed segment: preallocated bytes above the visible mark."""
        visible = self.marks.visible.place if self.marks else (segment.number, at)
        above = sealed is None and (segment.number, at) >= visible
        return above and not segment.bytes[at : at + HEADER.size].any()

    def frame(self, frame: Frame) -> None:
        """All blocks of a frame, its bounds, and its sparse rows."""
        place = (frame.segment.number, frame.offset)
        before = len(self.found)
        batches: list[Batch] = []
        if self.index is not None:
            try:
                if frame.epoch != self.index.head + 1:
                    raise Broken(f"it says epoch {frame.epoch}, not {self.index.head + 1}")
                batches = self.index.add(frame)
            except (Broken, CorruptData) as error:
                self.report(frame.segment.name, frame.offset, place, str(error), frame.epoch)
                self.index = None
        bad = frame.unsound(0, frame.payload)
        for block in bad:
            span = frame.blocks.span(block)
            pages = self.pages_in(batches, *span) if batches else np.unique(frame.table.delta_page)
            self.found.append((place, block_problem(frame, pages, block)))
        for batch in batches:
            if not bad and not _sparse_rows_hold(batch):
                self.report(
                    frame.segment.name, frame.offset, place, "rows out of order", frame.epoch
                )
        self.sound += len(self.found) == before

    def pages_in(self, batches: list[Batch], begin: int, end: int) -> np.ndarray:
        """Pages with cells in payload bytes [begin, end)."""
        return np.unique(np.concatenate([batch.pages_in(begin, end) for batch in batches]))

    def finish(self) -> None:
        """Is all there that the header says is?"""
        if self.marks is not None and self.reached < self.marks.visible.place:
            name = file_name(self.reached[0]) if self.reached[0] else "manifest"
            what = f"the log ends here, before epoch {self.marks.visible.epoch}"
            self.report(name, self.reached[1], self.reached, what)

    def report(self, file: str, at: int, place: tuple[int, int], what: str, *epochs: int) -> None:
        """Notes a problem at a place of the log ((0, 0): not in the log)."""
        self.found.append((place, Problem(file, at, epochs, (), what)))


def lost_manifest(folder: Path) -> Manifest:
    """What the folder's names say where the manifest does not; NotAMemory if that is nothing."""
    files = [file for file in folder.glob("segment-*") if file.is_file()]
    names = [file.name.removeprefix("segment-").removesuffix(".z") for file in files]
    numbers = sorted({int(name) for name in names if name.isdecimal() and name.isascii()})
    if not numbers:
        raise NotAMemory(f"{folder} holds no memory: no manifest, no segment")
    sizes = [None if n == numbers[-1] else _size_of(folder, n) for n in numbers]
    base = _first_epoch(folder, numbers[0])
    return Manifest(0, tuple(zip(numbers, sizes, strict=True)), base=base)


def _first_epoch(folder: Path, number: int) -> int:
    """The epoch that a segment's first frame says, if its header holds; else 0."""
    with suppress(OSError, Broken):
        segment = Segment(folder, number, sound=False)
        return int(Frame(segment, FIRST, len(segment.bytes), table=False).epoch)
    return 0


def _size_of(folder: Path, number: int) -> int:
    """Bytes a segment has, compressed or not; 0 if that cannot be told."""
    try:
        return len(Segment(folder, number, sound=False).bytes)
    except (OSError, Broken):
        return 0


def next_frame(segment: Segment, at: int, end: int) -> int:
    """Where the next frame starts that can be read; ``end`` if none can."""
    for block in range(at - at % BLOCK, end, BLOCK):
        with suppress(Broken):  # of a compressed segment, what can be decompressed
            segment.ensure(block, min(block + BLOCK, end))
    if segment.packed is not None:
        segment.packed.fill()
    words: Array = segment.bytes[at : end - (end - at) % ALIGN].view("<u8")[:: ALIGN // 8]
    starts: list[int] = np.flatnonzero(words == int.from_bytes(MAGIC, "little")).tolist()
    for place in (at + start * ALIGN for start in starts):
        try:
            Frame(segment, place, end)
        except Broken:
            continue
        return place
    return end


def _sparse_rows_hold(batch: Batch) -> bool:
    """Each delta's row numbers increase and lie inside its rows."""
    if batch.sparse is None or not batch.rows:
        return True
    rows = batch.row_numbers(0, batch.rows)
    return rows_hold(rows, batch.edges(), batch.starts(), batch.stops())

"""The log, read: which segments live, where frames are, and where the sound log ends."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

from mmsb.base.errors import CorruptData, StateError
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.files import Manifest, Mark, Marks, read_manifest, read_marks
from mmsb.memory.frame import HEADER, Broken, Frame
from mmsb.memory.segment import FIRST, Segment, file_name

#: A problem names so many epochs at most: a mark may say anything.
_NAMED = 100_000


def floor(manifest: Manifest, marks: Marks) -> tuple[int, int]:
    """Where durable bytes end: at the durable mark, but sealed segments were synced when sealed."""
    return max(marks.durable.place, (manifest.segments[-1][0], FIRST))


class Recalls(Protocol):
    """What else may tell of a segment (`mmsb.memory.recall`)."""

    def __call__(self, number: int, size: int | None) -> Mark | None:
        """The place from which its frames must be read; None: from its beginning."""

    def ends(self, mark: Mark) -> bool:
        """Does an epoch that was recalled end at the mark?"""


class Log:
    """Frames in order. ``position`` lies after the last sound frame seen; ``end`` is where the next
    frame would go. A bad frame below the floor is damage; above it the log simply ends there and
    ``torn`` says what was found.
    """

    def __init__(self, folder: Path, *, spill: bool = False) -> None:
        """Reads manifest and header only. NotAMemory, NewerFormat, CorruptData.

        ``spill``: what is decompressed can be released (see `mmsb.memory.packed`).
        """
        self.folder, self.spill = folder, spill
        self.manifest: Manifest = read_manifest(folder)  # it says so if there is no memory
        while not self.reload():
            self.manifest = read_manifest(folder)
        manifest = self.manifest
        self.segments: dict[int, Segment] = {}
        first = manifest.segments[0][0]
        self.position = Mark(first, FIRST, manifest.base - 1)
        self.end = (first, FIRST)
        self.torn: str | None = None

    def reload(self) -> bool:
        """Reads manifest and header again; False, and nothing is taken from them, if `moved`."""
        # The manifest names a segment before the header points into it: header first, then.
        marks, both = read_marks(self.folder)
        manifest = read_manifest(self.folder)
        if self._another(manifest):
            return False
        self.manifest, self.marks, self.both_slots = manifest, manifest.settled(marks), both
        return True

    @property
    def moved(self) -> bool:
        """Has the writer rewritten the log, so that these segments are going or gone?"""
        return self._another(read_manifest(self.folder))

    def _another(self, manifest: Manifest) -> bool:
        return manifest.segments[0][0] != self.manifest.segments[0][0]

    def scan(self, *, beyond: bool, recall: Recalls | None = None) -> Iterator[Frame]:
        """Frames from ``position`` to the visible mark; with ``beyond`` as far as they are sound.

        ``recall`` may take the beginning of a segment, or all of it, from somewhere else.

        Frames above the floor are verified whole before they are yielded. Where one header slot is
        damaged the other may be a commit behind: the scan goes beyond, and since the durable mark
        may lie anywhere, whatever does not hold is damage. CorruptData.
        """
        beyond = beyond or not self.both_slots
        visible = self.marks.visible
        problem = None
        for number, sealed in self.manifest.segments:
            if number < self.end[0] or (number > visible.segment and not beyond):
                continue
            if recall is not None and (number, FIRST) >= self.end:
                self._recalled(recall, recall(number, sealed))
                if self.end == (number, sealed):
                    continue
            try:
                segment = self.segment(number)
            except (OSError, Broken) as error:
                problem = self._problem((number, 0), f"the segment cannot be read ({error})")
                break
            stop = visible.offset if number == visible.segment and not beyond else None
            limits = [end for end in (sealed, stop) if end is not None]
            problem = yield from self._frames(segment, min(limits, default=None))
            if problem is not None:
                break
        self._judge(problem)

    def _recalled(self, recall: Recalls, mark: Mark | None) -> None:
        """Goes on behind what was recalled; CorruptData if a mark in it is no epoch's end."""
        if mark is None:
            return
        before, self.position, self.end = self.end, mark, mark.place
        for own in (self.marks.visible, self.marks.durable):
            if before < own.place <= self.end and own != mark and not recall.ends(own):
                raise self._stray(own)

    def _frames(
        self, segment: Segment, limit: int | None
    ) -> Generator[Frame, None, Problem | None]:
        """Frames of one segment; returns the Problem at which they end too early, or None."""
        if self.end[0] != segment.number:
            self.end = (segment.number, FIRST)
        if limit is None or limit > len(segment.bytes):
            segment.remap()
        size = len(segment.bytes)
        while (at := self.end[1]) < (size if limit is None else limit):
            if limit is None and self._is_blank(segment, at):
                return None
            try:
                frame = self._frame(segment, at)
            except Broken as error:
                return self._problem(self.end, f"the frame there does not hold: {error}")
            before, self.end = self.end, (segment.number, at + frame.size)
            self.position = Mark(*self.end, frame.epoch)
            self._check_marks(before)
            yield frame
        return None

    def _frame(self, segment: Segment, at: int) -> Frame:
        frame = Frame(segment, at, len(segment.bytes))
        if frame.epoch != self.position.epoch + 1:
            raise Broken(f"it says epoch {frame.epoch}, not {self.position.epoch + 1}")
        if (segment.number, at) >= self.floor and frame.unsound(0, frame.payload):
            raise Broken("a block does not match its checksum")
        return frame

    def _check_marks(self, before: tuple[int, int]) -> None:
        """CorruptData if a mark lies in the frame just read, or at its end with another epoch."""
        for mark in (self.marks.visible, self.marks.durable):
            if before < mark.place <= self.end and mark != self.position:
                raise self._stray(mark)

    def _stray(self, mark: Mark) -> CorruptData:
        place = f"{file_name(mark.segment)} at offset {mark.offset}"
        what = f"it says that epoch {mark.epoch} ends in {place}, where no frame of it ends"
        return corrupt(self.folder, Problem("header", 0, (mark.epoch,), (), what))

    def _is_blank(self, segment: Segment, at: int) -> bool:
        """Preallocated bytes, never written, above all that was ever visible."""
        above = (segment.number, at) >= self.marks.visible.place
        return above and not segment.bytes[at : at + HEADER.size].any()

    def segment(self, number: int) -> Segment:
        """A segment, opened when first asked for. OSError, Broken; StateError if it is no more."""
        if number not in self.segments:
            try:
                self.segments[number] = Segment(self.folder, number, spill=self.spill)
            except FileNotFoundError as error:
                if not self.moved:
                    raise
                raise StateError(
                    f"{self.folder} was rewritten by retention, and {file_name(number)} is gone, "
                    "which was not read before; call refresh() and take the epoch again"
                ) from error
        return self.segments[number]

    def _problem(self, place: tuple[int, int], what: str) -> Problem:
        first = self.position.epoch + 1
        epochs = range(first, min(self.marks.visible.epoch + 1, first + _NAMED))
        return Problem(file_name(place[0]), place[1], tuple(epochs), (), what)

    def _judge(self, problem: Problem | None) -> None:
        """Damage or torn tail? Nothing at all if the scan reached the visible mark in peace."""
        if self.position.place < self.marks.visible.place and problem is None:
            problem = self._problem(self.end, "the log ends here, before the visible mark")
        if self.position.epoch < self.manifest.base:
            raise corrupt(self.folder, problem or self._problem(self.end, "no epoch is there"))
        if problem is None:
            return
        if not self.both_slots or self.end < self.floor:
            raise corrupt(self.folder, problem)
        self.torn = (
            f"{self.folder}/{problem}; this tail was never durable and is cut by the next writer"
        )

    def holds_durably(self, end: Mark) -> bool:
        """Is all before that place durable, as the files say now?"""
        marks, _ = read_marks(self.folder)
        manifest = read_manifest(self.folder)
        return end.place <= floor(manifest, manifest.settled(marks))

    @property
    def floor(self) -> tuple[int, int]:
        """Where durable bytes end."""
        return floor(self.manifest, self.marks)

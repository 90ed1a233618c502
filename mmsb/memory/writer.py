"""The log, written: the one writer's lock, cuts, appends, seals, syncs."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from mmsb.base.errors import MmsbError, NoSpace, StateError, UsageError, WriterFailed
from mmsb.memory import files
from mmsb.memory.files import Lock, Manifest, Mark, Marks
from mmsb.memory.frame import Draft, Frame
from mmsb.memory.log import Log
from mmsb.memory.opening import unreadable
from mmsb.memory.segment import FIRST, Segment, capacity, file_name, header

Durability = Literal["none", "group", "every"]
#: How far the durable mark may stay behind under "group".
GROUP_BYTES = 16 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def create(folder: Path, draft: Draft, segment_bytes: int) -> None:
    """Makes the folder with its first frame, all of it durable; the manifest comes last.

    UsageError if something is there already, ReadOnly, NoSpace.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; open the memory there or choose a new path")
        first = header(1) + draft.render(1, FIRST)
        mark = Mark(1, FIRST + draft.size, 0)
        slots = bytearray(files.HEADER_BYTES)
        for sequence in (0, 1):
            slot, at = files.pack_marks(Marks(sequence, mark, mark))
            slots[at : at + len(slot)] = slot
        for name, data in ((file_name(1), first), ("header", bytes(slots)), ("lock", b"")):
            _write_file(folder / name, data)
        files.write_manifest(folder, Manifest(segment_bytes, ((1, None),)))
    except FileExistsError as error:
        raise UsageError(
            f"{folder} is being made by someone else; open it, or choose a new path"
        ) from error
    except OSError as error:
        # The segment was made here and not before, so what lies there is of this attempt.
        for left in (file_name(1), "header", "lock", "manifest.new"):
            with suppress(OSError):
                os.unlink(folder / left)
        if error.errno in _FULL:
            raise _no_space(folder, error) from error
        raise files.denied(folder, error) or error from error


def _write_file(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        files.write_all(handle, data, 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_space(folder: Path, error: OSError) -> NoSpace:
    return NoSpace(
        f"no room for this commit in {folder} ({error.strerror}); nothing of it was kept, "
        "free some space and commit again"
    )


class Writer:
    """Appends frames. After a write or fsync whose outcome is unknown it refuses to go on."""

    def __init__(self, log: Log, lock: Lock, durability: Durability) -> None:
        """``log`` was opened and scanned under ``lock``; what follows its end is cut here."""
        self.log, self.durability = log, durability
        self._lock = lock
        self._handle = self._header = -1
        self._failure: str | None = None
        self._behind = 0  # bytes visible and not yet durable, written by this writer
        self._number, self._at = log.end
        self._handle = self._open(file_name(self._number))
        self._header = self._open("header")
        self._cut()
        self._allocated = self._at

    def _open(self, name: str) -> int:
        folder = self.log.folder
        try:
            return os.open(folder / name, os.O_RDWR)
        except OSError as error:
            known = files.denied(folder, error) or unreadable(folder / name, error)
            raise known or error from error

    def _cut(self) -> None:
        """Drops bytes after the last sound frame; whole frames found above the mark stay."""
        log = self.log
        if log.position.place != log.marks.visible.place or not log.both_slots:
            durable = log.marks.durable
            self._guard("cut", lambda: self._publish(log.position, durable))
        with suppress(FileNotFoundError):
            os.unlink(log.folder / "manifest.new")
        self._guard("cut", lambda: os.ftruncate(self._handle, self._at))

    def append(self, draft: Draft) -> Frame:
        """Writes one frame and makes it visible. NoSpace leaves all as it was; WriterFailed."""
        self._check_able()
        self._guard("preallocation", lambda: self._make_room(draft.size))
        at, end = self._at, self._at + draft.size
        data = draft.render(self._number, at)
        self._guard("write", lambda: files.write_all(self._handle, data, at))
        visible = Mark(self._number, end, draft.epoch)
        durable = self.log.marks.durable
        self._guard("header write", lambda: self._publish(visible, durable), full=False)
        self._at = end
        self._behind += draft.size
        self.log.position, self.log.end = visible, visible.place
        segment = self.log.segments[self._number]
        if len(segment.bytes) < end:
            segment.remap()
        return Frame(segment, at, end)

    def settle(self) -> None:
        """What the policy asks for after a commit."""
        grouped = self.durability == "group" and self._behind >= GROUP_BYTES
        if grouped or self.durability == "every":
            self.sync()

    def sync(self) -> None:
        """Returns when all that is visible is durable. WriterFailed if the disk does not say so."""
        self._check_able()
        visible = self.log.marks.visible
        if self.log.marks.durable != visible:
            # Sealed segments were synced when they were sealed; only this one can be behind.
            self._guard("fsync", lambda: os.fsync(self._handle), full=False)
            self._guard("header write", lambda: self._publish(visible, visible), full=False)
            self._guard("fsync", lambda: os.fsync(self._header), full=False)
        self._behind = 0

    def close(self) -> None:
        """Syncs unless the policy is "none", gives preallocated bytes back, releases the lock.

        In a fork of the process that opened it: lets go of the handles and touches nothing else.
        """
        try:
            if self._failure is None and not self._lock.inherited:
                if self.durability != "none":
                    self.sync()
                os.ftruncate(self._handle, self._at)
        finally:
            self._let_go()
            self._lock.release()

    def _let_go(self) -> None:
        handles = (self._handle, self._header)
        self._handle = self._header = -1
        for handle in handles:
            if handle >= 0:
                os.close(handle)

    def __del__(self) -> None:
        """Dropped without being closed: as if the process had ended here."""
        self._let_go()

    def _check_able(self) -> None:
        if self._lock.inherited:
            raise StateError(
                f"{self.log.folder} was opened for writing by the process that this one was forked "
                "from; write there, or close it there and open it here"
            )
        if self._failure is not None:
            raise WriterFailed(self._failure)

    def _make_room(self, size: int) -> None:
        full = capacity(self._number, self.log.manifest.segment_bytes)
        if self._at > FIRST and self._at + size > full:
            self._roll()
        needed = self._at + size
        if needed <= self._allocated:
            return
        wanted = capacity(self._number, self.log.manifest.segment_bytes, size)
        try:
            os.posix_fallocate(self._handle, 0, wanted)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            os.ftruncate(self._handle, self._allocated)
            wanted = needed  # not a whole segment fits: at least this frame may
            self._allocate_or_undo(wanted)
        self._allocated = wanted

    def _allocate_or_undo(self, size: int) -> None:
        try:
            os.posix_fallocate(self._handle, 0, size)
        except OSError:
            os.ftruncate(self._handle, self._allocated)
            raise

    def _roll(self) -> None:
        """Seals the segment and starts the next. Every step leaves a log that opens."""
        folder, number = self.log.folder, self._number + 1
        os.ftruncate(self._handle, self._at)
        self._allocated = self._at
        self._guard("fsync", lambda: os.fsync(self._handle), full=False)
        path = folder / file_name(number)
        with suppress(FileNotFoundError):
            os.unlink(path)
        try:
            _write_file(path, header(number))
            sealed = (*self.log.manifest.segments[:-1], (self._number, self._at), (number, None))
            self._live(sealed)
        except OSError as error:
            # Only a full disk is known to come before the rename: then nothing names the file.
            for left in (path, folder / "manifest.new") if error.errno in _FULL else ():
                with suppress(FileNotFoundError):
                    os.unlink(left)
            raise
        os.close(self._handle)
        self._handle = self._open(file_name(number))
        self.log.segments[number] = Segment(folder, number)
        self._number, self._at, self._allocated = number, FIRST, FIRST

    def _live(self, segments: tuple[tuple[int, int | None], ...]) -> None:
        manifest = Manifest(self.log.manifest.segment_bytes, segments)
        files.write_manifest(self.log.folder, manifest)
        self.log.manifest = manifest

    def _publish(self, visible: Mark, durable: Mark) -> None:
        marks = Marks(self.log.marks.sequence + 1, visible, durable)
        slot, at = files.pack_marks(marks)
        files.write_all(self._header, slot, at)
        self.log.marks = marks

    def _guard(self, step: str, run: Callable[[], object], *, full: bool = True) -> None:
        """Runs a step. A full disk is NoSpace if nothing is lost by it; else the writer stops."""
        try:
            run()
        except MmsbError:
            raise
        except OSError as error:
            if full and error.errno in _FULL:
                raise _no_space(self.log.folder, error) from error
            self._failure = (
                f"a {step} failed in {self.log.folder} ({error}), so what is on the disk is not "
                "known; close this memory and open it again"
            )
            raise WriterFailed(self._failure) from error

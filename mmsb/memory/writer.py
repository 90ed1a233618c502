"""The log, written: the one writer's lock, cuts, appends, seals, syncs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Literal, NoReturn, TypeVar

from mmsb.base.errors import MmsbError, NoSpace, StateError, WriterFailed
from mmsb.memory import files
from mmsb.memory.cells import no_room
from mmsb.memory.disk import DISK, Disk, File
from mmsb.memory.files import Lock, Manifest, Mark, Marks
from mmsb.memory.group import Group
from mmsb.memory.log import Log
from mmsb.memory.meter import Meter
from mmsb.memory.placed import Placed
from mmsb.memory.segment import FIRST, Segment, capacity, file_name, header

Durability = Literal["none", "group", "every"]
#: How far the durable mark may stay behind under "group".
GROUP_BYTES = 16 * 1024 * 1024
_File = TypeVar("_File", bound=File)


#: Zeros that go ahead of the tail at once: few enough to stay in a core's own cache.
_AHEAD = memoryview(bytes(256 * 1024))


class Writer:
    """Appends frames. After a write or sync whose outcome is unknown it refuses to go on.

    The log's end and its marks change under ``_lock`` only: the thread that makes commits durable
    syncs without it, while others are committed, and takes it to say so in the header.
    """

    def __init__(self, log: Log, lock: Lock, durability: Durability, disk: Disk = DISK) -> None:
        """``log`` was opened and scanned under ``lock``; what follows its end is cut here."""
        self.log, self.durability, self._disk = log, durability, disk
        self._held, self._lock = lock, threading.Lock()
        self._group: Group | None = None
        self._quiet = True  # the thread of "group" has nothing to do
        self._failure: str | None = None
        self._told = False  # has anybody heard of the failure?
        self.meter = Meter()
        self._number, self._at = log.end
        self._allocated = self._blank = self._at
        self._segment = log.segments[self._number]
        self._file = self._open(disk.open, file_name(self._number))
        self._page = self._open(disk.page, "header")
        # Bytes appended, and how many of them were when the last sync began.
        self._written = self._synced = 0
        # Up to here the header says durable on the disk, not only in memory.
        self._safe = Mark(0, 0, -1)
        with self._guard("cut", full=False):
            self._cut()
        if durability != "none" and log.marks.durable != log.marks.visible:
            self.sync()

    def _open(self, how: Callable[[Path], _File], name: str) -> _File:
        path = self.log.folder / name
        try:
            return how(path)
        except OSError as error:
            raise files.refused(self.log.folder, path, error) from error

    def _cut(self) -> None:
        """Drops bytes after the last sound frame; whole frames found above the mark stay.

        What is dropped is gone from the disk before anything is written in its place, so that no
        loss of power mixes the two.
        """
        log = self.log
        if log.position.place != log.marks.visible.place or not log.both_slots:
            self._publish(log.position, log.marks.durable)
            self._page.sync()
        files.remove_unnamed(log.folder, log.manifest, self._disk)
        if self._file.size > self._at:
            self._file.truncate(self._at)
            self._file.sync()

    def append(self, draft: Placed) -> tuple[Segment, int]:
        """Writes one frame, makes it visible, and returns its place.

        NoSpace and EnvironmentProblem leave all as it was. WriterFailed, StateError in a fork.
        """
        if self._held.inherited:
            self._check_able()
        size, log = draft.size, self.log
        with self._lock:
            if self._failure is not None or draft.epoch != log.position.epoch + 1:
                self._refuse()
            if self._at + size > self._allocated:
                with self._guard("preallocation"):
                    self._make_room(size)
            at = self._at
            if at + size > self._blank:
                with self._guard("preallocation"):
                    self._blank_ahead(at + size)
            try:
                draft.write(self._file, self._number, at)
            except BaseException as error:
                self._take_back(error)
            try:
                visible = Mark(self._number, at + size, draft.epoch)
                self._publish(visible, log.marks.durable)
                self._at = at + size
                self._written += size
                log.position, log.end = visible, visible[:2]
            except BaseException as error:  # the header may say more than we know
                with self._guard("header write", full=False):
                    raise error
            return self._segment, at

    def settle(self) -> None:
        """What the policy asks for after a commit. WriterFailed."""
        if self.durability == "group":
            if self._written - self._synced >= GROUP_BYTES:
                self.sync()
            elif self._quiet:
                self._ring()
        elif self.durability == "every":
            self.sync()

    def sync(self) -> None:
        """Returns when all that is visible is durable. WriterFailed if the disk does not say so."""
        self._check_able()
        with self._lock:
            # Sealed segments were synced when they were sealed; only this one can be behind.
            target, file, written = self.log.marks.visible, self._file, self._written
            done, synced = self._safe == target, self.log.marks.durable == target
        if done:
            return
        began = self.meter.sync_begins()
        try:
            if not synced:
                file.sync()
            with self._lock:
                if self.log.marks.durable.epoch < target.epoch:
                    self._publish(self.log.marks.visible, target)
            self._page.sync()
        except OSError as error:
            with self._lock, self._guard("fsync", full=False):
                raise error
        with self._lock:
            if self._safe.epoch < target.epoch:
                self._safe, self._synced = target, written
        self.meter.synced(began, target.epoch)

    def _ring(self) -> None:
        """Something is behind: wakes the thread, or starts it."""
        try:
            self._group = self._group or Group(self._sync_behind)
        except RuntimeError:  # no further thread: then every commit waits for the disk
            self.sync()
        else:
            self._quiet, self.meter.behind = False, perf_counter_ns()
            self._group.ring()

    def _sync_behind(self) -> bool:
        """A sync by the thread; is more behind by now?"""
        if self._failure is not None:
            return False
        try:
            self.sync()
        except MmsbError:
            self._told = False  # only this thread has heard
            return False
        with self._lock:
            self._quiet = self._safe == self.log.marks.visible
            return not self._quiet

    def succeeded(self, manifest: Manifest, opened: Callable[[], Log]) -> Writer:
        """The writer of a log that is synced and takes this one's place. NoSpace: all as it was."""
        folder = self.log.folder
        with self._guard("manifest write"):
            files.write_manifest(folder, manifest, self._disk)
        self._failure = f"rewriting {folder} was interrupted; close this memory and open it again"
        self._told = True
        if self._group is not None:
            self._group.stop(wait=True)
        try:
            self._disk.sync_folder(folder)
            made = Writer(opened(), self._held, self.durability, self._disk)
        except (OSError, MmsbError) as error:
            raise WriterFailed(self._failure) from error
        made.meter = self.meter
        self._file.close()
        self._page.close()
        return made

    def close(self) -> None:
        """Syncs unless the policy is "none", gives preallocated bytes back, releases the lock.

        WriterFailed if that fails, or if a sync did that nobody was told of; all is let go even
        then. In a fork of the process that opened it: lets go of the handles and touches nothing.
        """
        try:
            if self._held.inherited:
                return
            if self._group is not None:
                self._group.stop(wait=True)
            if self._failure is None:
                with self._lock, self._guard("sync", full=False):
                    self._finish()
            elif not self._told:
                self._refuse()
        finally:
            self._file.close()
            self._page.close()
            self._held.release()

    def _finish(self) -> None:
        """Both header slots end up the same in all but their sequences, which follow the epoch.

        So the loss of one loses nothing, and the bytes do not tell how often was synced.
        """
        self._file.truncate(self._at)
        if self.durability == "none":
            return
        end = self.log.marks.visible
        slots = [Marks(2 * end.epoch + slot, end, end) for slot in (0, 1)]
        if slots == files.read_slots(self.log.folder):
            self._page.sync()
            return
        self._file.sync()
        newest = self.log.marks.sequence & 1
        for slot in (1 - newest, newest):  # the newest may go when the other is on the disk
            self._page.store(*files.pack_marks(slots[slot]))
            self._page.sync()
        self.log.marks = slots[1]

    def __del__(self) -> None:
        """Dropped without being closed: as if the process had ended here."""
        group = getattr(self, "_group", None)
        if group is not None:
            group.stop(wait=False)

    @property
    def failure(self) -> str | None:
        """Why it refuses to go on; None if it does not."""
        return self._failure

    def _check_able(self) -> None:
        if self._held.inherited:
            raise StateError(
                f"{self.log.folder} was opened for writing by the process that this one was forked "
                "from; write there, or close it there and open it here"
            )
        if self._failure is not None:
            self._refuse()

    def _refuse(self) -> NoReturn:
        if self._failure is None:
            self._failure = (
                f"a commit was interrupted in {self.log.folder} when it was visible already; "
                "close this memory and open it again"
            )
        self._told = True
        raise WriterFailed(self._failure)

    def _make_room(self, size: int) -> None:
        manifest = self.log.manifest
        full = capacity(len(manifest.segments), manifest.segment_bytes)
        if self._at > FIRST and self._at + size > full:
            self._roll()
        needed = self._at + size
        if needed > self._allocated:
            manifest = self.log.manifest
            wanted = capacity(len(manifest.segments), manifest.segment_bytes, size)
            try:
                self._allocate(wanted)
            except OSError as error:
                if error.errno not in files.FULL:
                    raise
                self._allocate(needed)  # not a whole segment fits: at least this frame may
        if len(self._segment.bytes) < self._allocated:
            try:
                self._segment.remap()
            except BaseException:  # smaller frames may have room
                self._allocated = self._blank = max(self._at, len(self._segment.bytes))
                self._file.truncate(self._allocated)
                raise

    def _allocate(self, size: int) -> None:
        try:
            self._file.allocate(size)
        except OSError:
            self._file.truncate(self._allocated)
            raise
        self._allocated = size

    def _blank_ahead(self, end: int) -> None:
        """Zeros to beyond ``end``: a frame costs a fifth where the file's pages are in memory."""
        start, self._blank = self._blank, max(end, min(self._blank + len(_AHEAD), self._allocated))
        if self._blank - start <= len(_AHEAD):  # a larger frame brings its own pages
            self._file.write(_AHEAD[: self._blank - start], start)

    def _take_back(self, error: BaseException) -> NoReturn:
        """What was written of a frame that did not fit, or was interrupted."""
        with self._guard("write"):
            if not isinstance(error, OSError) or error.errno in files.FULL:
                self._file.truncate(self._at)
                self._allocated = self._blank = self._at
        if isinstance(error, MemoryError):
            raise no_room() from error
        if not isinstance(error, OSError):
            raise error
        with self._guard("write"):
            raise error

    def _roll(self) -> None:
        """Seals the segment and starts the next. Every step leaves a log that opens."""
        folder, disk, number = self.log.folder, self._disk, self._number + 1
        self._file.truncate(self._at)
        self._allocated = self._at
        with self._guard("fsync", full=False):
            self._file.sync()
        path = folder / file_name(number)
        with suppress(FileNotFoundError):
            disk.unlink(path)
        sealed = (*self.log.manifest.segments[:-1], (self._number, self._at), (number, None))
        manifest = replace(self.log.manifest, segments=sealed)
        try:
            file = disk.make(path)
            file.write(header(number), 0)
            file.sync()
            segment = Segment(folder, number)
            files.write_manifest(folder, manifest, disk)
        except (OSError, MmsbError) as error:
            # Other errors may have come after the rename; after these nothing names the file.
            if not isinstance(error, OSError) or error.errno in files.FULL:
                for left in (path, folder / "manifest.new"):
                    with suppress(OSError):
                        disk.unlink(left)
            raise
        with self._guard("fsync", full=False):
            disk.sync_folder(folder)
        # A sync that is under way keeps the old file open for as long as it needs it.
        self.log.manifest, self.log.segments[number] = manifest, segment
        self._number, self._at = number, FIRST
        self._allocated = self._blank = FIRST
        self._file, self._segment = file, segment

    def seal(self) -> None:
        """Seals the segment, if it holds a frame. WriterFailed, NoSpace, StateError."""
        self._check_able()
        with self._lock, self._guard("seal"):
            if self._at > FIRST:
                self._roll()

    def say(self, **said: int | None) -> None:
        """Has the manifest say that, durably. OSError, WriterFailed."""
        self._check_able()
        with self._lock:
            manifest = replace(self.log.manifest, **said)  # type: ignore[arg-type]
            if manifest != self.log.manifest:
                files.write_manifest(self.log.folder, manifest, self._disk)
                with self._guard("fsync", full=False):
                    self._disk.sync_folder(self.log.folder)
                self.log.manifest = manifest

    def _publish(self, visible: Mark, durable: Mark) -> None:
        log = self.log
        marks = Marks(log.marks.sequence + 1, visible, durable)
        self._page.store(*files.pack_marks(marks))
        log.marks = marks

    @contextmanager
    def _guard(self, step: str, *, full: bool = True) -> Iterator[None]:
        """A full disk is NoSpace if nothing is lost by it; other failures stop the writer."""
        try:
            yield
        except MmsbError:
            raise
        except BaseException as error:
            if full and isinstance(error, OSError) and error.errno in files.FULL:
                raise NoSpace(
                    f"no room for this commit in {self.log.folder} ({error.strerror}); nothing of "
                    "it was kept, free some space and commit again"
                ) from error
            self._failure = (
                f"a {step} failed in {self.log.folder} ({error}), so what is on the disk is not "
                "known; close this memory and open it again"
            )
            self._told = True
            if isinstance(error, OSError):
                raise WriterFailed(self._failure) from error
            raise

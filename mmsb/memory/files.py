"""The small files beside the segments: manifest, header, lock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import struct
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from mmsb.base.errors import (
    CorruptData,
    EnvironmentProblem,
    MemoryLocked,
    MmsbError,
    NewerFormat,
    NoSpace,
    NotAMemory,
    ReadOnly,
    quote,
)
from mmsb.memory.disk import DISK, PAGE_BYTES, Disk, File
from mmsb.memory.frame import Broken
from mmsb.memory.opening import read_start, unreadable

#: What the manifest of a memory made now says, and what slots say. Format 1 was without UNIFORM
#: batches (frame version 1), index files and keyframes; it is read and written on.
FORMAT = 2
#: Where segments may be compressed, so that who does not know that refuses it by name.
COMPRESSED = 3
_SLOT_FORMAT = 1
HEADER_BYTES = PAGE_BYTES
#: No manifest is longer: it would name more than 2 TiB of segments.
MANIFEST_BYTES = 1024 * 1024
#: Segment numbers are below this: place and number share 64 bits of a frame's seed.
SEGMENTS = 2**24
_SLOTS = (0, HEADER_BYTES // 2)
_MAGIC = b"mmsb"
#: magic, version, sequence, visible (epoch, segment, offset), durable (the same), check
_SLOT = struct.Struct("<4sI7QQ")
_HEAD, _CHECK = struct.Struct("<4sI7Q"), struct.Struct("<Q")
_OF_SEGMENT = re.compile(r"(?:segment|index)-([0-9]{6,8})(?:\.z)?(\.new)?")
_UNFINISHED = re.compile(r"keyframes-[0-9]+\.new")
#: What a full disk says.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


#: What tells a folder from every other.
Home = tuple[int, int] | str


def home_of(folder: Path) -> Home:
    """The same for a folder however its path is spelled, and for no other that is there."""
    try:
        found = os.stat(folder)
    except OSError:  # there is none; a log in no folder
        return os.path.abspath(folder)
    return found.st_dev, found.st_ino


class Mark(NamedTuple):
    """A place in the log: everything before (segment, offset) holds epochs up to ``epoch``."""

    segment: int
    offset: int
    epoch: int

    @property
    def place(self) -> tuple[int, int]:
        """What marks are compared by."""
        return self[:2]


class Marks(NamedTuple):
    """The header's counters. ``durable <= visible``."""

    sequence: int
    visible: Mark
    durable: Mark


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which segments live, in order: (number, bytes once sealed or None).

    ``base`` is the first epoch that the log holds. Where it was rewritten, ``end`` is where it
    ended then: what counts instead of a mark in a segment that is gone. ``keep`` is how many epochs
    the user wants to be left by a compaction.
    """

    segment_bytes: int
    segments: tuple[tuple[int, int | None], ...]
    format: int = FORMAT
    base: int = 0
    end: Mark | None = None
    keep: int | None = None

    def settled(self, marks: Marks) -> Marks:
        """The marks as they hold for these segments."""
        first, end = self.segments[0][0], self.end
        if end is None:
            return marks
        visible, durable = (end if mark.segment < first else mark for mark in marks[1:])
        return Marks(marks.sequence, visible, durable)


def render_manifest(manifest: Manifest) -> bytes:
    """The bytes of the manifest file."""
    body: dict[str, object] = {
        "format": manifest.format,
        "magic": "mmsb",
        "segment_bytes": manifest.segment_bytes,
        "segments": [list(segment) for segment in manifest.segments],
    }
    if manifest.base:
        body |= {"base": manifest.base, "end": manifest.end}
    if manifest.keep is not None:
        body["keep"] = manifest.keep
    line = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return line + b"\n" + xxh3_64_hexdigest(line).encode() + b"\n"


def write_manifest(folder: Path, manifest: Manifest, disk: Disk) -> None:
    """Replaces the manifest by rename, once the files it names have durable names.

    OSError leaves the old one in place. The new one is durable after `Disk.sync_folder`.
    """
    new = folder / "manifest.new"
    disk.write_file(new, render_manifest(manifest), anew=False)
    disk.sync_folder(folder)
    disk.rename(new, folder / "manifest")


def remove_unnamed(folder: Path, manifest: Manifest, disk: Disk) -> None:
    """Removes segments, and their index files, that the manifest does not name or are not whole;
    and keyframes that are not whole.

    A writer that died while it rewrote the log left them, before or after the new manifest had its
    name: that name is made durable first. OSError.
    """
    named = {number for number, _ in manifest.segments}
    found = [(path, _OF_SEGMENT.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    left = [path for path, own in found if own and (own[2] or int(own[1]) not in named)]
    left += [path for path, _ in found if _UNFINISHED.fullmatch(path.name)]
    if left:
        disk.sync_folder(folder)
    for path in left:
        disk.unlink(path)
    with suppress(FileNotFoundError):
        disk.unlink(folder / "manifest.new")


def read_manifest(folder: Path) -> Manifest:
    """NotAMemory, NewerFormat or CorruptData if there is none that can be read."""
    try:
        return load_manifest(folder)
    except Broken as error:
        raise CorruptData(
            f"{folder}/manifest: {error}; restore it from a copy (no segment is touched by this)"
        ) from error


def load_manifest(folder: Path) -> Manifest:
    """As `read_manifest`, but Broken where that says CorruptData."""
    try:
        raw = read_start(folder / "manifest", MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotAMemory(
            f"{folder} holds no memory (it has no manifest); check the path, or make one with "
            "`mmsb record` (in Python: Memory.create)"
        ) from error
    if len(raw) > MANIFEST_BYTES:
        raise Broken(f"it is longer than {MANIFEST_BYTES} bytes")
    line, _, check = raw.partition(b"\n")
    if check != xxh3_64_hexdigest(line).encode() + b"\n":
        raise Broken("it does not match its checksum")
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Broken("its line is no JSON") from error
    if not isinstance(body, dict):
        raise Broken("its line is no JSON object")
    if body.get("magic") != "mmsb":
        raise NotAMemory(f"{folder} holds something else than a memory; check the path")
    return _manifest(folder, body)


def _manifest(folder: Path, body: dict[str, Any]) -> Manifest:
    version, smallest, segments = (body.get(key) for key in ("format", "segment_bytes", "segments"))
    if type(version) is int and version > COMPRESSED:
        raise NewerFormat(
            f"{folder} has format {version}, this mmsb reads up to {COMPRESSED}; upgrade mmsb"
        )
    if type(version) is not int or version < 1:
        raise Broken(f"it names no format ({quote(version)})")
    if not _is_size(smallest) or not isinstance(segments, list) or not segments:
        raise Broken("it names no segments")
    before = 0
    for at, segment in enumerate(segments):
        if not isinstance(segment, list) or len(segment) != 2:
            raise Broken("its list of segments is not one of numbers and sizes")
        number, size = segment
        sealed = at + 1 < len(segments)
        if type(number) is not int or not before < number < SEGMENTS:
            raise Broken(f"its segments do not count up within 1 … {SEGMENTS - 1}")
        if not _is_size(size) if sealed else size is not None:
            raise Broken(f"it gives segment {number} no size that a segment has")
        before = number
    listed = tuple((number, size) for number, size in segments)
    keep = body.get("keep")
    if keep is not None and (type(keep) is not int or not 0 < keep < 2**62):
        raise Broken("it does not say how many epochs are to be kept")
    base, end = _retained(body, listed) if "base" in body else (0, None)
    return Manifest(smallest, listed, max(version, FORMAT), base, end, keep)


def _retained(
    body: dict[str, Any], segments: tuple[tuple[int, int | None], ...]
) -> tuple[int, Mark | None]:
    """From which epoch on the log is kept, and where it ended when that was said."""
    base, end = body.get("base"), body.get("end")
    if type(base) is not int or not 0 < base < 2**62:
        raise Broken("it does not say which epoch is the first")
    if end is None:
        return base, None
    if not isinstance(end, list) or len(end) != 3 or {*map(type, end)} != {int}:
        raise Broken("it does not say where the log ended")
    mark = Mark(*end)
    known = {number for number, _ in segments}
    if mark.segment not in known or not (64 <= mark.offset < 2**40 and base <= mark.epoch < 2**62):
        raise Broken("it says that the log ended where it cannot have ended")
    return base, mark


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 64 <= value < 2**40


def pack_marks(marks: Marks) -> tuple[bytes, int]:
    """One slot's bytes and their place in the header file; slots take turns."""
    sequence, (segment, offset, epoch), durable = marks
    head = _HEAD.pack(
        _MAGIC, _SLOT_FORMAT, sequence, epoch, segment, offset, durable[2], durable[0], durable[1]
    )
    return head + _CHECK.pack(xxh3_64_intdigest(head)), _SLOTS[sequence & 1]


def read_slots(folder: Path) -> list[Marks | None]:
    """Both slots, None for one that does not match its checksum or is not there."""
    try:
        raw = read_start(folder / "header", HEADER_BYTES)
    except (FileNotFoundError, NotADirectoryError, Broken):
        raw = b""
    return [_slot(raw[at : at + _SLOT.size]) for at in _SLOTS]


def _slot(raw: bytes) -> Marks | None:
    if len(raw) < _SLOT.size:
        return None
    magic, version, sequence, *numbers, check = _SLOT.unpack(raw)
    if magic != _MAGIC or version != _SLOT_FORMAT or check != xxh3_64_intdigest(raw[:-8]):
        return None
    marks = [Mark(segment, offset, epoch) for epoch, segment, offset in (numbers[:3], numbers[3:])]
    return Marks(sequence, *marks)


def read_marks(folder: Path) -> tuple[Marks, bool]:
    """The newest sound slot, and whether both are sound; CorruptData if none is."""
    for _ in range(4):  # a slot that is being written right now is sound a moment later
        slots = read_slots(folder)
        sound = [slot for slot in slots if slot is not None]
        if len(sound) == len(slots):
            break
    if not sound:
        raise CorruptData(
            f"{folder}/header: neither of its slots matches its checksum; restore it from a copy"
        )
    return max(sound, key=lambda slot: slot.sequence), len(sound) == len(slots)


def denied(path: Path, error: OSError) -> ReadOnly | None:
    """ReadOnly if that is what the error says."""
    if error.errno not in _DENIED:
        return None
    return ReadOnly(f"{path} cannot be written here; open it for reading or copy it elsewhere")


def refused(folder: Path, path: Path, error: OSError) -> MmsbError:
    """Why a file of a memory cannot be opened for writing, or made."""
    if error.errno in FULL:
        return NoSpace(f"no room for {path} ({error.strerror}); free some space and try again")
    return (
        denied(folder, error)
        or unreadable(path, error)
        or EnvironmentProblem(
            f"{path} cannot be written ({error.strerror}); check that disk, or choose another place"
        )
    )


class Lock:
    """The one writer's flock. The kernel drops it with the process: a stale pid locks nobody."""

    __slots__ = ("__weakref__", "_file", "inherited")

    def __init__(self, folder: Path, disk: Disk = DISK) -> None:
        """MemoryLocked if another writer holds it; ReadOnly if the folder cannot be written."""
        path = folder / "lock"
        self._file: File | None = None
        #: Was it taken by another process, of which this one is a fork?
        self.inherited = False
        try:
            file = disk.make(path, anew=False)
        except OSError as error:
            raise refused(folder, path, error) from error
        try:
            fcntl.flock(file.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(file.handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            file.close()
            raise MemoryLocked(
                f"{folder} is being written by process {pid}; close it there or open it for reading"
            ) from error
        self._file = file
        _HELD.add(self)
        with suppress(OSError):  # a full disk: the lock holds, only the pid is not told
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Empties the file, so that equal memories have equal bytes, and lets go.

        In a fork of the process that took it the lock stays with that process.
        """
        file = self._file
        try:
            if file is not None and not self.inherited:
                with suppress(OSError):
                    file.truncate(0)
        finally:
            if file is not None and not self.inherited:
                fcntl.flock(file.handle, fcntl.LOCK_UN)
            self.drop()

    def drop(self) -> None:
        """Closes this process's handle, and no more; also done when a writer is just dropped."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    __del__ = drop


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _after_fork() -> None:
    """A fork that outlives its parent must not hold the parent's lock."""
    for lock in list(_HELD):
        lock.inherited = True
        lock.drop()


os.register_at_fork(after_in_child=_after_fork)

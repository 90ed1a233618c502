"""The small files beside the segments: manifest, header, lock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from mmsb.base.errors import CorruptData, MemoryLocked, NewerFormat, NotAMemory, ReadOnly
from mmsb.memory.frame import Broken
from mmsb.memory.opening import read_start, unreadable

FORMAT = 1
HEADER_BYTES = 4096
#: No manifest is longer: it would name more than 2 TiB of segments.
MANIFEST_BYTES = 1024 * 1024
#: Segment numbers are below this: place and number share 64 bits of a frame's seed.
SEGMENTS = 2**24
_SLOTS = (0, HEADER_BYTES // 2)
_MAGIC = b"mmsb"
#: magic, version, sequence, visible (epoch, segment, offset), durable (the same), check
_SLOT = struct.Struct("<4sI7QQ")
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the log: everything before (segment, offset) holds epochs up to ``epoch``."""

    segment: int
    offset: int
    epoch: int

    @property
    def place(self) -> tuple[int, int]:
        """What marks are compared by."""
        return self.segment, self.offset


@dataclass(frozen=True, slots=True)
class Marks:
    """The header's counters. ``durable <= visible``."""

    sequence: int
    visible: Mark
    durable: Mark


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which segments live, in order: (number, bytes once sealed or None)."""

    segment_bytes: int
    segments: tuple[tuple[int, int | None], ...]


def write_all(handle: int, data: bytes, offset: int) -> None:
    """pwrite until all is written; OSError as the system says."""
    view = memoryview(data)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count


def sync_folder(folder: Path) -> None:
    """Makes names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest by rename, durably; OSError leaves the old one in place."""
    body = {
        "format": FORMAT,
        "magic": "mmsb",
        "segment_bytes": manifest.segment_bytes,
        "segments": [list(segment) for segment in manifest.segments],
    }
    line = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    new = folder / "manifest.new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(handle, line + b"\n" + xxh3_64_hexdigest(line).encode() + b"\n", 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(new, folder / "manifest")
    sync_folder(folder)


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
    if type(version) is int and version > FORMAT:
        raise NewerFormat(
            f"{folder} has format {version}, this mmsb reads up to {FORMAT}; upgrade mmsb"
        )
    if version != FORMAT or type(version) is not int:
        raise Broken(f"it names no format ({version!r:.40})")
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
    return Manifest(smallest, tuple((number, size) for number, size in segments))


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 64 <= value < 2**40


def pack_marks(marks: Marks) -> tuple[bytes, int]:
    """One slot's bytes and their place in the header file; slots take turns."""
    places = [(mark.epoch, mark.segment, mark.offset) for mark in (marks.visible, marks.durable)]
    head = _SLOT.pack(_MAGIC, FORMAT, marks.sequence, *places[0], *places[1], 0)[:-8]
    return head + struct.pack("<Q", xxh3_64_intdigest(head)), _SLOTS[marks.sequence % 2]


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
    if magic != _MAGIC or version != FORMAT or check != xxh3_64_intdigest(raw[:-8]):
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


class Lock:
    """The one writer's flock. The kernel drops it with the process: a stale pid locks nobody."""

    __slots__ = ("_handle", "_pid")

    def __init__(self, folder: Path) -> None:
        """MemoryLocked if another writer holds it; ReadOnly if the folder cannot be written."""
        path = folder / "lock"
        self._handle, self._pid = -1, os.getpid()
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise denied(folder, error) or unreadable(path, error) or error from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self._let_go()
            raise MemoryLocked(
                f"{folder} is being written by process {pid}; close it there or open it for reading"
            ) from error
        os.ftruncate(self._handle, 0)
        with suppress(OSError):  # a full disk: the lock holds, only the pid is not told
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    @property
    def inherited(self) -> bool:
        """Was it taken by another process, of which this one is a fork?"""
        return self._pid != os.getpid()

    def release(self) -> None:
        """Empties the file, so that equal memories have equal bytes, and lets go.

        In a fork of the process that took it the lock stays with that process.
        """
        if not self.inherited:
            os.ftruncate(self._handle, 0)
        self._let_go()

    def _let_go(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        """A writer that is dropped without being closed locks nobody out."""
        self._let_go()

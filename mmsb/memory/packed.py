"""A compressed segment: the bytes of a sealed one in blocks, each decompressed when it is needed.

The bytes are the segment's own, so every place, checksum and index file stays as it is.
``docs/format.md`` draws the file; ``mmsb.memory.compact`` makes it.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import tempfile
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.base.errors import EnvironmentProblem, NoSpace
from mmsb.memory.cells import Array, frozen
from mmsb.memory.forked import locks
from mmsb.memory.frame import BLOCK, Broken
from mmsb.memory.opening import open_file, unreadable

MAGIC = b"mmsbsgz\0"
VERSION = 1
#: magic, version, segment, codec, block bytes, segment's bytes, zeros, check of the list, check
HEADER = struct.Struct("<8sIIIIQ16sQQ")
#: By number, what pyarrow calls it, and the level it compresses at.
CODECS: dict[str, tuple[int, str, int | None]] = {
    "lz4": (1, "lz4_raw", None),
    "zstd": (2, "zstd", 3),
}


def file_name(number: int) -> str:
    """``segment-000001.z``."""
    return f"segment-{number:06d}.z"


@cache
def codec_of(name: str) -> Any:
    """pyarrow's codec, which any thread may use."""
    import pyarrow

    _, known, level = CODECS[name]
    return pyarrow.Codec(known, compression_level=level)


def cut(data: Array) -> Iterable[Array]:
    """The blocks of a segment's bytes."""
    return (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))


def pack(number: int, data: Array, codec: str) -> bytes:
    """The compressed file of a segment with these bytes. O(bytes)."""
    how, ends, sums, parts = codec_of(codec), [], [], []
    end = 0
    for block in cut(data):
        raw = block.tobytes()
        part = how.compress(raw, asbytes=True)
        if len(part) >= len(raw):
            part = raw  # as it is: its length says so
        parts.append(part)
        end += len(part)
        ends.append(end)
        sums.append(xxh3_64_intdigest(part))
    listed = np.array([ends, sums], "<u8").T.tobytes()
    fields = (MAGIC, VERSION, number, CODECS[codec][0], BLOCK, len(data), b"")
    head = HEADER.pack(*fields, xxh3_64_intdigest(listed), 0)[:-8]
    head += struct.pack("<Q", xxh3_64_intdigest(head))
    return b"".join([head, listed, *parts])


class Anonymous:
    """Room for a segment's bytes that is the process's own."""

    def __init__(self, size: int) -> None:
        self._buffer = np.zeros(size, np.uint8)
        self.bytes: Array = frozen(self._buffer[:])

    def put(self, at: int, raw: bytes) -> None:
        self._buffer[at : at + len(raw)] = np.frombuffer(raw, np.uint8)


class Spilled:
    """Room in a file that has no name any more. It is written, not through its map: a full disk is
    an error, never a signal."""

    def __init__(self, path: Path, size: int) -> None:
        """NoSpace, MemoryError."""
        self._path = path
        try:
            self._file = tempfile.TemporaryFile(prefix="mmsb-", buffering=0)  # noqa: SIM115 - kept
            self._file.truncate(size)
            held = mmap.mmap(self._file.fileno(), size, prot=mmap.PROT_READ)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError from error
            raise self._full(error) from error
        self.bytes: Array = np.frombuffer(held, np.uint8)

    def put(self, at: int, raw: bytes) -> None:
        done = 0
        try:
            while done < len(raw):
                done += os.pwrite(self._file.fileno(), raw[done:], at + done)
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> NoSpace:
        return NoSpace(
            f"{self._path} cannot be decompressed into the folder {tempfile.gettempdir()} "
            f"({error.strerror}); free some space there, set TMPDIR to another, or open the memory "
            "without resident_bytes"
        )


class Packed:
    """An open compressed segment. ``bytes`` are the segment's, zeros where not yet `ensure`d.

    What was decompressed stays: in memory, or with ``spill`` in a file without a name in the
    temporary folder, whose map can be released while views of it are out. The compressed file is
    read, not mapped: a file cut short is an error, never a signal.
    """

    def __init__(self, path: Path, number: int, *, spill: bool = False) -> None:
        """FileNotFoundError, OSError; Broken if header or list do not hold; NoSpace."""
        self.path = path
        self._file = open_file(path)
        weakref.finalize(self, os.close, self._file)
        head: bytes = self._read(0, HEADER.size)
        magic, version, own, codec, block, size, _, sums, check = HEADER.unpack(head)
        if magic != MAGIC or check != xxh3_64_intdigest(head[:-8]):
            raise Broken("the compressed segment's header does not match its checksum")
        named = {number: name for name, (number, _, _) in CODECS.items()}
        if (version, own, block) != (VERSION, number, BLOCK) or codec not in named:
            raise Broken("the compressed segment's header names a segment or codec that is not its")
        count = -(-size // BLOCK)
        self._start = HEADER.size + 16 * count
        if self._start > os.fstat(self._file).st_size:
            raise Broken("the compressed segment ends inside its list of blocks")
        listed = self._read(HEADER.size, 16 * count)
        if xxh3_64_intdigest(listed) != sums:
            raise Broken("the compressed segment's list of blocks does not match its checksum")
        self.codec, self._size = named[codec], size
        table = np.frombuffer(listed, "<u8").reshape(-1, 2)
        edges = np.append(np.uint64(0), table[:, 0])
        if (np.diff(edges) > BLOCK).any():
            raise Broken("the compressed segment's list of blocks has one that cannot be")
        self._edges = edges.tolist()
        self._sums = table[:, 1].tolist()
        self._there = bytearray(count)
        self._room: Anonymous | Spilled
        try:  # neither takes room where nothing was written
            self._room = Spilled(path, size) if spill and size else Anonymous(size)
        except MemoryError as error:
            raise EnvironmentProblem(
                f"{path} needs {size} bytes of address space, which are not to be had; close other "
                "memories"
            ) from error
        self.bytes: Array = self._room.bytes
        self._lock: threading.Lock
        locks(self, "_lock")

    def ensure(self, begin: int, end: int) -> None:
        """Has bytes [begin, end) in their place; Broken if a block that holds some does not hold.

        O(1) where they are already.
        """
        first, last = begin // BLOCK, (min(end, self._size) + BLOCK - 1) // BLOCK
        if self._there.find(0, first, last) < 0:
            return
        with self._lock:
            for block in range(first, last):
                if not self._there[block]:
                    self._fill(block)
                    self._there[block] = 1

    def fill(self) -> None:
        """Has all bytes in their place but those of blocks that do not hold."""
        for begin in range(0, self._size, BLOCK):
            with suppress(Broken):
                self.ensure(begin, begin + BLOCK)

    @property
    def resident(self) -> int:
        """Bytes that were decompressed, and that nobody can release."""
        return 0 if isinstance(self._room, Spilled) else self._there.count(1) * BLOCK

    @property
    def stored(self) -> bytes:
        """The file's bytes, as they are."""
        return self._read(0, os.fstat(self._file).st_size)

    def _fill(self, block: int) -> None:
        low, high = self._edges[block : block + 2]
        at = block * BLOCK
        size = min(BLOCK, self._size - at)
        raw = self._read(self._start + low, high - low)
        if xxh3_64_intdigest(raw) != self._sums[block]:
            raise Broken(f"its block {block} as compressed does not match its checksum")
        if len(raw) != size:
            try:
                raw = codec_of(self.codec).decompress(raw, size, asbytes=True)
            except (OSError, ValueError) as error:
                raise Broken(f"its block {block} cannot be decompressed ({error})") from error
        self._room.put(at, raw)

    def _read(self, at: int, size: int) -> bytes:
        try:
            raw = os.pread(self._file, size, at)
        except OSError as error:
            raise unreadable(self.path, error) or Broken(f"it cannot be read ({error})") from error
        if len(raw) != size:
            raise Broken("the compressed segment is cut short")
        return raw

"""A segment file: a checksummed header, then frames. Written with pwrite, read through a map.

A sealed one may have been compressed (`mmsb.memory.packed`).
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.memory.cells import Array
from mmsb.memory.frame import ALIGN, Broken, padded
from mmsb.memory.opening import open_file, unreadable
from mmsb.memory.packed import Packed
from mmsb.memory.packed import file_name as packed_name

MAGIC = b"mmsbseg\0"
#: magic, version, number, zeros, check
HEADER = struct.Struct("<8sII40sQ")
#: Where the first frame starts.
FIRST = HEADER.size
LARGEST = 64 * 1024 * 1024


def file_name(number: int) -> str:
    """``segment-000001``."""
    return f"segment-{number:06d}"


def header(number: int) -> bytes:
    """The 64 bytes a segment starts with."""
    head = HEADER.pack(MAGIC, 1, number, b"", 0)[:-8]
    return head + struct.pack("<Q", xxh3_64_intdigest(head))


def capacity(number: int, smallest: int, frame: int = 0) -> int:
    """Bytes the n-th segment is preallocated at: doubling from ``smallest`` up to 64 MiB.

    A frame that is larger gets a segment of its own size. Doubling keeps small memories small and
    the number of maps (each holds a file descriptor) in the hundreds at 10 GB.
    """
    doubled = min(smallest << min(number - 1, 32), max(smallest, LARGEST))
    return padded(max(doubled, FIRST + frame), ALIGN)


class Segment:
    """One segment: mapped read-only as far as its file goes, or compressed.

    Of a compressed one, bytes are there once `ensure` was called for them, which whoever reads does
    first; what is verified was read. Where both files are there the plain one counts: it is removed
    last.
    """

    __slots__ = ("_spill", "bytes", "name", "number", "packed", "path", "words")

    def __init__(
        self, folder: Path, number: int, *, sound: bool = True, spill: bool = False
    ) -> None:
        """Opens the file; OSError if there is none, Broken if its header does not hold.

        That does not matter unless ``sound``. StateError if it may not be read, EnvironmentProblem.
        ``spill``: see `Packed`.
        """
        self.number, self.name = number, file_name(number)
        self.path, self._spill = folder / self.name, spill
        self.bytes: Array = np.zeros(0, np.uint8)
        #: Its compressed file, if it was opened from that.
        self.packed: Packed | None = None
        self.remap()
        if sound:
            self.ensure(0, FIRST)
        if sound and self.bytes[:FIRST].tobytes() != header(number):
            raise Broken("the segment's own header does not match its checksum")

    def remap(self) -> None:
        """Maps what the file has now. Views of the old map stay valid."""
        if self.packed is not None:
            return  # it was sealed, and has all it will ever have
        try:
            handle = open_file(self.path)
        except FileNotFoundError:
            self._unpack()
            return
        try:
            size = os.fstat(handle).st_size
            held = mmap.mmap(handle, size, prot=mmap.PROT_READ) if size else b""
        except OSError as error:
            raise (unreadable(self.path, error) or error) from error
        finally:
            os.close(handle)
        self._hold(np.frombuffer(held, np.uint8))

    def ensure(self, begin: int, end: int) -> None:
        """Has bytes [begin, end) there to be read; Broken if what holds them compressed does not.

        Does nothing for a plain one.
        """
        if self.packed is not None:
            self.packed.ensure(begin, end)

    def _unpack(self) -> None:
        packed = Packed(self.path.parent / packed_name(self.number), self.number, spill=self._spill)
        if len(self.bytes):  # what was read of the plain file counts as read
            packed.ensure(0, len(packed.bytes))
        self._hold(packed.bytes)
        self.packed, self.path, self.name = packed, packed.path, packed.path.name

    def _hold(self, held: Array) -> None:
        self.bytes = held
        #: The same as numbers: places of u32 are multiples of 4.
        self.words: Array = held[: len(held) // 4 * 4].view("<u4")

    @classmethod
    def of(cls, held: Array) -> Segment:
        """Bytes that are in no file yet, as if they were segment 1."""
        made = cls.__new__(cls)
        made.number, made.name, made.path = 1, file_name(1), Path(file_name(1))
        made.packed = None
        made._hold(held)
        return made

"""A segment file: a checksummed header, then frames. Written with pwrite, read through a map."""

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
    """One segment, mapped read-only as far as its file goes."""

    __slots__ = ("bytes", "name", "number", "path", "words")

    def __init__(self, folder: Path, number: int, *, sound: bool = True) -> None:
        """Maps the file; OSError if there is none, Broken if its header does not hold.

        That does not matter unless ``sound``. StateError if it may not be read, EnvironmentProblem.
        """
        self.number, self.name = number, file_name(number)
        self.path = folder / self.name
        self.bytes: Array = np.zeros(0, np.uint8)
        self.remap()
        if sound and self.bytes[:FIRST].tobytes() != header(number):
            raise Broken("the segment's own header does not match its checksum")

    def remap(self) -> None:
        """Maps what the file has now. Views of the old map stay valid."""
        handle = open_file(self.path)
        try:
            size = os.fstat(handle).st_size
            held = mmap.mmap(handle, size, prot=mmap.PROT_READ) if size else b""
        except OSError as error:
            raise (unreadable(self.path, error) or error) from error
        finally:
            os.close(handle)
        self._hold(np.frombuffer(held, np.uint8))

    def _hold(self, held: Array) -> None:
        self.bytes = held
        #: The same as numbers: places of u32 are multiples of 4.
        self.words: Array = held[: len(held) // 4 * 4].view("<u4")

    @classmethod
    def of(cls, held: Array) -> Segment:
        """Bytes that are in no file yet, as if they were segment 1."""
        made = cls.__new__(cls)
        made.number, made.name, made.path = 1, file_name(1), Path(file_name(1))
        made._hold(held)
        return made

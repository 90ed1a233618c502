"""Cold segments, compressed: a sealed one's file is replaced by one that holds the same bytes.

What is read stays the same before, during and after: whoever has the plain file open keeps it, who
opens the segment later finds the compressed one. ``docs/design/0011`` says why no more is done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmsb.base.errors import MmsbError
from mmsb.base.spans import span
from mmsb.memory import packed
from mmsb.memory.cells import Array
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.disk import PAGE_BYTES, Disk
from mmsb.memory.files import refused
from mmsb.memory.frame import BLOCK, Broken
from mmsb.memory.log import Log
from mmsb.memory.segment import Segment, file_name

Codec = Literal["auto", "lz4", "zstd"]
#: Blocks of a segment that are tried with each codec.
_SAMPLE = 16
#: Nanoseconds for each byte: read from a cold disk (250 MB/s), decompressed on one core.
_DISK = 4.0
_DECOMPRESS = {"lz4": 0.4, "zstd": 1.0}


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: the segments it compressed, and bytes of their files before and after.

    ``left`` are sealed segments that no codec pays for.
    """

    segments: tuple[int, ...]
    left: tuple[int, ...]
    before: int
    after: int


@span("compaction")
def compact(log: Log, codec: Codec, disk: Disk, named: Callable[[], None]) -> Compacted:
    """Compresses the sealed segments of a log that are not. O(bytes).

    ``named`` has the manifest say, durably, that segments are compressed; it is called before the
    first plain file goes. CorruptData, NoSpace, ReadOnly, EnvironmentProblem; each
    leaves a memory that is whole.
    """
    folder, done, left, before, after = log.folder, [], [], 0, 0
    for number, size in log.manifest.segments:
        plain = folder / file_name(number)
        if size is None or not plain.exists():
            continue
        data = _bytes_of(folder, number, size)
        how = choose(data) if codec == "auto" else codec
        made = b"" if how is None else packed.pack(number, data, how)
        if how is None or _pages(len(made)) >= _pages(size):
            left.append(number)
            continue
        _replace(plain, number, made, data, disk, named)
        done.append(number)
        before, after = before + size, after + len(made)
    return Compacted(tuple(done), tuple(left), before, after)


def choose(data: Array) -> str | None:
    """The codec by which a segment is read soonest from a cold disk; None: as it is.

    Time is counted in what does not depend on the machine, so equal segments give equal files: a
    byte costs 4 ns from the disk, and 0.4 (lz4) or 1 ns (zstd) to be decompressed. So lz4 pays
    where it leaves less than 90 %, zstd where it leaves less than 75 % and 15 points less than lz4.
    """
    blocks = -(-len(data) // BLOCK)
    step = max(blocks // _SAMPLE, 1)
    sample = [data[at * BLOCK : (at + 1) * BLOCK].tobytes() for at in range(0, blocks, step)]
    total = sum(map(len, sample))
    best, least = None, _DISK
    for name, cost in _DECOMPRESS.items():
        how = packed.codec_of(name)
        size = sum(min(len(how.compress(block, asbytes=True)), len(block)) for block in sample)
        if _DISK * size / total + cost < least:
            best, least = name, _DISK * size / total + cost
    return best


def _pages(size: int) -> int:
    """What a file system takes space by."""
    return -(-size // PAGE_BYTES)


def _bytes_of(folder: Path, number: int, size: int) -> Array:
    """What a sealed segment holds of this memory. CorruptData."""
    try:
        data = Segment(folder, number).bytes
        if len(data) < size:
            raise Broken(f"it ends at {len(data)}, before {size}")
    except (OSError, Broken) as error:
        problem = Problem(file_name(number), 0, (), (), f"the segment cannot be read ({error})")
        raise corrupt(folder, problem) from error
    return data[:size]


def _replace(
    plain: Path, number: int, made: bytes, data: Array, disk: Disk, named: Callable[[], None]
) -> None:
    """Every step leaves both files whole or one of them; the plain one counts while it is there."""
    folder, path = plain.parent, plain.with_name(packed.file_name(number))
    new = path.with_name(path.name + ".new")
    try:
        try:
            disk.write_file(new, made, anew=False)
            _compare(new, number, data)
            disk.rename(new, path)
        except BaseException:
            with suppress(OSError):
                disk.unlink(new)
            raise
        disk.sync_folder(folder)
        named()
        disk.unlink(plain)
    except OSError as error:
        if isinstance(error, MmsbError):
            raise
        raise refused(folder, path, error) from error


def _compare(new: Path, number: int, data: Array) -> None:
    """Nothing goes that was not read back. CorruptData."""
    try:
        held = packed.Packed(new, number)
        held.ensure(0, len(data))
        if held.bytes.tobytes() != data.tobytes():
            raise Broken("it does not give back the segment's bytes")
    except Broken as error:
        raise corrupt(new.parent, Problem(new.name, 0, (), (), str(error))) from error

"""A memory made from another as of an epoch: its own copy, or a fork that shares the segments.

Both are memories like any other, with all epochs up to that one. Frames carry their place in their
checksums, so segments keep their numbers, and the last one ends where the epoch ends.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsb.memory import files
from mmsb.memory.appearing import appearing
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.disk import Disk
from mmsb.memory.files import Manifest, Mark, Marks
from mmsb.memory.frame import Broken, Frame
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.packed import file_name as packed_name
from mmsb.memory.segment import Segment, file_name, header
from mmsb.memory.sidecar import file_name as index_name

_LOG = logging.getLogger("mmsb.memory")
#: A hard link is not possible here; a copy is.
_NO_LINK = (
    errno.EXDEV,
    errno.EPERM,
    errno.EACCES,
    errno.EMLINK,
    errno.ENOENT,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The log up to the end of an epoch: segments, each with the bytes that count."""

    manifest: Manifest
    segments: tuple[tuple[Segment, int], ...]
    end: Mark


def parts(log: Log, index: Index, epoch: int) -> Parts:
    """What of the log holds epochs up to ``epoch``; stays whole whatever becomes of the log."""
    frame = _frame(log, index, epoch)
    end = Mark(frame.segment.number, frame.offset + frame.size, epoch)
    held = tuple(
        (log.segment(number), end.offset if size is None or number == end.segment else size)
        for number, size in log.manifest.segments
        if number <= end.segment
    )
    return Parts(log.manifest, held, end)


def _frame(log: Log, index: Index, epoch: int) -> Frame:
    run = next(run for run in reversed(index.runs) if run.first_epoch <= epoch)
    at = int(run.frames.values[epoch - run.first_epoch])
    try:
        return Frame(run.segment, at, len(run.segment.bytes))
    except Broken as error:
        raise corrupt(
            log.folder, Problem(run.segment.name, at, (epoch,), (), str(error))
        ) from error


def checkpoint(held: Parts, path: Path, disk: Disk) -> None:
    """Copies it to ``path``. Bytes are copied as they are: damage stays, and stays detectable."""
    with appearing(path, disk) as folder:
        for segment, size in held.segments:
            _copy(segment, size, folder, disk, last=segment is held.segments[-1][0])
        for segment, _ in held.segments[:-1]:
            _bring_index(segment, folder, disk, link=False)
        last = held.segments[-1][0].number
        sealed = [(segment.number, size) for segment, size in held.segments[:-1]]
        _complete(folder, held, [*sealed, (last, None)], disk)


def fork(held: Parts, path: Path, disk: Disk) -> int:
    """Makes a memory at ``path`` that shares the segments and goes on in one of its own.

    Returns how many bytes had to be copied, because links are not possible there; logs it.
    """
    copied = 0
    with appearing(path, disk) as folder:
        for segment, size in held.segments:
            try:
                _link(segment, folder, disk)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                why = error.strerror
                _copy(segment, size, folder, disk)
                copied += size
        for segment, _ in held.segments[:-1]:
            _bring_index(segment, folder, disk, link=True)
        own = held.segments[-1][0].number + 1
        disk.write_file(folder / file_name(own), header(own))
        sealed = [(segment.number, size) for segment, size in held.segments]
        _complete(folder, held, [*sealed, (own, None)], disk)
    if copied:
        _LOG.warning(
            "%s shares no segment files with its parent (%s): copied %d bytes", path, why, copied
        )
    return copied


def _link(segment: Segment, folder: Path, disk: Disk) -> None:
    try:
        disk.link(segment.path, folder / segment.name)
    except FileNotFoundError:  # it was compressed since it was opened
        name = packed_name(segment.number)
        disk.link(segment.path.parent / name, folder / name)


def _copy(segment: Segment, size: int, folder: Path, disk: Disk, *, last: bool = False) -> None:
    """A compressed one as it is, but plain where it is cut, or will be written to."""
    if segment.packed is not None:
        if not last and size == len(segment.bytes):
            disk.write_file(folder / segment.name, segment.packed.stored)
            return
        try:
            segment.ensure(0, size)
        except Broken as error:
            problem = Problem(segment.name, 0, (), (), str(error))
            raise corrupt(segment.path.parent, problem) from error
    disk.write_file(folder / file_name(segment.number), segment.bytes[:size].data)


def _bring_index(segment: Segment, folder: Path, disk: Disk, *, link: bool) -> None:
    """The index file of a segment that is there as a whole; without it, it is made again."""
    file = segment.path.parent / index_name(segment.number)
    try:
        if link:
            disk.link(file, folder / file.name)
        else:
            disk.write_file(folder / file.name, file.read_bytes())
    except FileNotFoundError:  # nobody made it yet, or it went with its segment
        return
    except OSError as error:
        if not link or error.errno not in _NO_LINK:
            raise
        _bring_index(segment, folder, disk, link=False)


def _complete(
    folder: Path, held: Parts, segments: Sequence[tuple[int, int | None]], disk: Disk
) -> None:
    """The small files, as a writer leaves them that closed at that epoch."""
    page = bytearray(files.HEADER_BYTES)
    for slot in (0, 1):
        data, at = files.pack_marks(Marks(2 * held.end.epoch + slot, held.end, held.end))
        page[at : at + len(data)] = data
    disk.write_file(folder / "header", bytes(page))
    disk.make(folder / "lock").close()
    version = files.COMPRESSED if any(folder.glob("segment-*.z")) else files.FORMAT
    smallest, base = held.manifest.segment_bytes, held.manifest.base
    manifest = Manifest(smallest, tuple(segments), version, base)
    disk.write_file(folder / "manifest", files.render_manifest(manifest))

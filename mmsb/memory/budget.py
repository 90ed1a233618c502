"""How much of a memory is resident in this process, and keeping that within a budget of bytes.

Resident are the parts of the mapped files that were read, which the system counts for each map
(``/proc/self/smaps``), and the index, which is anonymous. A map that is released loses nothing:
what is read of it later comes from the page cache, or the disk. Views of it stay valid.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.memory.cells import Array, address_of, whole
from mmsb.memory.forked import locks
from mmsb.memory.index import Index

#: Reads that are remembered to tell cold maps from warm ones.
_REMEMBERED = 4096
#: The page of a read that says nothing of which maps are warm, and of one of all of them.
UNKNOWN, ALL = -1, -2


class Map:
    """A mapped file, and the pages that are read through it."""

    def __init__(self, held: mmap.mmap) -> None:
        self.held = held
        self.address = address_of(np.frombuffer(held, np.uint8))
        self.pages: list[Array] = []  # u32, each sorted
        self.resident = 0  # bytes, when last looked

    def release(self) -> None:
        """Gives back what is resident of it; it comes again where it is read."""
        self.held.madvise(mmap.MADV_DONTNEED)


def maps(index: Index) -> list[Map]:
    """The maps of segments, index files and keyframes in use, and what is resident of each.

    Some milliseconds.
    """
    used = [(file.bytes, [file.pages]) for file in tuple(index.keyframes.mapped)]
    for run in index.all_runs:
        pages = [order.pages for order in run.orders]
        used.append((run.table, pages))
        if run.opened is not None:
            used.append((run.opened.bytes, pages))
    found: dict[int, Map] = {}
    for array, pages in used:
        held = _map_of(array)
        if held is not None:
            found.setdefault(id(held), Map(held)).pages.extend(pages)
    by_address = {own.address: own for own in found.values()}
    at: Map | None = None
    with open("/proc/self/smaps", "rb") as lines:
        for line in lines:
            if line[0] in b"0123456789abcdef":
                at = by_address.get(int(line[: line.index(b"-")], 16))
            elif at is not None and line.startswith(b"Rss:"):
                at.resident = 1024 * int(line.split()[1])
    return list(found.values())


def index_bytes(index: Index) -> int:
    """Bytes of the arrays that a memory keeps beside its files; texts that were read excluded.

    What was decompressed before there was a budget is among them: it cannot be released, for views
    of it may be out.
    """
    arrays = [index.meter.heat]
    for run in index.all_runs:
        arrays += [run.table, run.frames.values]
        arrays += [own for o in run.orders for own in (o.numbers, o.pages, o.begins)]
    unpacked = {id(own): own for run in index.all_runs if (own := run.opened) is not None}
    packed = [own.packed.resident for own in unpacked.values() if own.packed is not None]
    return (
        index.catalog.nbytes
        + sum(packed)
        + sum(own.nbytes for own in arrays if _map_of(own) is None)
    )


def _of_files() -> int:
    """Resident bytes of all that this process has mapped of files, about."""
    handle = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(handle, 256).split()[2]) * mmap.PAGESIZE
    finally:
        os.close(handle)


def _map_of(array: Array) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    held = base.obj if isinstance(base, memoryview) else None
    return held if isinstance(held, mmap.mmap) else None


def limit(index: Index, size: int | None) -> None:
    """From now on at most about so many bytes of this memory stay resident; None: no limit.

    UsageError unless it is a whole number above 0.
    """
    if size is None:
        return
    if whole(size, "resident_bytes") < 1:
        raise UsageError(f"resident_bytes is {size}; use a number of bytes above 0, or None")
    made = Budget(whole(size, "resident_bytes"), index)
    index.meter.limit(made)
    made.enforce()


class Budget:
    """Releases maps, least recently read first, once more than ``limit`` bytes are resident.

    After each read it asks the system how much more of any file is resident in this process, some
    microseconds, and looks closer when that may be too much. So what exceeds the budget is what one
    read brings in (the system maps up to two megabytes at once), or who looks at its views, until
    the next read.
    """

    def __init__(self, limit: int, index: Index) -> None:
        self.limit, self._index = limit, index
        #: Bytes released so far.
        self.released = 0
        # When last looked: bytes that may still come, and those of all files that there were.
        self._free = self._files = 0
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._lock: threading.Lock
        locks(self, "_lock")
        self._wanted = False  # has a thread asked for it since it was last begun?

    def took(self, page: int) -> None:
        """A page was read, or `ALL` or `UNKNOWN` ones."""
        if page != UNKNOWN:
            self._recent.append(page)
        if not self._files <= _of_files() <= self._files + self._free:
            self.enforce()  # also where less is there: what was unmapped may hide what came

    def enforce(self) -> None:
        """Releases what is too much, now. Some milliseconds."""
        self._wanted = True
        while self._wanted and self._lock.acquire(blocking=False):  # else another thread sees to it
            try:
                self._wanted = False
                self._release()
            finally:
                self._lock.release()

    def _release(self) -> None:
        files = _of_files()  # before the look: what others read meanwhile counts as come since
        used = maps(self._index)
        total = index_bytes(self._index) + sum(own.resident for own in used)
        if total > self.limit:
            for own in self._coldest_first(used):
                if total <= self.limit * 3 // 4:
                    break
                own.release()
                total -= own.resident
                files -= own.resident
                self.released += own.resident
        self._free, self._files = max(self.limit - total, 0), min(files, _of_files())

    def _coldest_first(self, used: list[Map]) -> list[Map]:
        """Those that were read longest ago first, the older of two first."""
        last = {page: at for at, page in enumerate(tuple(self._recent))}
        every = last.pop(ALL, -1)
        pages = np.fromiter(last, np.int64, len(last)).astype("<u4")
        times = np.fromiter(last.values(), np.int64, len(last))
        return sorted(used, key=lambda own: max(every, _last_read(own, pages, times)))


def _last_read(own: Map, pages: Array, times: Array) -> int:
    """The latest time at which one of the pages was read that are read through the map; or -1."""
    found = -1
    for listed in own.pages:
        if len(listed):
            at = np.minimum(np.searchsorted(listed, pages), len(listed) - 1)
            found = max(found, int(times[listed[at] == pages].max(initial=-1)))
    return found

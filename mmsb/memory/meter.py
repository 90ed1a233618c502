"""What a memory counts of itself while it works: latencies, what is written, which pages are read.

Always on: of what takes a few microseconds (a read of one page, a commit of one delta) one in 32
is measured, at uneven distances, and all while they are few. Nothing is locked. Under the
interpreter's lock a count is added whole; without that lock two threads may lose one.
"""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter_ns
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np

from mmsb.base import spans
from mmsb.memory.cells import Array
from mmsb.memory.forked import locks

#: Recent rates are over so many seconds.
RECENT = 10
#: The first so many are all measured, and all that come more nanoseconds apart than this.
_ALL, _SLOW = 64, 1_000_000
_SECOND = 1_000_000_000
_HALVED = 2**31


class Timer:
    """A histogram of durations, log-scaled: eight buckets to each doubling, so within an eighth."""

    __slots__ = ("counts", "largest", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = [0] * 512
        self.largest = 0  # nanoseconds

    def add(self, ns: int) -> None:
        """One more that took so many nanoseconds."""
        shift = ns.bit_length() - 4
        self.counts[(shift << 3) + (ns >> shift) if shift > 0 else ns] += 1
        if ns > self.largest:  # noqa: PLR1730 (a call costs more)
            self.largest = ns

    def told(self) -> dict[str, float]:
        """``count``, and ``p50``, ``p90``, ``p99``, ``max`` in microseconds (0 if none).

        A percentile is the upper end of its bucket.
        """
        counts, found = list(self.counts), {}
        total = sum(counts)
        for name, percent in (("p50", 50), ("p90", 90), ("p99", 99)):
            wanted, at = -(-total * percent // 100), 0
            while total and (wanted := wanted - counts[at]) > 0:
                at += 1
            found[name] = min(_upper(at), self.largest) / 1000
        return {"count": total, **found, "max": self.largest / 1000}


def _upper(bucket: int) -> int:
    """The longest duration in a bucket, nanoseconds."""
    if bucket < 16:
        return bucket
    shift = (bucket >> 3) - 1
    return ((8 + (bucket & 7) + 1) << shift) - 1


class Sample:
    """Which of many are measured: one in 32, at distances that do not beat with any loop."""

    __slots__ = ("_gap", "_last", "_measured", "_random", "every", "left")

    def __init__(self) -> None:
        #: So many until the next that is measured; whoever comes counts it down.
        self.left = self._gap = 1
        self._measured, self._random, self._last = 0, 1, 0
        self.every = False  # measure all

    def next(self, now: int) -> int:
        """One was measured; returns for how many it stands, itself among them."""
        stands, gap = max(self._gap - self.left, 0), self._gap
        self._measured += 1
        slow = now - self._last > gap * _SLOW
        self._last = now
        all_ = self.every or slow or self._measured < _ALL
        gap = 1 if all_ else 16 + self.draw() % 32
        self.left = gap
        self._gap = gap
        return stands

    def draw(self) -> int:
        """A number below 2**16."""
        self._random = (self._random * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        return self._random >> 15


class Budget(Protocol):
    """Who keeps what is resident small (`mmsb.memory.budget`)."""

    limit: int
    released: int

    def took(self, page: int) -> None:
        """A page was read, or pages that are not known (-1), or all (-2)."""


class Meter:
    """The counts of one open memory."""

    def __init__(self) -> None:
        self.commit, self.sync = Timer("commit"), Timer("sync")
        self.column, self.columns, self.cell = Timer("column"), Timer("columns"), Timer("cell")
        self.cells, self.gather = Timer("cells"), Timer("gather")
        self.opened = perf_counter_ns()
        # Written here: deltas, and bytes of frames.
        self.deltas = self.bytes = 0
        #: Since when something is not durable, 0 if nothing is; of what a sync under way sees to.
        self.behind = self.syncing = 0
        self.budget: Budget | None = None
        # When, and what was written before, at the first commit of each of the last seconds.
        self._marks: deque[tuple[int, int, int]] = deque(maxlen=RECENT + 2)
        self._next = 0
        self._reads, self._batches, self._commits = Sample(), Sample(), Sample()
        #: Reads by page, u32, estimated; and as `look` found them.
        self.heat: Array = np.zeros(0, "<u4")
        self._seen: Array = self.heat
        self._lock: threading.Lock
        locks(self, "_lock")
        #: Copies on devices; how often "auto" took the CPU instead of one, and why it last did.
        self.copies: WeakSet[Any] = WeakSet()
        self.instead_times, self.instead_why = 0, ""

    def instead(self, why: str) -> None:
        """The CPU was used where a device might have been."""
        with self._lock:
            self.instead_times, self.instead_why = self.instead_times + 1, why

    def held(self) -> dict[str, int]:
        """Bytes of the copies on devices, where there are any."""
        copies = list(self.copies)
        return {"gpu": sum(each.nbytes for each in copies)} if copies else {}

    def limit(self, budget: Budget) -> None:
        """From now on the budget is told of every read."""
        self.budget, self._reads.every, self._reads.left = budget, True, 1

    @property
    def timers(self) -> tuple[Timer, ...]:
        """Commits until they are visible ("every": durable), syncs, and reads by their shape."""
        reads = (self.column, self.columns, self.cell, self.cells, self.gather)
        return (self.commit, *reads, self.sync)

    # Writing.

    def begin_commit(self) -> int:
        """The time, if the small commit that begins now is measured; 0."""
        commits = self._commits
        commits.left -= 1
        if commits.left > 0 and spans.listener is None:
            return 0
        return perf_counter_ns()

    def committed(self, began: int, deltas: int, size: int, epoch: int) -> None:
        """A commit that began then is visible: so many deltas, a frame of so many bytes.

        One that is not measured began at 0.
        """
        if not began:
            self.deltas += deltas
            self.bytes += size
            return
        ended = perf_counter_ns()
        if ended >= self._next:
            self._marks.append((ended, self.deltas, self.bytes))
            self._next = ended + _SECOND
        self.deltas += deltas
        self.bytes += size
        self.commit.add(ended - began)
        self._commits.next(ended)
        if spans.listener is not None:
            spans.tell("commit", began, ended, epoch=epoch, deltas=deltas, bytes=size)

    def sync_begins(self) -> int:
        """What is behind is seen to from now on; returns the time."""
        began = perf_counter_ns()
        self.syncing, self.behind = self.behind or began, 0
        return began

    def synced(self, began: int, epoch: int) -> None:
        """A sync has ended well: all up to the epoch is durable."""
        ended, self.syncing = perf_counter_ns(), 0
        self.sync.add(ended - began)
        if spans.listener is not None:
            spans.tell("sync", began, ended, epoch=epoch)

    def rates(self) -> dict[str, float]:
        """What was written since the memory was opened here, and each second, of late too."""
        now = perf_counter_ns()
        life = (now - self.opened) / _SECOND
        since = now - RECENT * _SECOND
        mark = next((m for m in tuple(self._marks) if m[0] >= since), None)
        deltas, size = (self.deltas - mark[1], self.bytes - mark[2]) if mark else (0, 0)
        recent = max(min(life, RECENT), 1e-9)
        return {
            "seconds": life,
            "deltas": self.deltas,
            "bytes": self.bytes,
            "deltas_per_second": self.deltas / max(life, 1e-9),
            "bytes_per_second": self.bytes / max(life, 1e-9),
            "recent_deltas_per_second": deltas / recent,
            "recent_bytes_per_second": size / recent,
        }

    def behind_seconds(self) -> float:
        """For how long something visible here has not been durable; 0.0 if all is."""
        since = self.syncing or self.behind
        return (perf_counter_ns() - since) / _SECOND if since else 0.0

    # Reading.

    def begin(self) -> int:
        """The time, if the read of a page that begins now is measured (then `read` follows); 0."""
        reads = self._reads
        reads.left -= 1
        if reads.left > 0 and spans.listener is None:
            return 0
        return perf_counter_ns()

    def read(self, timer: Timer, began: int, page: int, epoch: int, size: int) -> None:
        """A read of a page that `begin` wanted measured has ended, with so many bytes."""
        ended = perf_counter_ns()
        timer.add(ended - began)
        reads = self._reads.next(ended)
        heat = self.heat if page < len(self.heat) else self._room(page)
        warm = int(heat[page]) + reads
        heat[page] = warm
        if warm >= _HALVED:
            heat >>= np.uint32(1)
        if spans.listener is not None:
            spans.tell(timer.name, began, ended, page=int(page), epoch=epoch, bytes=size)
        if self.budget is not None:
            self.budget.took(page)

    def read_many(
        self, timer: Timer, began: int, pages: Array | None, epoch: int, size: int
    ) -> None:
        """A read of cells of many pages has ended; ``pages`` (with repeats) if heat follows them.

        Of those one in 16, about 1,000 at most, is counted, for all that it stands for; of small
        batches that come quickly one in 32.
        """
        ended = perf_counter_ns()
        timer.add(ended - began)
        if pages is not None and len(pages):
            batches = self._batches
            batches.left -= 1
            if batches.left <= 0:
                step = min(max(16, len(pages) // 1024), len(pages))
                reads = step * batches.next(ended)
                self._warm(pages[batches.draw() % step :: step], reads)
        if spans.listener is not None:
            spans.tell(timer.name, began, ended, epoch=epoch, bytes=size)
        if self.budget is not None:
            self.budget.took(-2)

    def read_else(self) -> None:
        """Something was read that is not timed."""
        if self.budget is not None:
            self.budget.took(-1)

    def hottest(self, count: int, *, lately: bool = False) -> list[tuple[int, int]]:
        """The pages read most (since `look`), and how often: estimated from those counted."""
        heat = self.lately() if lately else self.heat.copy()
        order = np.argsort(-heat.astype(np.int64), kind="stable")[:count]
        return [(int(page), int(heat[page])) for page in order.tolist() if heat[page]]

    def lately(self) -> Array:
        """Reads by page since `look`, u32."""
        seen = self._seen  # before the others, which another thread's `look` may find longer
        heat: Array = self.heat.copy()
        heat[: len(seen)] -= np.minimum(heat[: len(seen)], seen)
        return heat

    def look(self) -> None:
        """From now on reads are late ones."""
        self._seen = self.heat.copy()

    # Inside.

    def _warm(self, pages: Array, reads: int) -> None:
        last = int(pages.max())
        heat = self.heat if last < len(self.heat) else self._room(last)
        np.add.at(heat, pages, np.uint32(reads))
        if int(heat[pages].max()) >= _HALVED:
            heat >>= np.uint32(1)

    def _room(self, page: int) -> Array:
        with self._lock:
            if page >= len(self.heat):
                grown = np.zeros(max(page + 1, 2 * len(self.heat), 1024), "<u4")
                grown[: len(self.heat)] = self.heat
                self.heat = grown
            return self.heat

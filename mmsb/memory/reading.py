"""What can be asked of an open memory; `Memory` adds what changes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mmsb.base.errors import CorruptData, StateError, UnknownName, UsageError
from mmsb.base.schema import Kind
from mmsb.memory import asked, budget, device
from mmsb.memory import kinds as schemas
from mmsb.memory.cells import Array, room_for, whole
from mmsb.memory.device import Copied
from mmsb.memory.diff import Written, diff
from mmsb.memory.digest import digest
from mmsb.memory.files import Home
from mmsb.memory.follow import Bell, Follower
from mmsb.memory.forked import locks
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.recall import opened
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.states import states
from mmsb.memory.stats import stats
from mmsb.memory.symbols import Symbols
from mmsb.memory.writer import Writer


class Reading:
    """Reads of an open memory: as of epochs, between them, and as they come in."""

    def __init__(self, log: Log, index: Index, writer: Writer | None) -> None:
        """A memory without a writer reads what others write."""
        self._log, self._index, self._writer = log, index, writer
        if writer is not None:
            index.meter = writer.meter
        self._symbols = Symbols(index)
        self._lock: threading.RLock
        #: Taken before the other; by a compaction, which lets others commit meanwhile.
        self._compacting: threading.RLock
        locks(self, "_lock", "_compacting", make=threading.RLock)
        self._closed = False
        self.path = log.folder
        self.torn = log.torn

    @property
    def head(self) -> int:
        """The last epoch visible here; 0 is the empty memory."""
        return self._index.head

    @property
    def first(self) -> int:
        """The oldest epoch that is there: 0, or where the last retention cut."""
        return self._index.base

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def home(self) -> Home:
        """Which folder it is, however its path is spelled."""
        return self._index.home

    @property
    def keep(self) -> int | None:
        """How many epochs a compaction leaves; None: all. Set by `Memory.keep_epochs`."""
        return self._log.manifest.keep

    @property
    def durable(self) -> int:
        """The last epoch that is known to be on the disk."""
        return self._log.marks.durable.epoch

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """All kinds, stored or known, by name."""
        return {kind.name: kind for kind in self._index.kinds.values()}

    def know(self, *kinds: Kind) -> None:
        """Makes kinds known here as `open` does; the next commit stores what is new of them.

        Changes that were begun before conflict. UsageError where a number or name stands for
        something else.
        """
        wanted = asked.kinds(kinds)
        with self._lock:
            self._check_open()
            index = self._index
            known = schemas.joined({kind.id: kind for kind in wanted}, index.known)
            if known == index.known:
                return
            index.kinds, index.known = schemas.joined(known, index.stored), known
            index.complete = not index.unstored()

    def refresh(self) -> int:
        """A reader's look for newer commits; returns the head. Snapshots keep their epoch.

        Where a retention forgot epochs, they are forgotten here from now on.
        """
        with self._lock:
            self._check_open()
            if self._writer is None:
                if self._log.reload():
                    try:
                        for frame in self._log.scan(beyond=False):
                            self._index.add(frame)
                        self._index.keyframes.load(self.head)
                    except (CorruptData, StateError):
                        if not self._log.moved:
                            raise
                if self._log.moved:
                    known = self._index.known.values()
                    self._take(*opened(self.path, known, beyond=False, spill=self._log.spill))
            return self.head

    def at(self, epoch: int | None = None) -> Snapshot:
        """The memory as of an epoch, default the head; UnknownName if there is no such epoch."""
        self._check_open()
        return self._at(epoch)

    def range(self, first: int, last: int) -> Iterator[Snapshot]:
        """Snapshots of the epochs ``first`` … ``last``, both included."""
        low, high = self.at(first).epoch, self.at(last).epoch
        if low > high:
            raise UsageError(
                f"a range goes from an older to a newer epoch; swap {first} and {last}"
            )
        return map(self.at, range(low, high + 1))

    def follow(
        self, from_epoch: int | None = None, *, durable: bool = True, timeout: float | None = None
    ) -> Follower:
        """Snapshots of ``from_epoch`` and all later epochs as they come in; waits for each.

        Default: of those still to come. With ``durable`` an epoch is given once it survives the
        loss of power; else as soon as it is visible, and it may vanish with the power. A reader is
        refreshed by it. At most 10 ms late (see `mmsb.memory.follow`), and with ``durable`` by as
        much as the writer's policy leaves it behind. Without ``timeout``, in seconds, it waits
        forever. UnknownName if the epochs before ``from_epoch`` are not there.
        """
        timeout = None if timeout is None else asked.seconds(timeout, "timeout")
        durable = asked.flag(durable, "durable")
        self.refresh()
        newest = self._newest(durable)
        first = newest() + 1 if from_epoch is None else whole(from_epoch, "from_epoch")
        base = self._index.base
        if not base <= first <= self.head + 1:
            raise UnknownName(
                f"epochs up to {first - 1} are not there in {self.path}; follow it from one of "
                f"{base} … {self.head + 1}"
            )
        return Follower(newest, self._at, lambda: self._closed, first, timeout)

    def digest(self, epoch: int | None = None) -> str:
        """Hex digest of the content as of an epoch: independent of history, layout and ids."""
        with room_for(f"the digest of {self.path}"):
            return digest(self.at(epoch))

    def diff(
        self, old: int, new: int, kinds: Iterable[Kind | str] | None = None
    ) -> tuple[Written, ...]:
        """The cells written in epochs (old, new], by kind and page. Cost follows those cells.

        ``kinds``: of these alone, and nothing is read of others.
        """
        self._check_open()
        index = self._index
        only = None
        if kinds is not None:
            only = frozenset(index.kind(kind).id for kind in asked.some_kinds(kinds))
        low, high = self._epoch(old, index), self._epoch(new, index)
        if low > high:
            raise UsageError(f"diff goes from an older to a newer epoch; swap {old} and {new}")
        with room_for(f"what was written in epochs {low + 1} … {high} of {self.path}"):
            found = diff(index, low, high, only)
        index.meter.read_else()
        return found

    def bring(self, pages: Iterable[Copied], epoch: int | None = None) -> int:
        """Takes to device copies (`to_device`, `gather`) what was written since the epochs they are
        as of, up to one (default: the head), which it returns. O(cells written to their kinds).

        StateError for one that is ahead of it, UnknownName for a page that was deleted; each copy
        is brought whole or stays as it is. UsageError.
        """
        now = self.at(epoch)
        device.bring(self, pages, now)
        return now.epoch

    def replay(self, page: int, first: int, last: int) -> Iterator[tuple[int, dict[str, Array]]]:
        """The states of a page: (epoch, columns) after each epoch of first … last that wrote it.

        Columns are whole and read-only; one that an epoch did not write is the array of the epoch
        before. A deletion ends it. UnknownName, UsageError, CorruptData. O(cells) for each column
        that an epoch wrote.
        """
        self._check_open()
        index = self._index
        low, high = self._epoch(first, index), self._epoch(last, index)
        if low > high:
            raise UsageError(f"replay goes from an older to a newer epoch; swap {first} and {last}")
        kind = self.at(high).kind_of(page)
        return states(index, kind, page, low, high)

    def written_since(self, epoch: int) -> Array:
        """Pages that later epochs wrote or deleted, u32, increasing. Cost follows their deltas."""
        self._check_open()
        index = self._index
        return index.written_since(self._epoch(epoch, index))

    def stats(self) -> dict[str, Any]:
        """Bytes, counts, times, heat and health; the keys: `mmsb.memory.stats.stats`."""
        return stats(self.at(), self._index, self._log, self._writer)

    # Inside.

    def _at(self, epoch: int | None) -> Snapshot:
        symbols = self._symbols  # which go with one index, whatever another thread takes in
        return self._snapshot(symbols, self._epoch(epoch, symbols.index))

    def _snapshot(self, symbols: Symbols, epoch: int) -> Snapshot:
        return Snapshot(symbols.index, symbols, epoch)

    def _take(self, log: Log, index: Index) -> None:
        """Goes on with a log that was rewritten; snapshots keep what they read."""
        index.meter = self._index.meter
        if index.meter.budget is not None:
            budget.limit(index, index.meter.budget.limit)
        self._index.later = index
        self._log, self._index, self._symbols = log, index, Symbols(index)

    def _newest(self, durable: bool) -> Callable[[], int]:
        """Looks for the newest epoch that a follower may be shown."""
        bell = None if self._writer is not None else Bell(self.path)

        def look() -> int:
            if bell is not None and bell.rang():
                with self._lock:
                    if not self._closed:
                        self.refresh()
            return min(self.head, self.durable) if durable else self.head

        return look

    def _epoch(self, epoch: int | None, index: Index | None = None) -> int:
        index = index or self._index
        head, base = index.head, index.base
        if epoch is None:
            return head
        epoch = whole(epoch, "epoch")
        if 0 <= epoch < base:
            raise UnknownName(
                f"epoch {epoch} of {self.path} was forgotten by retention; epochs are "
                f"{base} … {head}"
            )
        if not base <= epoch <= head:
            raise UnknownName(
                f"epoch {epoch} does not exist in {self.path}; epochs are {base} … {head}"
            )
        return epoch

    def _check_open(self) -> None:
        if self._closed:
            raise StateError(f"{self.path} is closed; open it again")

"""Who wants to hear of which kinds and subjects: told after each commit, in order, no lock held.

What a memory's own process commits is told by the thread that committed it, before `commit`
returns; what another process commits, by the thread that refreshes or follows. Where one thread
tells already, it tells also of what others commit meanwhile: none waits for another's callback.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import MmsbError, UnknownName, UsageError, quote
from mmsb.base.schema import Kind
from mmsb.graph.recompute import Derivations
from mmsb.memory import asked
from mmsb.memory.cells import Array, frozen
from mmsb.memory.diff import Written
from mmsb.memory.forked import locks
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

_LOG = logging.getLogger("mmsb.graph")
_TEXTS = {schema.HEAP.id, schema.SYMBOL.id}
Wanted = Callable[[str], bool]


class Turn:
    """A memory's lock, for `with`; `after` is called when it was let go of for good."""

    __slots__ = ("_depth", "_lock", "after")

    def __init__(self) -> None:
        self._lock, self._depth = threading.RLock(), 0
        self.after: Callable[[], None] | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        after = None if self._depth else self.after
        self._lock.release()
        if after is not None:
            after()


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Cells of one page that were written: these columns in these rows (u32, increasing).

    ``subject`` is "" for the table of an append-only kind, whose ``rows`` are those that are new.
    """

    kind: str
    subject: str
    page: int
    columns: tuple[str, ...]
    rows: Array
    deleted: bool


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """What a callback is given: what the epochs (old, new] wrote of what it wants, kind by kind.

    ``now`` is the memory as of ``new``. ``forgotten``: how many of the epochs a retention had
    removed before they could be told of; what they wrote is not among the changes.
    """

    old: int
    new: int
    changes: tuple[Change, ...]
    now: Snapshot
    forgotten: int = 0

    @property
    def epochs(self) -> range:
        return range(self.old + 1, self.new + 1)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(change.kind for change in self.changes))

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(change.subject for change in self.changes))


Callback = Callable[[Changed], object]


class Subscription:
    """Calls back until it is closed. ``seen``: the last epoch that it was told of; ``error``: what
    its callback last raised."""

    def __init__(
        self,
        memory: Memory,
        kinds: frozenset[str] | None,
        wanted: Wanted | None,
        callback: Callback,
    ) -> None:
        """Get one from ``memory.subscribe``."""
        self._memory, self._kinds, self._wanted, self._callback = memory, kinds, wanted, callback
        self._fits: dict[int, bool] = {}  # by symbol
        self.seen, self.closed = memory.head, False
        self.error: Exception | None = None

    def close(self) -> None:
        """No call begins from now on. One that another thread is in may still end."""
        self.closed = True

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, now: Snapshot) -> None:
        """Calls back with what came since the last time, if anything did that is wanted."""
        old, self.seen = self.seen, now.epoch
        try:
            forgotten, found = self._since(old, now)
        except MmsbError as error:  # damage, say: it cannot be told what changed
            self._failed(error, old, now.epoch)
            return
        if found or forgotten:
            try:
                self._callback(Changed(old, now.epoch, tuple(found), now, forgotten))
            except Exception as error:
                self._failed(error, old, now.epoch)

    def _failed(self, error: Exception, old: int, new: int) -> None:
        self.error = error
        _LOG.error(
            "the callback of a subscription failed on epochs %d … %d of %s; they are committed, "
            "and later ones will be told of",
            *(old + 1, new, self._memory.path),
            exc_info=error,
        )

    def _since(self, old: int, now: Snapshot) -> tuple[int, list[Change]]:
        try:
            return 0, self._chosen(old, now)
        except UnknownName:
            first = self._memory.first
            if old >= first:
                raise
            return first - old, self._chosen(first, now)

    def _chosen(self, old: int, now: Snapshot) -> list[Change]:
        known = [kind.name for kind in now.kinds if kind.id not in _TEXTS]
        kinds = known if self._kinds is None else self._kinds
        chosen = self._memory.diff(old, now.epoch, kinds)
        subjects = now.subjects(np.array([one.page for one in chosen], "<u4"))
        found = []
        for one, subject in zip(chosen, subjects, strict=True):
            rows = one.rows
            if self._wanted is not None:
                if one.kind.append_only:
                    rows = self._naming(one, now)
                    if not len(rows):
                        continue
                elif not self._wanted(subject):
                    continue
            made = Change(one.kind.name, subject, one.page, one.columns, rows, one.deleted)
            found.append(made)
        return found

    def _naming(self, one: Written, now: Snapshot) -> Array:
        """The new rows of a table that name a wanted subject in any column."""
        hits = np.zeros(len(one.rows), bool)
        rows = one.rows.astype(np.int64)
        for column in one.kind.columns:
            if column.ref == "symbol" and column.name in one.columns:
                ids = now.column(one.kind, one.page, column.name)[rows]
                hits |= np.array([self._fit(id, now) for id in ids.tolist()], bool)
        return frozen(one.rows[hits])

    def _fit(self, symbol: int, now: Snapshot) -> bool:
        if symbol not in self._fits:
            wanted = self._wanted
            named = wanted is not None and symbol < now.symbol_count
            self._fits[symbol] = named and wanted is not None and wanted(now.symbol(symbol))
        return self._fits[symbol]


class Events:
    """What follows from the commits of one memory: derived pages first, then subscriptions."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.derivations = Derivations(memory)
        self.derivations.idle = self.tell
        #: What the last run over the derivations raised after a commit, None if it ended well.
        self.error: Exception | None = None
        self._subscriptions: tuple[Subscription, ...] = ()
        self._told, self._held = memory.head, 0
        self._telling: threading.Lock
        self._adding: threading.Lock
        locks(self, "_telling", "_adding")

    def subscribe(
        self, kinds: Iterable[Kind | str] | None, wanted: Wanted | None, callback: Callback
    ) -> Subscription:
        """From the commit after this on. ``wanted``: of which subjects. UnknownName, UsageError."""
        if not callable(callback):
            raise UsageError(f"a callback is a function of what changed, not {quote(callback)}")
        names: frozenset[str] | None = None
        if kinds is not None:
            given = asked.some_kinds(kinds)
            self._memory.know(*(kind for kind in given if isinstance(kind, Kind)))
            names = frozenset(self._memory.at().kind(kind).name for kind in given)
        made = Subscription(self._memory, names, wanted, callback)
        with self._adding:
            held = tuple(one for one in self._subscriptions if not one.closed)
            self._subscriptions = (*held, made)
        return made

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Inside, commits are told of to nobody; at its end, all of them at once."""
        with self._adding:
            self._held += 1
        try:
            yield
        finally:
            with self._adding:
                self._held -= 1
            self.tell()

    def tell(self) -> None:
        """Tells of what is new. Raises nothing."""
        while self._new() and self._telling.acquire(blocking=False):
            try:
                while self._new():
                    self._round()
            finally:
                self._telling.release()

    def _new(self) -> bool:
        memory, derivations = self._memory, self.derivations
        new = memory.head != self._told or (derivations.missed and not derivations.busy)
        return new and not self._held and not memory.closed

    def _round(self) -> None:
        head = self._memory.head
        if len(self.derivations):
            self.derivations.missed = self.derivations.busy
            try:
                if not self.derivations.missed:
                    self.derivations.recompute()
                    self.error = None
            except Exception as error:
                self.error = error
                _LOG.error(
                    "pages derived in %s could not be brought to epoch %d: they are as they were, "
                    "and the next commit tries again",
                    *(self._memory.path, head),
                    exc_info=error,
                )
        now = self._memory.at()
        self._told = now.epoch
        for one in self._subscriptions:
            if not one.closed and one.seen < now.epoch:
                one.tell(now)

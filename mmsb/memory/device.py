"""Pages on a device: copies of the host's log, each as of an epoch, brought on by later deltas.

The log on the host is the truth. A `DevicePage` is a copy of one page's columns that says as of
which epoch it is, takes in what was written since by `bring` (``commit(changes, to=pages)`` and
``memory.bring(pages)``), and is never read as of another epoch than its own. What a device has to
do for that are the four operations of `Place`: the host's are here, a machine's in `device_cells`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmsb.base.errors import StateError, UsageError, quote
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory import asked
from mmsb.memory.cells import Array, dtype_of, filled, frozen, whole
from mmsb.memory.diff import Written
from mmsb.memory.files import Home

if TYPE_CHECKING:
    from mmsb.memory.index import Index
    from mmsb.memory.snapshot import Snapshot

#: Rows that lie further apart than this, on average, are read one by one.
_SPARSE = 64


class Place(Protocol):
    """Where cells of a column lie. An array of a place is opaque to all but the place.

    EnvironmentProblem where there is no room. `put` after `grown` may fail only before it wrote.
    """

    device: str

    def load(self, column: Column, cells: Array) -> Any:
        """An own copy of the cells."""

    def grown(self, column: Column, held: Any, count: int) -> Any:
        """``count`` cells: those held, then fill. May give back what it was given."""

    def put(self, held: Any, rows: Array, cells: Array) -> None:
        """Writes cells at rows (u32, increasing), all of which are there."""

    def view(self, held: Any) -> Any:
        """What the caller may read: an array of the device, read-only where it can be."""


class Host:
    """Numpy's arrays."""

    device = "cpu"

    def load(self, column: Column, cells: Array) -> Array:
        found = filled(column, len(cells))
        found[:] = cells
        return found

    def grown(self, column: Column, held: Array, count: int) -> Array:
        if len(held) == count:
            return held
        found = filled(column, count)
        found[: len(held)] = held
        return found

    def put(self, held: Array, rows: Array, cells: Array) -> None:
        held[rows] = cells

    def view(self, held: Array) -> Array:
        return frozen(held[:])


class Copied(ABC):
    """A copy of what the log has of a kind, as of ``epoch``."""

    __slots__ = ("__weakref__", "epoch", "home", "kind", "path")

    def __init__(self, index: Index, kind: Kind) -> None:
        self.path, self.home, self.kind, self.epoch = index.folder, index.home, kind, 0

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is a copy of."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that it holds."""

    @abstractmethod
    def load(self, snapshot: Snapshot) -> None:
        """Copies all of it anew. O(cells)."""

    @abstractmethod
    def take(self, snapshot: Snapshot, written: Mapping[int, list[Written]]) -> None:
        """Takes in what was written to the kind's pages up to the snapshot; whole, or as before."""

    def check(self, epoch: int) -> None:
        """StateError unless it is as of ``epoch``."""
        if whole(epoch, "epoch") != self.epoch:
            raise StateError(
                f"the device's copy of {self.name} is as of epoch {self.epoch}, not "
                f"{quote(epoch)}; bring it there with memory.bring"
            )


class DevicePage(Copied):
    """Columns of a page on a device, as of ``epoch``. Belongs to one thread at a time."""

    __slots__ = ("_held", "columns", "device", "page", "place", "rows")

    def __init__(
        self,
        snapshot: Snapshot,
        kind: Kind,
        page: int,
        columns: tuple[Column, ...],
        place: Place,
    ) -> None:
        """Get one from ``snapshot.to_device(kind, page)``."""
        super().__init__(snapshot._index, kind)
        self.page, self.columns = page, columns
        self.device, self.place = place.device, place
        self._held: dict[str, Any] = {}
        self.rows = 0
        self.load(snapshot)

    @property
    def name(self) -> str:
        return f"page {self.page}"

    @property
    def nbytes(self) -> int:
        return self.rows * sum(dtype_of(column).itemsize for column in self.columns)

    def column(self, name: str, epoch: int) -> Any:
        """The device's array of a column's cells, `rows` long; the next `bring` may write to it.

        StateError unless the page is as of ``epoch``. UsageError for a column it does not have.
        """
        self.check(epoch)
        asked.names((name,))
        if name not in self._held:
            raise UsageError(f"column {quote(name)} was not copied; it has {', '.join(self._held)}")
        return self.place.view(self._held[name])

    def load(self, snapshot: Snapshot) -> None:
        names = [column.name for column in self.columns]
        cells = snapshot.columns(self.kind, self.page, names)
        made = {own.name: self.place.load(own, cells[own.name]) for own in self.columns}
        self.rows = snapshot.row_count(self.kind, self.page)
        self._held, self.epoch = made, snapshot.epoch

    def take(self, snapshot: Snapshot, written: Mapping[int, list[Written]]) -> None:
        """O(rows written), and O(rows) where the page grew."""
        count = snapshot.row_count(self.kind, self.page)
        new: list[tuple[str, Array, Array]] = []
        for each in written.get(self.page, ()):
            for name in self._held.keys() & set(each.columns):
                new.append((name, each.rows, self._cells(snapshot, name, each.rows)))
        grown = {
            own.name: self.place.grown(own, self._held[own.name], count) for own in self.columns
        }
        for name, rows, cells in new:
            self.place.put(grown[name], rows, cells)
        self._held, self.rows, self.epoch = grown, count, snapshot.epoch

    def _cells(self, snapshot: Snapshot, name: str, rows: Array) -> Array:
        low, high = int(rows[0]), int(rows[-1]) + 1
        if high - low > _SPARSE * len(rows):
            pages = np.full(len(rows), self.page, rows.dtype)
            return snapshot.cells(self.kind, name, pages, rows)
        near = snapshot.column(self.kind, self.page, name, Rows(low, high))
        found: Array = near[rows - rows[0]]
        return found


class Source(Protocol):
    """What is asked of a memory."""

    path: Path

    @property
    def home(self) -> Home: ...
    @property
    def first(self) -> int: ...
    def diff(
        self, old: int, new: int, kinds: Iterable[Kind | str] | None = None
    ) -> tuple[Written, ...]: ...


def owned(memory: Source, pages: Any) -> tuple[Copied, ...]:
    """Device copies, all of this memory; UsageError."""
    found = asked.listed(pages, "device pages")
    for page in found:
        if not isinstance(page, Copied):
            raise UsageError(f"pass device copies, as to_device makes them, not {quote(page)}")
        if page.home != memory.home:
            raise UsageError(
                f"{page.name} is a copy of {page.path}, not of {memory.path}; bring it with that "
                "memory, or copy it from this one"
            )
    return found


def bring(memory: Source, pages: Iterable[Copied], now: Snapshot) -> None:
    """Brings device pages to the snapshot's epoch. O(cells written to their kinds since).

    StateError for a page that is ahead, UnknownName for one that was deleted; those before it in
    ``pages`` are brought. UsageError for a page of another memory.
    """
    found: dict[int, Mapping[int, list[Written]]] = {}
    pages = owned(memory, pages)
    kinds = tuple({page.kind.id: page.kind for page in pages}.values())
    for page in pages:
        if page.epoch > now.epoch:
            raise StateError(
                f"the device's copy of {page.name} is as of epoch {page.epoch}, after "
                f"{now.epoch}; copies go forward only, so make another"
            )
        if page.epoch < memory.first:  # what it has not seen is not told apart any more
            page.load(now)
            continue
        since = found.get(page.epoch)
        if since is None:
            by_page: dict[int, list[Written]] = {}
            for each in memory.diff(page.epoch, now.epoch, kinds):
                by_page.setdefault(each.page, []).append(each)
            since = found.setdefault(page.epoch, by_page)
        page.take(now, since)

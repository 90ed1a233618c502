"""Pages on a device: copies of the host's log, each as of an epoch, brought on by later deltas.

The log on the host is the truth. A `DevicePage` is a copy of one page's columns that says as of
which epoch it is, takes in what was written since by `bring` (``commit(changes, to=pages)`` and
``memory.bring(pages)``), and is never read as of another epoch than its own. What a device has to
do for that are the four operations of `Place`; this release has the host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from mmsb.base.errors import MissingExtra, StateError, UsageError
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory.asked import listed
from mmsb.memory.cells import Array, filled, frozen
from mmsb.memory.diff import Written

if TYPE_CHECKING:
    from mmsb.memory.snapshot import Snapshot

#: ``"auto"``: the GPU where there is one that can be used, else the CPU.
Device = Literal["cpu", "gpu", "auto"]
#: Rows that lie further apart than this, on average, are read one by one.
_SPARSE = 64


def resolve(device: Device) -> Literal["cpu"]:
    """The device that is used. UsageError; MissingExtra for ``"gpu"``, which no release has yet."""
    if device in ("cpu", "auto"):
        return "cpu"
    if device == "gpu":
        raise MissingExtra(
            "the GPU needs the extra mmsb[gpu], which is not in this release of mmsb; use "
            "device='cpu', or 'auto'"
        )
    raise UsageError(f"there is no device {device!r:.40}; use 'cpu', 'gpu' or 'auto'")


class Place(Protocol):
    """Where cells of a column lie. An array of a place is opaque to all but the place."""

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


class DevicePage:
    """Columns of a page on a device, as of ``epoch``. Belongs to one thread at a time."""

    __slots__ = ("_held", "columns", "device", "epoch", "kind", "page", "path", "place", "rows")

    def __init__(
        self, snapshot: Snapshot, path: Path, kind: Kind, page: int, columns: tuple[Column, ...]
    ) -> None:
        """Get one from ``snapshot.to_device(kind, page)``."""
        self.path, self.kind, self.page, self.columns = path, kind, page, columns
        self.device, self.place = "cpu", Host()
        self._held: dict[str, Any] = {}
        self.epoch = self.rows = 0
        self.load(snapshot)

    def column(self, name: str, epoch: int) -> Any:
        """The device's array of a column's cells, `rows` long; the next `bring` may write to it.

        StateError unless the page is as of ``epoch``. UsageError for a column it does not have.
        """
        if epoch != self.epoch:
            raise StateError(
                f"the device's copy of page {self.page} is as of epoch {self.epoch}, not {epoch}; "
                "bring it there with memory.bring"
            )
        if name not in self._held:
            raise UsageError(f"column {name!r:.60} was not copied; it has {', '.join(self._held)}")
        return self.place.view(self._held[name])

    def load(self, snapshot: Snapshot) -> None:
        """Copies all of it anew. O(cells)."""
        names = [column.name for column in self.columns]
        cells = snapshot.columns(self.kind, self.page, names)
        made = {own.name: self.place.load(own, cells[own.name]) for own in self.columns}
        self.rows = snapshot.row_count(self.kind, self.page)
        self._held, self.epoch = made, snapshot.epoch

    def take(self, snapshot: Snapshot, written: Iterable[Written]) -> None:
        """Takes in what was written to the page up to the snapshot; whole, or as before.

        O(rows written), and O(rows) where the page grew.
        """
        count = snapshot.row_count(self.kind, self.page)
        new: list[tuple[str, Array, Array]] = []
        for each in written:
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
    def first(self) -> int: ...
    def diff(
        self, old: int, new: int, kinds: Iterable[Kind | str] | None = None
    ) -> tuple[Written, ...]: ...


def owned(memory: Source, pages: Any) -> tuple[DevicePage, ...]:
    """Device pages, all of this memory; UsageError."""
    found = listed(pages, "device pages")
    for page in found:
        if not isinstance(page, DevicePage):
            raise UsageError(f"pass device pages, as to_device makes them, not {page!r:.60}")
        if page.path != memory.path:
            raise UsageError(f"page {page.page} is a copy of {page.path}, not of {memory.path}")
    return found


def bring(memory: Source, pages: Iterable[DevicePage], now: Snapshot) -> None:
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
                f"the device's copy of page {page.page} is as of epoch {page.epoch}, after "
                f"{now.epoch}; copies go forward only, so make another with to_device"
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
        page.take(now, since.get(page.page, ()))

"""Keyframes of many pages at once, as arrays: where `gather` and `cells` begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from mmsb.base.schema import Column
from mmsb.memory.cells import Array, address_of, dtype_of


class Filed(Protocol):
    """A file of keyframes; arrays by keyframe but for ``places`` and ``seen``, by column of one."""

    bytes: Array
    pages: Array  # u32
    epochs: Array  # i64
    rows: Array  # u32
    alive: Array  # bool: may it be used?
    places: Array  # i64, in ``bytes``
    seen: Array  # u1: do the cells hold?

    def column(self, id: int) -> Array:
        """By keyframe: which of the columns it is, i64; -1 where none has cells."""


F = TypeVar("F", bound=Filed)


class Kept(NamedTuple):
    """A column of pages as of their keyframes; i64 each but ``pages``, u32, which increase."""

    pages: Array
    epochs: Array
    rows: Array  # how many cells there are; 0 where all are fill
    places: Array  # the address of the first
    files: Sequence[Filed]  # which hold them

    def told(self) -> tuple[int, int, int, int, int]:
        """How many, and where the arrays are, for the kernels; while this lives."""
        pages, epochs, rows, places = map(address_of, self[:4])
        return len(self.pages), pages, epochs, rows, places


class Table(Generic[F]):
    """Keyframes of some files by page and epoch, as they are when it is made."""

    def __init__(self, files: Sequence[F]) -> None:
        """O(keyframes log keyframes)."""
        self.files = tuple(files)
        pages, epochs, rows, alive = (
            np.concatenate([np.zeros(0, dtype), *(getattr(file, name) for file in files)])
            for name, dtype in (
                ("pages", "<u4"),
                ("epochs", "<i8"),
                ("rows", "<u4"),
                ("alive", "?"),
            )
        )
        order = np.lexsort((epochs, pages))
        self._order = order[alive[order]]
        self._pages, self._epochs = pages[self._order], epochs[self._order]
        self._rows = rows[self._order].astype(np.int64)
        self._last = int(self._epochs.max(initial=-1))
        # As of an epoch: the newest of each page, and these pages.
        self._newest: tuple[int, Array, Array] | None = None
        # Column → (address of its cells or 0, do they hold?) by keyframe.
        self._columns: dict[Column, tuple[Array, Array]] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def of(self, page: int) -> range:
        """Those of a page, oldest first. O(log keyframes)."""
        wanted = np.uint32(page)
        low = int(np.searchsorted(self._pages, wanted))
        return range(low, int(np.searchsorted(self._pages, wanted, side="right")))

    def newest(self, wanted: Array, epoch: int) -> Array:
        """Which are the newest up to the epoch of the pages ``wanted``, u32, increasing.

        O(log keyframes) for each, O(keyframes) for another epoch among theirs.
        """
        upto, known = min(epoch, self._last), self._newest
        if known is None or known[0] != upto:
            there = np.flatnonzero(self._epochs <= upto)
            own = self._pages[there]
            last = np.append(own[1:] != own[:-1], True)[: len(own)]
            self._newest = known = (upto, there[last], own[last])
        _, found, pages = known
        if len(pages) <= len(wanted):
            return found[_places(wanted, pages) >= 0]
        at = _places(pages, wanted)
        return found[at[at >= 0]]

    def unverified(self, column: Column, chosen: Array) -> list[int]:
        """Those of the chosen whose cells nobody has looked at."""
        left: list[int] = chosen[~self._column(column)[1][chosen]].tolist()
        return left

    def verified(self, column: Column, one: int) -> None:
        """Its cells hold."""
        self._column(column)[1][one] = True

    def place(self, one: int) -> tuple[int, int]:
        """In which file it is, and where there."""
        at = int(self._order[one])
        for number, file in enumerate(self.files):
            if at < len(file.pages):
                return number, at
            at -= len(file.pages)
        raise IndexError(one)

    def kept(self, column: Column, chosen: Array) -> Kept:
        """The chosen ones' cells of a column, all of which are verified."""
        places = self._column(column)[0][chosen]
        rows = np.where(places > 0, self._rows[chosen], 0)
        return Kept(self._pages[chosen], self._epochs[chosen], rows, places, self.files)

    def _column(self, column: Column) -> tuple[Array, Array]:
        found = self._columns.get(column)
        if found is None:
            width = dtype_of(column).itemsize
            parts = [_cells_of(file, column.id, width) for file in self.files]
            places = np.concatenate([np.zeros(0, np.int64), *(own for own, _ in parts)])
            sound = np.concatenate([np.zeros(0, bool), *(own for _, own in parts)])
            found = self._columns[column] = places[self._order], sound[self._order]
        return found


def _cells_of(file: Filed, column: int, width: int) -> tuple[Array, Array]:
    """By keyframe: the address of its cells of the column, 0 if it has none; do they hold?"""
    at = file.column(column)
    there = at >= 0
    places, sound = np.zeros(len(at), np.int64), ~there
    own = file.places[at[there]]
    inside = own <= len(file.bytes) - file.rows[there].astype(np.int64) * width
    places[there] = own + address_of(file.bytes)
    sound[there] = inside & (file.seen[at[there]] == 1)
    return places, sound


def _places(pages: Array, wanted: Array) -> Array:
    """Where each of some pages stands among others, -1 where it does not; both increase."""
    at = np.searchsorted(pages, wanted)
    there = at < len(pages)
    there[there] = pages[at[there]] == wanted[there]
    return np.where(there, at, -1)

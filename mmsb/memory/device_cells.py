"""Cells on a machine: what a column or a page copied to a GPU is made of.

A copy carries its epoch and is brought on by deltas (see `mmsb.memory.device`). The kernels are
those of ``kernels_pages.cu``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from mmsb.base.errors import EnvironmentProblem
from mmsb.base.schema import Column, Kind
from mmsb.memory import gather
from mmsb.memory.cells import Array, dtype_of, filled, frozen
from mmsb.memory.device import Copied
from mmsb.memory.diff import Written
from mmsb.memory.machine import LOCK, Buffer, Device, Machine, exhausted

_ALL_ONES = 2**64 - 1


@dataclass(eq=False)
class Cells:
    """Cells of a column on a machine: ``count`` of them. Not of any epoch by themselves."""

    machine: Machine
    column: Column
    buffer: Buffer
    count: int

    @property
    def width(self) -> int:
        """Bytes of a cell."""
        return dtype_of(self.column).itemsize

    @property
    def bytes(self) -> int:
        """Bytes of all."""
        return self.count * self.width

    @classmethod
    def put(cls, machine: Machine, column: Column, cells: Array) -> Cells:
        """A copy of host cells. MemoryError."""
        return cls(machine, column, machine.put(cells), len(cells))

    def get(self) -> Array:
        """A copy on the host."""
        return self.machine.get(self.buffer)

    def grown(self, count: int) -> Cells:
        """A copy with fill behind, ``count`` cells. MemoryError."""
        made = self._room(count)
        self.machine.run("fill", made.bytes // 16 + 1, made.buffer, made.bytes, self._pattern())
        self.machine.run("copy", self.bytes // 64 + 1, made.buffer, self.buffer, self.bytes)
        if self.bytes % 16 and count > self.count:  # the last 16 bytes hold what lay behind
            first = self.count
            last = min(count, first + 16)
            made.patch(np.arange(first, last, dtype=np.uint64), filled(self.column, last - first))
        return made

    def laid(self, begins: Array, olds: Array, lengths: Array) -> Cells:
        """Page p from begins[p]: its lengths[p] cells that lie at olds[p] here, then fill.

        ``begins`` has one more, the end of all; u64. MemoryError.
        """
        made = self._room(int(begins[-1]))
        tables = [self.machine.put(each) for each in (begins, olds, lengths)]
        fill = int(filled(self.column, 1).view(f"<u{self.width}")[0])
        args = (made.buffer, self.buffer, *tables, len(olds), fill, self.width)
        self.machine.run("lay", made.count, *args)
        return made

    def patch(self, places: Array, cells: Array) -> None:
        """Writes cells[i] at places[i], u64, none twice. MemoryError leaves all as it was."""
        if len(places):
            machine, width = self.machine, self.width
            given = (machine.put(places), machine.put(cells))
            machine.run("patch", len(places), self.buffer, *given, len(places), width)

    def merged(self, later: Cells, touched: Buffer) -> Cells:
        """This with the later's cells where its bit of ``touched``, u32, is set. MemoryError."""
        made = self._room(self.count)
        args = (made.buffer, self.buffer, later.buffer, touched, self.count, self.width)
        self.machine.run("merge", self.bytes // 64 + 1, *args)
        return made

    def same(self, other: Cells) -> bool:
        """Equal bits. MemoryError."""
        if (self.count, self.width) != (other.count, other.width):
            return False
        first = self.machine.put(np.array([_ALL_ONES], np.uint64))
        work = self.bytes // 16 + 1
        self.machine.run("compare", work, self.buffer, other.buffer, self.bytes, first)
        return int(self.machine.get(first)[0]) == _ALL_ONES

    def _room(self, count: int) -> Cells:
        return Cells(
            self.machine, self.column, self.machine.room(count, dtype_of(self.column)), count
        )

    def _pattern(self) -> int:
        cells = filled(self.column, 8 // self.width)
        return int(cells.view("<u8")[0])


class There:
    """A machine as the place of a page's columns. See `mmsb.memory.device.Place`."""

    device = "gpu"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def load(self, column: Column, cells: Array) -> Cells:
        with whole(f"{len(cells)} cells of {column.name}"):
            return Cells.put(self.machine, column, cells)

    def grown(self, column: Column, held: Cells, count: int) -> Cells:
        # Always a copy, which costs little there: if a later `put` finds no room, nobody sees it.
        with whole(f"{count} cells of {column.name}"):
            return held.grown(count)

    def put(self, held: Cells, rows: Array, cells: Array) -> None:
        with whole(f"{len(cells)} cells of {held.column.name}"):
            held.patch(rows.astype(np.uint64), cells)

    def view(self, held: Cells) -> Buffer:
        return held.buffer


class DeviceColumn(Copied):
    """One column of many pages on the GPU, as of ``epoch``: what ``snapshot.gather`` gives there.

    Page i is cells ``offsets[i]`` … ``offsets[i + 1]``, i64 on the host. ``memory.bring`` and
    ``commit(changes, to=…)`` take later deltas to it, in place. Belongs to one thread at a time.
    """

    __slots__ = ("_cells", "_every", "_machine", "column", "offsets", "pages")

    def __init__(
        self,
        machine: Machine,
        snapshot: Any,
        kind: Kind,
        column: Column,
        where: tuple[Array, Array, bool],
        cells: Array,
    ) -> None:
        """``where``: pages, offsets, and whether these are all of the kind. MemoryError."""
        super().__init__(snapshot._index, kind)
        self._machine, self.column, self.epoch = machine, column, snapshot.epoch
        self.pages, self.offsets, self._every = where
        self._cells = Cells.put(machine, column, cells)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def name(self) -> str:
        return f"{self.kind.name}.{self.column.name}"

    @property
    def nbytes(self) -> int:
        return self._cells.bytes

    def at(self, epoch: int) -> Buffer:
        """The device's array (a ``cupy.ndarray``), for who wants it as of this epoch. StateError.

        It must not be written, and the next `bring` writes to it.
        """
        self.check(epoch)
        return self._cells.buffer

    def get(self, epoch: int) -> Array:
        """The cells as of this epoch, on the host. StateError."""
        self.check(epoch)
        with LOCK:
            return frozen(self._cells.get())

    def same(self, other: DeviceColumn) -> bool:
        """Equal cells by bits, compared on the device."""
        with whole("a comparison"):
            return self._cells.same(other._cells)

    def load(self, snapshot: Any) -> None:
        """Gathers it anew. O(cells)."""
        pages = None if self._every else self.pages
        found, offsets = snapshot.gather(self.kind, self.column.name, pages)
        if pages is None:
            pages = snapshot.pages(self.kind)
        with whole(f"{len(found)} cells of {self.name}"):
            self._cells = Cells.put(self._machine, self.column, found)
        self.pages, self.offsets, self.epoch = pages, offsets, snapshot.epoch

    def take(self, snapshot: Any, written: Mapping[int, list[Written]]) -> None:
        """O(cells written), and a copy on the device where pages grew, came or went."""
        pages = snapshot.pages(self.kind) if self._every else self.pages
        snapshot._all_live(self.kind, pages)
        counts = gather.row_counts(snapshot._index, self.kind, snapshot.epoch)[pages]
        offsets = frozen(np.append(0, np.cumsum(counts)).astype(np.int64))
        of, rows = self._written(pages, written)
        new = snapshot.cells(self.kind, self.column.name, pages[of], rows)
        held = self._cells
        with whole(f"{len(new)} cells of {self.name}"):
            if len(pages) != len(self.pages) or (offsets != self.offsets).any():
                held = self._laid(pages, offsets)
            held.patch((offsets[of] + rows).astype(np.uint64), new)
        self._cells, self.pages, self.offsets, self.epoch = held, pages, offsets, snapshot.epoch

    def _written(self, pages: Array, written: Mapping[int, list[Written]]) -> tuple[Array, Array]:
        """Which of the pages, and which row of it, each cell is that was written; i64."""
        order = np.argsort(pages)
        keys: list[Array] = [np.zeros((2, 0), np.int64)]
        for page, entries in written.items():
            at = int(np.searchsorted(pages, page, sorter=order))
            if at == len(pages) or pages[order[at]] != page:
                continue
            for entry in entries:
                if self.column.name in entry.columns:
                    rows = entry.rows.astype(np.int64)
                    keys.append(np.stack([np.full(len(rows), order[at]), rows]))
        of, rows = np.concatenate(keys, axis=1)
        return of, rows

    def _laid(self, pages: Array, offsets: Array) -> Cells:
        order = np.argsort(self.pages)
        before = self.pages[order]
        found = np.searchsorted(before, pages)
        known = found < len(before)
        known[known] = before[found[known]] == pages[known]
        olds, lengths = (np.zeros(len(pages), np.uint64) for _ in range(2))
        where = order[found[known]]
        olds[known], lengths[known] = self.offsets[where], np.diff(self.offsets)[where]
        return self._cells.laid(offsets.astype(np.uint64), olds, lengths)


def gathered(
    machine: Machine,
    snapshot: Any,
    kind: Kind,
    named: Mapping[str, Array],
    where: tuple[Array, Array, bool],
) -> Callable[[], dict[str, Any]]:
    """Puts gathered columns on the machine; `DeviceColumn` by name."""

    def put() -> dict[str, Any]:
        with whole(f"{sum(each.nbytes for each in named.values())} bytes of {kind.name}"):
            return {
                name: DeviceColumn(machine, snapshot, kind, kind.column(name), where, values)
                for name, values in named.items()
            }

    return put


_Made = TypeVar("_Made")


def on_machine(
    make: Callable[[], _Made], device: Device, note: Callable[[str], None]
) -> _Made | None:
    """What it makes; None, and a note, where "auto" finds no room. EnvironmentProblem for "gpu"."""
    try:
        return make()
    except EnvironmentProblem as problem:
        if device == "gpu":
            raise
        note(str(problem))
        return None


@contextmanager
def whole(what: str) -> Iterator[None]:
    """The machine is one's own meanwhile; EnvironmentProblem where it has no room for ``what``."""
    try:
        with LOCK:
            yield
    except MemoryError as error:
        raise exhausted(what) from error

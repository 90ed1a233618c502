"""Keyframes: whole pages as of an epoch, so that reading there walks no further back.

Derived from the log and never part of it: files beside it that may be deleted, each written once.
What they hold is verified like the log, the directory when the file is opened and each column's
cells when they are first read. ``docs/format.md`` draws them.
"""

from __future__ import annotations

import os
import re
import struct
import threading
from bisect import bisect_right
from collections.abc import Container, Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.base.errors import MmsbError
from mmsb.base.schema import Column
from mmsb.memory.batch import PAGE_ROWS
from mmsb.memory.cells import Array, dtype_of, filled, frozen
from mmsb.memory.forked import locks
from mmsb.memory.frame import Broken, padded
from mmsb.memory.kept import Kept, Table
from mmsb.memory.opening import mapped

MAGIC = b"mmsbkey\0"
VERSION = 1
#: magic, version, pages, columns, zero, check of the directory, check of what is before it
HEADER = struct.Struct("<8sIIIIQQ")
#: (name, dtype, by page or by column) in stored order, each padded to 8.
DIRECTORY = (
    ("epoch", "<i8", 0),
    ("page", "<u4", 0),
    ("rows", "<u4", 0),
    ("columns", "<u4", 0),  # how many it has
    ("place", "<i8", 1),  # of its cells in the file; 0: all fill
    ("check", "<u8", 1),  # of its cells
    ("id", "<u2", 1),
)
_NAME = re.compile(r"keyframes-(\d{6,})(\.new)?")

#: So many pages' keyframes are kept at hand.
_REMEMBERED = 65_536


def file_name(number: int) -> str:
    """``keyframes-000001``."""
    return f"keyframes-{number:06d}"


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """One page as of an epoch: all columns that its kind had then."""

    file: _File
    number: int  # which of the file's it is
    epoch: int
    rows: int
    first: int
    columns: int

    def cells(self, column: Column) -> Array:
        """The column's cells, read-only; fill for a column that came later. Broken.

        O(cells) at first touch, then a view of the map.
        """
        file, dtype = self.file, dtype_of(column)
        for at in range(self.first, self.first + self.columns):
            if int(file.ids[at]) == column.id and file.places[at]:
                begin = int(file.places[at])
                end = begin + self.rows * dtype.itemsize
                if end > len(file.bytes):
                    raise Broken("the file ends inside the cells of a column")
                view: Array = file.bytes[begin:end].view(dtype)
                if not file.seen[at]:
                    if xxh3_64_intdigest(view.data) != int(file.checks[at]):
                        raise Broken("the cells of a column do not match their checksum")
                    file.seen[at] = 1
                return view
        return frozen(filled(column, self.rows))


class _File:
    """A file of keyframes, mapped; its directory holds."""

    def __init__(self, path: Path) -> None:
        self.path, self.bytes = path, mapped(path, HEADER.size)
        head = self.bytes[: HEADER.size].tobytes()
        magic, version, pages, columns, _, directory, check = HEADER.unpack(head)
        if magic != MAGIC or version != VERSION or check != xxh3_64_intdigest(head[:-8]):
            raise Broken("its header does not match its checksum")
        sizes = [(pages, columns)[which] * np.dtype(d).itemsize for _, d, which in DIRECTORY]
        at = HEADER.size + sum(padded(count, 8) for count in sizes)
        listed = self.bytes[HEADER.size : at]
        if at > len(self.bytes) or directory != xxh3_64_intdigest(listed.data):
            raise Broken("its directory does not match its checksum")
        found, at = [], HEADER.size
        for count, (_, dtype, _) in zip(sizes, DIRECTORY, strict=True):
            found.append(self.bytes[at : at + count].view(dtype))
            at += padded(count, 8)
        self.epochs, self.pages, self.rows, self.counts = found[:4]
        self.places, self.checks, self.ids = found[4:]
        self.seen = np.zeros(columns, "u1")
        self.alive = np.ones(pages, bool)
        self._ends = np.cumsum(self.counts, dtype=np.int64)
        sound = int(self.counts.sum(dtype=np.int64)) == columns
        sound = sound and int(self.rows.max(initial=0)) <= PAGE_ROWS
        if not sound or ((self.places < 0) | (self.places % 8 != 0)).any():
            raise Broken("its directory says what cannot be")

    def frame(self, number: int) -> Keyframe:
        """One of those it holds."""
        count, end = int(self.counts[number]), int(self._ends[number])
        epoch, rows = int(self.epochs[number]), int(self.rows[number])
        return Keyframe(self, number, epoch, rows, end - count, count)

    def column(self, id: int) -> Array:
        """By keyframe: which of the columns it is, i64; -1 where none has cells."""
        found = np.full(len(self.pages), -1, np.int64)
        own = np.flatnonzero((self.ids == id) & (self.places > 0))[::-1]  # the first counts
        found[np.searchsorted(self._ends, own, side="right")] = own
        return found


class Keyframes:
    """All keyframes of a memory, by page. They may be made and read by several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: The files that are in use.
        self.mapped: list[_File] = []
        self._table: Table[_File] | None = None  # of these
        self._found: dict[int, list[Keyframe]] = {}  # by page, of those that were asked for
        self._names: set[str] = set()
        self._used = 0  # the highest number that a file had
        #: Files that did not hold and are not used.
        self.broken: list[str] = []
        self._lock: threading.Lock
        locks(self, "_lock")

    def __len__(self) -> int:
        return len(self._tabled())

    def __bool__(self) -> bool:
        return bool(self.mapped)

    def load(self, head: int) -> list[Path]:
        """Takes in the files that came since; those of epochs beyond ``head``, which another thread
        or process may have gone beyond meanwhile, are left alone and returned. O(files)."""
        with self._lock:
            return self._load(head)

    def _load(self, head: int) -> list[Path]:
        beyond = []
        for path in self._there(self._names):
            if path.suffix:
                continue
            try:
                file = _File(path)
                if int(file.epochs.max(initial=-1)) > head:
                    beyond.append(path)
                    continue
            except FileNotFoundError:
                continue
            except (Broken, MmsbError) as error:
                self.broken.append(f"{path.name}: {error}")
            else:
                self.mapped = [*self.mapped, file]
                self._table, self._found = None, {}
            self._names.add(path.name)
        return beyond

    def _there(self, known: Container[str] = ()) -> list[Path]:
        """The files in the folder, those that were not finished too, but for the known."""
        names = (name for name in os.listdir(self.folder) if name not in known)
        return [self.folder / name for name in sorted(names) if _NAME.fullmatch(name)]

    def find(self, page: int, epoch: int) -> Keyframe | None:
        """The page's newest keyframe up to the epoch."""
        if not self.mapped:
            return None
        own = self._found.get(page)
        if own is None:
            own = self._look(page)
        at = bisect_right(own, epoch, key=attrgetter("epoch"))
        return own[at - 1] if at else None

    def _look(self, page: int) -> list[Keyframe]:
        if len(self._found) >= _REMEMBERED:
            self._found = {}
        found, table = self._found, self._tabled()
        places = map(table.place, table.of(page))
        found[page] = own = [table.files[number].frame(at) for number, at in places]
        return own

    def held(self, page: int, epoch: int, column: Column) -> tuple[int, Array] | None:
        """A column of the page's newest keyframe up to the epoch that holds, and its epoch."""
        while (frame := self.find(page, epoch)) is not None:
            try:
                return frame.epoch, frame.cells(column)
            except Broken:
                self._drop(page, frame)
        return None

    def kept(self, column: Column, wanted: Array, epoch: int) -> Kept | None:
        """`held` of all of some pages, u32, increasing, that have one; None if none has."""
        while self.mapped:
            table = self._tabled()
            chosen, whole = table.newest(wanted, epoch), True
            for one in table.unverified(column, chosen) if len(chosen) else ():
                number, at = table.place(one)
                frame = table.files[number].frame(at)
                try:
                    frame.cells(column)
                    table.verified(column, one)
                except Broken:
                    self._drop(int(frame.file.pages[at]), frame)
                    whole = False
            if whole:
                return table.kept(column, chosen) if len(chosen) else None
        return None

    def _tabled(self) -> Table[_File]:
        table = self._table
        if table is None:
            with self._lock:
                table = self._table = self._table or Table(self.mapped)
        return table

    def _drop(self, page: int, frame: Keyframe) -> None:
        """Forgets one that does not hold; what it said is in the log."""
        with self._lock:
            file, number = frame.file, frame.number
            if file.alive[number]:  # by the first that met it
                file.alive[number], self._table = False, None
                self.broken.append(f"{file.path.name}: page {page} does not match its checksum")
            self._found = {}

    def clear(self) -> list[Path]:
        """Forgets all; the files there are."""
        with self._lock:
            self._used = max(self._used, self._highest(self._names))
            self.mapped, self._table, self._found, self._names = [], None, {}, set()
            return self._there()

    def next_name(self) -> str:
        """A name that no file has had yet."""
        with self._lock:
            self._used = max(self._used, self._highest(self._names)) + 1
            return file_name(self._used)

    @staticmethod
    def _highest(names: Iterable[str]) -> int:
        return max((int(name.partition("-")[2]) for name in names), default=0)


def pack(pages: Iterable[tuple[int, int, int, dict[Column, Array]]]) -> bytes:
    """A file of (page, epoch, rows, columns), sorted by page and epoch. O(cells)."""
    held = sorted(pages, key=lambda one: one[:2])
    cells: list[tuple[int, bytes]] = []
    for _, _, rows, columns in held:
        for column, values in columns.items():
            bits = f"u{values.dtype.itemsize}"
            plain = np.array_equal(values.view(bits), filled(column, rows).view(bits))
            cells.append((column.id, b"" if plain else values.tobytes()))
    counts = (len(held), len(cells))
    sizes = (np.dtype(dtype).itemsize * counts[which] for _, dtype, which in DIRECTORY)
    at = padded(HEADER.size + sum(padded(size, 8) for size in sizes), 64)
    start, places = at, []
    for _, raw in cells:
        places.append(at if raw else 0)
        at += padded(len(raw), 64)
    entries = (
        [epoch for _, epoch, _, _ in held],
        [page for page, _, _, _ in held],
        [rows for _, _, rows, _ in held],
        [len(own) for _, _, _, own in held],
        places,
        [xxh3_64_intdigest(raw) for _, raw in cells],
        [id for id, _ in cells],
    )
    directory = b""
    for numbers, (_, dtype, _) in zip(entries, DIRECTORY, strict=True):
        raw = np.array(numbers, dtype).tobytes()
        directory += raw.ljust(padded(len(raw), 8), b"\0")
    head = HEADER.pack(MAGIC, VERSION, *counts, 0, xxh3_64_intdigest(directory), 0)[:-8]
    whole = bytearray(head + struct.pack("<Q", xxh3_64_intdigest(head)) + directory)
    whole += bytes(start - len(whole))
    for _, raw in cells:
        whole += raw + bytes(padded(len(raw), 64) - len(raw))
    return bytes(whole)

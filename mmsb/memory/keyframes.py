"""Keyframes: whole pages as of an epoch, so that reading there walks no further back.

Derived from the log and never part of it: files beside it that may be deleted, each written once.
What they hold is verified like the log, the directory when the file is opened and each column's
cells when they are first read. ``docs/format.md`` draws them.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.base.errors import MmsbError
from mmsb.base.schema import Column
from mmsb.memory.batch import PAGE_ROWS
from mmsb.memory.cells import Array, filled, frozen
from mmsb.memory.frame import Broken, padded
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
_NAME = re.compile(r"keyframes-(\d{6,})")


def file_name(number: int) -> str:
    """``keyframes-000001``."""
    return f"keyframes-{number:06d}"


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """One page as of an epoch: all columns that its kind had then."""

    file: _File
    epoch: int
    rows: int
    first: int
    columns: int

    def cells(self, column: Column, dtype: np.dtype[np.generic]) -> Array:
        """The column's cells, read-only; fill for a column that came later. Broken.

        O(cells) at first touch, then a view of the map.
        """
        file = self.file
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
        self.seen = bytearray(columns)
        sound = int(self.counts.sum(dtype=np.int64)) == columns
        sound = sound and int(self.rows.max(initial=0)) <= PAGE_ROWS
        if not sound or ((self.places < 0) | (self.places % 8 != 0)).any():
            raise Broken("its directory says what cannot be")

    def frames(self) -> Iterable[tuple[int, Keyframe]]:
        """(page, keyframe) of all it holds."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        for at, end in enumerate(ends.tolist()):
            count = int(self.counts[at])
            frame = Keyframe(self, int(self.epochs[at]), int(self.rows[at]), end - count, count)
            yield int(self.pages[at]), frame


class Keyframes:
    """All keyframes of a memory, by page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_page: dict[int, list[Keyframe]] = {}
        self.files: list[Path] = []
        #: Those that are in use.
        self.mapped: list[_File] = []
        self._used = 0  # the highest number that a file had
        #: Files that did not hold and are not used.
        self.broken: list[str] = []

    def __len__(self) -> int:
        return sum(map(len, self._by_page.values()))

    def load(self, head: int) -> None:
        """Takes in the files that came since; those of epochs beyond ``head`` are left alone."""
        there = sorted(p for p in self.folder.iterdir() if _NAME.fullmatch(p.name))
        for path in there:
            if path not in self.files:
                self.files.append(path)
                try:
                    file = _File(path)
                    if len(file.epochs) and int(file.epochs.max()) > head:
                        raise Broken("it tells of epochs that are not there")
                except FileNotFoundError:
                    continue
                except (Broken, MmsbError) as error:
                    self.broken.append(f"{path.name}: {error}")
                    continue
                self.mapped.append(file)
                for page, frame in file.frames():
                    own = [*self._by_page.get(page, ()), frame]
                    self._by_page[page] = sorted(own, key=attrgetter("epoch"))

    def find(self, page: int, epoch: int) -> Keyframe | None:
        """The page's newest keyframe up to the epoch."""
        if not self._by_page:
            return None
        own = self._by_page.get(page)
        if own is None:
            return None
        at = bisect_right(own, epoch, key=attrgetter("epoch"))
        return own[at - 1] if at else None

    def drop(self, page: int, frame: Keyframe) -> None:
        """Forgets one that does not hold; what it said is in the log."""
        self.broken.append(f"{frame.file.path.name}: page {page} does not match its checksum")
        self._by_page[page] = [own for own in self._by_page[page] if own is not frame]

    def clear(self) -> list[Path]:
        """Forgets all; the files there were."""
        files, self.files, self._by_page, self.mapped = self.files, [], {}, []
        self._used = max(self._used, self._highest(files))
        return files

    def next_name(self) -> str:
        """A name that no file has had yet."""
        self._used = max(self._used, self._highest(self.files)) + 1
        return file_name(self._used)

    @staticmethod
    def _highest(files: list[Path]) -> int:
        return max((int(m.group(1)) for p in files if (m := _NAME.fullmatch(p.name))), default=0)


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

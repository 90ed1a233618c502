"""A segment's index as a file beside it: what opening would otherwise read every frame for.

Derived, and checked in two parts: what opening needs (pages, schemas, tombstones), and what reading
needs (batch rows, the order by page), mapped and verified when a run is first used. A file that is
not there, does not hold, or was made for another state of the segment is made anew from the frames.
``docs/format.md`` draws it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.memory.cells import Array
from mmsb.memory.folded import OF_BATCHES, OF_FRAMES, fold, unfold
from mmsb.memory.frame import ALIGN, Broken, padded
from mmsb.memory.kernels_fields import BATCH_FIELDS, DELTAS
from mmsb.memory.opening import mapped
from mmsb.memory.order import Order, sorted_by_page
from mmsb.memory.rows import places_hold

MAGIC = b"mmsbidx\0"
VERSION = 2
#: What the header counts.
COUNTS = (
    "segment",  # its number
    "end",  # the place in it up to which this holds
    "mark",  # the last frame's own checksum: which segment it is
    "first_epoch",
    "first_page",
    "epochs",
    "pages",  # created
    "dead",  # deleted
    "grown",  # times that rows were appended to a table
    "schema",  # bytes
    "batches",
    "deltas",
    "blocks",  # of buffers
    "named",  # distinct pages of its deltas
    "widths",  # two bits for each array: 1, 2, 4 or 8 bytes
)
#: magic, version, 0, counts, checks of both parts, check of what is before it
HEADER = struct.Struct(f"<8sII{len(COUNTS)}Q3Q")
#: (name, dtype when read, which count, more) in stored order, each padded to 8 and as narrow as its
#: greatest number allows.
_OPENING = (
    ("upto", "<i8", "epochs", 0),  # by epoch: pages there are; stored: those created
    ("page_kind", "<u2", "pages", 0),
    ("page_subject", "<u4", "pages", 0),
    ("dead_page", "<u4", "dead", 0),
    ("dead_epoch", "<i8", "dead", 0),
    ("grown_kind", "<u2", "grown", 0),
    ("grown_epoch", "<i8", "grown", 0),
    ("grown_rows", "<i8", "grown", 0),
    ("schema", "u1", "schema", 0),
)
_READING = (
    ("frames", "<i8", "epochs", 0),  # by epoch: where its frame lies; stored: from the one before
    *((name, "<i8", "epochs", 0) for name in OF_FRAMES),
    *((name, "<i8", "batches", 0) for name in OF_BATCHES),
    ("numbers", "<u4", "deltas", 0),
    ("names", "<u4", "named", 0),
    ("begins", "<u4", "named", 1),
)
_WIDTHS = (1, 2, 4, 8)


def file_name(number: int) -> str:
    """``index-000001``."""
    return f"index-{number:06d}"


class Outdated(Broken):
    """A file of an earlier version: as good as none."""


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """What opening needs of a segment."""

    upto: Array
    page_kind: Array
    page_subject: Array
    dead_page: Array
    dead_epoch: Array
    grown_kind: Array
    grown_epoch: Array
    grown_rows: Array
    schema: Array


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What reading needs: by epoch where its frame lies; the batch rows; the deltas' order."""

    frames: Array
    table: Array
    order: Order
    blocks: int


class Sidecar:
    """An index file, mapped. Its header and first part hold; ``reading`` verifies the second."""

    def __init__(self, folder: Path, number: int) -> None:
        """FileNotFoundError, Broken, MmsbError as `open_file`."""
        self.path = folder / file_name(number)
        self._bytes = mapped(self.path, HEADER.size)
        head = self._bytes[: HEADER.size].tobytes()
        magic, version, _, *counts, opening, self._check, check = HEADER.unpack(head)
        if magic == MAGIC and version == 1:
            raise Outdated("it is of version 1")
        if magic != MAGIC or version != VERSION or check != xxh3_64_intdigest(head[:-8]):
            raise Broken("its header does not match its checksum")
        self.counts = dict(zip(COUNTS, counts, strict=True))
        self._places, self._split, end = _places(self.counts)
        if self.counts["segment"] != number or end != len(self._bytes):
            raise Broken("it is not as long as its counts say")
        if max(self.counts["end"], self.counts["blocks"]) >= 2**40 or not self.counts["epochs"]:
            raise Broken("its counts are out of bounds")
        if xxh3_64_intdigest(self._bytes[HEADER.size : self._split].data) != opening:
            raise Broken("its first part does not match its checksum")
        held = self._arrays(_OPENING)
        self._created = held["upto"]
        self.opening = Opening(**held | {"upto": self.counts["first_page"] + held["upto"].cumsum()})

    def reading(self) -> Reading:
        """The second part; Broken if it does not hold or leads out of the segment. O(bytes)."""
        if xxh3_64_intdigest(self._bytes[self._split :].data) != self._check:
            raise Broken("its second part does not match its checksum")
        counts, held = self.counts, self._arrays(_READING)
        order = Order(0, counts["deltas"], held["numbers"], held["names"], held["begins"])
        end, blocks, batches = counts["end"], counts["blocks"], counts["batches"]
        frames, owned = held["frames"].cumsum(), held["held"]
        sound = int(frames[0]) > 0 and bool((np.diff(frames) > 0).all())
        sound = sound and int(frames[-1]) + ALIGN <= end and order.holds()
        sound = sound and bool(((owned >= 0) & (owned <= batches)).all())
        sound = sound and int(owned.sum()) == batches
        if sound:
            rows = unfold(held, frames, self._created, counts["first_epoch"])
            sound = int(rows[:, DELTAS].sum()) == counts["deltas"]
        if not (sound and places_hold(rows, frames, counts["first_epoch"], end, blocks)):
            raise Broken("its second part does not fit the segment")
        return Reading(frames, rows.reshape(-1), order, blocks)

    def _arrays(self, parts: Sequence[_Part]) -> dict[str, Array]:
        found = {}
        for name, dtype, count, more in parts:
            place, width = self._places[name]
            stored = self._bytes[place : place + width * (self.counts[count] + more)]
            found[name] = stored.view(f"<u{width}").astype(dtype, copy=False)
        return found


_Part = tuple[str, str, str, int]


def _places(counts: dict[str, int]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Where each array begins, and bytes of its numbers; where the second part begins and ends."""
    places, at, split = {}, HEADER.size, HEADER.size
    for number, (name, _, count, more) in enumerate((*_OPENING, *_READING)):
        width = _WIDTHS[counts["widths"] >> 2 * number & 3]
        split = at if number == len(_OPENING) else split
        places[name] = at, width
        at += padded(width * (counts[count] + more), 8)
    return places, split, at


def split_of(raw: bytes | bytearray) -> int:
    """Where an index file's second part begins, by its header."""
    counts = dict(zip(COUNTS, HEADER.unpack_from(raw)[3:-3], strict=True))
    return _places(counts)[1]


def pack(opening: Opening, readings: Sequence[Reading], pages: Array, **counts: int) -> bytes:
    """The file's bytes. ``readings`` follow each other in the segment; ``pages`` has the page of
    each of their deltas; ``counts``: segment, end, mark, first_epoch, first_page. O(deltas)."""
    order = sorted_by_page(pages, 0)
    table = np.concatenate([reading.table for reading in readings])
    frames = np.concatenate([reading.frames for reading in readings])
    counts |= {
        "epochs": len(frames),
        "pages": len(opening.page_kind),
        "dead": len(opening.dead_page),
        "grown": len(opening.grown_kind),
        "schema": len(opening.schema),
        "batches": len(table) // len(BATCH_FIELDS),
        "deltas": len(pages),
        "blocks": sum(reading.blocks for reading in readings),
        "named": len(order.pages),
        "widths": 0,
    }
    rows = table.reshape(-1, len(BATCH_FIELDS))
    held = {name: getattr(opening, name) for name, *_ in _OPENING}
    held |= fold(rows, counts["first_epoch"], len(frames))
    held |= {"numbers": order.numbers, "names": order.pages, "begins": order.begins}
    held["upto"] = np.diff(opening.upto, prepend=counts["first_page"])
    held["frames"] = np.diff(frames, prepend=0)
    parts = []
    for number, (name, *_) in enumerate((*_OPENING, *_READING)):
        code = next(c for c, w in enumerate(_WIDTHS) if int(held[name].max(initial=0)) < 256**w)
        counts["widths"] |= code << 2 * number
        parts.append(_padded(held[name], f"<u{_WIDTHS[code]}"))
    first, second = b"".join(parts[: len(_OPENING)]), b"".join(parts[len(_OPENING) :])
    head = HEADER.pack(
        MAGIC,
        VERSION,
        0,
        *(counts[name] for name in COUNTS),
        xxh3_64_intdigest(first),
        xxh3_64_intdigest(second),
        0,
    )[:-8]
    return head + struct.pack("<Q", xxh3_64_intdigest(head)) + first + second


def _padded(array: Array, dtype: str) -> bytes:
    raw = array.astype(dtype, copy=False).tobytes()
    return raw.ljust(padded(len(raw), 8), b"\0")

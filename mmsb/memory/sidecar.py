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
from mmsb.memory.frame import ALIGN, Broken, padded
from mmsb.memory.kernels_fields import BATCH_FIELDS, BLOCK, DELTAS, FIRST
from mmsb.memory.opening import mapped
from mmsb.memory.order import Order, sorted_by_page
from mmsb.memory.rows import places_hold

MAGIC = b"mmsbidx\0"
VERSION = 1
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
)
#: magic, version, 0, counts, checks of both parts, check of what is before it
HEADER = struct.Struct(f"<8sII{len(COUNTS)}Q3Q")
#: (name, dtype, which count, more) in stored order, each padded to 8.
OPENING = (
    ("upto", "<i8", "epochs", 0),  # by epoch: pages there are
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
    ("frames", "<i8", "epochs", 0),  # by epoch: where its frame lies
    ("numbers", "<u4", "deltas", 0),
    ("names", "<u4", "named", 0),
    ("begins", "<u4", "named", 1),
)


def file_name(number: int) -> str:
    """``index-000001``."""
    return f"index-{number:06d}"


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """What opening needs of a segment (`OPENING`)."""

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
        if magic != MAGIC or version != VERSION or check != xxh3_64_intdigest(head[:-8]):
            raise Broken("its header does not match its checksum")
        self.counts = dict(zip(COUNTS, counts, strict=True))
        places, self._split = _places(OPENING, self.counts, HEADER.size)
        self._places, end = _places(_READING, self.counts, self._split + self._table_bytes)
        if self.counts["segment"] != number or end != len(self._bytes):
            raise Broken("it is not as long as its counts say")
        if max(self.counts["end"], self.counts["blocks"]) >= 2**40 or not self.counts["epochs"]:
            raise Broken("its counts are out of bounds")
        if xxh3_64_intdigest(self._bytes[HEADER.size : self._split].data) != opening:
            raise Broken("its first part does not match its checksum")
        self.opening = Opening(**self._arrays(OPENING, places))

    @property
    def _table_bytes(self) -> int:
        return int(self.counts["batches"]) * 8 * len(BATCH_FIELDS)

    def reading(self) -> Reading:
        """The second part; Broken if it does not hold or leads out of the segment. O(bytes)."""
        if xxh3_64_intdigest(self._bytes[self._split :].data) != self._check:
            raise Broken("its second part does not match its checksum")
        counts = self.counts
        table = self._bytes[self._split : self._split + self._table_bytes].view("<i8")
        held = self._arrays(_READING, self._places)
        order = Order(0, counts["deltas"], held["numbers"], held["names"], held["begins"])
        frames, rows = held["frames"], table.reshape(-1, len(BATCH_FIELDS))
        sound = len(frames) > 0 and frames[0] > 0 and bool((np.diff(frames) > 0).all())
        sound = sound and int(frames[-1]) + ALIGN <= counts["end"] and order.holds()
        sound = sound and int(rows[:, DELTAS].sum()) == counts["deltas"]
        end, blocks = counts["end"], counts["blocks"]
        if not (sound and places_hold(rows, frames, counts["first_epoch"], end, blocks)):
            raise Broken("its second part does not fit the segment")
        return Reading(frames, table, order, blocks)

    def _arrays(self, parts: Sequence[_Part], places: dict[str, int]) -> dict[str, Array]:
        found = {}
        for name, dtype, count, more in parts:
            size = np.dtype(dtype).itemsize * (self.counts[count] + more)
            found[name] = self._bytes[places[name] : places[name] + size].view(dtype)
        return found


_Part = tuple[str, str, str, int]


def _places(parts: Sequence[_Part], counts: dict[str, int], at: int) -> tuple[dict[str, int], int]:
    places = {}
    for name, dtype, count, more in parts:
        places[name] = at
        at += padded(np.dtype(dtype).itemsize * (counts[count] + more), 8)
    return places, at


def pack(opening: Opening, readings: Sequence[Reading], pages: Array, **counts: int) -> bytes:
    """The file's bytes. ``readings`` follow each other in the segment; ``pages`` has the page of
    each of their deltas; ``counts``: segment, end, mark, first_epoch, first_page. O(deltas)."""
    tables, deltas, blocks = [], 0, 0
    for reading in readings:
        rows = reading.table.reshape(-1, len(BATCH_FIELDS)).copy()
        rows[:, FIRST] += deltas
        rows[:, BLOCK] += blocks
        tables.append(rows.reshape(-1))
        deltas, blocks = deltas + reading.order.high, blocks + reading.blocks
    order = sorted_by_page(pages, 0)
    table = np.concatenate(tables)
    frames = np.concatenate([reading.frames for reading in readings])
    counts |= {
        "epochs": len(frames),
        "pages": len(opening.page_kind),
        "dead": len(opening.dead_page),
        "grown": len(opening.grown_kind),
        "schema": len(opening.schema),
        "batches": len(table) // len(BATCH_FIELDS),
        "deltas": deltas,
        "blocks": blocks,
        "named": len(order.pages),
    }
    first = b"".join(_padded(getattr(opening, name), dtype) for name, dtype, _, _ in OPENING)
    held = {"frames": frames, "numbers": order.numbers, "names": order.pages}
    held["begins"] = order.begins
    second = table.astype("<i8", copy=False).tobytes()
    second += b"".join(_padded(held[name], dtype) for name, dtype, _, _ in _READING)
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

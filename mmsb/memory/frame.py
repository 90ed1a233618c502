"""One frame of the log, the bytes of one commit: how it is laid out, written and verified.

``docs/format.md`` draws it. A frame is a header, the checksums of its blocks, and a payload: the
delta table as columns, then the column buffers. Table and buffers share no block, so a damaged
buffer leaves the table readable. Nothing is decoded here but the layout.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.base.errors import NewerFormat
from mmsb.memory.cells import Array

if TYPE_CHECKING:
    from mmsb.memory.segment import Segment

VERSION = 1
MAGIC = b"mmsbfrm\0"
BLOCK = 64 * 1024
ALIGN = 64
#: magic, version, source, flags, epoch, payload bytes, table bytes, first page, 0, sums, check
HEADER = struct.Struct("<8sIHHQQQIIQQ")
#: bytes of schema; numbers of pages, batches, batch columns, deltas; three zeros
COUNTS = struct.Struct("<8I")

SPARSE = 1
TOMBSTONE = 2


def padded(size: int, to: int) -> int:
    """``size`` rounded up to a multiple of ``to``."""
    return -(-size // to) * to


class Broken(Exception):
    """A frame that does not hold; whether that is a torn tail or damage, the log decides."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What a frame says about its deltas, as columns. The order of fields is the stored order.

    Batch b holds the next ``batch_deltas[b]`` deltas and the next ``batch_columns[b]`` column ids;
    each of its column buffers has ``batch_rows[b]`` cells, of which delta d owns those from
    ``delta_offset[d]`` up to the next delta's offset.
    """

    page_subject: Array  # u32, symbol id; NONE for the page of an append-only kind
    batch_deltas: Array  # u32
    batch_rows: Array  # u32
    batch_columns: Array  # u32
    delta_page: Array  # u32
    delta_start: Array  # u32, half-open rows [start, stop)
    delta_stop: Array  # u32
    delta_offset: Array  # u32, in cells of the batch
    page_kind: Array  # u16
    batch_kind: Array  # u16
    batch_flags: Array  # u16, SPARSE or TOMBSTONE
    column_id: Array  # u16
    schema: bytes

    def encode(self) -> bytes:
        """The stored bytes, padded to 8."""
        arrays = [getattr(self, name) for name, _, _ in _LAYOUT]
        counts = [self.page_kind, self.batch_kind, self.column_id, self.delta_page]
        head = COUNTS.pack(len(self.schema), *(len(array) for array in counts), 0, 0, 0)
        raw = b"".join([head, *(array.tobytes() for array in arrays), self.schema])
        return raw.ljust(padded(len(raw), 8), b"\0")

    @classmethod
    def decode(cls, raw: Array) -> Table:
        """Views of the stored bytes; Broken if they are too short for the counts."""
        if len(raw) < COUNTS.size:
            raise Broken("its table is too short")
        schema, pages, batches, columns, deltas, *_ = COUNTS.unpack_from(raw.data)
        counts = {"pages": pages, "batches": batches, "columns": columns, "deltas": deltas}
        views: dict[str, Array] = {}
        at = COUNTS.size
        for name, dtype, count in _LAYOUT:
            end = at + np.dtype(dtype).itemsize * counts[count]
            if end > len(raw):
                raise Broken("its table is shorter than its counts say")
            views[name] = raw[at:end].view(dtype)
            at = end
        if padded(at + schema, 8) != len(raw):
            raise Broken("its table is not as long as its counts say")
        return cls(**views, schema=raw[at : at + schema].tobytes())


def _layout() -> tuple[tuple[str, str, str], ...]:
    counts = {"page": "pages", "batch": "batches", "delta": "deltas", "column": "columns"}
    narrow = {"page_kind", "batch_kind", "batch_flags", "column_id"}
    names = [field.name for field in fields(Table) if field.name != "schema"]
    return tuple(
        (name, "<u2" if name in narrow else "<u4", counts[name.split("_")[0]]) for name in names
    )


#: (field, dtype, which count) in stored order; wide before narrow, so each is aligned.
_LAYOUT = _layout()


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a payload is cut for checksums: the table, then the buffers, by at most 64 KiB each."""

    table: int
    payload: int

    def __len__(self) -> int:
        return self._of(self.table) + self._of(self.payload - self.table)

    def span(self, block: int) -> tuple[int, int]:
        """The payload bytes [start, stop) of a block."""
        own = block - self._of(self.table)
        start, end = (
            (block * BLOCK, self.table) if own < 0 else (self.table + own * BLOCK, self.payload)
        )
        return start, min(start + BLOCK, end)

    def covering(self, start: int, stop: int) -> range:
        """The blocks that hold payload bytes [start, stop)."""
        return range(self._at(start), self._at(stop - 1) + 1) if start < stop else range(0)

    def _at(self, byte: int) -> int:
        if byte < self.table:
            return byte // BLOCK
        return self._of(self.table) + (byte - self.table) // BLOCK

    @staticmethod
    def _of(size: int) -> int:
        return -(-size // BLOCK)

    @property
    def frame_size(self) -> int:
        """Bytes the whole frame takes in a segment, a multiple of 64."""
        return padded(HEADER.size + 8 * len(self) + self.payload, ALIGN)


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A frame before it has a place in the log."""

    epoch: int
    source: int
    first_page: int
    table_bytes: int
    payload: bytearray

    @property
    def size(self) -> int:
        """Bytes it will take in a segment, a multiple of 64."""
        return Blocks(self.table_bytes, len(self.payload)).frame_size

    def render(self, segment: int, offset: int) -> bytes:
        """The frame's bytes at that place; the header's checksum covers the place too."""
        view = memoryview(self.payload)
        blocks = Blocks(self.table_bytes, len(view))
        spans = [blocks.span(block) for block in range(len(blocks))]
        sums = np.array([xxh3_64_intdigest(view[at:end]) for at, end in spans], "<u8").tobytes()
        fields = (MAGIC, VERSION, self.source, 0, self.epoch, len(view), self.table_bytes)
        head = HEADER.pack(*fields, self.first_page, 0, xxh3_64_intdigest(sums), 0)[:-8]
        check = struct.pack("<Q", xxh3_64_intdigest(head, _place(segment, offset)))
        return b"".join([head, check, sums, view]).ljust(self.size, b"\0")


def _place(segment: int, offset: int) -> int:
    return (segment << 40 | offset) & (2**64 - 1)


class Frame:
    """A stored frame. Its header and table are verified; buffers are, at first touch."""

    __slots__ = (
        "_seen",
        "_sums",
        "at",
        "blocks",
        "epoch",
        "first_page",
        "offset",
        "payload",
        "segment",
        "size",
        "source",
        "table",
        "table_bytes",
    )

    def __init__(self, segment: Segment, offset: int, end: int) -> None:
        """Reads header and table at ``offset``; Broken if they do not hold before ``end``."""
        self.segment, self.offset = segment, offset
        raw = segment.bytes
        if offset + HEADER.size > end:
            raise Broken("the segment ends inside its header")
        head = raw[offset : offset + HEADER.size].tobytes()
        magic, version, self.source, _, self.epoch, *rest = HEADER.unpack(head)
        self.payload, self.table_bytes, self.first_page, _, sums, check = rest
        if magic != MAGIC or check != xxh3_64_intdigest(head[:-8], _place(segment.number, offset)):
            raise Broken("its header does not match its checksum")
        if version > VERSION:
            raise NewerFormat(
                f"{segment.name} at offset {offset} has frame version {version}, this mmsb reads "
                f"up to {VERSION}; upgrade mmsb"
            )
        self.blocks = Blocks(self.table_bytes, self.payload)
        self.size = self.blocks.frame_size
        if offset + self.size > end or self.table_bytes > self.payload:
            raise Broken("the segment ends inside it")
        self.at = offset + HEADER.size + 8 * len(self.blocks)
        self._sums = raw[offset + HEADER.size : self.at].view("<u8")
        if xxh3_64_intdigest(self._sums.tobytes()) != sums:
            raise Broken("its list of checksums does not match its checksum")
        self._seen = bytearray(len(self._sums))
        if self.unsound(0, self.table_bytes):
            raise Broken("its table does not match its checksum")
        self.table = Table.decode(self.cells(0, self.table_bytes))

    def unsound(self, start: int, stop: int) -> list[int]:
        """Blocks that hold payload bytes [start, stop) and fail their checksum.

        Each block is hashed once a process: O(bytes) at first touch, O(blocks) later.
        """
        bad = []
        for block in self.blocks.covering(start, stop):
            if not self._seen[block]:
                if xxh3_64_intdigest(self.cells(*self.blocks.span(block)).data) == int(
                    self._sums[block]
                ):
                    self._seen[block] = 1
                else:
                    bad.append(block)
        return bad

    def cells(self, start: int, stop: int, dtype: np.dtype[np.generic] | str = "u1") -> Array:
        """Payload bytes [start, stop) as a read-only view of the map; does not verify."""
        view: Array = self.segment.bytes[self.at + start : self.at + stop].view(dtype)
        return view

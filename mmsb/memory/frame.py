"""One frame of the log, the bytes of one commit: how it is laid out, written and verified.

``docs/format.md`` draws it. A frame is a header, the checksums of its blocks, and a payload: the
delta table as columns, then the column buffers. Table and buffers share no block, so a damaged
buffer leaves the table readable. Nothing is decoded here but the layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from xxhash import xxh3_64, xxh3_64_digest, xxh3_64_intdigest

from mmsb.base.errors import NewerFormat
from mmsb.memory.cells import Array

if TYPE_CHECKING:
    from mmsb.memory.disk import File
    from mmsb.memory.segment import Segment

VERSION = 3
#: Of a frame without a SHAPED batch, so that who knows no others reads it.
PLAIN = 2
MAGIC = b"mmsbfrm\0"
BLOCK = 64 * 1024
ALIGN = 64
#: magic, version, source, 0, epoch, payload bytes, table bytes, first page, 0, sums, check
HEADER = struct.Struct("<8sIHHQQQIIQQ")
_HEAD = struct.Struct("<8sIHHQQQIIQ")  # without its own check
_CHECK = struct.Struct("<Q")
_ZEROS = bytes(ALIGN)
#: A larger frame is copied and written in pieces of so many bytes, which stay in a core's cache.
CHUNK = 16 * BLOCK
#: bytes of schema; numbers of pages, batches, batch columns, deltas, spans; two zeros
COUNTS = struct.Struct("<8I")

SPARSE = 1
TOMBSTONE = 2
#: Dense, and all deltas of the batch have equally many rows: only their first row is stored.
UNIFORM = 4
#: Its columns' ids are followed by as many shapes (`mmsb.memory.shapes`), and its buffers lie at
#: multiples of a stored cell's bytes. If it is sparse, row numbers have 4 >> n bytes, n being the
#: next two bits.
SHAPED = 8
#: All bits that a batch's flags may have.
FLAGS = 63


def padded(size: int, to: int) -> int:
    """``size`` rounded up to a multiple of ``to``."""
    return -(-size // to) * to


class Broken(Exception):
    """A frame that does not hold; whether that is a torn tail or damage, the log decides."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What a frame says about its deltas, as columns. The order of fields is the stored order.

    Batch b holds the next ``batch_deltas[b]`` deltas and the next ``batch_columns[b]`` column ids
    (then their shapes, if it is SHAPED); each of its column buffers has ``batch_rows[b]`` cells, or
    one for each delta. In a UNIFORM batch every delta owns
    equally many of them; else each delta has the next span: the row it stops before, and its first
    cell, its last being before the next delta's first.
    """

    page_subject: Array  # u32, symbol id; NONE for the page of an append-only kind
    batch_deltas: Array  # u32
    batch_rows: Array  # u32
    batch_columns: Array  # u32
    delta_page: Array  # u32
    delta_start: Array  # u32, half-open rows [start, stop)
    span_stop: Array  # u32
    span_offset: Array  # u32, in cells of the batch
    page_kind: Array  # u16
    batch_kind: Array  # u16
    batch_flags: Array  # u16, SPARSE, TOMBSTONE or UNIFORM; SHAPED
    column_id: Array  # u16; of a SHAPED batch the shapes too
    schema: bytes

    def encode(self) -> bytes:
        """The stored bytes, padded to 8."""
        arrays = [np.ascontiguousarray(getattr(self, name)) for name, _, _ in LAYOUT]
        counts = [self.page_kind, self.batch_kind, self.column_id, self.delta_page, self.span_stop]
        head = COUNTS.pack(len(self.schema), *(len(array) for array in counts), 0, 0)
        size = COUNTS.size + sum(array.nbytes for array in arrays) + len(self.schema)
        parts: list[Any] = [head, *arrays, self.schema, _ZEROS[: -size & 7]]
        return b"".join(parts)

    @classmethod
    def decode(cls, raw: Array, version: int = VERSION) -> Table:
        """Views of the stored bytes; Broken if they are too short for the counts."""
        if len(raw) < COUNTS.size:
            raise Broken("its table is too short")
        schema, pages, batches, columns, deltas, spans, *_ = COUNTS.unpack_from(raw.data)
        counts = {"pages": pages, "batches": batches, "columns": columns, "deltas": deltas}
        counts["spans"] = spans if version > 1 else deltas  # version 1 had one for each delta
        views: dict[str, Array] = {}
        at = COUNTS.size
        for name, dtype, count in LAYOUT:
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
    counts["span"] = "spans"
    narrow = {"page_kind", "batch_kind", "batch_flags", "column_id"}
    names = [field.name for field in fields(Table) if field.name != "schema"]
    return tuple(
        (name, "<u2" if name in narrow else "<u4", counts[name.split("_")[0]]) for name in names
    )


#: (field, dtype, which count) in stored order; wide before narrow, so each is aligned.
LAYOUT = _layout()


def table_places(table: Table) -> dict[str, int]:
    """Where in a frame's payload each array of its table begins."""
    places, at = {}, COUNTS.size
    for name, _, _ in LAYOUT:
        places[name], at = at, at + getattr(table, name).nbytes
    return places


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a payload is cut for checksums: the table, then the buffers, by at most 64 KiB each."""

    table: int
    payload: int

    def __len__(self) -> int:
        return self.of_table + self.of_buffers

    @property
    def of_table(self) -> int:
        """How many hold the table."""
        return self._of(self.table)

    @property
    def of_buffers(self) -> int:
        """How many hold the buffers."""
        return self._of(self.payload - self.table)

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


class Draft:
    """A frame before it has a place in the log."""

    __slots__ = (
        "at",
        "blocks",
        "end",
        "epoch",
        "first_page",
        "parts",
        "size",
        "source",
        "table",
        "version",
    )

    def __init__(
        self,
        epoch: int,
        source: int,
        first_page: int,
        table: bytes,
        buffers: Sequence[Any],
        total: int | None = None,
        version: int = PLAIN,
    ) -> None:
        """``table``, and all ``buffers`` together (``total``), are multiples of 8 bytes long.

        Buffers are what has contiguous bytes, arrays too where ``total`` is given; they are copied
        once. O(bytes).
        """
        self.epoch, self.source, self.first_page = epoch, source, first_page
        self.version = version
        if total is None:
            total = sum(map(len, buffers))
        self.table = len(table)
        #: How many blocks of buffers there are.
        self.blocks = blocks = (total + BLOCK - 1) // BLOCK
        #: Where its payload begins and ends, and bytes it will take in a segment.
        self.at = HEADER.size + 8 * (blocks + (self.table + BLOCK - 1) // BLOCK)
        self.end = end = self.at + self.table + total
        self.size = end + (-end & ALIGN - 1)
        self.parts = (table, *buffers, _ZEROS[: -end & ALIGN - 1])

    def write(self, file: File, segment: int, offset: int) -> None:
        """Writes the frame at that place, the payload before what says that it is one. OSError."""
        if self.size <= CHUNK:
            file.write(self.render(segment, offset), offset)
            return
        sums: list[bytes] = []
        at = offset + self.at
        for stream in (self.parts[:1], self.parts[1:-1]):
            for chunk in _chunks(stream):
                cuts = range(0, len(chunk), BLOCK)
                sums += [xxh3_64_digest(chunk[low : low + BLOCK])[::-1] for low in cuts]
                file.write(chunk, at)
                at += len(chunk)
        if self.parts[-1]:
            file.write(self.parts[-1], at)
        file.write(self._head(b"".join(sums), segment, offset), offset)

    def render(self, segment: int, offset: int) -> bytes | bytearray:
        """The frame's bytes at that place; the header's checksum covers the place too."""
        parts = self.parts
        if self.blocks == 1 and self.table <= BLOCK:
            buffers = xxh3_64(parts[1])
            for part in parts[2:-1]:
                buffers.update(part)
            sums = _TWO.pack(xxh3_64_intdigest(parts[0]), buffers.intdigest())
            return b"".join((self._head(sums, segment, offset), *parts))
        raw, at, end = bytearray().join((bytes(self.at), *parts)), self.at, self.end
        view, split = memoryview(raw), at + self.table
        cuts = [*range(at, split, BLOCK), *range(split, end, BLOCK), end]
        sums = b"".join(xxh3_64_digest(view[low:high])[::-1] for low, high in pairwise(cuts))
        raw[:at] = self._head(sums, segment, offset)
        return raw

    def _head(self, sums: bytes, segment: int, offset: int) -> bytes:
        """Header and list of checksums."""
        head = _HEAD.pack(
            MAGIC,
            self.version,
            self.source,
            0,
            self.epoch,
            self.end - self.at,
            self.table,
            self.first_page,
            0,
            xxh3_64_intdigest(sums),
        )
        return head + _CHECK.pack(xxh3_64_intdigest(head, seed_of(segment, offset))) + sums


def _chunks(parts: Sequence[Any]) -> Iterator[memoryview]:
    """The parts end to end in pieces of CHUNK bytes; a piece lasts until the next is taken."""
    view, filled = memoryview(bytearray(CHUNK)), 0
    for part in parts:
        given = memoryview(part).cast("B")
        at = 0
        while at < len(given):
            count = min(CHUNK - filled, len(given) - at)
            view[filled : filled + count] = given[at : at + count]
            filled, at = filled + count, at + count
            if filled == CHUNK:
                yield view
                filled = 0
    if filled:
        yield view[:filled]


_TWO = struct.Struct("<2Q")


class Moved:
    """A stored frame on its way to another place: the same but for its header's own checksum."""

    __slots__ = ("_frame", "epoch", "size")

    def __init__(self, frame: Frame) -> None:
        self._frame, self.epoch, self.size = frame, frame.epoch, frame.size

    def render(self, segment: int, offset: int) -> bytearray:
        """The frame's bytes at that place. What does not match its checksum still does not."""
        at = self._frame.offset
        raw = bytearray(self._frame.segment.bytes[at : at + self.size].data)
        check = xxh3_64_intdigest(raw[: _HEAD.size], seed_of(segment, offset))
        raw[_HEAD.size : HEADER.size] = _CHECK.pack(check)
        return raw

    def write(self, file: File, segment: int, offset: int) -> None:
        """Writes these bytes there; OSError."""
        file.write(self.render(segment, offset), offset)


def seed_of(segment: int, offset: int) -> int:
    return (segment << 40 | offset) & (2**64 - 1)


class Frame:
    """A stored frame. Its header and table are verified; buffers when `unsound` is asked."""

    __slots__ = (
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
        "version",
    )

    def __init__(self, segment: Segment, offset: int, end: int, *, table: bool = True) -> None:
        """Reads header and table at ``offset``; Broken if they do not hold before ``end``.

        Without ``table`` it is neither read nor verified.
        """
        self.segment, self.offset = segment, offset
        raw = segment.bytes
        if offset + HEADER.size > end:
            raise Broken("the segment ends inside its header")
        segment.ensure(offset, offset + HEADER.size)
        head = raw[offset : offset + HEADER.size].tobytes()
        magic, self.version, self.source, _, self.epoch, *rest = HEADER.unpack(head)
        self.payload, self.table_bytes, self.first_page, _, sums, check = rest
        if magic != MAGIC or check != xxh3_64_intdigest(head[:-8], seed_of(segment.number, offset)):
            raise Broken("its header does not match its checksum")
        if self.version > VERSION:
            raise NewerFormat(
                f"{segment.name} at offset {offset} has frame version {self.version}, this mmsb "
                f"reads up to {VERSION}; upgrade mmsb"
            )
        self.blocks = Blocks(self.table_bytes, self.payload)
        self.size = self.blocks.frame_size
        if offset + self.size > end or self.table_bytes > self.payload:
            raise Broken("the segment ends inside it")
        self.at = offset + HEADER.size + 8 * len(self.blocks)
        segment.ensure(offset, self.at)
        self._sums = raw[offset + HEADER.size : self.at].view("<u8")
        if xxh3_64_intdigest(self._sums.tobytes()) != sums:
            raise Broken("its list of checksums does not match its checksum")
        if table:
            if self.unsound(0, self.table_bytes):
                raise Broken("its table does not match its checksum")
            self.table = Table.decode(self.cells(0, self.table_bytes), self.version)

    def unsound(self, start: int, stop: int) -> list[int]:
        """Blocks that hold payload bytes [start, stop) and fail their checksum. O(bytes)."""
        return [block for block in self.blocks.covering(start, stop) if not self.holds(block)]

    def holds(self, block: int) -> bool:
        """Does the block match its checksum? O(bytes)."""
        try:
            found = xxh3_64_intdigest(self.cells(*self.blocks.span(block)).data)
        except Broken:  # the segment is compressed, and what holds the block does not hold
            return False
        return found == int(self._sums[block])

    def cells(self, start: int, stop: int, dtype: np.dtype[np.generic] | str = "u1") -> Array:
        """Payload bytes [start, stop) as a read-only view of the map; does not verify. Broken."""
        self.segment.ensure(self.at + start, self.at + stop)
        view: Array = self.segment.bytes[self.at + start : self.at + stop].view(dtype)
        return view

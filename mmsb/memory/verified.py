"""Which bytes of a segment were verified: tables by batch, buffers by block, each once."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from xxhash import xxh3_64_intdigest

from mmsb.base.errors import CorruptData
from mmsb.base.schema import Kind
from mmsb.memory.batch import batches_of, block_problem
from mmsb.memory.cells import Array
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.frame import BLOCK as BLOCK_BYTES
from mmsb.memory.frame import HEADER, MAGIC, SHAPED, Broken, Frame, seed_of
from mmsb.memory.grow import Grow
from mmsb.memory.kernels_fields import BATCH_FIELDS, BLOCK, BUFFERS, END, EPOCH, FRAME, IDS, META
from mmsb.memory.rows import bounds_broken
from mmsb.memory.segment import Segment

SEEN, WANTED = 1, 2


class Schemas(Protocol):
    """Who knows the stored kinds by id."""

    stored: dict[int, Kind]

    def limits(self, kinds: Array, epochs: Array) -> tuple[Array, Array]: ...


class Verified:
    """The batch rows of a segment, and what of it was verified."""

    def __init__(self, segment: Callable[[], Segment], known: Schemas) -> None:
        self._open: Callable[[], Segment] | None = segment
        self._known = known
        self._table = Grow("<i8")  # batch rows, end to end
        # By batch: is its part of the delta table verified? That of a frame that was read is.
        self._checked = Grow("u1", SEEN)
        self._seen = Grow("u1")  # by block of buffers: is it verified?

    @property
    def segment(self) -> Segment:
        """The segment, opened when first asked for. CorruptData."""
        if self._open is not None:
            self._segment, self._open = self._open(), None
        return self._segment

    @property
    def opened(self) -> Segment | None:
        """The segment, if it is open."""
        return self._segment if self._open is None else None

    @property
    def table(self) -> Array:
        """The batch rows, i64[batches, 16], in the order of the log."""
        return self._table.values.reshape(-1, len(BATCH_FIELDS))

    def columns(self, at: int) -> Array:
        """The ids of a batch's columns, u16. Its table is verified. CorruptData."""
        self.check_tables(np.array([at]))
        row = self.table[at]
        begin, count = int(row[IDS]), int(row[META]) >> 32 & 0xFFFF
        return self.segment.bytes[begin : begin + 2 * count].view("<u2")

    def shapes(self, at: int) -> list[int] | None:
        """The shapes of those columns; None if all are plain. Its table is verified."""
        row = self.table[at]
        meta = int(row[META])
        if not meta >> 16 & SHAPED:
            return None
        count = meta >> 32 & 0xFFFF
        begin = int(row[IDS]) + 2 * count
        shapes: list[int] = self.segment.bytes[begin : begin + 2 * count].view("<u2").tolist()
        return shapes

    def view(self, at: int, begin: int, end: int, dtype: np.dtype[Any] | str) -> Array:
        """Bytes [begin, end) of the segment, of a batch's buffers: a verified read-only view."""
        if begin < end:
            row = self.table[at]
            block, buffers = int(row[BLOCK]), int(row[BUFFERS])
            first = block + (begin - buffers) // BLOCK_BYTES
            last = block + (end - 1 - buffers) // BLOCK_BYTES + 1
            seen = self._seen.values[first:last]
            if (seen != SEEN).any():
                self.check_blocks(np.arange(first, last)[seen != SEEN])
        found: Array = self.segment.bytes[begin:end].view(dtype)
        return found

    def check_spans(self, spans: Array) -> None:
        """Verifies bytes [begin, end) of buffers: rows (batch, begin, end). CorruptData."""
        spans = spans[spans[:, 1] < spans[:, 2]]
        rows = self.table[spans[:, 0]]
        first = rows[:, BLOCK] + (spans[:, 1] - rows[:, BUFFERS]) // BLOCK_BYTES
        counts = rows[:, BLOCK] + (spans[:, 2] - 1 - rows[:, BUFFERS]) // BLOCK_BYTES + 1 - first
        ends = np.cumsum(counts)
        blocks = np.arange(counts.sum()) + np.repeat(first - (ends - counts), counts)
        unseen = np.unique(blocks[self._seen.values[blocks] != SEEN])
        if len(unseen):
            self.check_blocks(unseen)

    def check_tables(self, batches: Array) -> None:
        """Verifies the delta tables of batches that were not; CorruptData."""
        checked = self._checked.values
        wanted = batches[checked[batches] != SEEN]
        if not len(wanted):
            return
        segment = self.segment
        frames, epochs = self.table[:, FRAME], self.table[:, EPOCH]
        for place, epoch in dict(
            zip(frames[wanted].tolist(), epochs[wanted].tolist(), strict=True)
        ).items():
            try:
                if table_epoch(segment, place) != epoch:
                    raise Broken("it is of another epoch than its index file says")
            except Broken as error:
                raise self._broken(place, epoch, error) from error
        places = np.unique(frames[wanted])
        low, high = np.searchsorted(frames, [places, places + 1])
        shift = np.repeat(high - np.cumsum(high - low), high - low)
        whole = np.arange(len(shift)) + shift  # all batches of those frames
        self._check_bounds(whole)
        checked[whole] = SEEN

    def _check_bounds(self, batches: Array) -> None:
        """CorruptData unless these batches' tables name rows and pages that there can be.

        Those of a frame that was scanned do; an index file lets a frame go unread.
        """
        table = self.table[batches]
        most, pages = self._known.limits(table[:, META] & 0xFFFF, table[:, EPOCH])
        bad = bounds_broken(table, self.segment.words, most, pages)
        if len(bad):
            raise self.misled(int(batches[bad[0]]))

    def misled(self, at: int) -> CorruptData:
        """The error for a batch whose frame does not hold what it should."""
        row = self.table[at]
        what = Broken("the rows or pages of its deltas are out of bounds")
        return self._broken(int(row[FRAME]), int(row[EPOCH]), what)

    def check_blocks(self, blocks: Array) -> None:
        """Hashes blocks of buffers, numbers increasing; those that hold are never hashed again."""
        table, seen = self.table, self._seen.values
        owners = np.searchsorted(table[:, BLOCK], blocks, side="right") - 1
        starts = np.flatnonzero(np.append(True, np.diff(table[owners, FRAME]) != 0))
        for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(blocks)], strict=True):
            row = table[owners[begin]]
            place, base = int(row[FRAME]), int(row[BLOCK])
            try:
                frame = Frame(self.segment, place, len(self.segment.bytes), table=False)
                split = frame.at + frame.table_bytes
                if (split, frame.at + frame.payload) != (row[BUFFERS], row[END]):
                    raise Broken("it is laid out otherwise than its index file says")
                own = blocks[begin:end] - base + frame.blocks.of_table
                for block in own.tolist():
                    if not frame.holds(block):
                        raise self._corrupt(place, block)
            except Broken as error:
                raise self._broken(place, int(row[EPOCH]), error) from error
            seen[blocks[begin:end]] = SEEN

    def _broken(self, place: int, epoch: int, error: Broken) -> CorruptData:
        what = f"the frame there does not hold: {error}"
        problem = Problem(self.segment.name, place, (epoch,), (), what)
        return corrupt(self.segment.path.parent, problem)

    def _corrupt(self, place: int, block: int) -> CorruptData:
        """The error for a block of buffers: names the pages that have cells in it."""
        frame = Frame(self.segment, place, len(self.segment.bytes))
        span = frame.blocks.span(block)
        pages = [batch.pages_in(*span) for batch in batches_of(frame, self._known.stored)]
        concerned = np.unique(np.concatenate(pages))
        return corrupt(self.segment.path.parent, block_problem(frame, concerned, block))


def table_epoch(segment: Segment, offset: int) -> int:
    """The epoch of the frame at a place whose header, list and table hold; Broken.

    The checks of `Frame`, and nothing else: a history of small frames asks it of each.
    """
    raw = segment.bytes.data
    segment.ensure(offset, offset + HEADER.size)
    head = raw[offset : offset + HEADER.size]
    if len(head) < HEADER.size:
        raise Broken("the segment ends inside its header")
    magic, _, _, _, epoch, payload, table, _, _, sums, check = HEADER.unpack(head)
    if magic != MAGIC or check != xxh3_64_intdigest(head[:-8], seed_of(segment.number, offset)):
        raise Broken("its header does not match its checksum")
    own = -(-table // BLOCK_BYTES)
    begin = offset + HEADER.size
    at = begin + 8 * (own + -(-(payload - table) // BLOCK_BYTES))
    if not table <= payload <= len(raw) - at:
        raise Broken("the segment ends inside it")
    segment.ensure(begin, at + table)
    if sums != xxh3_64_intdigest(raw[begin:at]):
        raise Broken("its list of checksums does not match its checksum")
    listed = struct.unpack_from(f"<{own}Q", raw, begin)
    for block, wanted in enumerate(listed):
        low = at + block * BLOCK_BYTES
        if xxh3_64_intdigest(raw[low : min(low + BLOCK_BYTES, at + table)]) != wanted:
            raise Broken("its table does not match its checksum")
    return int(epoch)

"""The loops of the memory, compiled by numba: plain numbers and addresses in, cells out.

Every function here releases the GIL, allocates nothing, and reads only inside the bounds that its
caller has checked. What of the log is not verified yet is not read, for it may be damaged or not be
there yet (a compressed segment): it is marked (see `touch`, `consult`), passed over, and the caller
is told, who verifies it and runs the kernel again. Where that decides how far to walk, a walk ends
when it has passed over `passed_enough`. What the numbers of an order and of a batch mean is said in
`mmsb.memory.kernels_fields`.
"""

from __future__ import annotations

from mmsb.base.kernels import kernel
from mmsb.memory.kernels_fields import (
    BATCH_FIELDS,
    BATCHES,
    BEGINS,
    BLOCK,
    BUFFERS,
    CELLS,
    CHECKED,
    DELTAS,
    END,
    EPOCH,
    FIRST,
    IDS,
    LOWEST,
    META,
    NAMED,
    NAMES,
    OFFSETS,
    ORDER_FIELDS,
    ROWS,
    SEEN,
    SEGMENT,
    SORTED,
    SPARSE_AT,
    STARTS,
    STOPS,
    TABLE,
)
from mmsb.memory.kernels_load import i8, load, move, move_value, put1, u1, u2, u4

_ROW_BYTES, _ORDER_BYTES = 8 * len(BATCH_FIELDS), 8 * len(ORDER_FIELDS)
_BLOCK_BITS = 16
TOMBSTONE, SHAPED = 2, 8
_EACH = 4
#: So many batches are looked through at once for those whose tables must be verified.
_PASSED = 16


@kernel
def order_at(orders: int, k: int) -> int:
    return orders + _ORDER_BYTES * k


@kernel
def field_of(address: int, field: int) -> int:
    return i8(address + 8 * field)


@kernel
def first_from(numbers: int, low: int, high: int, wanted: int) -> int:
    """Where in [low, high) of increasing u32 the first stands that is not below ``wanted``."""
    while low < high:
        middle = (low + high) >> 1
        if u4(numbers + 4 * middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def slice_of(order: int, page: int) -> tuple[int, int]:
    """Where in the order the page's deltas stand, [low, high)."""
    named, begins, names = field_of(order, NAMED), field_of(order, BEGINS), field_of(order, NAMES)
    if names == 0:
        at = page - field_of(order, LOWEST)
        if at < 0 or at >= named:
            return 0, 0
    else:
        at = first_from(names, 0, named, page)
        if at >= named or u4(names + 4 * at) != page:
            return 0, 0
    return u4(begins + 4 * at), u4(begins + 4 * at + 4)


@kernel
def batch_of(order: int, number: int) -> int:
    """Which batch of its table holds the delta: the last that begins at or before it."""
    table, low, high = field_of(order, TABLE), 0, field_of(order, BATCHES)
    while high - low > 1:
        middle = (low + high) >> 1
        if field_of(table + _ROW_BYTES * middle, FIRST) <= number:
            low = middle
        else:
            high = middle
    return low


@kernel
def batch_near(order: int, number: int, near: int) -> int:
    """`batch_of`, where it is probably ``near`` or one before: pages' deltas are met in turn."""
    table, count = field_of(order, TABLE), field_of(order, BATCHES)
    for batch in (near, near - 1):
        if 0 <= batch < count and field_of(table + _ROW_BYTES * batch, FIRST) <= number:
            if batch + 1 == count:
                return batch
            if field_of(table + _ROW_BYTES * (batch + 1), FIRST) > number:
                return batch
    return batch_of(order, number)


@kernel
def row_of(order: int, batch: int) -> int:
    return field_of(order, TABLE) + _ROW_BYTES * batch


@kernel
def number_at(order: int, at: int) -> int:
    return u4(field_of(order, SORTED) + 4 * at)


@kernel
def epoch_at(order: int, at: int) -> int:
    return field_of(row_of(order, batch_of(order, number_at(order, at))), EPOCH)


@kernel
def upto_of(order: int, low: int, high: int, epoch: int) -> int:
    """One past the last delta of [low, high) that was committed up to the epoch."""
    if low == high or epoch_at(order, high - 1) <= epoch:
        return high
    while low < high:
        middle = (low + high) >> 1
        if epoch_at(order, middle) <= epoch:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def between(order: int, page: int, since: int, epoch: int) -> tuple[int, int]:
    """Where in the order the page's deltas of epochs (since, epoch] stand, [low, high)."""
    low, high = slice_of(order, page)
    high = upto_of(order, low, high, epoch)
    return (upto_of(order, low, high, since) if since >= 0 else low), high


@kernel
def extent_of(order: int, row: int, number: int) -> tuple[int, int, int, int]:
    """First row, one past the last, first cell, one past the last cell of a delta."""
    segment, own = field_of(order, SEGMENT), number - field_of(row, FIRST)
    deltas, rows, stops = field_of(row, DELTAS), field_of(row, ROWS), field_of(row, STOPS)
    start = u4(segment + field_of(row, STARTS) + 4 * own)
    if stops < 0:
        each = rows if deltas == 1 else rows // deltas  # most are alone, and dividing takes long
        return start, start + each, own * each, own * each + each
    stop = u4(segment + stops + 4 * own)
    offsets = segment + field_of(row, OFFSETS) + 4 * own
    begin = min(u4(offsets), rows)
    end = max(begin, rows if own + 1 == deltas else min(u4(offsets + 4), rows))
    return start, stop, begin, end


@kernel
def place_of(order: int, row: int, column: int, widths: int) -> tuple[int, int, int]:
    """Where in the segment the batch's buffer of a column begins, -1 if it has none; bytes of a
    stored cell; 1 if there is one for each delta.

    Its table is verified; it never leaves its frame.
    """
    meta, ids = field_of(row, META), field_of(order, SEGMENT) + field_of(row, IDS)
    count, at, rows = (meta >> 32) & 0xFFFF, field_of(row, CELLS), field_of(row, ROWS)
    if (meta >> 16) & SHAPED:
        for j in range(count):
            shape = u2(ids + 2 * (count + j))
            size, each = 1 << (shape & 3), (shape & _EACH) >> 2
            at = (at + size - 1) & -size
            held = size * (field_of(row, DELTAS) if each else rows)
            if u2(ids + 2 * j) == column:
                fits = size <= u1(widths + column) and at + held <= field_of(row, END)
                return (at if fits else -1), size, each
            at += held
        return -1, 1, 0
    for j in range(count):
        id = u2(ids + 2 * j)
        width = u1(widths + id)
        if id == column:
            return (at if at + width * rows <= field_of(row, END) else -1), width, 0
        at += (width * rows + 7) & ~7
    return -1, 1, 0


@kernel
def row_bytes_of(row: int) -> int:
    """Bytes of a row number of a sparse batch."""
    return 4 >> ((field_of(row, META) >> 20) & 3)


@kernel
def row_at(rows: int, cell: int, size: int) -> int:
    """The row of a cell, of row numbers that have so many bytes each."""
    if size == 4:
        return u4(rows + 4 * cell)
    return u2(rows + 2 * cell) if size == 2 else u1(rows + cell)


@kernel
def touch(order: int, row: int, low: int, high: int, mark: int) -> int:
    """1 if a block of bytes [low, high) of the segment is not verified; marked if asked."""
    if low >= high:
        return 0
    base, buffers = field_of(order, SEEN) + field_of(row, BLOCK), field_of(row, BUFFERS)
    unseen = 0
    for block in range((low - buffers) >> _BLOCK_BITS, ((high - 1 - buffers) >> _BLOCK_BITS) + 1):
        if u1(base + block) != 1:
            unseen = 1
            if mark:
                put1(base + block, 2)
    return unseen


@kernel
def consult(order: int, batch: int, mark: int) -> int:
    """1 if the batch's part of the delta table is not verified; it is marked if asked."""
    at = field_of(order, CHECKED) + batch
    if u1(at) == 1:
        return 0
    if mark:
        put1(at, 2)
    return 1


@kernel
def passed_enough(missing: int, walked: int) -> bool:
    """Is it time to have ``missing`` tables verified, after ``walked`` that were?

    So no more than twice the tables that are needed are verified, in a few rounds.
    """
    return missing > walked + _PASSED


@kernel
def overlay(
    order: int,
    row: int,
    number: int,
    place: int,
    size: int,
    each: int,
    first: int,
    last: int,
    width: int,
    to: int,
    mark: int,
) -> int:
    """Writes what a sparse delta says of rows [first, last) of a column to where their cells begin.

    Its table is verified; 1, and nothing is written, if its cells are not.
    """
    segment, rows = field_of(order, SEGMENT), field_of(row, SPARSE_AT)
    _, _, begin, end = extent_of(order, row, number)
    if begin == end:
        return 0
    bytes_ = row_bytes_of(row)
    low, high = begin, end
    if each:
        low = number - field_of(row, FIRST)
        high = low + 1
    unseen = touch(order, row, rows + bytes_ * begin, rows + bytes_ * end, mark)
    unseen |= touch(order, row, place + low * size, place + high * size, mark)
    if unseen:
        return 1
    for cell in range(begin, end):
        at = row_at(segment + rows, cell, bytes_)
        if first <= at < last:
            source = segment + place + (low if each else cell) * size
            if size == width:
                move(to + (at - first) * width, source, width)
            else:
                move_value(to + (at - first) * width, load(source, size, width), width)
    return 0

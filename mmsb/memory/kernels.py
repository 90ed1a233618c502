"""The loops of the memory, compiled by numba: plain numbers and addresses in, cells out.

Every function here releases the GIL, allocates nothing, and reads only inside the bounds that its
caller has checked. What of the log is not verified yet is not read, for it may be damaged or not be
there yet (a compressed segment): it is marked (see `touch`, `consult`), passed over, and the caller
is told, who verifies it and runs the kernel again. Where that decides how far to walk, a walk ends
when it has passed over `passed_enough`. An *order* is described by ``ORDER`` numbers, a batch by
``BATCH`` (`mmsb.memory.run`, which names them, says what they mean).
"""

from __future__ import annotations

from mmsb.memory.kernels_load import copy, i8, inner, kernel, move, put1, u1, u2, u4

# The numbers of a batch row, as `mmsb.memory.run` stores them.
EPOCH, FIRST, DELTAS, ROWS, META, IDS, PAGES, STARTS = range(8)
STOPS, OFFSETS, SPARSE, CELLS, BUFFERS, BLOCK, FRAME, END = range(8, 16)
BATCH = 16
# The numbers of an order.
(SEGMENT, TABLE, BATCHES, SORTED, NAMED, BEGINS, NAMES, LOWEST) = range(8)
SEEN, CHECKED, SINCE, COUNT = range(8, 12)
ORDER = 12

_BLOCK_BITS = 16
TOMBSTONE = 2
#: So many batches are looked through at once for those whose tables must be verified.
_PASSED = 16


@inner
def order_at(orders: int, k: int) -> int:
    return orders + 8 * ORDER * k


@inner
def field_of(address: int, field: int) -> int:
    return i8(address + 8 * field)


@inner
def slice_of(order: int, page: int) -> tuple[int, int]:
    """Where in the order the page's deltas stand, [low, high)."""
    named, begins, names = field_of(order, NAMED), field_of(order, BEGINS), field_of(order, NAMES)
    if names == 0:
        at = page - field_of(order, LOWEST)
        if at < 0 or at >= named:
            return 0, 0
    else:
        at, high = 0, named
        while at < high:
            middle = (at + high) >> 1
            if u4(names + 4 * middle) < page:
                at = middle + 1
            else:
                high = middle
        if at >= named or u4(names + 4 * at) != page:
            return 0, 0
    return u4(begins + 4 * at), u4(begins + 4 * at + 4)


@inner
def batch_of(order: int, number: int) -> int:
    """Which batch of its table holds the delta: the last that begins at or before it."""
    table, low, high = field_of(order, TABLE), 0, field_of(order, BATCHES)
    while high - low > 1:
        middle = (low + high) >> 1
        if field_of(table + 8 * BATCH * middle, FIRST) <= number:
            low = middle
        else:
            high = middle
    return low


@inner
def batch_near(order: int, number: int, near: int) -> int:
    """`batch_of`, where it is probably ``near`` or one before: pages' deltas are met in turn."""
    table, count = field_of(order, TABLE), field_of(order, BATCHES)
    for batch in (near, near - 1):
        if 0 <= batch < count and field_of(table + 8 * BATCH * batch, FIRST) <= number:
            if batch + 1 == count:
                return batch
            if field_of(table + 8 * BATCH * (batch + 1), FIRST) > number:
                return batch
    return batch_of(order, number)


@inner
def row_of(order: int, batch: int) -> int:
    return field_of(order, TABLE) + 8 * BATCH * batch


@inner
def number_at(order: int, at: int) -> int:
    return u4(field_of(order, SORTED) + 4 * at)


@inner
def epoch_at(order: int, at: int) -> int:
    return field_of(row_of(order, batch_of(order, number_at(order, at))), EPOCH)


@inner
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


@inner
def between(order: int, page: int, since: int, epoch: int) -> tuple[int, int]:
    """Where in the order the page's deltas of epochs (since, epoch] stand, [low, high)."""
    low, high = slice_of(order, page)
    high = upto_of(order, low, high, epoch)
    return (upto_of(order, low, high, since) if since >= 0 else low), high


@inner
def extent_of(order: int, row: int, number: int) -> tuple[int, int, int, int]:
    """First row, one past the last, first cell, one past the last cell of a delta."""
    segment, own = field_of(order, SEGMENT), number - field_of(row, FIRST)
    deltas, rows, stops = field_of(row, DELTAS), field_of(row, ROWS), field_of(row, STOPS)
    start = u4(segment + field_of(row, STARTS) + 4 * own)
    if stops < 0:
        each = rows // deltas
        return start, start + each, own * each, own * each + each
    stop = u4(segment + stops + 4 * own)
    offsets = segment + field_of(row, OFFSETS) + 4 * own
    begin = min(u4(offsets), rows)
    end = max(begin, rows if own + 1 == deltas else min(u4(offsets + 4), rows))
    return start, stop, begin, end


@inner
def place_of(order: int, row: int, column: int, widths: int) -> int:
    """Where in the segment the batch's buffer of a column begins; -1 if it has none.

    Its table is verified; it never leaves its frame.
    """
    count, ids = (field_of(row, META) >> 32) & 0xFFFF, field_of(order, SEGMENT) + field_of(row, IDS)
    at, rows = field_of(row, CELLS), field_of(row, ROWS)
    for j in range(count):
        id = u2(ids + 2 * j)
        if id == column:
            return at if at + u1(widths + id) * rows <= field_of(row, END) else -1
        at += (u1(widths + id) * rows + 7) & ~7
    return -1


@inner
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


@inner
def consult(order: int, batch: int, mark: int) -> int:
    """1 if the batch's part of the delta table is not verified; it is marked if asked."""
    at = field_of(order, CHECKED) + batch
    if u1(at) == 1:
        return 0
    if mark:
        put1(at, 2)
    return 1


@inner
def passed_enough(missing: int, walked: int) -> bool:
    """Is it time to have ``missing`` tables verified, after ``walked`` that were?

    So no more than twice the tables that are needed are verified, in a few rounds.
    """
    return missing > walked + _PASSED


@kernel
def row_count(
    orders: int, count: int, page: int, since: int, epoch: int, mark: int
) -> tuple[int, int]:
    """One past the last row of a page written in epochs (since, epoch], and whether unverified
    tables were used."""
    most = unseen = 0
    for k in range(count):
        order = order_at(orders, k)
        if field_of(order, SINCE) > epoch:
            continue
        low, high = between(order, page, since, epoch)
        batch = -1
        for back in range(high - low):
            number = number_at(order, high - 1 - back)
            batch = batch_near(order, number, batch)
            row = row_of(order, batch)
            if consult(order, batch, mark):
                unseen = 1
            elif (field_of(row, META) >> 16) & TOMBSTONE == 0:
                most = max(most, extent_of(order, row, number)[1])
    return most, unseen


@inner
def overlay(
    order: int,
    row: int,
    number: int,
    place: int,
    first: int,
    last: int,
    width: int,
    to: int,
    mark: int,
) -> int:
    """Writes what a delta says of rows [first, last) of a column to where their cells begin.

    Its table is verified; 1, and nothing is written, if its cells are not.
    """
    segment, sparse = field_of(order, SEGMENT), field_of(row, SPARSE)
    start, stop, begin, end = extent_of(order, row, number)
    if sparse < 0:
        low, high = max(start, first), min(stop, last)
        if low >= high:
            return 0
        source = place + (begin + low - start) * width
        size = (high - low) * width
        if touch(order, row, source, source + size, mark):
            return 1
        copy(to + (low - first) * width, segment + source, size)
        return 0
    unseen = touch(order, row, sparse + 4 * begin, sparse + 4 * end, mark)
    unseen |= touch(order, row, place + begin * width, place + end * width, mark)
    if unseen:
        return 1
    for cell in range(begin, end):
        at = u4(segment + sparse + 4 * cell)
        if first <= at < last:
            move(to + (at - first) * width, segment + place + cell * width, width)
    return 0

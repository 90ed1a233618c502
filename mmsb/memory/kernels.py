"""The loops of the memory, compiled by numba: plain numbers and addresses in, cells out.

Every function here releases the GIL, allocates nothing, and reads only inside the bounds that its
caller has checked; what it touches of the log before that was verified it marks (see `_touch`) and
says so, and the caller verifies before it hands the result on. An *order* is described by
``ORDER`` numbers, a batch by ``BATCH`` (`mmsb.memory.run`, which names them, says what they mean).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# The numbers of a batch row, as `mmsb.memory.run` stores them.
EPOCH, FIRST, DELTAS, ROWS, META, IDS, PAGES, STARTS = range(8)
STOPS, OFFSETS, SPARSE, CELLS, BUFFERS, BLOCK, FRAME, SPARE = range(8, 16)
BATCH = 16
# The numbers of an order.
(SEGMENT, TABLE, BATCHES, SORTED, NAMED, BEGINS, NAMES, LOWEST) = range(8)
SEEN, CHECKED, SINCE, COUNT = range(8, 12)
ORDER = 12

_BLOCK_BITS = 16
_TOMBSTONE = 2
_Kernel = Any


def _loader(bits: int) -> Any:
    @intrinsic  # type: ignore[misc]
    def load(_context: Any, _address: Any) -> Any:
        def make(_: Any, builder: Any, __: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer, align=1)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.int64(types.int64), make

    return load


def _storer(bits: int) -> Any:
    @intrinsic  # type: ignore[misc]
    def store(_context: Any, _address: Any, _value: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            value = args[1] if bits == 64 else builder.trunc(args[1], ir.IntType(bits))
            builder.store(value, pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), make

    return store


_u1, _u2, _u4, _i8 = (_loader(bits) for bits in (8, 16, 32, 64))
_put1, _put2, _put4, _put8 = (_storer(bits) for bits in (8, 16, 32, 64))


@intrinsic  # type: ignore[misc]
def _copy(_context: Any, _to: Any, _source: Any, _size: Any) -> Any:
    def make(context: Any, builder: Any, _: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        to, source = (builder.inttoptr(address, byte) for address in args[:2])
        cgutils.raw_memcpy(builder, to, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), make


def _kernel(function: Any) -> _Kernel:
    return njit(nogil=True, cache=True, boundscheck=False)(function)


def _inner(function: Any) -> _Kernel:
    return njit(nogil=True, cache=True, boundscheck=False, inline="never")(function)


@_inner
def _order(orders: int, k: int) -> int:
    return orders + 8 * ORDER * k


@_inner
def _of(address: int, field: int) -> int:
    return _i8(address + 8 * field)


@_inner
def _slice(order: int, page: int) -> tuple[int, int]:
    """Where in the order the page's deltas stand, [low, high)."""
    named, begins, names = _of(order, NAMED), _of(order, BEGINS), _of(order, NAMES)
    if names == 0:
        at = page - _of(order, LOWEST)
        if at < 0 or at >= named:
            return 0, 0
    else:
        at, high = 0, named
        while at < high:
            middle = (at + high) >> 1
            if _u4(names + 4 * middle) < page:
                at = middle + 1
            else:
                high = middle
        if at >= named or _u4(names + 4 * at) != page:
            return 0, 0
    return _u4(begins + 4 * at), _u4(begins + 4 * at + 4)


@_inner
def _batch(order: int, number: int) -> int:
    """Which batch of its table holds the delta: the last that begins at or before it."""
    table, low, high = _of(order, TABLE), 0, _of(order, BATCHES)
    while high - low > 1:
        middle = (low + high) >> 1
        if _of(table + 8 * BATCH * middle, FIRST) <= number:
            low = middle
        else:
            high = middle
    return low


@_inner
def _row(order: int, batch: int) -> int:
    return _of(order, TABLE) + 8 * BATCH * batch


@_inner
def _number(order: int, at: int) -> int:
    return _u4(_of(order, SORTED) + 4 * at)


@_inner
def _epoch(order: int, at: int) -> int:
    return _of(_row(order, _batch(order, _number(order, at))), EPOCH)


@_inner
def _upto(order: int, low: int, high: int, epoch: int) -> int:
    """One past the last delta of [low, high) that was committed up to the epoch."""
    if low == high or _epoch(order, high - 1) <= epoch:
        return high
    while low < high:
        middle = (low + high) >> 1
        if _epoch(order, middle) <= epoch:
            low = middle + 1
        else:
            high = middle
    return low


@_inner
def _extent(order: int, row: int, number: int) -> tuple[int, int, int, int]:
    """First row, one past the last, first cell, one past the last cell of a delta."""
    segment, own = _of(order, SEGMENT), number - _of(row, FIRST)
    deltas, rows, stops = _of(row, DELTAS), _of(row, ROWS), _of(row, STOPS)
    start = _u4(segment + _of(row, STARTS) + 4 * own)
    if stops < 0:
        each = rows // deltas
        return start, start + each, own * each, own * each + each
    stop = _u4(segment + stops + 4 * own)
    offsets = segment + _of(row, OFFSETS) + 4 * own
    begin = min(_u4(offsets), rows)
    end = max(begin, rows if own + 1 == deltas else min(_u4(offsets + 4), rows))
    if _of(row, SPARSE) < 0:
        stop = min(stop, start + end - begin)  # a table that is not verified yet may say more
    return start, stop, begin, end


@_inner
def _place(order: int, row: int, column: int, widths: int) -> int:
    """Where in the segment the batch's buffer of a column begins; -1 if it has none."""
    count, ids = (_of(row, META) >> 32) & 0xFFFF, _of(order, SEGMENT) + _of(row, IDS)
    at, rows = _of(row, CELLS), _of(row, ROWS)
    for j in range(count):
        id = _u2(ids + 2 * j)
        if id == column:
            return at
        at += (_u1(widths + id) * rows + 7) & ~7
    return -1


@_inner
def _touch(order: int, row: int, low: int, high: int, mark: int) -> int:
    """1 if a block of bytes [low, high) of the segment is not verified; those are marked if asked."""
    if low >= high:
        return 0
    base, buffers = _of(order, SEEN) + _of(row, BLOCK), _of(row, BUFFERS)
    unseen = 0
    for block in range((low - buffers) >> _BLOCK_BITS, ((high - 1 - buffers) >> _BLOCK_BITS) + 1):
        if _u1(base + block) != 1:
            unseen = 1
            if mark:
                _put1(base + block, 2)
    return unseen


@_inner
def _consult(order: int, batch: int, mark: int) -> int:
    """1 if the batch's part of the delta table is not verified; it is marked if asked."""
    at = _of(order, CHECKED) + batch
    if _u1(at) == 1:
        return 0
    if mark:
        _put1(at, 2)
    return 1


@_inner
def _move(to: int, source: int, width: int) -> None:
    if width == 4:
        _put4(to, _u4(source))
    elif width == 1:
        _put1(to, _u1(source))
    elif width == 8:
        _put8(to, _i8(source))
    else:
        _put2(to, _u2(source))


@_inner
def _fill(to: int, count: int, width: int, fill: int) -> None:
    for i in range(count):
        _move_value(to + i * width, fill, width)


@_inner
def _move_value(to: int, value: int, width: int) -> None:
    if width == 4:
        _put4(to, value)
    elif width == 1:
        _put1(to, value)
    elif width == 8:
        _put8(to, value)
    else:
        _put2(to, value)


@_kernel
def row_count(orders: int, count: int, page: int, epoch: int, mark: int) -> tuple[int, int]:
    """One past the last row of a page up to the epoch, and whether unverified tables were used."""
    most = unseen = 0
    for k in range(count):
        order = _order(orders, k)
        if _of(order, SINCE) > epoch:
            continue
        low, high = _slice(order, page)
        for at in range(low, _upto(order, low, high, epoch)):
            number = _number(order, at)
            batch = _batch(order, number)
            row = _row(order, batch)
            unseen |= _consult(order, batch, mark)
            if (_of(row, META) >> 16) & _TOMBSTONE == 0:
                most = max(most, _extent(order, row, number)[1])
    return most, unseen


@_inner
def _overlay(  # noqa: PLR0917
    order: int, row: int, number: int, place: int, first: int, last: int, width: int, to: int, mark: int
) -> int:
    """Writes what a delta says of rows [first, last) of a column to where their cells begin."""
    segment, sparse = _of(order, SEGMENT), _of(row, SPARSE)
    start, stop, begin, end = _extent(order, row, number)
    if sparse < 0:
        low, high = max(start, first), min(stop, last)
        if low >= high:
            return 0
        source = place + (begin + low - start) * width
        size = (high - low) * width
        _copy(to + (low - first) * width, segment + source, size)
        return _touch(order, row, source, source + size, mark)
    for cell in range(begin, end):
        at = _u4(segment + sparse + 4 * cell)
        if first <= at < last:
            _move(to + (at - first) * width, segment + place + cell * width, width)
    unseen = _touch(order, row, sparse + 4 * begin, sparse + 4 * end, mark)
    return unseen | _touch(order, row, place + begin * width, place + end * width, mark)


@_kernel
def read(  # noqa: PLR0917
    orders: int,
    count: int,
    page: int,
    epoch: int,
    column: int,
    widths: int,
    first: int,
    last: int,
    fill: int,
    to: int,
    mark: int,
) -> tuple[int, int, int]:
    """Cells of rows [first, last) of a page's column, into ``to``.

    Returns (order, place, unverified): where one delta covers the rows and none after it touches
    them nothing is written, and the cells begin at that place of the order's segment; else order
    is -1. Two walks: back to the delta that covers all, then forward over those after it.
    """
    width = _u1(widths + column)
    unseen = later = 0
    base_order, base_at = -1, 0
    k = count - 1
    while k >= 0 and base_order < 0:
        order = _order(orders, k)
        if _of(order, SINCE) <= epoch:
            low, high = _slice(order, page)
            high = _upto(order, low, high, epoch)
            for back in range(high - low):
                at = high - 1 - back
                number = _number(order, at)
                batch = _batch(order, number)
                row = _row(order, batch)
                unseen |= _consult(order, batch, mark)
                place = _place(order, row, column, widths)
                if place < 0:
                    continue
                start, stop, begin, _ = _extent(order, row, number)
                if stop <= first or start >= last:
                    continue
                if _of(row, SPARSE) < 0 and start <= first and stop >= last:
                    base_order, base_at = k, at
                    if later == 0:
                        source = place + (begin + first - start) * width
                        size = (last - first) * width
                        return k, source, unseen | _touch(order, row, source, source + size, mark)
                    break
                later += 1
        k -= 1
    if base_order < 0:
        base_order = 0
        base_at = -1
        _fill(to, last - first, width, fill)
    for k in range(base_order, count):
        order = _order(orders, k)
        if _of(order, SINCE) > epoch:
            continue
        low, high = _slice(order, page)
        if k == base_order and base_at >= 0:
            low = base_at
        for at in range(low, _upto(order, low, high, epoch)):
            number = _number(order, at)
            row = _row(order, _batch(order, number))
            place = _place(order, row, column, widths)
            if place >= 0:
                unseen |= _overlay(order, row, number, place, first, last, width, to, mark)
    return -1, 0, unseen


@_inner
def _find(  # noqa: PLR0917
    orders: int, count: int, page: int, at_row: int, epoch: int, column: int, widths: int, mark: int
) -> tuple[int, int]:
    """(address of the newest cell or 0, unverified) of one row of a page's column."""
    width, unseen = _u1(widths + column), 0
    k = count - 1
    while k >= 0:
        order = _order(orders, k)
        k -= 1
        if _of(order, SINCE) > epoch:
            continue
        low, high = _slice(order, page)
        high = _upto(order, low, high, epoch)
        for back in range(high - low):
            number = _number(order, high - 1 - back)
            batch = _batch(order, number)
            row = _row(order, batch)
            unseen |= _consult(order, batch, mark)
            start, stop, begin, end = _extent(order, row, number)
            if at_row < start or at_row >= stop:
                continue
            place = _place(order, row, column, widths)
            if place < 0:
                continue
            cell, sparse = begin + at_row - start, _of(row, SPARSE)
            if sparse >= 0:
                unseen |= _touch(order, row, sparse + 4 * begin, sparse + 4 * end, mark)
                cell = _sparse_cell(_of(order, SEGMENT) + sparse, begin, end, at_row)
                if cell < 0:
                    continue
            source = place + cell * width
            unseen |= _touch(order, row, source, source + width, mark)
            return _of(order, SEGMENT) + source, unseen
    return 0, unseen


@_inner
def _sparse_cell(rows: int, low: int, high: int, wanted: int) -> int:
    end = high
    while low < high:
        middle = (low + high) >> 1
        if _u4(rows + 4 * middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and _u4(rows + 4 * low) == wanted else -1


@_kernel
def cells(  # noqa: PLR0917
    orders: int,
    count: int,
    pages: int,
    rows: int,
    first: int,
    last: int,
    epoch: int,
    column: int,
    widths: int,
    fill: int,
    to: int,
    mark: int,
) -> int:
    """One column's cells at (pages[i], rows[i]), u32 each, for i in [first, last), into ``to``.

    Returns whether something unverified was read. O(log deltas of the order) for each.
    """
    width, unseen = _u1(widths + column), 0
    for i in range(first, last):
        page, row = _u4(pages + 4 * i), _u4(rows + 4 * i)
        found, new = _find(orders, count, page, row, epoch, column, widths, mark)
        unseen |= new
        if found == 0:
            _move_value(to + i * width, fill, width)
        else:
            _move(to + i * width, found, width)
    return unseen


@_kernel
def sort_by_page(  # noqa: PLR0917
    pages: Any, order: Any, names: Any, begins: Any, spare: Any, counts: Any
) -> int:
    """Numbers 0 … sorted by their page, stably, into ``order``; distinct pages and their begins.

    ``pages`` u32[n]; ``order``, ``spare`` u32[n]; ``names`` u32[n]; ``begins`` u32[n + 1];
    ``counts`` i64[2048]. Returns how many pages there are. Radix sort, 11 bits a pass.
    """
    n = len(pages)
    greatest = 0
    for i in range(n):
        greatest = max(greatest, pages[i])
        order[i] = i
    shift = 0
    while shift < 32 and (greatest >> shift) > 0:
        counts[:] = 0
        for i in range(n):
            counts[(pages[i] >> shift) & 2047] += 1
        total = 0
        for digit in range(2048):
            counts[digit], total = total, total + counts[digit]
        for i in range(n):
            number = order[i]
            digit = (pages[number] >> shift) & 2047
            spare[counts[digit]] = number
            counts[digit] += 1
        for i in range(n):
            order[i] = spare[i]
        shift += 11
    named = 0
    for i in range(n):
        page = pages[order[i]]
        if named == 0 or names[named - 1] != page:
            names[named] = page
            begins[named] = i
            named += 1
    begins[named] = n
    return named


@_inner
def _each(order: int, row: int, kind: int, epoch: int) -> bool:
    """Does the batch hold cells of the kind, committed up to the epoch?"""
    meta = _of(row, META)
    return (
        _of(row, EPOCH) <= epoch and (meta & 0xFFFF) == kind and (meta >> 16) & _TOMBSTONE == 0
    )


@_kernel
def row_counts(  # noqa: PLR0917
    orders: int, count: int, kind: int, epoch: int, low: int, high: int, counts: Any, mark: int
) -> int:
    """For pages [low, high) of a kind one past the last row, into ``counts`` u32 by page."""
    unseen = 0
    for k in range(count):
        order = _order(orders, k)
        segment = _of(order, SEGMENT)
        for batch in range(_of(order, BATCHES)):
            row = _row(order, batch)
            if not _each(order, row, kind, epoch):
                continue
            unseen |= _consult(order, batch, mark)
            pages, deltas, stops = segment + _of(row, PAGES), _of(row, DELTAS), _of(row, STOPS)
            starts, each = segment + _of(row, STARTS), _of(row, ROWS) // max(deltas, 1)
            for own in range(deltas):
                page = _u4(pages + 4 * own)
                if low <= page < high:
                    start = _u4(starts + 4 * own)
                    stop = start + each if stops < 0 else _u4(segment + stops + 4 * own)
                    counts[page] = max(counts[page], stop)
    return unseen


@_kernel
def gather(  # noqa: PLR0917
    orders: int,
    count: int,
    kind: int,
    epoch: int,
    column: int,
    widths: int,
    low: int,
    high: int,
    places: Any,
    rows: Any,
    to: int,
    mark: int,
) -> int:
    """One column of all pages [low, high) of a kind that have a place, oldest delta first.

    ``places`` i64 by page: where its cells begin in ``to``, counted in cells, or -1; ``rows`` u32
    by page: how many it has. Returns whether something unverified was read.
    """
    width, unseen = _u1(widths + column), 0
    for k in range(count):
        order = _order(orders, k)
        for batch in range(_of(order, BATCHES)):
            row = _row(order, batch)
            if not _each(order, row, kind, epoch):
                continue
            place = _place(order, row, column, widths)
            if place < 0:
                continue
            unseen |= _consult(order, batch, mark)
            pages = _of(order, SEGMENT) + _of(row, PAGES)
            for own in range(_of(row, DELTAS)):
                page = _u4(pages + 4 * own)
                if low <= page < high and places[page] >= 0:
                    number = _of(row, FIRST) + own
                    at = to + places[page] * width
                    unseen |= _overlay(order, row, number, place, 0, rows[page], width, at, mark)
    return unseen

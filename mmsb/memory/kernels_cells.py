"""The memory's loops over single cells: newest delta first, from a keyframe on."""

from __future__ import annotations

from mmsb.base.kernels import kernel
from mmsb.memory.kernels import (
    batch_near,
    between,
    consult,
    extent_of,
    field_of,
    first_from,
    number_at,
    order_at,
    passed_enough,
    place_of,
    row_at,
    row_bytes_of,
    row_of,
    touch,
)
from mmsb.memory.kernels_fields import FIRST, SEGMENT, SINCE, SPARSE_AT
from mmsb.memory.kernels_load import i8, load, move, move_value, u1, u4


@kernel
def _find(
    orders: int,
    count: int,
    page: int,
    at_row: int,
    since: int,
    epoch: int,
    column: int,
    widths: int,
    mark: int,
) -> tuple[int, int, int]:
    """(address or 0, bytes there, unverified) of the cell that was written to a row of a column
    last, in epochs (since, epoch]; -1: in any up to ``epoch``."""
    missing = walked = 0
    k = count - 1
    while k >= 0:
        order = order_at(orders, k)
        k -= 1
        if field_of(order, SINCE) > epoch:
            continue
        batch, (low, high) = -1, between(order, page, since, epoch)
        for back in range(high - low):
            number = number_at(order, high - 1 - back)
            batch = batch_near(order, number, batch)
            row = row_of(order, batch)
            if consult(order, batch, mark):
                missing += 1
                if passed_enough(missing, walked):
                    return 0, 1, 1
                continue
            walked += 1
            start, stop, begin, end = extent_of(order, row, number)
            if at_row < start or at_row >= stop:
                continue
            place, size, each = place_of(order, row, column, widths)
            if place < 0:
                continue
            cell, sparse = begin + at_row - start, field_of(row, SPARSE_AT)
            if sparse >= 0:
                bytes_ = row_bytes_of(row)
                if touch(order, row, sparse + bytes_ * begin, sparse + bytes_ * end, mark):
                    return 0, 1, 1
                rows = field_of(order, SEGMENT) + sparse
                cell = _sparse_cell(rows, begin, end, at_row, bytes_)
                if cell < 0:
                    continue
            if each:
                cell = number - field_of(row, FIRST)
            source = place + cell * size
            unseen = touch(order, row, source, source + size, mark)
            return field_of(order, SEGMENT) + source, size, int(missing > 0) | unseen
    return 0, 1, int(missing > 0)


@kernel
def _sparse_cell(rows: int, low: int, high: int, wanted: int, bytes_: int) -> int:
    """Which of cells [low, high) is of that row; -1 if none is. Their rows increase."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if row_at(rows, middle, bytes_) < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and row_at(rows, low, bytes_) == wanted else -1


@kernel
def _kept(kept: tuple[int, int, int, int, int], page: int, row: int, width: int) -> tuple[int, int]:
    """The epoch of the page's keyframe, -1 if it has none; where that has the row's cell, or 0."""
    count, pages, epochs, rows, cells = kept
    at = first_from(pages, 0, count, page) if count else 0
    if at == count or u4(pages + 4 * at) != page:
        return -1, 0
    has = row < i8(rows + 8 * at)
    return i8(epochs + 8 * at), i8(cells + 8 * at) + row * width if has else 0


@kernel
def cells(
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
    kept: tuple[int, int, int, int, int],
    to: int,
    turns: int,
    mark: int,
) -> int:
    """One column's cells at (pages[i], rows[i]), u32 each, into ``to``, for i in [first, last), or
    for the i that lie at ``turns``, u32, so that pages are met in their order.

    ``kept``: how many pages have a keyframe, and where lie, by page, increasing, these (u32), and,
    i64 each, their keyframes' epochs, rows, and addresses of cells. Returns whether something
    unverified was read. O(log deltas of the order + log pages with keyframes) for each.
    """
    width, unseen = u1(widths + column), 0
    for turn in range(first, last):
        i = u4(turns + 4 * turn) if turns else turn
        page, row = u4(pages + 4 * i), u4(rows + 4 * i)
        since, base = _kept(kept, page, row, width)
        found, size, new = _find(orders, count, page, row, since, epoch, column, widths, mark)
        unseen |= new
        if new:
            continue
        if found == 0 and base:
            move(to + i * width, base, width)
        elif found == 0:
            move_value(to + i * width, fill, width)
        elif size == width:
            move(to + i * width, found, width)
        else:
            move_value(to + i * width, load(found, size, width), width)
    return unseen


@kernel
def cell(
    orders: int,
    count: int,
    page: int,
    row: int,
    since: int,
    epoch: int,
    column: int,
    widths: int,
    fill: int,
    mark: int,
) -> tuple[int, int]:
    """The bits of one cell as written in epochs (since, epoch], else ``fill``; whether something
    unverified was read."""
    found, size, unseen = _find(orders, count, page, row, since, epoch, column, widths, mark)
    if found == 0 or unseen:
        return fill, unseen
    return load(found, size, u1(widths + column)), unseen

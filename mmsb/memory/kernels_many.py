"""The memory's loops over many pages at once: random cells, whole columns, the sort by page."""

from __future__ import annotations

from typing import Any

from mmsb.memory.kernels import (
    BATCHES,
    DELTAS,
    EPOCH,
    FIRST,
    META,
    PAGES,
    ROWS,
    SEGMENT,
    SINCE,
    SPARSE,
    STARTS,
    STOPS,
    TOMBSTONE,
    batch_near,
    consult,
    extent_of,
    field_of,
    inner,
    kernel,
    move,
    move_value,
    number_at,
    order_at,
    overlay,
    place_of,
    row_of,
    slice_of,
    touch,
    upto_of,
)
from mmsb.memory.kernels_load import u1, u4


@inner
def _find(
    orders: int, count: int, page: int, at_row: int, epoch: int, column: int, widths: int, mark: int
) -> tuple[int, int]:
    """(address of the newest cell or 0, unverified) of one row of a page's column."""
    width, unseen = u1(widths + column), 0
    k = count - 1
    while k >= 0:
        order = order_at(orders, k)
        k -= 1
        if field_of(order, SINCE) > epoch:
            continue
        low, high = slice_of(order, page)
        high, batch = upto_of(order, low, high, epoch), -1
        for back in range(high - low):
            number = number_at(order, high - 1 - back)
            batch = batch_near(order, number, batch)
            row = row_of(order, batch)
            unseen |= consult(order, batch, mark)
            start, stop, begin, end = extent_of(order, row, number)
            if at_row < start or at_row >= stop:
                continue
            place = place_of(order, row, column, widths)
            if place < 0:
                continue
            cell, sparse = begin + at_row - start, field_of(row, SPARSE)
            if sparse >= 0:
                unseen |= touch(order, row, sparse + 4 * begin, sparse + 4 * end, mark)
                cell = _sparse_cell(field_of(order, SEGMENT) + sparse, begin, end, at_row)
                if cell < 0:
                    continue
            source = place + cell * width
            unseen |= touch(order, row, source, source + width, mark)
            return field_of(order, SEGMENT) + source, unseen
    return 0, unseen


@inner
def _sparse_cell(rows: int, low: int, high: int, wanted: int) -> int:
    end = high
    while low < high:
        middle = (low + high) >> 1
        if u4(rows + 4 * middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and u4(rows + 4 * low) == wanted else -1


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
    to: int,
    mark: int,
) -> int:
    """One column's cells at (pages[i], rows[i]), u32 each, for i in [first, last), into ``to``.

    Returns whether something unverified was read. O(log deltas of the order) for each.
    """
    width, unseen = u1(widths + column), 0
    for i in range(first, last):
        page, row = u4(pages + 4 * i), u4(rows + 4 * i)
        found, new = _find(orders, count, page, row, epoch, column, widths, mark)
        unseen |= new
        if found == 0:
            move_value(to + i * width, fill, width)
        else:
            move(to + i * width, found, width)
    return unseen


@kernel
def sort_by_page(pages: Any, order: Any, names: Any, begins: Any, spare: Any, counts: Any) -> int:
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


@inner
def _each(order: int, row: int, kind: int, epoch: int) -> bool:
    """Does the batch hold cells of the kind, committed up to the epoch?"""
    meta = field_of(row, META)
    return (
        field_of(row, EPOCH) <= epoch and (meta & 0xFFFF) == kind and (meta >> 16) & TOMBSTONE == 0
    )


@kernel
def row_counts(
    orders: int, count: int, kind: int, epoch: int, low: int, high: int, counts: Any, mark: int
) -> int:
    """For pages [low, high) of a kind one past the last row, into ``counts`` u32 by page."""
    unseen = 0
    for k in range(count):
        order = order_at(orders, k)
        segment = field_of(order, SEGMENT)
        for batch in range(field_of(order, BATCHES)):
            row = row_of(order, batch)
            if not _each(order, row, kind, epoch):
                continue
            unseen |= consult(order, batch, mark)
            pages, deltas, stops = (
                segment + field_of(row, PAGES),
                field_of(row, DELTAS),
                field_of(row, STOPS),
            )
            starts, each = segment + field_of(row, STARTS), field_of(row, ROWS) // max(deltas, 1)
            for own in range(deltas):
                page = u4(pages + 4 * own)
                if low <= page < high:
                    start = u4(starts + 4 * own)
                    stop = start + each if stops < 0 else u4(segment + stops + 4 * own)
                    counts[page] = max(counts[page], stop)
    return unseen


@kernel
def gather(
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
    width, unseen = u1(widths + column), 0
    for k in range(count):
        order = order_at(orders, k)
        for batch in range(field_of(order, BATCHES)):
            row = row_of(order, batch)
            if not _each(order, row, kind, epoch):
                continue
            place = place_of(order, row, column, widths)
            if place < 0:
                continue
            unseen |= consult(order, batch, mark)
            pages = field_of(order, SEGMENT) + field_of(row, PAGES)
            for own in range(field_of(row, DELTAS)):
                page = u4(pages + 4 * own)
                if low <= page < high and places[page] >= 0:
                    number = field_of(row, FIRST) + own
                    at = to + places[page] * width
                    unseen |= overlay(order, row, number, place, 0, rows[page], width, at, mark)
    return unseen

"""The memory's loops over many pages at once: random cells, whole columns, the sort by page."""

from __future__ import annotations

from typing import Any

from mmsb.base.kernels import kernel
from mmsb.memory.kernels import (
    TOMBSTONE,
    batch_near,
    consult,
    extent_of,
    field_of,
    number_at,
    order_at,
    overlay,
    passed_enough,
    place_of,
    row_at,
    row_bytes_of,
    row_of,
    slice_of,
    touch,
    upto_of,
)
from mmsb.memory.kernels_fields import (
    BATCHES,
    DELTAS,
    EPOCH,
    FIRST,
    META,
    PAGES,
    ROWS,
    SEGMENT,
    SINCE,
    SPARSE_AT,
    STARTS,
    STOPS,
)
from mmsb.memory.kernels_load import (
    fill_with,
    load,
    move,
    move_value,
    put_cells,
    u1,
    u4,
)


@kernel
def _find(
    orders: int, count: int, page: int, at_row: int, epoch: int, column: int, widths: int, mark: int
) -> tuple[int, int, int]:
    """(address of the newest cell or 0, its bytes there, unverified) of one row of a column."""
    missing = walked = 0
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
    turns: int,
    mark: int,
) -> int:
    """One column's cells at (pages[i], rows[i]), u32 each, into ``to``, for i in [first, last), or
    for the i that lie at ``turns``, u32, so that pages are met in their order.

    Returns whether something unverified was read. O(log deltas of the order) for each.
    """
    width, unseen = u1(widths + column), 0
    for turn in range(first, last):
        i = u4(turns + 4 * turn) if turns else turn
        page, row = u4(pages + 4 * i), u4(rows + 4 * i)
        found, size, new = _find(orders, count, page, row, epoch, column, widths, mark)
        unseen |= new
        if new:
            continue
        if found == 0:
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
    epoch: int,
    column: int,
    widths: int,
    fill: int,
    mark: int,
) -> tuple[int, int]:
    """The bits of one cell, and whether something unverified was read."""
    found, size, unseen = _find(orders, count, page, row, epoch, column, widths, mark)
    if found == 0 or unseen:
        return fill, unseen
    return load(found, size, u1(widths + column)), unseen


@kernel
def _each(row: int, kind: int, after: int, epoch: int) -> bool:
    """Does the batch hold cells of the kind, committed in epochs (after, epoch]?"""
    meta = field_of(row, META)
    cells = (meta >> 16) & TOMBSTONE == 0 and (meta & 0xFFFF) == kind
    return cells and after < field_of(row, EPOCH) <= epoch


@kernel
def row_counts(
    runs: int,
    count: int,
    kind: int,
    after: int,
    epoch: int,
    low: int,
    high: int,
    counts: Any,
    mark: int,
) -> int:
    """Raises ``counts``, u32 by page, to one past the last row written in (after, epoch], for
    pages [low, high) of a kind."""
    unseen = 0
    for k in range(count):
        run = order_at(runs, k)
        segment = field_of(run, SEGMENT)
        for batch in range(field_of(run, BATCHES)):
            row = row_of(run, batch)
            if not _each(row, kind, after, epoch):
                continue
            if consult(run, batch, mark):
                unseen = 1
                continue
            pages, deltas = segment + field_of(row, PAGES), field_of(row, DELTAS)
            starts, stops = segment + field_of(row, STARTS), field_of(row, STOPS)
            each = field_of(row, ROWS) // max(deltas, 1)
            for own in range(deltas):
                page = u4(pages + 4 * own)
                if low <= page < high:
                    stop = u4(starts + 4 * own) + each
                    if stops >= 0:
                        stop = u4(segment + stops + 4 * own)
                    counts[page] = max(counts[page], stop)
    return unseen


@kernel
def _cover(
    runs: int,
    count: int,
    kind: int,
    epoch: int,
    column: int,
    widths: int,
    low: int,
    high: int,
    places: Any,
    rows: Any,
    base: Any,
    mark: int,
) -> tuple[int, int]:
    """For each page the newest dense delta that has all its rows, as (batch + 1) << 32 | delta.

    Batches are counted over all runs. Returns the batch before which nothing is needed any more,
    and whether unverified tables were used. Newest first, until all pages are covered.
    """
    left = missing = walked = total = 0
    for page in range(low, high):
        left += places[page] >= 0 and rows[page] > 0
    for k in range(count):
        total += field_of(order_at(runs, k), BATCHES)
    for back in range(count):
        run = order_at(runs, count - 1 - back)
        for back_batch in range(field_of(run, BATCHES)):
            batch = field_of(run, BATCHES) - 1 - back_batch
            total -= 1
            row = row_of(run, batch)
            if left == 0:
                return total + 1, int(missing > 0)
            if not _each(row, kind, -1, epoch):
                continue
            if consult(run, batch, mark):
                missing += 1
                if passed_enough(missing, walked):
                    return total + 1, 1
                continue
            walked += 1
            if field_of(row, SPARSE_AT) >= 0 or place_of(run, row, column, widths)[0] < 0:
                continue
            pages, first = field_of(run, SEGMENT) + field_of(row, PAGES), field_of(row, FIRST)
            for back_own in range(field_of(row, DELTAS)):
                own = field_of(row, DELTAS) - 1 - back_own
                page = u4(pages + 4 * own)
                if low <= page < high and places[page] >= 0 and base[page] == 0:
                    start, stop, _, _ = extent_of(run, row, first + own)
                    if start == 0 and stop >= rows[page] > 0:
                        base[page] = (total + 1) << 32 | own
                        left -= 1
    return 0, int(missing > 0)


@kernel
def _put_batch(
    run: int,
    row: int,
    buffer: tuple[int, int, int],
    ordinal: int,
    width: int,
    low: int,
    high: int,
    places: Any,
    rows: Any,
    base: Any,
    to: int,
    mark: int,
) -> int:
    """Writes what a batch says of a column, but for what later deltas cover; 1 if unverified.

    ``buffer`` is as `place_of` gives it.
    """
    segment, first = field_of(run, SEGMENT), field_of(row, FIRST)
    pages, sparse = segment + field_of(row, PAGES), field_of(row, SPARSE_AT)
    place, size, each = buffer
    unseen = target = source = count = 0
    for own in range(field_of(row, DELTAS)):
        page = u4(pages + 4 * own)
        if page < low or page >= high or places[page] < 0 or base[page] > (ordinal << 32 | own):
            continue
        at, most = to + places[page] * width, rows[page]
        if sparse >= 0:
            number = first + own
            unseen |= overlay(run, row, number, place, size, each, 0, most, width, at, mark)
            continue
        start, stop, begin, _ = extent_of(run, row, first + own)
        stop = min(stop, most)
        if start >= stop:
            continue
        at += start * width
        cells = place + (own if each else begin) * size
        # Deltas that follow each other here and there are copied as one.
        if each or at != target + count * width or cells != source + count * size:
            unseen |= _put(run, row, target, source, count, size, each, width, mark)
            target, source, count = at, cells, 0
        count += stop - start
    return unseen | _put(run, row, target, source, count, size, each, width, mark)


@kernel
def _put(
    run: int,
    row: int,
    target: int,
    source: int,
    count: int,
    size: int,
    each: int,
    width: int,
    mark: int,
) -> int:
    """Puts cells of the segment there that are verified; 1 if they are not."""
    if count == 0:
        return 0
    if touch(run, row, source, source + (size if each else count * size), mark):
        return 1
    put_cells(target, field_of(run, SEGMENT) + source, count, size, each, width)
    return 0


@kernel
def gather(
    runs: int,
    count: int,
    kind: int,
    epoch: int,
    column: int,
    widths: int,
    fill: int,
    low: int,
    high: int,
    places: Any,
    rows: Any,
    base: Any,
    to: int,
    mark: int,
) -> int:
    """One column of all pages [low, high) of a kind that have a place.

    By page: ``places`` i64, where its cells begin in ``to``, counted in cells, or -1; ``rows`` u32,
    how many it has; ``base`` i64, zeros. Returns whether something unverified was read.
    """
    width = u1(widths + column)
    since, unseen = _cover(
        runs, count, kind, epoch, column, widths, low, high, places, rows, base, mark
    )
    if unseen:
        return 1
    for page in range(low, high):
        if places[page] >= 0 and base[page] == 0:
            fill_with(to + places[page] * width, rows[page], width, fill)
    ordinal = 0
    for k in range(count):
        run = order_at(runs, k)
        for batch in range(field_of(run, BATCHES)):
            ordinal += 1
            row = row_of(run, batch)
            if ordinal < since or not _each(row, kind, -1, epoch):
                continue
            if consult(run, batch, mark):
                unseen = 1
                continue
            buffer = place_of(run, row, column, widths)
            if buffer[0] >= 0:
                unseen |= _put_batch(
                    run, row, buffer, ordinal, width, low, high, places, rows, base, to, mark
                )
    return unseen

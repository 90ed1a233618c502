"""The memory's loops over many pages at once: their row counts, their columns end to end."""

from __future__ import annotations

from typing import Any

from mmsb.base.kernels import kernel
from mmsb.memory.kernels import (
    TOMBSTONE,
    consult,
    extent_of,
    field_of,
    order_at,
    overlay,
    passed_enough,
    place_of,
    row_of,
    touch,
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
    SPARSE_AT,
    STARTS,
    STOPS,
)
from mmsb.memory.kernels_load import fill_with, i8, put_cells, u1, u4


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
def _open(
    runs: int, count: int, low: int, high: int, places: Any, rows: Any, base: Any
) -> tuple[int, int, int]:
    """How many batches there are, how many pages without a base, the first batch that those with
    one need."""
    total = left = 0
    for k in range(count):
        total += field_of(order_at(runs, k), BATCHES)
    least = total + 1
    for page in range(low, high):
        if base[page]:
            least = min(least, base[page] >> 32)
        else:
            left += places[page] >= 0 and rows[page] > 0
    return total, left, least


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
    """For each page without a base the newest dense delta that has all its rows, as
    (batch + 1) << 32 | delta.

    Batches are counted over all runs. Returns the batch before which nothing is needed any more,
    and whether unverified tables were used. Newest first, until all pages are covered.
    """
    missing = walked = 0
    total, left, least = _open(runs, count, low, high, places, rows, base)
    for back in range(count):
        run = order_at(runs, count - 1 - back)
        for back_batch in range(field_of(run, BATCHES)):
            batch = field_of(run, BATCHES) - 1 - back_batch
            total -= 1
            row = row_of(run, batch)
            if left == 0:
                return min(total + 1, least), int(missing > 0)
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
def begin(
    kept: tuple[int, int, int, int, int],
    first: int,
    last: int,
    width: int,
    fill: int,
    places: Any,
    rows: Any,
    to: int,
) -> None:
    """Puts cells of keyframes [first, last) in their pages' places, fill where these have more.

    ``kept`` is as `mmsb.memory.kernels_cells.cells` takes it, the rest as `gather` does.
    """
    _, pages, _, held, cells = kept
    for at in range(first, last):
        page = u4(pages + 4 * at)
        start, count = to + places[page] * width, min(i8(held + 8 * at), rows[page])
        put_cells(start, i8(cells + 8 * at), count, width, 0, width)
        fill_with(start + count * width, rows[page] - count, width, fill)


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
    how many it has; ``base`` i64: 0, or where ``to`` has what it was before some batch, that batch
    (counted from 1) << 32. Returns whether something unverified was read.
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

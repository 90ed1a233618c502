"""The loop that reads a column of one page: newest delta first, rows from the first that has them.

A bitmap says which rows have their cell. So a cell that a later one hides is never touched, each
delta is met once, and the walk ends where nothing is missing.
"""

from __future__ import annotations

from mmsb.base.kernels import kernel
from mmsb.memory.kernels import (
    TOMBSTONE,
    batch_near,
    between,
    consult,
    extent_of,
    field_of,
    number_at,
    order_at,
    passed_enough,
    place_of,
    row_at,
    row_bytes_of,
    row_of,
    touch,
)
from mmsb.memory.kernels_fields import FIRST, META, SEGMENT, SINCE, SPARSE_AT
from mmsb.memory.kernels_load import (
    i8,
    load,
    move,
    move_value,
    put8,
    put_cells,
    u1,
)


@kernel
def bits_of(word: int, low: int, high: int) -> int:
    """The bits that rows [low, high) have in a word of the bitmap."""
    bits = -1
    if low > word << 6:
        bits = bits << (low & 63)
    if high < (word + 1) << 6:
        bits = bits & ((1 << (high & 63)) - 1)
    return bits


@kernel
def lay(
    covered: int, to: int, source: int, low: int, high: int, size: int, each: int, width: int
) -> int:
    """Puts those of rows [low, high) there that are missing, and covers them; how many they were.

    ``source`` is where the cell of row ``low`` lies, stored so (`put_cells`); 0: they are covered
    only.
    """
    new, run = 0, low  # rows [run, …) wait to be copied together
    step = 0 if each else size
    for word in range(low >> 6, ((high - 1) >> 6) + 1):
        at = covered + 8 * word
        held, bits = i8(at), bits_of(word, low, high)
        put8(at, held | bits)
        if held & bits == 0:
            continue
        begin, end = max(low, word << 6), min(high, (word + 1) << 6)
        if held & bits == bits and run == begin:
            run = end  # as the word before
            continue
        for row in range(begin, end):
            if (held >> (row & 63)) & 1:
                if run < row:
                    new += row - run
                    if source:
                        begins = source + (run - low) * step
                        put_cells(to + run * width, begins, row - run, size, each, width)
                run = row + 1
    if run < high:
        new += high - run
        if source:
            begins = source + (run - low) * step
            put_cells(to + run * width, begins, high - run, size, each, width)
    return new


@kernel
def clear(covered: int, rows: int) -> None:
    for word in range((rows + 63) >> 6):
        put8(covered + 8 * word, 0)


@kernel
def rest(covered: int, to: int, rows: int, known: int, held: int, width: int, fill: int) -> None:
    """Gives the rows that are missing their cells among the ``held`` known ones, or the fill."""
    if held > 0:
        lay(covered, to, known, 0, min(held, rows), width, 0, width)
    for word in range((rows + 63) >> 6):
        held = i8(covered + 8 * word)
        if held != -1:
            for row in range(word << 6, min(rows, (word + 1) << 6)):
                if (held >> (row & 63)) & 1 == 0:
                    move_value(to + row * width, fill, width)


@kernel
def clip(order: int, row: int, number: int, first: int, last: int) -> tuple[int, int, int]:
    """The rows of [first, last) that a dense delta has, counted from ``first``; its first such
    cell."""
    start, stop, begin, _ = extent_of(order, row, number)
    return max(start, first) - first, min(stop, last) - first, begin + max(first - start, 0)


@kernel
def hidden(order: int, row: int, number: int, first: int, last: int, covered: int) -> bool:
    """Are all rows of [first, last) that a dense delta has covered? Most of an old history are."""
    if field_of(row, SPARSE_AT) >= 0:
        return False
    start, stop, _ = clip(order, row, number, first, last)
    for word in range(start >> 6, (stop + 63) >> 6):
        bits = bits_of(word, start, stop)
        if i8(covered + 8 * word) & bits != bits:
            return False
    return True


@kernel
def whole(order: int, row: int, number: int, place: int, first: int, last: int, width: int) -> int:
    """Where in the segment the cells of all rows begin, if the delta has them one by one; or 0."""
    if field_of(row, SPARSE_AT) >= 0:
        return 0
    start, stop, begin = clip(order, row, number, first, last)
    return place + begin * width if stop - start == last - first else 0


@kernel
def overlay_under(
    order: int,
    row: int,
    number: int,
    buffer: tuple[int, int, int],
    first: int,
    last: int,
    width: int,
    covered: int,
    to: int,
    mark: int,
) -> tuple[int, int]:
    """What a delta has of the rows that are missing; how many these were, 1 if not verified.

    Cells that are not verified are covered and not copied: nothing older is wanted there.
    ``buffer`` is as `place_of` gives it.
    """
    segment, sparse = field_of(order, SEGMENT), field_of(row, SPARSE_AT)
    place, size, each = buffer
    own = number - field_of(row, FIRST)
    if sparse < 0:
        start, stop, begin = clip(order, row, number, first, last)
        if start >= stop:
            return 0, 0
        low, high = (own, own + 1) if each else (begin, begin + stop - start)
        source = place + low * size
        unseen = touch(order, row, source, place + high * size, mark)
        cells = 0 if unseen else segment + source
        return lay(covered, to, cells, start, stop, size, each, width), unseen
    _, _, begin, end = extent_of(order, row, number)
    if begin == end:
        return 0, 0
    low, high = (own, own + 1) if each else (begin, end)
    bytes_ = row_bytes_of(row)
    unseen = touch(order, row, sparse + bytes_ * begin, sparse + bytes_ * end, mark)
    unseen |= touch(order, row, place + low * size, place + high * size, mark)
    if unseen:
        return 0, 1
    new = 0
    for cell in range(begin, end):
        at = row_at(segment + sparse, cell, bytes_) - first
        if 0 <= at < last - first:
            word, bit = covered + 8 * (at >> 6), 1 << (at & 63)
            held = i8(word)
            if held & bit == 0:
                put8(word, held | bit)
                source = segment + place + (own if each else cell) * size
                if size == width:
                    move(to + at * width, source, width)
                else:
                    move_value(to + at * width, load(source, size, width), width)
                new += 1
    return new, 0


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


@kernel
def read(
    orders: int,
    count: int,
    page: int,
    since: int,
    epoch: int,
    column: int,
    widths: int,
    first: int,
    last: int,
    fill: int,
    known: int,
    held: int,
    to: int,
    covered: int,
    mark: int,
) -> tuple[int, int, int]:
    """Cells of rows [first, last) of a page's column, into ``to``; (order, place, unverified).

    What it was as of epoch ``since`` (-1: nothing) begins at ``known``, with row 0, for ``held``
    rows. Where one delta covers the rows and none after it touches them nothing is written, and
    the cells begin at that place of the order's segment. Order -2: what is known has all rows, and
    nothing was written since, here neither. Else order is -1. ``covered``: a bit a row; scratch.
    """
    width, rows = u1(widths + column), last - first
    left, missing, walked, unseen = rows, 0, 0, 0
    clear(covered, rows)
    for k in range(count - 1, -1, -1):
        order = order_at(orders, k)
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
                    return -1, 0, 1
                continue
            walked += 1
            if hidden(order, row, number, first, last, covered):
                continue
            buffer = place_of(order, row, column, widths)
            if buffer[0] < 0:
                continue
            if left == rows and unseen == 0 and buffer[1:] == (width, 0):
                source = whole(order, row, number, buffer[0], first, last, width)
                if source:
                    unseen = touch(order, row, source, source + rows * width, mark)
                    return k, source, int(missing > 0) | unseen
            had = overlay_under(order, row, number, buffer, first, last, width, covered, to, mark)
            left, unseen = left - had[0], unseen | had[1]
            if left == 0:
                return -1, 0, int(missing > 0) | unseen
    if left == rows and held >= last:
        return -2, 0, int(missing > 0) | unseen
    rest(covered, to, rows, known + first * width, held - first, width, fill)
    return -1, 0, int(missing > 0) | unseen

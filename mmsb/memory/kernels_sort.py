"""Sorting numbers of deltas by page."""

from __future__ import annotations

from typing import Any

from mmsb.base.kernels import kernel


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

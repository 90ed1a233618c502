"""Numbers of deltas in the order of their pages, so that a page's are found without a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsb.base import loading
from mmsb.memory.cells import Array

#: So few are sorted by numpy, without loading the kernels.
_FEW = 65_536


@dataclass(slots=True, eq=False)
class Order:
    """Numbers [low, high) of a run, sorted by page and then by number."""

    low: int
    high: int
    numbers: Array  # u32
    pages: Array  # u32, distinct
    begins: Array  # u32, one more

    def of_page(self, page: int) -> Array:
        """The page's numbers, increasing. O(log pages)."""
        at = int(np.searchsorted(self.pages, np.uint32(page)))
        if at == len(self.pages) or self.pages[at] != page:
            return self.numbers[:0]
        return self.numbers[int(self.begins[at]) : int(self.begins[at + 1])]

    def holds(self) -> bool:
        """Does it list numbers below ``high``, page by page? O(numbers)."""
        numbers, begins, pages = self.numbers, self.begins.astype(np.int64), self.pages
        return (
            int(numbers.max(initial=0)) < max(self.high, 1)
            and (int(begins[0]), int(begins[-1])) == (0, len(numbers))
            and bool((np.diff(begins) > 0).all())
            and bool((pages[1:] > pages[:-1]).all())
        )

    def describe(self) -> tuple[int, int, int, int, int]:
        """Where numbers are, how many pages, begins, pages (0: without a gap), the first page."""
        pages = self.pages
        dense = len(pages) > 0 and int(pages[-1]) - int(pages[0]) + 1 == len(pages)
        return (
            int(self.numbers.ctypes.data),
            len(pages),
            int(self.begins.ctypes.data),
            0 if dense else int(pages.ctypes.data),
            int(pages[0]) if len(pages) else 0,
        )


def sorted_by_page(pages: Array, low: int) -> Order:
    """The order of deltas low, low + 1, … of these pages (u32). O(deltas)."""
    count = len(pages)
    if count <= _FEW:
        by_page = np.argsort(pages, kind="stable")
        ordered = pages[by_page]
        first = np.flatnonzero(np.append(count > 0, ordered[1:] != ordered[:-1]))
        begins = np.append(first, count).astype("<u4")
        return Order(low, low + count, (by_page + low).astype("<u4"), ordered[first], begins)
    with loading.lock:
        from mmsb.memory import kernels_sort

    numbers, spare, names = (np.empty(count, np.uint32) for _ in range(3))
    begins = np.empty(count + 1, np.uint32)
    named = kernels_sort.sort_by_page(
        pages, numbers, names, begins, spare, np.empty(2048, np.int64)
    )
    numbers += np.uint32(low)
    return Order(low, low + count, numbers, names[:named].copy(), begins[: named + 1].copy())


def distinct(pages: Array, count: int) -> Array:
    """Which pages these are, each once, u32, increasing; all are below ``count``."""
    if len(pages) < count >> 10:
        return np.unique(pages)
    there = np.zeros(count, bool)
    there[pages] = True
    return np.flatnonzero(there).astype("<u4")

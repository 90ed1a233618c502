"""Many deltas of one kind and the same columns, as columns: no object for any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, common_length, frozen, numbers, whole
from mmsb.memory.delta import Delta


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """Delta i writes rows [starts[i], stops[i]) of pages[i]; its cells follow those of delta i - 1.

    ``each`` is how many rows all of them have, None if they differ. With ``rows`` they are sparse:
    it has the row of each cell, and ``firsts`` the first cell of each delta.
    """

    kind: Kind
    pages: Array  # u32
    starts: Array  # u32
    stops: Array  # i64
    each: int | None
    buffers: Mapping[str, Array]
    rows: Array | None = None  # u32
    firsts: Array | None = None  # i64

    def of(self, page: int) -> list[tuple[Rows, dict[str, Array]]]:
        """Its deltas of one page, as rows and their cells. O(deltas)."""
        found = np.flatnonzero(self.pages == page).tolist()
        if not found:
            return []
        ends = np.cumsum(self.stops - self.starts).tolist()
        out = []
        for at in found:
            rows = Rows(int(self.starts[at]), int(self.stops[at]))
            own = slice(ends[at] - len(rows), ends[at])
            out.append((rows, {name: values[own] for name, values in self.buffers.items()}))
        return out

    def without(self, page: int) -> Many:
        """The same less what it writes to a page."""
        return self.only(self.pages != page)

    def only(self, keep: Array) -> Many:
        """Those of its deltas, all dense, that are marked."""
        assert self.rows is None
        if keep.all():
            return self
        cells = np.repeat(keep, self.stops - self.starts)
        buffers = {name: frozen(values[cells]) for name, values in self.buffers.items()}
        starts, stops = self.starts[keep], self.stops[keep]
        return Many(self.kind, self.pages[keep], starts, stops, self.each, buffers)


def one(deltas: list[Delta]) -> Many | None:
    """A single dense delta that has cells; None for others."""
    delta, rows = deltas[0], deltas[0].rows
    if len(deltas) > 1 or not delta.columns or not len(rows) or len(delta) != len(rows):
        return None
    pages, starts = np.array([delta.page], U32), np.array([rows.start], U32)
    return Many(delta.kind, pages, starts, np.array([rows.stop]), len(rows), delta.buffers)


def many(kind: Kind, pages: Array, buffers: dict[str, Array], starts: Any, counts: Any) -> Many:
    """Checks that it fits together; UsageError."""
    total, deltas = common_length(kind, buffers), len(pages)
    where = f"patch_many of {kind.name!r}"
    each: int | None = None
    if counts is None:
        if total % deltas if deltas else total:
            raise UsageError(
                f"{where}: {total} cells do not make equally many for each of {deltas} pages; pass "
                "counts"
            )
        each = total // max(deltas, 1)
        lengths = np.full(deltas, each, np.int64)
    else:
        lengths = numbers(counts, f"{where}: counts").astype(np.int64)
        if len(lengths) != deltas or int(lengths.sum()) != total:
            raise UsageError(
                f"{where}: {len(lengths)} counts of {int(lengths.sum())} rows in all do not fit "
                f"{deltas} pages and {total} cells"
            )
    if not isinstance(starts, Iterable) or (isinstance(starts, np.ndarray) and not starts.ndim):
        row = whole(starts, f"{where}: starts")
        if not 0 <= row < 2**32:
            raise UsageError(f"{where}: row {row} cannot be written; rows are 0 … 2**32 - 2")
        first = np.full(deltas, row, np.int64)
    else:
        first = numbers(starts, f"{where}: starts").astype(np.int64)
    if len(first) != deltas:
        raise UsageError(f"{where}: pass one start, or one for each of the {deltas} pages")
    empty = lengths == 0
    if empty.any() and not empty.all():
        pages, first, lengths = pages[~empty], first[~empty], lengths[~empty]
    elif empty.all():
        pages, first, lengths = pages[:0], first[:0], lengths[:0]
    if each is None and len(lengths) and bool((lengths == lengths[0]).all()):
        each = int(lengths[0])
    return Many(kind, pages, first.astype(U32), first + lengths, each, buffers)

"""The edges of a memory's rows: of all rows of a kind, of some of them, of one subject's."""

from __future__ import annotations

import numpy as np

from mmsb.base.model import NONE_U32
from mmsb.graph.ends import Leg, Reading, uses
from mmsb.memory.cells import Array, filled
from mmsb.memory.snapshot import Snapshot

_PAGE = np.uint64(32)


def whole(snapshot: Snapshot, reading: Reading) -> tuple[list[Leg], Array]:
    """All edges of a kind, ends as symbols, and the subjects of its pages, u32. O(rows)."""
    every = _Every(snapshot, reading)
    subjects, most = np.repeat(every.own, np.diff(every.offsets)), snapshot.symbol_count
    legs = reading.legs(every.cells, subjects=subjects, rows=subjects, most=most, up=every.up)
    return legs, every.own[every.own != NONE_U32]


def early(snapshot: Snapshot, reading: Reading) -> Array:
    """Rows that may become edges without being written, as page << 32 | row: an end of theirs, or
    their parent, is not there yet. O(rows)."""
    every, parents = _Every(snapshot, reading), reading.edge.parent
    source = every.up(every.cells[parents]) if parents else None
    waits = reading.early(every.cells, snapshot.symbol_count, source)
    if parents:
        waits |= (every.cells[parents] != NONE_U32) & ~every.there(every.cells[parents])
    at = np.flatnonzero(waits)
    of = np.searchsorted(every.offsets, at, side="right") - 1
    return keys(every.pages[of], at - every.offsets[of])


def keys(pages: Array, rows: Array) -> Array:
    """page << 32 | row, u64."""
    found: Array = pages.astype(np.uint64) << _PAGE | rows.astype(np.uint64)
    return found


class _Every:
    """The columns of all pages of a kind, end to end."""

    def __init__(self, snapshot: Snapshot, reading: Reading) -> None:
        self.pages = snapshot.pages(reading.kind)
        columns, self.offsets = snapshot.gather_columns(reading.kind, reading.columns, self.pages)
        self.cells = reading.cells(columns.__getitem__)
        self.own = snapshot.subject_ids(self.pages)
        self._source = reading.edge.source

    def there(self, parents: Array) -> Array:
        """Which of these, a row each, are rows of the row's own page?"""
        counts = np.diff(self.offsets)
        found: Array = parents < np.repeat(counts, counts)
        return found

    def up(self, parents: Array) -> Array:
        """The source column's cells in those rows of the same pages; none where there is no row."""
        there = self.there(parents)
        first = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        found = np.full(len(parents), NONE_U32, np.uint32)
        found[there] = self.cells[self._source][first[there] + parents[there]]
        return found


def some(
    snapshot: Snapshot, reading: Reading, pages: Array, rows: Array
) -> tuple[list[Leg], Array]:
    """What rows[i] of pages[i] say, an entry each, none valid of a page that is not there; and
    which of them are `early`, as keys. O(log deltas) for each."""
    there = snapshot.lives(pages)

    def of(name: str, at: Array, of_them: Array) -> Array:
        column = reading.kind.column(name)
        found = filled(column, len(pages))
        found[of_them] = snapshot.cells(reading.kind, name, pages[of_them], at[of_them])
        return found

    def up(parents: Array) -> Array:
        return of(reading.edge.source, parents, there & (parents != NONE_U32))

    cells = reading.cells(lambda name: of(name, rows, there))
    subjects, most = np.full(len(pages), NONE_U32, np.uint32), snapshot.symbol_count
    subjects[there] = snapshot.subject_ids(pages[there])
    legs = reading.legs(cells, subjects=subjects, rows=rows, most=most, up=up)
    source, waits = None, np.zeros(len(pages), bool)
    if reading.edge.parent:  # of an append-only kind, which has one page
        parents = cells[reading.edge.parent]
        count = snapshot.row_count(reading.kind, int(pages[0])) if there.any() else 0
        source, waits = up(parents), (parents != NONE_U32) & (parents >= count)
    waits |= reading.early(cells, most, source)
    return legs, keys(pages[waits], rows[waits])


def in_page(snapshot: Snapshot, reading: Reading, subject: str, most: int) -> list[Leg]:
    """The edges of a kind among the rows of a subject's page."""
    page = snapshot.page(reading.kind, subject)
    if page is None:
        return []
    columns = snapshot.columns(reading.kind, page, reading.columns)
    cells = reading.cells(columns.__getitem__)
    if reading.edge.operands:
        lists = snapshot.page(reading.edge.operands, subject)
        if lists is None:
            return []
        return [uses(reading, cells, snapshot.columns(reading.edge.operands, lists), most)]
    rows = np.arange(snapshot.row_count(reading.kind, page), dtype=np.uint32)

    def up(parents: Array) -> Array:
        found = np.full(len(parents), NONE_U32, np.uint32)
        there = parents < len(rows)
        found[there] = cells[reading.edge.source][parents[there]]
        return found

    return reading.legs(cells, subjects=rows, rows=rows, most=most, up=up)


def joined(legs: list[Leg]) -> tuple[Array, Array, Array | None]:
    """The edges of all legs, one after another; weights u64 where there are several."""
    parts = [leg.edges() for leg in legs]
    if len(parts) == 1:
        return parts[0]
    sources, targets, weights = zip(*parts, strict=True)
    given = [own.astype(np.uint64) for own in weights if own is not None]
    return (
        np.concatenate(sources),
        np.concatenate(targets),
        np.concatenate(given) if given else None,
    )

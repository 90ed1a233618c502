"""The edges of a memory's rows: of all rows of a kind, of some of them, of one subject's."""

from __future__ import annotations

import numpy as np

from mmsb.base.model import NONE_U32
from mmsb.graph.ends import Leg, Reading, uses
from mmsb.memory.cells import Array, filled
from mmsb.memory.snapshot import Snapshot


def whole(snapshot: Snapshot, reading: Reading) -> tuple[list[Leg], Array]:
    """All edges of a kind, ends as symbols, and the subjects of its pages, u32. O(rows)."""
    pages = snapshot.pages(reading.kind)
    columns, offsets = snapshot.gather_columns(reading.kind, reading.columns, pages)
    cells = reading.cells(columns.__getitem__)
    counts = np.diff(offsets)
    own = snapshot.subject_ids(pages)

    def up(parents: Array) -> Array:
        first, most = np.repeat(offsets[:-1], counts), np.repeat(counts, counts)
        there = parents < most
        found = np.full(len(parents), NONE_U32, np.uint32)
        found[there] = cells[reading.edge.source][first[there] + parents[there]]
        return found

    subjects, most = np.repeat(own, counts), snapshot.symbol_count
    legs = reading.legs(cells, subjects=subjects, rows=subjects, most=most, up=up)
    return legs, own[own != NONE_U32]


def some(snapshot: Snapshot, reading: Reading, pages: Array, rows: Array) -> list[Leg]:
    """What rows[i] of pages[i] say, an entry each; of a page that is not there none is valid.

    O(log deltas) for each.
    """
    there = snapshot.lives(pages)

    def of(name: str, at: Array, of_them: Array) -> Array:
        column = reading.kind.column(name)
        found = filled(column, len(pages))
        found[of_them] = snapshot.cells(reading.kind, name, pages[of_them], at[of_them])
        return found

    def up(parents: Array) -> Array:
        return of(reading.edge.source, parents, there & (parents != NONE_U32))

    cells = reading.cells(lambda name: of(name, rows, there))
    subjects, most = snapshot.subject_ids(pages), snapshot.symbol_count
    return reading.legs(cells, subjects=subjects, rows=rows, most=most, up=up)


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

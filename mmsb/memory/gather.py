"""Columns of many pages as of an epoch, end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.base.schema import Column, Kind
from mmsb.memory import pool, ways
from mmsb.memory.cells import Array, address_of, dtype_of, frozen, unset
from mmsb.memory.index import Described, Index
from mmsb.memory.kernels_fields import EPOCH


def gather(
    index: Index,
    kind: Kind,
    columns: tuple[Column, ...],
    *,
    pages: Array,
    epoch: int,
    out: Array | None = None,
) -> tuple[list[Array], Array]:
    """Columns of many pages, end to end, with offsets (i64); later cells over earlier ones.

    ``out``: where the cells of the one column go, instead of into new memory.

    One pass over each batch that wrote the column: O(cells ever written to it), whatever the
    number of pages, on all cores. CorruptData, also for damaged cells that later ones hide.
    """
    counts = row_counts(index, kind, epoch)
    offsets = np.zeros(len(pages) + 1, np.int64)
    np.cumsum(counts[pages], out=offsets[1:])
    places = np.full(len(counts), -1, np.int64)
    places[pages] = offsets[:-1]
    total = int(offsets[-1])
    compiled = ways.loaded(index) or ways.worth(index, ways.OF_CELL * total * len(columns))
    one = _gather_compiled if compiled else _gather
    found = []
    for column in columns:
        cells = unset(column, total) if out is None else _fitting(column, out, total)
        one(index, kind, column, epoch, _Target(places, counts, cells))
        found.append(frozen(cells) if out is None else cells)
    return found, frozen(offsets)


def _fitting(column: Column, out: Any, total: int) -> Array:
    dtype = dtype_of(column)
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.ndim != 1:
        raise UsageError(f"out: {column.name!r} goes into an array of one axis and dtype {dtype}")
    if isinstance(out, np.ma.MaskedArray):
        raise UsageError(f"out: {column.name!r} goes into an array without a mask; pass its data")
    out = np.asarray(out)  # whatever a subclass makes of an index
    if not (out.flags.writeable and out.flags.c_contiguous and len(out) >= total):
        raise UsageError(
            f"out: {column.name!r} has {total} cells; pass a contiguous array that can be written "
            f"and has room for them, not one of {len(out)}"
        )
    cells: Array = out[:total]
    return cells


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Where gathered cells go."""

    places: Array  # i64 by page: the place of its first cell in ``out``, or -1
    counts: Array  # u32 by page: how many rows it has
    out: Array


def row_counts(index: Index, kind: Kind, epoch: int) -> Array:
    """Rows of every page of a kind as of the epoch, u32 by page, read-only.

    O(deltas of the kind since an epoch for which it was asked before).
    """
    after, before = index.counted(kind.id, epoch)
    if after == epoch:
        return before
    counts = np.zeros(index.catalog.counted(epoch), "<u4")
    counts[: len(before)] = before
    if ways.loaded(index) or ways.worth(index, ways.OF_COUNT * index.delta_count):
        kernels, known = ways.many(), index.described()

        def run(mark: int) -> int:
            def part(low: int, high: int) -> int:
                args = (kind.id, after, epoch, low, high, counts, mark)
                return int(kernels.row_counts(*known.told_runs, *args))

            return pool.spread(part, len(counts), smallest=65536)

        index.verified(known, run)
    else:
        for run_ in index.runs_to(epoch):
            numbers = run_.members(run_.chosen(kind.id, after, epoch))
            if len(numbers):
                _, _, stops, _ = run_.spans(numbers)
                np.maximum.at(counts, run_.pages(numbers), stops.astype("<u4"))
    index.count(kind.id, epoch, frozen(counts))
    return counts


def _gather_compiled(index: Index, kind: Kind, column: Column, epoch: int, target: _Target) -> None:
    kernels, known, told = ways.many(), index.described(), index.told(kind, column)
    places, counts, to = target.places, target.counts, address_of(target.out)
    bases = np.zeros(len(places), np.int64)
    kept = None
    if index.keyframes:
        wanted = np.flatnonzero(places >= 0).astype("<u4")
        kept = index.keyframes.kept(column, wanted, epoch)
    if kept is not None:
        frames = kept.told()
        width = dtype_of(column).itemsize

        def begin(low: int, high: int) -> int:
            kernels.begin(frames, low, high, width, told.fill, places, counts, to)
            return 0

        pool.spread(begin, len(kept.pages), smallest=4096)
        bases[kept.pages] = _batches_to(known, kept.epochs) + 1 << 32

    def run(mark: int) -> int:
        base = bases.copy()

        def part(low: int, high: int) -> int:
            args = (low, high, places, counts, base, to, mark)
            about = (kind.id, epoch, column.id, told.widths, told.fill)
            return int(kernels.gather(*known.told_runs, *about, *args))

        return pool.spread(part, len(places), smallest=65536)

    index.verified(known, run)


def _batches_to(known: Described, epochs: Array) -> Array:
    """How many batches were committed up to each of the epochs, i64."""
    found = np.zeros(len(epochs), np.int64)
    for held in known.held:
        found += np.searchsorted(held.run.table[: held.batches, EPOCH], epochs, side="right")
    return found


def _gather(index: Index, kind: Kind, column: Column, epoch: int, target: _Target) -> None:
    dtype, widths = dtype_of(column), index.widths(kind.id)
    target.out[:] = column.fill
    for run in index.runs_to(epoch):
        for at in run.chosen(kind.id, -1, epoch).tolist():
            buffer = run.places(at, widths).get(column.id)
            if buffer is None:
                continue
            bases = target.places[run.pages(run.members(np.array([at])))]
            if (bases >= 0).any():
                index.by_numpy += ways.OF_DELTA
                each, touched = run.touched(at)
                bases = np.repeat(bases, each)
                wanted = bases >= 0
                cells = run.all_cells(at, buffer, dtype, each)
                target.out[(bases + touched)[wanted]] = cells[wanted]

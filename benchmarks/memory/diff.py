"""Claim 5: what was written between two epochs costs by the cells written, not by the memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import (
    Array,
    Bench,
    Goal,
    Result,
    Timing,
    Timings,
    Way,
    measured,
    same,
    seconds,
)
from benchmarks.memory import batches, ours
from benchmarks.memory.ours import SERIES, SMALL
from benchmarks.memory.peer import WIDTH
from mmsb.memory.memory import Memory

ROWS = 10  # of a delta
EPOCHS = 10
WRITTEN = tuple(10**power for power in range(2, 7))
FILLER = 1000  # rows of the patches that fill the memory: 16 kB each


def run(bench: Bench) -> Result:
    result = Result("What was written between two epochs")
    written = WRITTEN[: bench.pick(5, 3)]
    sizes = (1, 4) if bench.quick else (10, 100, 1000, 4000)
    memories: dict[int, tuple[Memory, Spans]] = {}
    ways = {f"numpy.unique {cells}": _floor(cells) for cells in written}
    with bench.room("diff") as room:
        others = _peers(bench, room, written)
        try:
            for size in sizes:
                memories[size] = _filled(room / f"mmsb{size}", size * 10**6, written)
                _check(*memories[size], others)
            for cells in written:
                for size, (memory, spans) in memories.items():
                    ways[f"{size} {cells}"] = Way(functools.partial(memory.diff, *spans[cells]))
            for peer, commits in others:
                for cells, span in commits.items():
                    call = functools.partial(peer.written, *span)
                    ways[f"{peer.name} {cells}"] = Way(call, times=20)
            os.sync()  # so that no size is timed while the disk takes in another
            timings = measured(bench, ways)
        finally:
            for memory, _ in memories.values():
                memory.close()
            for peer, _ in others:
                peer.close()
    found = {
        size: {f"{cells}": timings.pop(f"{size} {cells}") for cells in written} for size in sizes
    }
    _say(result, found, timings, written)
    return result


Spans = dict[int, tuple[int, int]]  # by cells written: before the first epoch, and the last


def pages_of(written: tuple[int, ...]) -> int:
    """Of how many pages the cells are."""
    return max(written) // EPOCHS // ROWS * 2


def _filled(folder: Path, size: int, written: tuple[int, ...]) -> tuple[Memory, Spans]:
    """A memory of ``size`` bytes, half of them before and half after what is asked for."""
    memory = ours.create(folder, segment_bytes=64 * 2**20)
    small = ours.new_pages(memory, SMALL, pages_of(written), "small")
    large = ours.new_pages(memory, SERIES, 100, "large")
    _fill(memory, large, size // 2)
    spans: Spans = {}
    for cells in written:
        first = memory.head
        for chosen, starts, values in commits_of(cells, len(small)):
            ours.commit_many(
                memory, SMALL, small[chosen], {"value": values}, starts=starts, count=ROWS
            )
        spans[cells] = first, memory.head
    _fill(memory, large, size // 2)
    return memory, spans


def _fill(memory: Memory, pages: Any, size: int) -> None:
    random = np.random.default_rng(8)
    count = len(pages)
    columns = {"a": random.integers(0, 2**60, count * FILLER), "b": random.random(count * FILLER)}
    for at in range(max(size // (count * FILLER * WIDTH), 1)):
        starts = np.full(count, at % 16 * FILLER, np.uint32)
        ours.commit_many(memory, SERIES, pages, columns, starts=starts, count=FILLER)


def commits_of(cells: int, pages: int) -> Iterator[tuple[Array, Array, Array]]:
    """So many cells in EPOCHS commits: pages by their place, first rows, values."""
    random = np.random.default_rng(cells)
    count = max(cells // EPOCHS // ROWS, 1)
    for _ in range(EPOCHS):
        chosen = np.sort(random.choice(pages, count, replace=False))
        starts = random.integers(0, 50, count, np.uint32)
        yield chosen, starts, random.integers(0, 2**32, count * ROWS, np.uint32)


Timed = list[tuple[batches.TimedBatch, Spans]]


def _peers(bench: Bench, room: Path, written: tuple[int, ...]) -> Timed:
    """Peers that hold these commits and nothing else."""
    made: Timed = []
    for kind in batches.TIMED:
        if bench.peers and kind.here():
            peer = kind(room / kind.name)
            spans: Spans = {}
            for cells in written:
                first = peer.epoch
                for commit in commits_of(cells, pages_of(written)):
                    peer.commit(peer.prepared(*commit, ROWS))
                spans[cells] = first, peer.epoch
            made.append((peer, spans))
    return made


def _check(memory: Memory, spans: Spans, others: Timed) -> None:
    small = memory.at().pages(SMALL)
    place = {page: at for at, page in enumerate(small.tolist())}
    for cells, span in spans.items():
        truth = np.unique(
            np.concatenate(
                [
                    (np.repeat(chosen, ROWS) << 32)
                    + np.repeat(starts, ROWS)
                    + np.tile(np.arange(ROWS), len(starts))
                    for chosen, starts, _ in commits_of(cells, len(small))
                ]
            )
        ).astype(np.uint64)
        told = [
            (place[each.page] << 32) + each.rows.astype(np.int64) for each in memory.diff(*span)
        ]
        same(f"diff{span}", truth, np.concatenate(told).astype(np.uint64))
        for peer, commits in others:
            same(f"{peer.name}: diff{span}", truth, peer.written(*commits[cells]))


def _floor(cells: int) -> Way:
    """The least that is known of it: rows and pages of the cells written, sorted, each once."""
    random = np.random.default_rng(9)
    keys = random.integers(0, 2**40, cells)
    return Way(lambda: np.unique(keys))


def _say(
    result: Result, found: dict[int, Timings], beside: Timings, written: tuple[int, ...]
) -> None:
    small, large = found[min(found)], found[max(found)]
    most = f"{max(written)}"

    def cell(timing: Timing, name: str) -> float:
        return timing.middle / int(name)

    result.goals += [
        Goal(
            f"{name} cells: {max(found):,} MB of {min(found):,} MB",
            large[name].over(small[name]),
            1.25,
            "×",
        )
        for name in map(str, written)
    ]
    before = f"{max(written) // 10}"
    result.goals.append(
        Goal(
            f"a line: a cell of {int(most):,} of a cell of {int(before):,}",
            cell(large[most], most) / cell(large[before], before),
            1.5,
            "×",
        )
    )
    result.say(
        f"Cells written in {EPOCHS} epochs in deltas of {ROWS} rows (one column, u32), which lie "
        f"in the middle of a memory whose other patches are {FILLER:,} rows of two columns. "
        "Columns: the size of the memory. Beside it: DuckDB and TileDB (a sparse array, opened "
        "between two timestamps), which hold these cells and nothing else, and numpy, which sorts "
        "as many random numbers and drops what is twice."
    )
    heads = ["cells", *(f"{size:,} MB" for size in found), "a cell"]
    names = [name for name in ("DuckDB", "TileDB", "numpy.unique") if f"{name} {most}" in beside]
    rows = [
        [
            f"{int(name):,}",
            *(seconds(timings[name].middle) for timings in found.values()),
            seconds(cell(large[name], name)),
            *(seconds(beside[f"{peer} {name}"].middle) for peer in names),
        ]
        for name in map(str, written)
    ]
    result.table([*heads, *names], rows)

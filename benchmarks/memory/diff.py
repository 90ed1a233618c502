"""Claim 5: what was written between two epochs costs by the cells written, not by the memory."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import ours, peers
from benchmarks.memory.harness import Bench, Goal, Result, Timing, Timings, Way, measured, seconds
from benchmarks.memory.ours import SERIES, SMALL
from mmsb.memory.memory import Memory

ROWS = 10  # of a delta
EPOCHS = 10
WRITTEN = tuple(10**power for power in range(2, 7))
FILLER = 1000  # rows of the patches that fill the memory: 16 kB each


def run(bench: Bench) -> Result:
    result = Result("What was written between two epochs")
    written = WRITTEN[: bench.pick(5, 3)]
    sizes = (1, 4) if bench.quick else (10, 100, 1000, 4000)
    found: dict[int, Timings] = {}
    floor: Timings = {}
    with bench.room("diff") as room:
        for size in sizes:
            memory, spans = _filled(room / f"mmsb{size}", size * 10**6, written)
            try:
                _check(memory, spans)
                ways = {
                    f"{cells}": Way(functools.partial(memory.diff, *span))
                    for cells, (span, _) in spans.items()
                }
                if size == sizes[0]:
                    ways |= {f"numpy {cells}": _floor(cells) for cells in written}
                timings = measured(bench, ways)
                found[size] = {f"{cells}": timings[f"{cells}"] for cells in written}
                floor |= {name: each for name, each in timings.items() if "numpy" in name}
            finally:
                memory.close()
                peers.remove(room / f"mmsb{size}")
    _say(result, found, floor, written)
    return result


Spans = dict[int, tuple[tuple[int, int], dict[int, Any]]]


def _filled(folder: Path, size: int, written: tuple[int, ...]) -> tuple[Memory, Spans]:
    """A memory of ``size`` bytes, half of them before and half after what is asked for."""
    memory = ours.create(folder, segment_bytes=64 * 2**20)
    small = ours.new_pages(memory, SMALL, max(written) // EPOCHS // ROWS * 2, "small")
    large = ours.new_pages(memory, SERIES, 100, "large")
    _fill(memory, large, size // 2)
    random = np.random.default_rng(7)
    spans: Spans = {}
    for cells in written:
        first, truth = memory.head, {}
        for _ in range(EPOCHS):
            count = max(cells // EPOCHS // ROWS, 1)
            chosen = np.sort(random.choice(len(small), count, replace=False))
            starts = random.integers(0, 50, count, np.uint32)
            values = {"value": random.integers(0, 2**32, count * ROWS, np.uint32)}
            ours.commit_many(memory, SMALL, small[chosen], values, starts=starts, count=ROWS)
            for page, start in zip(small[chosen].tolist(), starts.tolist(), strict=True):
                truth.setdefault(page, set()).update(range(start, start + ROWS))
        spans[cells] = (first, memory.head), truth
    _fill(memory, large, size // 2)
    return memory, spans


def _fill(memory: Memory, pages: Any, size: int) -> None:
    random = np.random.default_rng(8)
    count = len(pages)
    columns = {"a": random.integers(0, 2**60, count * FILLER), "b": random.random(count * FILLER)}
    for at in range(max(size // (count * FILLER * peers.WIDTH), 1)):
        starts = np.full(count, at % 16 * FILLER, np.uint32)
        ours.commit_many(memory, SERIES, pages, columns, starts=starts, count=FILLER)


def _check(memory: Memory, spans: Spans) -> None:
    for span, truth in spans.values():
        told = {each.page: set(each.rows.tolist()) for each in memory.diff(*span)}
        if told != truth:
            raise SystemExit(f"diff{span} is not what was written between these epochs")


def _floor(cells: int) -> Way:
    """The least that is known of it: rows and pages of the cells written, sorted, each once."""
    random = np.random.default_rng(9)
    keys = random.integers(0, 2**40, cells)
    return Way(lambda: np.unique(keys))


def _say(
    result: Result, found: dict[int, Timings], floor: Timings, written: tuple[int, ...]
) -> None:
    small, large = found[min(found)], found[max(found)]
    most = f"{max(written)}"

    def cell(timing: Timing, name: str) -> float:
        return timing.middle / int(name)

    result.goals += [
        Goal(
            f"{name} cells: {max(found):,} MB of {min(found):,} MB",
            large[name].middle / small[name].middle,
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
        "Beside it: numpy sorts as many random numbers and drops what is twice. Columns: the size "
        "of the memory."
    )
    heads = ["cells", *(f"{size:,} MB" for size in found), "a cell", "numpy.unique"]
    rows = [
        [
            f"{int(name):,}",
            *(seconds(timings[name].middle) for timings in found.values()),
            seconds(cell(large[name], name)),
            seconds(floor[f"numpy {name}"].middle),
        ]
        for name in map(str, written)
    ]
    result.table(heads, rows)

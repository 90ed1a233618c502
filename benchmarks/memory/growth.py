"""Claim 9: what a million pages hold resident, and how every cost grows with the deltas."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.harness import (
    ROOT,
    Array,
    Bench,
    Goal,
    Result,
    Way,
    child,
    measured,
    once,
    plot,
    same,
    seconds,
)
from benchmarks.memory import ours, peers
from benchmarks.memory.cell import CHAIN, ROWS, chains
from benchmarks.memory.ours import SMALL
from mmsb.memory.memory import Memory

PLOT = ROOT / "docs" / "benchmarks-memory-growth.svg"

#: Opens, reads a cell of every page, asks for a history; and what that left in the process.
CODE = """
import gc, json, sys
from benchmarks.memory import ours
import numpy

def anonymous():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if "RssAnon" in line)

def work(memory):
    snapshot = memory.at(max(memory.head - 1, 0))
    pages = snapshot.pages(ours.SMALL)
    snapshot.cells(ours.SMALL, "value", pages, numpy.zeros(len(pages), numpy.uint32))
    snapshot.column(ours.SMALL, int(pages[5]), "value")
    return memory.diff(memory.head - 1, memory.head - 1)

small = ours.open_(sys.argv[2])  # imports, and what is compiled, are no part of the memory
work(small)
gc.collect()
before = anonymous()
memory = ours.open_(sys.argv[1])
opened = anonymous()
work(memory)
gc.collect()
print(json.dumps({"opened": opened - before, "used": anonymous() - before}))
"""

Costs = dict[str, Callable[[], object]]


def run(bench: Bench) -> Result:
    result = Result("A million pages, and growth from 10^4 to 10^7 deltas")
    with bench.room("growth") as room:
        _resident(bench, room, result)
        _growth(bench, room, result)
    return result


def _resident(bench: Bench, room: Path, result: Result) -> None:
    """Two memories of the same pages, with one and with ten deltas each."""
    names = "resident bytes a page", "resident bytes a delta"
    pages = bench.pick(1_000_000, 20_000)
    ours.create(room / "none").close()
    _chained(room / "none1", 100, 1)
    lines, taken = [], []
    for commits in (1, CHAIN):
        folder = room / f"resident{commits}"
        _chained(folder, pages, commits)
        child(CODE, folder, room / "none1")  # what is derived and kept in files is there now
        found = [child(CODE, folder, room / "none1") for _ in range(3)]
        used, opened = (median(each[name] for each in found) for name in ("used", "opened"))
        files = sum(path.stat().st_size for path in folder.glob("index*"))
        data = pages * commits * ROWS * 4
        stored = sum(path.stat().st_size for path in folder.iterdir())
        taken.append(used + files)
        sizes = [f"{value / 1e6:.1f} MB" for value in (data, stored, files, opened, used)]
        lines.append([f"{pages:,} pages, {pages * commits:,} deltas", *sizes])
        peers.remove(folder)
    delta = (taken[1] - taken[0]) / (pages * (CHAIN - 1))
    page = taken[0] / pages - delta
    result.goals += [Goal(names[0], page, 100, "B"), Goal(names[1], delta, 16, "B")]
    result.say(
        f"Pages of {ROWS} cells (u32); a process of its own opens the memory and reads a cell of "
        "every page. Resident is what it holds of its own beyond a small memory's, and all of the "
        "index files, mapped or not."
    )
    heads = ["", "cells", "all files", "index files", "anonymous, opened", "and read"]
    result.table(heads, lines)


def _chained(folder: Path, pages: int, commits: int) -> None:
    memory = ours.create(folder)
    known = ours.new_pages(memory, SMALL, pages)
    starts = np.zeros(pages, np.uint32)
    for commit in range(commits):
        values = np.random.default_rng(commit).integers(0, 2**32, pages * ROWS, np.uint32)
        ours.commit_many(memory, SMALL, known, {"value": values}, starts=starts, count=ROWS)
    memory.close()


def _growth(bench: Bench, room: Path, result: Result) -> None:
    sizes = [10**4, 10**5, 10**6, 10**7]
    if bench.quick:
        sizes = [10**3, 10**4]
    grown: dict[str, list[float]] = {}
    for size in sizes:
        folder = room / f"growth{size}"
        for name, cost in _costs(bench, folder, size).items():
            grown.setdefault(name, []).append(cost)
        peers.remove(folder)
    result.say(
        f"Every cost at so many deltas: pages of {ROWS} cells (u32), each written in {CHAIN} "
        f"commits, read as of the fifth of these; one commit is a delta of {ROWS} rows; the diff "
        "is of the last ten of these. `opening`: by a process that has opened a memory before."
    )
    heads = ["", *(f"{size:,}" for size in sizes), "last of first"]
    rows = [
        [name, *map(seconds, costs), f"{costs[-1] / costs[0]:.2f} ×"]
        for name, costs in grown.items()
    ]
    result.table(heads, rows)
    if bench.write:
        plot(PLOT, "deltas", sizes, grown)
        result.say(f"![Growth of every cost with the deltas]({PLOT.name})")


def _costs(bench: Bench, folder: Path, size: int) -> dict[str, float]:
    """The median of each cost in a memory of ``size`` deltas."""
    memory, values = chains(folder, size)
    try:
        ways, wanted = _ways(bench, memory, values)
        found = {name: timing.middle for name, timing in measured(bench, ways).items()}
        found["cells, each"] /= wanted
    finally:
        memory.close()
    ours.open_(folder).close()
    opened = [once(lambda: _open(folder)) for _ in range(bench.rounds)]
    return {**found, "opening": median(opened)}


def _open(folder: Path) -> None:
    ours.open_(folder).close()


def _ways(
    bench: Bench, memory: Memory, values: Callable[[int], Array]
) -> tuple[dict[str, Way], int]:
    pages = memory.at().pages(SMALL)
    old = memory.head - CHAIN + 5
    random = np.random.default_rng(13)
    order = itertools.cycle(random.permutation(pages)[:1000].tolist())
    same(
        "growth: a column",
        values(5)[ROWS * 7 : ROWS * 8],
        memory.at(old).column(SMALL, int(pages[7]), "value"),
    )
    start = np.zeros(1, np.uint32)

    def commit() -> None:
        page = np.array([next(order)], np.uint32)
        cells = {"value": values_once}
        ours.commit_many(memory, SMALL, page, cells, starts=start, count=ROWS)

    values_once = random.integers(0, 2**32, ROWS, np.uint32)
    for _ in range(10):
        commit()
    last = memory.head
    ways = {
        "commit": Way(commit, times=200),
        "one cell": Way(lambda: memory.at(old).cell(SMALL, next(order), "value", 3)),
        "a column of 8 rows": Way(lambda: memory.at(old).column(SMALL, next(order), "value")),
        "diff of 80 cells": Way(lambda: memory.diff(last - 10, last)),
        "epochs of a page": Way(lambda: memory.at(old).written(next(order))),
        "a snapshot": Way(lambda: memory.at(old)),
    }
    wanted = min(bench.pick(100_000, 1_000), len(pages) * 10)
    chosen = random.choice(pages, wanted)
    rows = random.integers(0, ROWS, wanted).astype(np.uint32)
    snapshot = memory.at(old)
    ways["cells, each"] = Way(lambda: snapshot.cells(SMALL, "value", chosen, rows), times=10)
    return ways, wanted

"""Claim 3: one cell as of an epoch, alone and a million at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import Array, Bench, Goal, Result, Way, measured, same
from benchmarks.memory import ours, peers
from benchmarks.memory.column import patches
from benchmarks.memory.ours import SMALL
from benchmarks.memory.peer import Ours, Peer
from mmsb.memory.memory import Memory

ROWS, CHAIN = 8, 10  # of a small page: its rows, and how often each was written


def run(bench: Bench) -> Result:
    result = Result("One cell as of an epoch")
    with bench.room("cell") as room:
        _alone(bench, room, result)
        for deltas, goal in ((10**5, 50e-9), (10**7, 150e-9)):
            _many(bench, room, result, deltas, goal)
    return result


def _alone(bench: Bench, room: Path, result: Result) -> None:
    """One cell of a large page with a history."""
    rows, patch = bench.pick(1_000_000, 20_000), 1000
    epoch = bench.pick(200, 20)
    history = patches(rows, patch, epoch + 20)
    made: dict[str, Peer] = {"mmsb": Ours(room / "mmsb", rows, patch, False)}
    for kind in peers.chosen(bench.peers):
        if kind is not peers.PlainLMDB:
            made[kind.name] = peers.make(kind, room / kind.name, rows, patch, kind.modes[0])
    wanted = np.random.default_rng(3).integers(0, rows, 256).tolist()
    try:
        for peer in made.values():
            for start, columns in history:
                peer.patch(start, columns)
        truth = made["mmsb"].column("b", epoch)
        for name, peer in made.items():
            found = [peer.cell("b", row, epoch) for row in wanted[:10]]
            same(f"{name}: cells", truth[wanted[:10]], np.array(found, np.float64))
        timings = measured(
            bench, {name: Way(_cells(peer, wanted, epoch)) for name, peer in made.items()}
        )
    finally:
        for peer in made.values():
            peer.close()
    result.goals.append(Goal("one cell", timings["mmsb"].middle, 5e-6, "s"))
    result.say(
        f"One cell at random of a page of {rows:,} rows, as of {epoch} patches of {patch:,} rows."
    )
    result.figures(timings, "mmsb")


def _cells(peer: Peer, rows: list[int], epoch: int) -> Callable[[], object]:
    following = itertools.cycle(rows)
    return lambda: peer.cell("b", next(following), epoch)


def _many(bench: Bench, room: Path, result: Result, deltas: int, goal: float) -> None:
    """Cells at random of many small pages."""
    name = f"each of 10^6 random cells, 10^{len(str(deltas)) - 1} deltas"
    if bench.quick:
        deltas //= 100
    wanted = bench.pick(1_000_000, 10_000)
    memory, values = chains(room / f"chains{deltas}", deltas)
    count = deltas // CHAIN
    random = np.random.default_rng(4)
    pages = random.integers(0, count, wanted).astype(np.uint32)
    rows = random.integers(0, ROWS, wanted).astype(np.uint32)
    old = CHAIN // 2
    snapshot = memory.at(memory.head - (CHAIN - old))
    first = int(snapshot.pages(SMALL)[0])

    def read() -> Array:
        found: Array = snapshot.cells(SMALL, "value", first + pages, rows)  # type: ignore[attr-defined]
        return found

    try:
        same(name, values(old)[pages.astype(np.int64) * ROWS + rows], read())
        table = values(old)
        timings = measured(
            bench,
            {
                "cells": Way(read, times=20, per=wanted),
                "numpy, from the one array that holds them": Way(
                    lambda: table[pages.astype(np.int64) * ROWS + rows], times=20, per=wanted
                ),
            },
        )
    finally:
        memory.close()
        peers.remove(room / f"chains{deltas}")
    result.goals.append(Goal(name, timings["cells"].middle, goal, "s"))
    result.say(
        f"{wanted:,} cells at random, {count:,} pages of {ROWS} rows, each written in {CHAIN} "
        f"commits ({deltas:,} deltas), as of commit {old}; a cell."
    )
    result.figures(timings, "cells")


def chains(folder: Path, deltas: int) -> tuple[Memory, Callable[[int], Array]]:
    """Pages of 8 cells, each written in CHAIN commits, and all cells as of one of these, 1 …"""
    count = deltas // CHAIN
    memory = ours.create(folder)
    pages = ours.new_pages(memory, SMALL, count)
    starts = np.zeros(count, np.uint32)

    def values(commit: int) -> Array:
        return np.random.default_rng(commit).integers(0, 2**32, count * ROWS, np.uint32)

    for commit in range(1, CHAIN + 1):
        ours.commit_many(memory, SMALL, pages, {"value": values(commit)}, starts=starts, count=ROWS)
    return memory, values

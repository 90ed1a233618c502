"""Claim 4: small deltas over many pages, and new pages; in batches and one alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Bench, Goal, Result, Way, floors, measured, same
from benchmarks.memory import batches, ours
from benchmarks.memory.ours import SMALL
from mmsb.base.rect import Rows
from mmsb.memory.memory import Memory

CELLS = 8
ROWS = 64  # of a page


def run(bench: Bench) -> Result:
    result = Result("Small deltas over many pages")
    pages = bench.pick(1_000_000, 2_000)
    with bench.room("deltas") as room:
        memory = ours.create(room / "mmsb", "every")
        try:
            known = ours.new_pages(memory, SMALL, pages)
            _together(bench, room, result, memory, known)
        finally:
            memory.close()
        memory = ours.open_(room / "mmsb", write=True, durability="none")
        try:
            _visible(bench, result, memory, known)
            _alone(bench, result, memory, known)
        finally:
            memory.close()
    return result


def _together(bench: Bench, room: Path, result: Result, memory: Memory, known: Any) -> None:
    """A delta for each page in one durable commit."""
    count = len(known)
    random = np.random.default_rng(5)
    inputs = [
        (
            random.integers(0, ROWS - CELLS, count, np.uint32),
            random.integers(0, 2**32, count * CELLS, np.uint32),
        )
        for _ in range(3)
    ]

    def commit(starts: Any, values: Any) -> int:
        changes = memory.changes()
        counts = np.full(count, CELLS, np.uint32)
        changes.patch_many(SMALL, known, {"value": values}, starts, counts)
        return memory.commit(changes)

    made = [kind(room / kind.name) for kind in batches.BATCHES if bench.peers and kind.here()]
    try:
        for starts, values in inputs[:2]:
            commit(starts, values)
            for peer in made:
                peer.commit(peer.prepared(np.arange(count), starts, values, CELLS))
        for page in random.integers(0, count, 20).tolist():
            truth = memory.at().column(SMALL, int(known[page]), "value", Rows(0, ROWS))
            for peer in made:
                same(f"{peer.name}: page {page}", truth, peer.page(page, ROWS))
        turn = itertools.cycle(inputs)
        ways = {"mmsb": Way(lambda: commit(*next(turn)), times=3, per=count)}
        for peer in made:
            given = peer.prepared(np.arange(count), *inputs[2], CELLS)
            ways[peer.name] = Way(
                lambda peer=peer, given=given: peer.commit(given),  # type: ignore[misc]
                times=1,
                per=count,
            )
        for name, way in floors(room, count * CELLS * 4).items():
            ways[name] = Way(way.run, times=3, per=count)
        timings = measured(bench, ways)
    finally:
        for peer in made:
            peer.close()
    rate = 1 / timings["mmsb"].middle
    result.goals.append(Goal("deltas in a batch, durable", rate, 10e6, "M/s", at_least=True))
    result.say(
        f"{count:,} deltas of {CELLS} cells (u32), one for each page at a row at random, in one "
        "commit, on the disk when it returns (TileDB and Lance do not sync); a delta. The peers' "
        "input is laid out for them before the clock runs. The floors carry the cells alone."
    )
    result.figures(timings, "mmsb", "ns")


def _visible(bench: Bench, result: Result, memory: Memory, known: Any) -> None:
    """The same commit where nobody waits for the disk."""
    random = np.random.default_rng(5)
    starts = random.integers(0, ROWS - CELLS, len(known), np.uint32)
    values = {"value": random.integers(0, 2**32, len(known) * CELLS, np.uint32)}

    def commit() -> None:
        ours.commit_many(memory, SMALL, known, values, starts=starts, count=CELLS)

    timings = measured(bench, {"mmsb, none": Way(commit, times=2, per=len(known))})
    rate = 1 / timings["mmsb, none"].middle
    result.goals.append(Goal("the same, visible", rate, 10e6, "M/s", at_least=True))


def _alone(bench: Bench, result: Result, memory: Memory, known: Any) -> None:
    """One delta, and one page, in a commit of its own; then many pages in one."""
    random = np.random.default_rng(6)
    values = {"value": random.integers(0, 2**32, CELLS, np.uint32)}
    scattered = np.sort(random.choice(ROWS, CELLS, replace=False)).astype(np.uint32)
    order = itertools.cycle(random.permutation(known)[:10_000].tolist())
    number, batch = itertools.count(), bench.pick(100_000, 1_000)
    names: list[str] = []

    def subjects() -> None:
        names[:] = [f"batch{next(number)}" for _ in range(batch)]

    def create() -> None:
        changes = memory.changes()
        changes.pages(SMALL, names)
        memory.commit(changes)

    def collected() -> None:
        changes = memory.changes()
        changes.patch(SMALL, next(order), values, 8)
        memory.commit(changes)

    timings = measured(
        bench,
        {
            "a delta of 8 rows in a row": Way(
                lambda: memory.update_page(next(order), Rows(8, 8 + CELLS), values)
            ),
            "a delta of 8 rows here and there": Way(
                lambda: memory.update_page(next(order), scattered, values)
            ),
            "the first by `changes` and `commit`": Way(collected),
            "a page alone": Way(lambda: memory.create_page(SMALL, f"alone{next(number)}")),
            "a page in a batch": Way(create, times=3, per=batch, before=subjects),
        },
    )
    for name, what, bound in (
        ("a delta of 8 rows in a row", "one delta alone", 10e-6),
        ("a delta of 8 rows here and there", "one sparse delta alone", 10e-6),
        ("a page in a batch", "a page, in a batch", 2e-6),
        ("a page alone", "a page alone", 10e-6),
    ):
        result.goals.append(Goal(what, timings[name].middle, bound, "s"))
    result.say(
        f"Commits of their own, durability `none`, in the memory with those {len(known):,} pages; "
        f"and {batch:,} pages with new subjects in one commit, a page."
    )
    result.figures(timings, "a delta of 8 rows in a row")

"""Claim 1: a commit of 1,000 rows × 2 columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import Bench, Goal, Result, Timings, Way, floors, measured, same
from benchmarks.memory import peers
from benchmarks.memory.peer import WIDTH, Columns, Ours, Peer

PATCH = 1000
OLD = 3  # the epoch that is read back before anything is timed


def run(bench: Bench) -> Result:
    result = Result("A commit of 1,000 rows × 2 columns")
    with bench.room("commit") as room:
        timings = _timed(bench, room)
    unsynced = "mmsb, none"

    def ratio(of: str, to: str) -> float | None:
        return timings[of].over(timings[to]) if {of, to} <= timings.keys() else None

    if bench.peers:
        result.goals += [
            Goal("visible, of LMDB unsynced", ratio(unsynced, "LMDB, unsynced"), 2, "×"),
            Goal("visible, of LMDB by pwrite", ratio(unsynced, "LMDB by pwrite"), 2, "×"),
            Goal("visible, TileDB of it", ratio("TileDB", unsynced), 500, "×", at_least=True),
        ]
    result.goals += [
        Goal("`every`, of write + fdatasync", ratio("mmsb, every", "write + fdatasync"), 2, "×"),
        Goal("`group`, of write + fdatasync", ratio("mmsb, group", "write + fdatasync"), 1, "×"),
    ]
    result.figures(timings, unsynced)
    result.say(
        f"A table of {bench.pick(1_000_000, 20_000):,} rows (i64, f64); patches of {PATCH:,} rows "
        f"that begin at multiples of {PATCH:,}, which suits tiles and chunks. Unsynced: the commit "
        "is visible to other processes; `every` and synced: it is on the disk when the call "
        "returns; `group` is at most 5 ms or 16 MiB behind. LMDB writes through a writable map, "
        "and once through pwrite, as mmsb does. TileDB, Icechunk, Lance and Delta Lake have no "
        "such setting; DuckDB always syncs."
    )
    return result


def _timed(bench: Bench, room: Path) -> Timings:
    rows = bench.pick(1_000_000, 20_000)
    made = _made(bench, room, rows)
    random = np.random.default_rng(1)
    patches = [
        (int(random.integers(rows // PATCH)) * PATCH, _columns(random, PATCH)) for _ in range(64)
    ]
    whole = _columns(random, rows)
    try:
        truth = {name: values.copy() for name, values in whole.items()}
        for start, columns in patches[:OLD]:
            for name, values in columns.items():
                truth[name][start : start + PATCH] = values
        for name, peer in made.items():
            peer.patch(0, whole)
            for start, columns in patches[: OLD + 2]:
                peer.patch(start, columns)
            for column, values in truth.items():
                same(f"{name}: {column} as of epoch {OLD}", values, peer.column(column, OLD))
        ways = {name: Way(_patching(peer, patches)) for name, peer in made.items()}
        ways |= floors(room, PATCH * WIDTH)
        return measured(bench, ways)
    finally:
        for peer in made.values():
            peer.close()


def _made(bench: Bench, room: Path, rows: int) -> dict[str, Peer]:
    made: dict[str, Peer] = {
        f"mmsb, {policy}": Ours(room / policy, rows, PATCH, policy == "every", policy)
        for policy in ("none", "group", "every")
    }
    for kind in peers.chosen(bench.peers):
        for synced in kind.modes:
            said = ", synced" if synced else ", unsynced"
            label = kind.name + said if len(kind.modes) > 1 else kind.name
            made[label] = peers.make(kind, room / label, rows, PATCH, synced)
    return made


def _columns(random: np.random.Generator, count: int) -> Columns:
    return {"a": random.integers(0, 2**60, count), "b": random.random(count)}


def _patching(peer: Peer, patches: list[tuple[int, Columns]]) -> Callable[[], None]:
    following = itertools.cycle(patches)

    def patch() -> None:
        start, columns = next(following)
        peer.patch(start, columns)

    return patch

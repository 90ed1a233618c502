"""Claim 2: a column as of an old epoch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from benchmarks.harness import Array, Bench, Goal, Result, Timings, Way, measured, same
from benchmarks.memory import ours, peers
from benchmarks.memory.ours import SERIES
from benchmarks.memory.peer import Columns, Ours, Peer

LATER = 20  # commits after the epoch that is read


def run(bench: Bench) -> Result:
    result = Result("A column as of an old epoch")
    with bench.room("column") as room:
        epoch = bench.pick(1000, 40)
        rows = bench.pick(1_000_000, 20_000)
        _history(bench, room, result, rows=rows, patch=1000, epoch=epoch)
        _history(bench, room, result, rows=1000, patch=10, epoch=epoch)
        _gather(bench, room, result)
    return result


def patches(rows: int, patch: int, count: int) -> list[tuple[int, Columns]]:
    """All rows, then ``count`` patches; the same ones every time."""
    random = np.random.default_rng(2)

    def columns(size: int) -> Columns:
        return {"a": random.integers(0, 2**60, size), "b": random.random(size)}

    starts = random.integers(0, rows // patch, count) * patch
    return [(0, columns(rows)), *((int(start), columns(patch)) for start in starts)]


def _state(history: list[tuple[int, Columns]], epoch: int) -> Array:
    out = history[0][1]["a"].copy()
    for start, columns in history[1 : epoch + 1]:
        out[start : start + len(columns["a"])] = columns["a"]
    return out


def _history(
    bench: Bench, room: Path, result: Result, *, rows: int, patch: int, epoch: int
) -> None:
    """One page: its column as of ``epoch`` patches, of ``LATER`` more."""
    history = patches(rows, patch, epoch + LATER)
    truth = _state(history, epoch)
    large = rows > 1000
    made: dict[str, Peer] = {"mmsb": Ours(room / "mmsb", rows, patch, False)}
    for kind in peers.chosen(bench.peers):
        if kind is not peers.PlainLMDB and (large or kind in _SMALL):
            synced = kind.modes[0]
            made[kind.name] = peers.make(kind, room / kind.name, rows, patch, synced)
    try:
        for name, peer in made.items():
            for start, columns in history:
                peer.patch(start, columns)
            same(f"{name}: a column of {rows:,} rows", truth, peer.column("a", epoch))
        timings = _read(bench, made, truth, epoch)
    finally:
        for name, peer in made.items():
            peer.close()
            peers.remove(room / name)
    _say(result, timings, rows, (patch, epoch), large)


_SMALL = (peers.TileDB, peers.LMDB, peers.SQLite)  # of 1,000 rows; the others take 10 ms and more


def _read(bench: Bench, made: dict[str, Peer], truth: Array, epoch: int) -> Timings:
    def reading(peer: Peer) -> Callable[[], object]:
        return lambda: peer.column("a", epoch)

    target = truth.copy()
    ways = {
        "memcpy": Way(lambda: np.copyto(target, truth)),
        "memcpy into new memory": Way(truth.copy),
    }
    ways |= {name: Way(reading(peer)) for name, peer in made.items()}
    mine = made["mmsb"]
    assert isinstance(mine, Ours)
    timings = measured(bench, ways)
    # After all others: from here on the old epoch has a patch that covers the page.
    mine.memory.keyframe(pages=[mine.page], epoch=mine.at(epoch))
    same("mmsb: a column with a keyframe", truth, mine.column("a", epoch))
    again = {"memcpy": ways["memcpy"], **_keyframed(mine, target, epoch)}
    found = measured(bench, again)
    return timings | {f"{name} (keyframed)": timing for name, timing in found.items()}


def _keyframed(mine: Ours, target: Array, epoch: int) -> dict[str, Way]:
    """The view that a keyframe gives, and its cells copied to where they are wanted."""
    opened = [ours.open_(mine.folder)]

    def anew() -> None:
        opened[0].close()
        opened[0] = ours.open_(mine.folder)

    def first() -> None:
        snapshot = opened[0].at(mine.at(epoch))
        np.copyto(target, snapshot.column(SERIES, mine.page, "a"))

    plain = mine.folder.with_name("plain")
    target.tofile(plain)

    def floor() -> None:
        held = np.memmap(plain, target.dtype, "r")
        xxh3_64_intdigest(held.data)
        np.copyto(target, held)

    return {
        "a view": Way(lambda: mine.column("a", epoch)),
        "copied out": Way(lambda: np.copyto(target, mine.column("a", epoch))),
        "copied out, first touch": Way(first, times=20, before=anew),
        "a file of its cells mapped, hashed, copied": Way(floor, times=20),
    }


def _say(
    result: Result, timings: Timings, rows: int, history: tuple[int, int], large: bool
) -> None:
    def ratio(of: str, to: str) -> float | None:
        return timings[of].over(timings[to]) if {of, to} <= timings.keys() else None

    patch, epoch = history
    if large:
        floor = "memcpy (keyframed)"
        result.goals += [
            Goal("with a keyframe, of memcpy", ratio("copied out (keyframed)", floor), 1.2, "×"),
            Goal(
                "with a keyframe, first touch, of memcpy",
                ratio("copied out, first touch (keyframed)", floor),
                2,
                "×",
            ),
            Goal(f"{rows:,} rows, raw history, of memcpy", ratio("mmsb", "memcpy"), 3, "×"),
        ]
    else:
        result.goals.append(Goal("1,000 rows, raw history", timings["mmsb"].middle, 15e-6, "s"))
    result.say(
        f"A page of {rows:,} rows, all written once, then {epoch:,} patches of {patch:,} rows, "
        f"read as of the last of these; {LATER} more came later."
    )
    result.figures(timings, "memcpy")


def _gather(bench: Bench, room: Path, result: Result) -> None:
    """A column of all pages: each page is a slice of the peers' one table."""
    each, count = 1000, bench.pick(10_000, 100)
    rows, commits = each * count, 10
    block = rows // 100
    history = patches(rows, block, commits)
    truth = _state(history, commits)
    memory = ours.create(room / "gather")
    pages = ours.new_pages(memory, SERIES, count)
    for start, columns in history:
        chosen = pages[start // each : (start + len(columns["a"])) // each]
        starts = np.zeros(len(chosen), np.uint32)
        ours.commit_many(memory, SERIES, chosen, dict(columns), starts=starts, count=each)
    epoch = memory.head
    made: dict[str, Peer] = {}
    for kind in peers.chosen(bench.peers):
        if kind not in (peers.PlainLMDB, peers.SQLite):
            made[kind.name] = peers.make(kind, room / kind.name, rows, block, kind.modes[0])
    try:
        for name, peer in made.items():
            for start, columns in history:
                peer.patch(start, columns)
            same(f"{name}: a column of all pages", truth, peer.column("a", commits))
        into = np.zeros_like(truth)
        for found in (memory.at(epoch).gather(SERIES, "a", out=out)[0] for out in (None, into)):
            same("mmsb: a column of all pages", truth, found)
        ways = {"copy, all cores": Way(_copying(truth)), "copy, one core": Way(_copying(truth, 1))}
        ways["mmsb, into an array"] = Way(lambda: memory.at(epoch).gather(SERIES, "a", out=into))
        ways["mmsb"] = Way(lambda: memory.at(epoch).gather(SERIES, "a"))
        for name, peer in made.items():
            ways[name] = Way(lambda peer=peer: peer.column("a", commits))  # type: ignore[misc]
        timings = measured(bench, ways)
    finally:
        memory.close()
        for peer in made.values():
            peer.close()
    result.goals.append(
        Goal(
            "all pages, of the machine's copy bandwidth",
            timings["copy, all cores"].over(timings["mmsb, into an array"]),
            0.5,
            "%",
            at_least=True,
        )
    )
    result.say(
        f"A column of {count:,} pages of {each:,} rows ({rows * 8 / 1e6:.0f} MB), all written in "
        f"one commit and a hundredth of the pages in each of {commits} more; the peers hold it as "
        "one table. Into an array that is there, as the copies go, and into new memory."
    )
    result.figures(timings, "copy, all cores")


def _copying(source: Array, threads: int = ours.CORES) -> Callable[[], object]:
    """A copy into memory that is there already, in as many parts as threads."""
    target = np.zeros_like(source)
    pool = ThreadPoolExecutor(threads)
    pairs = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs))

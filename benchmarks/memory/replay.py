"""Claim 7: a page's states one after another; checkpoint and restore."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import (
    Array,
    Bench,
    Goal,
    Result,
    Way,
    bytes_of,
    floors,
    measured,
    same,
)
from benchmarks.memory import ours
from benchmarks.memory.ours import QUAD
from mmsb.memory.memory import Memory

ROWS, PATCH, EPOCHS = 1000, 10, 100
PAGES = 100


def run(bench: Bench) -> Result:
    result = Result("Replay; checkpoint and restore")
    with bench.room("replay") as room:
        _replayed(bench, room, result)
        _checkpoints(bench, room, result)
    return result


def _replayed(bench: Bench, room: Path, result: Result) -> None:
    memory = ours.create(room / "replay")
    page = int(ours.new_pages(memory, QUAD, 1)[0])
    random = np.random.default_rng(11)
    state = {name: random.integers(0, 2**60, ROWS) for name in "abcd"}
    patches = [
        (int(random.integers(ROWS - PATCH)), {n: random.integers(0, 2**60, PATCH) for n in "abcd"})
        for _ in range(EPOCHS)
    ]
    _write(memory, page, 0, state)
    first = memory.head + 1
    for start, columns in patches:
        _write(memory, page, start, columns)
    last = memory.head

    def by_at() -> Iterator[tuple[int, dict[str, Array]]]:
        for epoch in range(first, last + 1):
            yield epoch, memory.at(epoch).columns(QUAD, page)

    def by_replay() -> Any:
        return memory.replay(page, first, last)

    def by_numpy() -> Iterator[tuple[int, dict[str, Array]]]:
        held = {name: values.copy() for name, values in state.items()}
        for at, (start, columns) in enumerate(patches):
            for name, values in columns.items():
                held[name][start : start + PATCH] = values
            yield first + at, {name: values.copy() for name, values in held.items()}

    ways = {
        "numpy, the patches at hand": by_numpy,
        "at(epoch) for each": by_at,
        "replay": by_replay,
    }
    for name, way in ways.items():
        for (epoch, found), (known, truth) in zip(way(), by_numpy(), strict=True):
            if epoch != known:
                raise SystemExit(f"{name}: epoch {epoch} where {known} comes next")
            for column, values in truth.items():
                same(f"{name}: {column} as of epoch {epoch}", values, found[column])
    timings = measured(
        bench, {name: Way(_through(way), per=EPOCHS, times=50) for name, way in ways.items()}
    )
    memory.close()
    step = timings["replay"].middle
    result.goals.append(Goal("a step from epoch to epoch", step, 10e-6, "s"))
    result.say(
        f"A page of {ROWS:,} rows × 4 columns (i64), {EPOCHS} epochs of {PATCH}-row patches, its "
        "state at each; a step. Beside it: numpy with nothing to find, a copy of the state each."
    )
    result.figures(timings, "numpy, the patches at hand")


def _through(way: Callable[[], Any]) -> Callable[[], None]:
    def through() -> None:
        for _ in way():
            pass

    return through


def _write(memory: Memory, page: int, start: int, columns: dict[str, Array]) -> None:
    changes = memory.changes()
    changes.patch(QUAD, page, columns, start)
    memory.commit(changes)


def _checkpoints(bench: Bench, room: Path, result: Result) -> None:
    """100 pages of 1 KiB, written once and again twice."""
    rows = 32
    memory = ours.create(room / "source")
    pages = ours.new_pages(memory, QUAD, PAGES)
    random = np.random.default_rng(12)
    starts = np.zeros(PAGES, np.uint32)
    for _ in range(3):
        columns = {name: random.integers(0, 2**60, PAGES * rows) for name in "abcd"}
        ours.commit_many(memory, QUAD, pages, columns, starts=starts, count=rows)
    target, epoch = room / "target", memory.head  # which later commits do not make larger
    memory.checkpoint(target)
    size = bytes_of(target)
    with ours.open_(target) as copy:
        for page in pages.tolist():
            there = copy.at().page(QUAD, memory.at().subject(page))
            for name, values in memory.at().columns(QUAD, page).items():
                same(f"checkpoint: page {page}", values, copy.at().column(QUAD, there, name))

    def gone() -> None:
        shutil.rmtree(target, ignore_errors=True)

    plain = [(file.name, file.read_bytes()) for file in sorted(target.iterdir())]
    ways = {
        "checkpoint to disk": Way(lambda: memory.checkpoint(target, epoch), before=gone),
        "its files, written and synced": Way(lambda: _durably(target, plain), before=gone),
    }
    ways |= floors(room, PAGES * rows * 32)
    ways |= _in_memory(memory, pages)
    timings = measured(bench, ways)
    memory.close()

    def taken(name: str) -> float:
        return timings[name].middle

    beyond = taken("checkpoint to disk") - taken("write + fdatasync")
    what = "checkpoint of 100 pages to disk, beyond writing and syncing its bytes once"
    result.goals += [
        Goal("checkpoint of 100 pages, in memory", taken("checkpoint in memory"), 60e-6, "s"),
        Goal("restore of 100 pages, in memory", taken("restore in memory"), 30e-6, "s"),
        Goal(what, beyond, 1e-3, "s"),
    ]
    result.say(
        f"{PAGES} pages of {rows} rows × 4 columns (i64), 1 KiB each, written in three "
        f"commits; the copy on the disk takes {size:,} bytes. In memory: all cells as of an "
        "epoch taken out (`gather_columns`), and written back in one commit, which takes no "
        "less than a `write` of them. Beside the copy its files, made with nothing but system "
        "calls, each synced, under a name that is made durable too."
    )
    result.figures(timings, "write + fdatasync")


def _durably(target: Path, files: list[tuple[str, bytes]]) -> None:
    """A folder that appears whole and durable, with as few system calls as that takes."""
    new = target.with_name("new")
    new.mkdir()
    for name, data in files:
        handle = os.open(new / name, os.O_CREAT | os.O_WRONLY)
        os.write(handle, data)
        if data:
            os.fdatasync(handle)
        os.close(handle)
    _sync_folder(new)
    new.rename(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def _in_memory(memory: Memory, pages: Array) -> dict[str, Way]:
    """All cells as of an epoch taken out, and written back in one commit."""
    epoch = memory.head
    held, offsets = memory.at(epoch).gather_columns(QUAD, pages=pages)
    starts = np.zeros(len(pages), np.uint32)
    count = int(offsets[1])

    def restore() -> None:
        ours.commit_many(memory, QUAD, pages, held, starts=starts, count=count)

    restore()
    for name, values in memory.at().gather_columns(QUAD, pages=pages)[0].items():
        same(f"restored: {name}", held[name], values)
    return {
        "checkpoint in memory": Way(lambda: memory.at(epoch).gather_columns(QUAD, pages=pages)),
        "restore in memory": Way(restore, times=200),
    }

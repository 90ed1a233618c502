"""Processes that read while one writes: a sum that every commit preserves holds in all they see."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

PAGES, ROWS, EACH = 8, 40, 100
TOTAL = PAGES * ROWS * EACH


def found(path: Path) -> list[int]:
    """Accounts that all hold the same; the pages they are on."""
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        changes = memory.changes()
        pages = [changes.page(SMALL, f"bank {number}") for number in range(PAGES)]
        for page in pages:
            changes.patch(SMALL, page, {"value": [EACH] * ROWS})
        memory.commit(changes)
        memory.at().gather(SMALL, "value")  # what is loaded for it need not be in every child
    return pages


def transfer(memory: Memory, pages: list[int], chance: random.Random) -> None:
    """Moves something from one account to another; both are written in one epoch."""
    snapshot, changes = memory.at(), memory.changes()
    one, two = chance.sample(pages, 2)
    at, to = chance.randrange(ROWS), chance.randrange(ROWS)
    held = [int(snapshot.column(SMALL, page, "value")[row]) for page, row in ((one, at), (two, to))]
    amount = chance.randint(0, held[0])
    changes.patch(SMALL, one, {"value": [held[0] - amount]}, at)
    changes.patch(SMALL, two, {"value": [held[1] + amount]}, to)
    memory.commit(changes)


def look(path: Path, go_on: Callable[[], bool], seed: int) -> int:
    """Reads heads and old epochs, each in another way; how many epochs it stood on."""
    chance, seen = random.Random(seed), set()
    memory = Memory.open(path, kinds=KINDS)
    last = 0
    while go_on() or not seen:
        head = memory.refresh()
        assert head >= last
        assert memory.durable <= head
        last = head
        for epoch in {head, chance.randint(1, head)}:
            snapshot = memory.at(epoch)
            values, _ = snapshot.gather(SMALL, "value")
            assert int(values.sum()) == TOTAL, f"epoch {epoch}"
            single = [snapshot.column(SMALL, page, "value") for page in snapshot.pages(SMALL)]
            assert int(np.concatenate(single).sum()) == TOTAL, f"epoch {epoch}"
            seen.add(epoch)
        if chance.random() < 0.1:
            memory.close()
            memory = Memory.open(path, kinds=KINDS)
    return len(seen)


def forked(run: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def together(path: Path, readers: int, commits: int, seconds: float) -> None:
    """One writer beside so many readers, each a process, for so long and so many commits."""
    pages = found(path)
    end, done = time.monotonic() + seconds, path.with_name("done")
    children = [
        forked(lambda seed=seed: look(path, lambda: not done.exists(), seed))  # type: ignore[misc]
        for seed in range(readers)
    ]
    chance = random.Random(0)
    try:
        number = 0
        while number < commits or time.monotonic() < end:
            policy = ("none", "group", "every")[number // 50 % 3]
            with Memory.open(path, True, kinds=KINDS, durability=policy) as memory:  # type: ignore[arg-type]
                for _ in range(50):
                    transfer(memory, pages, chance)
                    number += 1
        done.touch()
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        children = []
        assert codes == [0] * readers
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert check(path).sound


def test_readers_beside_a_writer_see_whole_epochs(quick: Path) -> None:
    together(quick / "a.mmsb", readers=3, commits=150, seconds=0)


@pytest.mark.long
def test_eight_readers_for_a_minute(tmp_path: Path) -> None:
    together(tmp_path / "a.mmsb", readers=8, commits=1000, seconds=60)

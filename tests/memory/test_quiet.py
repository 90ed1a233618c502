"""Ctrl-C is not for our threads: a Julia in this process must get it when it runs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mmsb.memory import pool
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL


def held(thread: int) -> bool:
    """Does a thread of this process hold SIGINT back?"""
    for line in Path(f"/proc/self/task/{thread}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
    raise AssertionError(thread)


def test_our_threads_take_no_signals(path: Path) -> None:
    before = {int(task.name) for task in Path("/proc/self/task").iterdir()}
    with Memory.create(path, KINDS, durability="group") as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, [0], {"value": [1]})
        pool._pool = None
        assert pool.spread(lambda low, high: int(high - low == 1), 2, smallest=1) == 1
        new = {int(task.name) for task in Path("/proc/self/task").iterdir()} - before
        assert len(new) >= 1 + (pool.THREADS > 1)
        assert all(held(thread) for thread in new)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_part_may_share_out_work_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for threads that wait for it."""
    monkeypatch.setattr(pool, "THREADS", 2)
    monkeypatch.setattr(pool, "_pool", None)
    seen: list[int] = []

    def work(low: int, high: int) -> int:
        seen.extend(range(low, high))
        return 1

    def outer(low: int, high: int) -> int:
        return pool.spread(lambda a, b: work(10 * low + a, 10 * low + b), 8, smallest=1) * (
            high - low
        )

    assert pool.spread(outer, 2, smallest=1) == 1
    assert sorted(seen) == [*range(8), *range(10, 18)]

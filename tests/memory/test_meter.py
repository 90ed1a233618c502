"""What a memory counts of itself: percentiles, rates, heat, and the spans of what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.base import spans
from mmsb.memory import meter as meters
from mmsb.memory.memory import Memory
from mmsb.memory.meter import Meter, Timer
from mmsb.testing.strategies import KINDS, THING


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """Names and facts of the spans that were told."""
    told: list[tuple[str, Mapping[str, Any]]] = []
    before = spans.listen(lambda name, began, ended, facts: told.append((name, facts)))
    yield told
    spans.listen(before)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=200))
def test_percentiles_are_within_an_eighth(durations: list[int]) -> None:
    timer = Timer("any")
    for one in durations:
        timer.add(one)
    told = timer.told()
    assert told["count"] == len(durations)
    assert told["max"] == max(durations) / 1000
    for name, percent in (("p50", 50), ("p90", 90), ("p99", 99)):
        exact = sorted(durations)[-(-len(durations) * percent // 100) - 1] / 1000
        assert exact <= told[name] * (1 + 1e-9)
        assert told[name] <= exact * 1.125 + 1e-9


def test_no_durations() -> None:
    assert Timer("any").told() == {"count": 0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}


@pytest.mark.parametrize("period", [1, 2, 3, 8, 15, 16, 17, 31])
def test_heat_does_not_beat_with_a_loop(period: int) -> None:
    """Pages read in turn are equally hot, whatever their number; one between them is as all."""
    meter, reads = Meter(), 40_000
    for at in range(reads):
        for page in (at % period, 100):
            began = meter.begin()
            if began:
                meter.read(meter.column, began, page, 1, 8)
    heat = meter.heat.astype(int)
    assert abs(heat.sum() - 2 * reads) < 64  # the last are not counted yet
    each = reads / period
    assert (abs(heat[:period] - each) < 0.25 * each + 400).all()
    assert abs(heat[100] - reads) < 0.1 * reads
    assert period == 1 or meter.hottest(1)[0][0] == 100


def test_heat_of_many_pages_at_once() -> None:
    meter = Meter()
    pages = np.repeat(np.arange(100, dtype="u4"), 1000)
    for _ in range(20):
        meter.read_many(meter.cells, 1, pages, 1, 8)
        meter.read_many(meter.cells, 1, np.array([7], "u4"), 1, 8)
    heat = meter.heat[:100].astype(int)
    assert abs(heat.sum() - 20 * len(pages)) < 0.02 * 20 * len(pages)
    assert (abs(heat - 20_000) < 3_000).all()
    meter.read_many(meter.gather, 1, None, 1, 8)
    assert meter.heat.astype(int).sum() == heat.sum()


def test_heat_does_not_overflow() -> None:
    meter = Meter()
    meter.heat = np.array([2**31 - 1, 4], "u4")
    meter.begin()
    meter.read(meter.column, 1, 0, 1, 8)
    assert meter.heat.tolist() == [2**30, 2]


def test_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000_000_000]
    monkeypatch.setattr(meters, "perf_counter_ns", lambda: clock[0])
    meter = Meter()
    for _ in range(100):  # for 50 seconds
        meter.committed(clock[0], 3, 640, 1)
        clock[0] += 500_000_000
    told = meter.rates()
    assert (told["seconds"], told["deltas"], told["bytes"]) == (50.0, 300, 64_000)
    assert told["deltas_per_second"] == 6.0
    assert 5.4 <= told["recent_deltas_per_second"] <= 6.0
    clock[0] += 60_000_000_000
    assert meter.rates()["recent_bytes_per_second"] == 0.0
    meter.committed(clock[0], 1000, 64, 1)
    assert meter.rates()["recent_deltas_per_second"] == 100.0


def test_how_long_something_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000_000_000]
    monkeypatch.setattr(meters, "perf_counter_ns", lambda: clock[0])
    meter = Meter()
    assert meter.behind_seconds() == 0.0
    meter.behind = clock[0]  # as the writer says
    clock[0] += 2_000_000_000
    began = meter.sync_begins()
    clock[0] += 1_000_000_000
    assert meter.behind_seconds() == 3.0  # a sync that does not end is behind too
    meter.behind = clock[0]  # a commit beside it
    meter.synced(began, 1)
    clock[0] += 500_000_000
    assert meter.behind_seconds() == 0.5


def test_each_thing_done_is_a_span(path: Path, heard: list[tuple[str, Mapping[str, Any]]]) -> None:
    with Memory.create(path, KINDS, durability="none") as memory:
        changes = memory.changes()
        page = changes.page(THING, "a")
        changes.patch(THING, page, {"byte": np.arange(10, dtype="u1")})
        memory.commit(changes)
        memory.update_page(page, range(5), {"byte": np.zeros(5, "u1")})
        memory.sync()
        heard.clear()
        changes = memory.changes()
        other = changes.page(THING, "b")
        changes.patch(THING, other, {"byte": np.arange(10, dtype="u1")})
        memory.commit(changes)
        memory.update_page(page, range(5), {"byte": np.ones(5, "u1")})
        memory.sync()
        now = memory.at()
        now.column(THING, np.int64(page), "byte")  # type: ignore[arg-type]
        now.columns(THING, page)
        now.cell(THING, page, "byte", 3)
        now.cells(THING, "byte", [page, other], [1, 1])
        now.gather(THING, "byte")
        before = len(heard)
        memory.keyframe([page])
        memory.compact()
    assert [name for name, _ in heard[-2:]] == ["keyframe", "compaction"]
    del heard[before:]
    assert [name for name, _ in heard] == [
        *("commit", "commit", "sync"),
        *("column", "columns", "cell", "cells", "gather"),
    ]
    facts = {name: dict(told) for name, told in heard}
    assert facts["commit"] == {"epoch": 4, "deltas": 1, "bytes": facts["commit"]["bytes"]}
    assert facts["commit"]["bytes"] % 64 == 0
    assert facts["sync"] == {"epoch": 4}
    assert facts["column"] == {"page": page, "epoch": 4, "bytes": 10}
    assert type(facts["column"]["page"]) is int
    assert facts["gather"] == {"epoch": 4, "bytes": 20}


def test_counts_while_threads_read_and_commit(path: Path) -> None:
    failed: list[BaseException] = []
    with Memory.create(path, KINDS, durability="none") as memory:
        pages = [memory.create_page(THING, f"page {at}") for at in range(40)]
        before = memory.stats()["rates"]["deltas"]

        def commits() -> None:
            for at in range(400):
                memory.update_page(pages[at % 40], range(4), {"byte": np.full(4, at % 7, "u1")})

        def reads() -> None:
            for at in range(2000):
                now = memory.at()
                now.column(THING, pages[at % 40], "byte")
                if at % 100 == 0:
                    now.cells(THING, "byte", pages, [0] * 40)
                    memory.stats()

        def work(what: Callable[[], None]) -> None:
            try:
                what()
            except BaseException as error:
                failed.append(error)

        jobs = [threading.Thread(target=work, args=(what,)) for what in (commits, *[reads] * 3)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        told = memory.stats()
    assert failed == []
    assert told["rates"]["deltas"] - before == 400  # commits are one after another: all are there
    assert told["latency"]["cells"]["count"] >= 50  # each is timed; a few may be lost to a race
    estimated = int(memory._index.meter.heat.sum(dtype=np.int64))
    assert abs(estimated - (6000 + 60 * 40)) < 0.25 * 8400

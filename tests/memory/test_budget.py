"""What is resident of a memory, as the system measures it, and equal reads within a budget."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from mmsb.base.errors import NoSpace, UsageError
from mmsb.memory import budget, segment
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

MIB = 1024 * 1024
PAGES, ROWS = 24, 100_000  # 9.6 MB of cells


@pytest.fixture
def large(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed memory whose pages lie in a segment each."""
    monkeypatch.setattr(segment, "LARGEST", 256 * 1024)
    with Memory.create(path, KINDS, segment_bytes=256 * 1024, durability="none") as memory:
        for at in range(PAGES):
            page = memory.create_page(SMALL, f"page {at}")
            cells = np.arange(at, at + ROWS, dtype="u4")
            memory.update_page(page, range(ROWS), {"value": cells})
    return path


def _mapped(memory: Memory) -> int:
    """As the system says for each map of the memory's files, found by their names."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line[0] in "0123456789abcdef":
            inside = "header" not in line and str(memory.path) in line
        elif inside and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def _read(memory: Memory, pages: list[int]) -> None:
    now = memory.at()
    for page in pages:
        at = int(now.subject(page).split()[1])
        cells = now.column(SMALL, page, "value")
        assert (cells[0], cells[-1], len(cells)) == (at, at + ROWS - 1, ROWS)
        assert int(cells.sum(dtype="u8")) == ROWS * at + ROWS * (ROWS - 1) // 2


def test_reads_within_a_budget_are_the_same_and_less_stays(large: Path) -> None:
    with Memory.open(large, kinds=KINDS) as memory:
        pages = memory.at().pages(SMALL).tolist()
        _read(memory, pages)
        assert _mapped(memory) > 9 * MIB  # what it takes without one
        assert memory.stats()["resident"]["budget"] is None
    del memory
    gc.collect()  # its maps go with it
    with Memory.open(large, kinds=KINDS, resident_bytes=3 * MIB) as memory:
        for _ in range(3):
            for page in pages:
                _read(memory, [page])
                assert _mapped(memory) < 4 * MIB
        told = memory.stats()["resident"]
        assert told["mapped"] == _mapped(memory)
        assert told["released"] > 3 * 6 * MIB
        assert (told["budget"], 0 < told["index"] < 200_000) == (3 * MIB, True)
        assert memory.stats()["health"]["verdict"] == "healthy"
        values, _ = memory.at().gather(SMALL, "value")
        assert values.reshape(PAGES, ROWS)[:, 0].tolist() == list(range(PAGES))
        assert _mapped(memory) < 3 * MIB  # a gather reads all; it is let go at its end


def test_the_least_recently_read_is_released_first(large: Path) -> None:
    with Memory.open(large, kinds=KINDS, resident_bytes=5 * MIB) as memory:
        pages = memory.at().pages(SMALL).tolist()
        _read(memory, pages[:8])
        _read(memory, pages[2:4])  # read again: the newest but what comes now
        limit = memory._index.meter.budget
        assert isinstance(limit, budget.Budget)
        limit.limit = 6 * ROWS * 4  # three quarters are kept: four and a half pages
        limit.enforce()
        warm = {
            page
            for own in budget.maps(memory._index)
            if own.resident > ROWS * 2
            for page in pages
            if any(page in listed for listed in own.pages)
        }
        assert warm == {pages[2], pages[3], pages[6], pages[7]}


def test_views_survive_the_release(large: Path) -> None:
    with Memory.open(large, kinds=KINDS, resident_bytes=MIB) as memory:
        now = memory.at()
        pages = now.pages(SMALL).tolist()
        held = [now.column(SMALL, page, "value") for page in pages]
        for at, cells in enumerate(held):
            assert np.array_equal(cells, np.arange(at, at + ROWS, dtype="u4"))


def test_an_index_larger_than_the_budget_degrades(large: Path) -> None:
    with Memory.open(large, kinds=KINDS, resident_bytes=1) as memory:
        pages = memory.at().pages(SMALL).tolist()
        _read(memory, pages)
        assert _mapped(memory) < 2 * MIB
        told = memory.stats()["health"]
    assert told["verdict"] == "degraded"
    assert "more than the budget of 1:" in told["reasons"][0]


def test_threads_read_while_maps_are_released(large: Path) -> None:
    failed: list[BaseException] = []
    with Memory.open(large, kinds=KINDS, resident_bytes=MIB) as memory:
        pages = memory.at().pages(SMALL).tolist()

        def work(step: int) -> None:
            try:
                for _ in range(4):
                    _read(memory, pages[::step])
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(step,)) for step in (1, 2, 3, -1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []


def test_a_writer_within_a_budget(path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=256 * 1024, durability="none"):
        pass
    with Memory.open(path, write=True, kinds=KINDS, resident_bytes=2 * MIB) as memory:
        for at in range(PAGES):
            page = memory.create_page(SMALL, f"page {at}")
            cells = np.arange(at, at + ROWS, dtype="u4")
            memory.update_page(page, range(ROWS), {"value": cells})
            _read(memory, memory.at().pages(SMALL).tolist())
            memory._behind.wait()  # it reads too
            assert _mapped(memory) < 4 * MIB  # and what one read brings in, of 9.6 MB


def test_what_another_memory_gives_back_hides_nothing(large: Path, tmp_path: Path) -> None:
    shutil.copytree(large, tmp_path / "another")
    another = Memory.open(tmp_path / "another", kinds=KINDS)
    _read(another, another.at().pages(SMALL).tolist())
    with Memory.open(large, kinds=KINDS, resident_bytes=3 * MIB) as memory:
        for _ in range(2):  # the first brings the kernels
            memory.at().gather(SMALL, "value")
        another.close()
        del another
        gc.collect()
        memory.at().gather(SMALL, "value")
        assert _mapped(memory) < 3 * MIB


def test_a_fork_has_the_budget_though_a_thread_was_seeing_to_it(large: Path) -> None:
    with Memory.open(large, kinds=KINDS, resident_bytes=3 * MIB) as memory:
        pages = memory.at().pages(SMALL).tolist()
        limit = memory._index.meter.budget
        assert isinstance(limit, budget.Budget)
        with limit._lock:  # as a thread has it that the child will not have
            child = os.fork()
            if child == 0:
                failed = 1
                try:
                    _read(memory, pages)
                    failed = _mapped(memory) >= 4 * MIB
                finally:
                    os._exit(failed)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("size", [0, -5, "a lot", 1.5])
def test_a_budget_is_a_number_of_bytes(filled: Path, size: object) -> None:
    with pytest.raises(UsageError, match="resident_bytes"):
        Memory.open(filled, write=True, kinds=KINDS, resident_bytes=size)  # type: ignore[arg-type]
    Memory.open(filled, write=True, kinds=KINDS).close()  # no lock is left


def test_maps_of_keyframes_are_released_too(large: Path) -> None:
    with Memory.open(large, write=True, kinds=KINDS) as memory:
        pages = memory.at().pages(SMALL).tolist()
        for at, page in enumerate(pages):
            memory.update_page(page, [5], {"value": [7]})
            memory.update_page(page, [5], {"value": [5 + at]})
        assert memory.keyframe(pages) == PAGES
    del memory
    gc.collect()
    with Memory.open(large, kinds=KINDS, resident_bytes=3 * MIB) as memory:
        for _ in range(2):
            for page in pages:
                _read(memory, [page])
                assert _mapped(memory) < 6 * MIB  # of 19, and the system brings in 2 MiB at once
        frames = {file.bytes.ctypes.data for file in memory._index.keyframes.mapped}
        assert frames
        assert frames <= {own.address for own in budget.maps(memory._index)}


def test_what_was_decompressed_is_released(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    with Memory.open(large, True, kinds=KINDS) as memory:
        assert memory.compact(seal=True).segments
        page = int(memory.at().pages(SMALL)[0])
    with Memory.open(large, kinds=KINDS, resident_bytes=3 * MIB) as memory:
        view = memory.at().column(SMALL, page, "value")
        for _ in range(2):
            _read(memory, memory.at().pages(SMALL).tolist())
        told = memory.stats()["resident"]
        assert told["index"] + told["mapped"] < 5 * MIB
        assert told["released"] > 2 * PAGES * ROWS  # of 4 bytes, twice
        assert np.array_equal(view, np.arange(ROWS))
        memory.digest()
        assert list(room.iterdir()) == []  # nothing there has a name
    with Memory.open(large, kinds=KINDS, resident_bytes=3 * MIB) as memory:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.pwrite", full)
            with pytest.raises(NoSpace, match="cannot be decompressed into the folder"):
                memory.at().column(SMALL, page, "value")
        _read(memory, [page])

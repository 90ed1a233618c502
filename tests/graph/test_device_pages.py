"""Device copies of columns and pages against the host's, with the kernels run on the host."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_host import Host

from mmsb.base.errors import EnvironmentProblem, MissingExtra, StateError, UsageError
from mmsb.base.schema import Column
from mmsb.memory import machine
from mmsb.memory.cells import dtype_of
from mmsb.memory.device_cells import Cells
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import fill, same
from mmsb.testing.strategies import KINDS, THING

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
WIDTHS = ("byte", "short", "name", "big", "real")


@pytest.fixture
def host() -> Iterator[Host]:
    before = machine._provided
    made = Host(seed=3)
    machine.provide(lambda: made)
    yield made
    machine.provide(before)


@pytest.fixture
def memory(tmp_path: Path, host: Host) -> Iterator[Memory]:
    with Memory.create(tmp_path / "memory", KINDS) as made:
        fill(made)
        yield made


def bits(random: np.random.Generator, count: int) -> np.ndarray:
    """A bit a cell, as `merge` takes them."""
    return random.integers(0, 2**32, -(-count // 32) + 1, dtype=np.uint32)


@pytest.mark.parametrize("dtype", ["u8", "u16", "u32", "u64"])
def test_merging_takes_the_laters_cells_where_it_touched(dtype: str, host: Host) -> None:
    random, column = np.random.default_rng(7), Column(1, "x", dtype, 3)
    stored = dtype_of(column)
    for count in (0, 1, 2, 3, 7, 16, 31, 33, 100, 257):
        most = np.iinfo(stored).max
        one, other = (random.integers(0, most, count, stored) for _ in range(2))
        touched = bits(random, count)
        earlier, later = (Cells.put(host, column, each) for each in (one, other))
        chosen = np.unpackbits(touched.view(np.uint8), bitorder="little")[:count].astype(bool)
        found = earlier.merged(later, host.put(touched))
        assert same(found.get(), np.where(chosen, other, one))
        assert found.same(earlier) == bool((found.get() == one).all())
        assert same(earlier.get(), one)


@pytest.mark.parametrize("dtype", ["u8", "u16", "u32", "u64"])
def test_each_byte_is_compared_and_nothing_behind_the_last(dtype: str, host: Host) -> None:
    column = Column(1, "x", dtype, 0)
    for count in (1, 5, 16, 23):
        cells = np.arange(count).astype(dtype_of(column))
        one = Cells.put(host, column, cells)
        other = Cells.put(host, column, cells)
        assert one.same(other)
        for place in range(count):
            changed = cells.copy()
            changed[place] ^= 1
            assert not one.same(Cells.put(host, column, changed))
    assert not one.same(Cells.put(host, column, cells[:-1]))


def test_a_gathered_column_follows_the_memory(memory: Memory) -> None:
    for name in WIDTHS:
        for step in (1, 2, 5):
            held, offsets = memory.at(1).gather(THING, name, device="gpu")
            assert same(held.get(1), memory.at(1).gather(THING, name)[0])
            assert len(held) == offsets[-1]
            for epoch in range(1 + step, memory.head + 1, step):
                now = memory.at(epoch)
                assert memory.bring([held], epoch) == epoch
                cells, offsets = now.gather(THING, name)
                assert same(held.get(epoch), cells)
                assert same(held.offsets, offsets)
                assert same(held.pages, now.pages(THING))
                anew, _ = now.gather(THING, name, device="gpu")
                assert held.same(anew)


def test_pages_in_any_order_and_pages_that_come_and_go(memory: Memory) -> None:
    pages = memory.at(2).pages(THING)[::-1].copy()
    held, _ = memory.at(2).gather(THING, "big", pages, device="gpu")
    every, _ = memory.at(2).gather(THING, "big", device="gpu")
    changes = memory.changes()
    changes.patch_rows(THING, int(pages[0]), np.array([1, 77], np.uint32), {"big": [5, 6]})
    new = changes.page(THING, "new")
    changes.patch(THING, new, {"big": np.arange(9)})
    epoch = memory.commit(changes, to=[held])
    assert same(held.get(epoch), memory.at().gather(THING, "big", pages)[0])
    changes = memory.changes()
    changes.delete(int(pages[1]))
    epoch = memory.commit(changes, to=[every])
    assert same(every.get(epoch), memory.at().gather(THING, "big")[0])
    with pytest.raises(UsageError, match="name each page once"):
        memory.at().gather(THING, "big", [int(new)] * 2, device="gpu")
    memory.retain(epoch)
    changes = memory.changes()
    changes.patch(THING, new, {"big": np.arange(20)})
    epoch = memory.commit(changes, to=[every])
    assert same(every.get(epoch), memory.at().gather(THING, "big")[0])


def test_a_copy_is_never_read_as_of_another_epoch(memory: Memory) -> None:
    held, _ = memory.at(2).gather(THING, "big", device="gpu")
    assert same(np.asarray(held.at(2)), memory.at(2).gather(THING, "big")[0])
    for read in (held.at, held.get):
        with pytest.raises(StateError, match=r"copy of thing.big is as of epoch 2, not 3"):
            read(3)
    assert memory.stats()["bytes_by_device"]["gpu"] == held.nbytes > 0
    memory.bring([held], 4)
    with pytest.raises(StateError, match="go forward only"):
        memory.bring([held], 3)


def test_a_device_without_room_raises_whole_or_falls_back(memory: Memory, host: Host) -> None:
    held, _ = memory.at(1).gather(THING, "big", device="gpu")
    page = int(memory.at(1).pages(THING)[0])
    there = memory.at(1).to_device(THING, page, device="gpu")
    truth = held.get(1)
    host.limit = 16
    for copied in (held, there):
        with pytest.raises(EnvironmentProblem, match="no room"):
            memory.bring([copied])
        assert copied.epoch == 1
    asks: tuple[Callable[[], Any], ...] = (
        lambda: memory.at().gather(THING, "big", device="gpu"),
        lambda: memory.at().to_device(THING, page, device="gpu"),
    )
    for ask in asks:
        with pytest.raises(EnvironmentProblem, match="no room"):
            ask()
    assert same(held.get(1), truth)
    cells, _ = memory.at().gather(THING, "big", device="auto")
    assert same(cells, memory.at().gather(THING, "big")[0])
    assert memory.at().to_device(THING, page, device="auto").device == "cpu"
    told = memory.stats()["cpu_instead"]
    assert told["times"] == 2
    assert "no room" in told["why"]
    host.limit = None
    memory.bring([held, there])
    assert same(held.get(memory.head), cells)


@pytest.mark.parametrize("failing", range(1, 12))
def test_no_room_at_any_moment_leaves_a_page_as_it_was(
    memory: Memory, host: Host, failing: int
) -> None:
    page = int(memory.at(1).pages(THING)[0])
    there = memory.at(1).to_device(THING, page, device="gpu")
    truth = {own.name: np.array(there.column(own.name, 1)) for own in there.columns}
    room, left = host.room, failing

    def seldom(count: int, dtype: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise MemoryError
        return room(count, dtype)

    host.room = seldom  # type: ignore[method-assign]
    with pytest.raises(EnvironmentProblem, match="no room"):
        memory.bring([there])
    assert all(same(np.array(there.column(name, 1)), truth[name]) for name in truth)
    memory.bring([there])
    wanted = memory.at().columns(THING, page)
    for name, cells in wanted.items():
        assert same(np.array(there.column(name, memory.head)), cells)


def test_without_a_gpu_the_error_names_the_extra(memory: Memory) -> None:
    def none() -> machine.Machine:
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    machine.provide(none)
    with pytest.raises(MissingExtra, match=r"no CUDA-capable device.*mmsb\[gpu\].*'cpu'"):
        memory.at().gather(THING, "big", device="gpu")
    cells, _ = memory.at().gather(THING, "big", device="auto")
    assert isinstance(cells, np.ndarray)
    assert "no CUDA-capable device" in memory.stats()["cpu_instead"]["why"]

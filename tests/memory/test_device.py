"""Copies of pages on a device: as of their epoch, and after one call as of a later one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base import errors
from mmsb.memory.device import DevicePage
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import same
from mmsb.testing.lives import play
from mmsb.testing.strategies import KINDS, SMALL, THING


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    with Memory.create(path, KINDS, durability="none", segment_bytes=4096) as made:
        yield made


def as_of(page: DevicePage, memory: Memory, epoch: int) -> bool:
    """Is it what the host has?"""
    snapshot = memory.at(epoch)
    wanted = snapshot.columns(page.kind, page.page)
    assert (page.epoch, page.rows) == (epoch, snapshot.row_count(page.kind, page.page))
    return all(same(page.column(own.name, epoch), wanted[own.name]) for own in page.columns)


def put(memory: Memory) -> int:
    changes = memory.changes()
    play(memory.head + 1, 1, changes)
    return memory.commit(changes)


def test_a_life_on_a_device(memory: Memory) -> None:
    for _ in range(3):
        put(memory)
    now = memory.at()
    both = [(kind, page) for kind in (THING, SMALL) for page in now.pages(kind)]
    pages, late = ([now.to_device(*each) for each in both] for _ in range(2))
    old = [memory.at(1).to_device(SMALL, page) for page in memory.at(1).pages(SMALL)]
    for _ in range(5):
        head = put(memory)
        live = {*memory.at().pages(THING).tolist(), *memory.at().pages(SMALL).tolist()}
        pages = [one for one in pages if one.page in live]
        assert memory.bring(pages) == head
        assert pages
        assert all(as_of(one, memory, head) for one in pages)
    left = [one for one in (*late, *old) if one.page in live]
    assert memory.bring(left, 6) == 6
    assert all(as_of(one, memory, 6) for one in left)


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.lists(st.integers(0, 400), max_size=6), min_size=1, max_size=5), st.booleans())
def test_any_rows(
    tmp_path_factory: pytest.TempPathFactory, epochs: list[list[int]], each: bool
) -> None:
    path = tmp_path_factory.mktemp("device") / "a.mmsb"
    with Memory.create(path, KINDS, durability="none") as memory:
        page = memory.create_page(THING, "x")
        device = memory.at().to_device(THING, page, ["byte", "real"])
        for number, rows in enumerate(epochs):
            changes = memory.changes()
            wanted = sorted(set(rows))
            for name in ("byte", "real", "big")[number % 3 :]:
                changes.patch_rows(THING, page, wanted, {name: [number + 1] * len(wanted)})
                wanted = wanted[1:]
            memory.commit(changes, to=[device] if each else ())
        memory.bring([device])
        assert as_of(device, memory, memory.head)


def test_a_copy_is_never_read_as_of_another_epoch(memory: Memory) -> None:
    page = memory.create_page(SMALL, "x")
    device = memory.at().to_device(SMALL, page, device="cpu")
    other = memory.at().to_device(SMALL, page)
    memory.update_page(page, [0], {"value": [1]})
    for epoch in (memory.head, 0):
        with pytest.raises(errors.StateError, match="as of epoch 1, not"):
            device.column("value", epoch)
    changes = memory.changes()
    changes.patch(SMALL, page, {"value": [7, 8]}, 1)
    epoch = memory.commit(changes, to=[device])
    seen = device.column("value", epoch)
    assert seen.tolist() == [1, 7, 8]
    assert not seen.flags.writeable
    assert other.epoch == 1
    with pytest.raises(errors.StateError, match="go forward only"):
        memory.bring([device], 1)
    with pytest.raises(errors.UsageError, match="was not copied"):
        device.column("nothing", epoch)
    changes = memory.changes()
    changes.delete(page)
    with pytest.raises(errors.UnknownName, match="was deleted"):
        memory.commit(changes, to=[device])
    assert memory.head == epoch + 1
    assert device.column("value", epoch).tolist() == [1, 7, 8]


def test_what_retention_forgot_is_copied_anew(memory: Memory) -> None:
    page = memory.create_page(SMALL, "x")
    device = memory.at().to_device(SMALL, page)
    for number in range(4):
        memory.update_page(page, [number], {"value": [number]})
    memory.retain(4)
    memory.update_page(page, [1], {"value": [9]})
    memory.bring([device])
    assert as_of(device, memory, memory.head)
    assert device.column("value", memory.head).tolist() == [0, 9, 2, 3]


def test_the_device_is_named(memory: Memory) -> None:
    page, snapshot = memory.create_page(SMALL, "x"), memory.at()
    assert snapshot.to_device(SMALL, page, device="auto").device == "cpu"
    assert memory.stats()["auto"] == "cpu"
    with pytest.raises(errors.MissingExtra, match=r"mmsb\[gpu\]"):
        snapshot.to_device(SMALL, page, device="gpu")
    for wrong in (3, [3], [None], None):
        for call in (memory.bring, lambda one: memory.commit(memory.changes(), to=one)):
            with pytest.raises(errors.UsageError):
                call(wrong)  # type: ignore[arg-type]
    assert memory.head == 1
    with memory.fork(None, memory.path.with_name("b")) as fork:
        with pytest.raises(errors.UsageError, match="is a copy of"):
            fork.bring([memory.at().to_device(SMALL, page)])
        assert np.array_equal(fork.at().gather(SMALL, "value")[0], [])


def test_which_memory_a_copy_is_of(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(memory)
    (page, *_) = memory.at().pages(SMALL).tolist()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(memory.path, target_is_directory=True)
    ways = (memory.path.name, tmp_path / "link", f"../{tmp_path.name}/./{memory.path.name}")
    readers = [Memory.open(way, kinds=KINDS) for way in ways]
    copies = [one.at().to_device(SMALL, page) for one in (memory, *readers)]
    head = put(memory)
    changes = memory.changes()
    changes.patch(SMALL, page, {"value": [9]}, 1)
    head = memory.commit(changes, to=copies[:2])
    assert [one.epoch for one in copies] == [head, head, 1, 1]
    for reader in readers:
        reader.refresh()
        assert reader.bring(copies) == head
    assert all(as_of(one, memory, head) for one in copies)
    # Another memory under the same name is another one.
    with memory.fork(1, tmp_path / "fork", durability="none") as fork:
        strange = fork.at().to_device(SMALL, page)
        with pytest.raises(errors.UsageError, match="is a copy of"):
            memory.bring([strange])
        memory.path.rename(tmp_path / "away")
        (tmp_path / "fork").rename(memory.path)
        with Memory.open(memory.path, kinds=KINDS) as another:
            with pytest.raises(errors.UsageError, match="is a copy of"):
                another.bring(copies)
            assert another.bring([strange]) == 1
    for reader in readers:
        reader.close()

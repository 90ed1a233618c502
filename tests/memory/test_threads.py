"""Threads that read while another commits see whole epochs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmsb.memory.grow import Grow
from mmsb.memory.index import Index
from mmsb.memory.memory import Memory
from mmsb.memory.run import Held, Run
from mmsb.testing.strategies import KINDS, SMALL

EPOCHS = 120
READS = 60


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def commit(memory: Memory) -> None:
    """Each epoch makes two pages, and deletes one of the epoch before."""
    for epoch in range(1, EPOCHS + 1):
        changes = memory.changes()
        for name in (f"kept {epoch}", f"gone {epoch}"):
            changes.patch(SMALL, changes.page(SMALL, name), {"value": [epoch] * 3})
        if epoch > 1:
            changes.delete(changes.page(SMALL, f"gone {epoch - 1}"))
        changes.append("type", {"name": [changes.symbol(f"T{epoch}")]})
        memory.commit(changes)


def read(memory: Memory) -> None:
    for _ in range(READS):
        snapshot = memory.at()
        epoch = snapshot.epoch
        assert len(snapshot.table("type")["name"]) == epoch
        assert len(snapshot.pages(SMALL)) == (epoch + 1 if epoch else 0)
        values, _ = snapshot.gather(SMALL, "value")
        assert values.tolist() == [n for n in range(1, epoch + 1) for _ in "123"] + [epoch] * (
            3 if epoch else 0
        )
        if epoch:
            page = snapshot.page(SMALL, f"gone {epoch}")
            assert page is not None
            assert snapshot.written(page).tolist() == [epoch]
            assert snapshot.column(SMALL, page, "value").tolist() == [epoch] * 3
            assert memory.diff(epoch - 1, epoch)
        assert memory.stats()["epochs"] >= epoch


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("compiled", [None, True])
def test_readers_beside_a_writer(path: Path, compiled: bool | None) -> None:
    with (
        Memory.create(path, KINDS, segment_bytes=64 * 1024) as memory,
        ThreadPoolExecutor(4) as pool,
    ):
        memory._index.compiled = compiled
        running = [pool.submit(commit, memory), *(pool.submit(read, memory) for _ in range(3))]
        for each in running:
            each.result()
        assert memory.head == EPOCHS


def test_what_the_kernels_are_told_of_is_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A commit at any moment of the telling replaces arrays and maps; those told of stay alive.
    with Memory.create(path, KINDS) as memory:
        index = memory._index
        index.compiled = True
        made = memory.create_page(SMALL, "f")
        held, alive = Run.held, []

        def in_between(self: Run) -> Held:
            found = held(self)
            for value in range(200):
                memory.update_page(made, range(1), {"value": [value]})
            self.segment.remap()
            alive.append(found)
            return found

        monkeypatch.setattr(Run, "held", in_between)
        known = index.described()
        (own,) = alive
        assert own.table is not index.runs[0]._table.held
        places = [own.bytes, own.table, own.seen, own.checked]
        for row in (*known.orders.tolist(), *known.runs.tolist()):
            told = [row[at] for at in (0, 1, 8, 9)]
            assert told == [array.ctypes.data for array in places]
            assert own.batches * 16 <= len(own.table)


@pytest.mark.parametrize("epochs", [10, pytest.param(40, marks=pytest.mark.long)])
def test_nothing_of_an_epoch_is_seen_before_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    # After each step of taking in an epoch: all reads of the head hold.
    with Memory.create(path, KINDS) as memory:

        def looks_after(name: str) -> None:
            extend = getattr(Grow, name)

            def look_after(self: Grow, values: object) -> None:
                extend(self, values)
                look()

            monkeypatch.setattr(Grow, name, look_after)

        def look() -> None:
            index: Index = memory._index
            assert len(memory.at().pages(SMALL)) == (memory.head + 1 if memory.head else 0)
            assert len(memory.at().table("type")["name"]) == memory.head
            assert index.catalog.page_of(SMALL.id, 10**6, index.head) is None
            assert memory.stats()["epochs"] == memory.head

        for name in ("extend", "extend_bytes", "append", "grow"):
            looks_after(name)
        monkeypatch.setattr(f"{__name__}.EPOCHS", epochs)
        commit(memory)

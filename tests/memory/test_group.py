"""The policy ``group``: durable soon, by a thread that ends with its writer."""

from __future__ import annotations

import gc
import os
import signal
import threading
from pathlib import Path

import pytest

from mmsb.memory import group
from mmsb.memory.memory import Memory
from mmsb.testing.disks import Watched
from mmsb.testing.strategies import KINDS, SMALL

ENOUGH = 60.0  # seconds; far more than any of this takes


def put(memory: Memory) -> int:
    changes = memory.changes()
    changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [memory.head] * 50})
    return memory.commit(changes)


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "mmsb-sync"]


class Gate(Watched):
    """A disk whose data syncs wait until they are let through; says where and by whom."""

    def __init__(self) -> None:
        self.at_gate, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.syncs: list[tuple[str, str]] = []

    def saw(self, call: str, path: Path, *details: object) -> None:
        if call == "sync":
            self.syncs.append((path.name, threading.current_thread().name))
            if path.name.startswith("segment"):
                self.at_gate.set()
                assert self.gate.wait(ENOUGH)


def wait(condition: threading.Event | None = None, *, until: object = None) -> None:
    tick = threading.Event()
    for _ in range(int(ENOUGH * 1000)):
        if condition is not None and condition.is_set():
            return
        if callable(until) and until():
            return
        tick.wait(0.001)
    raise AssertionError("it never came")


def test_a_commit_becomes_durable_by_itself(path: Path) -> None:
    with Memory.create(path, KINDS) as memory, Memory.open(path, kinds=KINDS) as reader:
        for _ in range(3):
            head = put(memory)
            wait(until=lambda head=head: memory.durable == head)
            reader.refresh()
            assert reader.durable == head
        (thread,) = threads()
        assert thread.daemon
    assert threads() == []


@pytest.mark.parametrize("policy", ["none", "every"])
def test_other_policies_have_no_thread(path: Path, policy: str) -> None:
    with Memory.create(path, KINDS, durability=policy) as memory:  # type: ignore[arg-type]
        put(memory)
        assert threads() == []
        assert memory.durable == (1 if policy == "every" else 0)


def test_commits_go_on_while_the_disk_syncs(path: Path) -> None:
    disk = Gate()
    with Memory.create(path, KINDS, disk=disk) as memory:
        disk.at_gate.clear()
        disk.gate.clear()
        put(memory)
        wait(disk.at_gate)
        for _ in range(5):
            put(memory)
        assert (memory.head, memory.durable) == (6, 0)
        disk.gate.set()
        wait(until=lambda: memory.durable == 6)


def test_a_segment_may_be_sealed_while_it_is_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Gate()
    with Memory.create(path, KINDS, segment_bytes=4096, disk=disk) as memory:
        disk.at_gate.clear()
        disk.gate.clear()
        put(memory)
        wait(disk.at_gate)
        here = threading.current_thread()
        monkeypatch.setattr(Gate, "saw", _only_others_wait(here))
        for _ in range(30):
            put(memory)
        assert (path / "segment-000002").exists()
        assert memory.durable == 0
        disk.gate.set()
        wait(until=lambda: memory.durable == 31)
    with Memory.open(path, kinds=KINDS) as reader:
        assert reader.head == reader.durable == 31


def _only_others_wait(here: threading.Thread) -> object:
    gate = Gate.saw

    def saw(self: Gate, call: str, path: Path, *details: object) -> None:
        if threading.current_thread() is not here:
            gate(self, call, path, *details)

    return saw


def test_a_quiet_writer_leaves_the_disk_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "DELAY", 0.0)
    disk = Gate()
    with Memory.create(path, KINDS, disk=disk) as memory:
        put(memory)
        wait(until=lambda: memory._writer._quiet)  # type: ignore[union-attr]
        done = len(disk.syncs)
        assert {who for _, who in disk.syncs[-2:]} == {"mmsb-sync"}
        wait(until=iter([False] * 30 + [True]).__next__)  # thirty times its delay and more
        assert len(disk.syncs) == done
        assert memory._writer._group._bell.empty()  # type: ignore[union-attr]


def test_a_dropped_writer_takes_its_thread_along(path: Path) -> None:
    memory = Memory.create(path, KINDS)
    put(memory)
    (thread,) = threads()
    memory.sync()
    del memory
    gc.collect()
    thread.join(ENOUGH)
    assert not thread.is_alive()
    Memory.open(path, True, kinds=KINDS).close()


def test_a_fork_has_neither_thread_nor_lock(path: Path) -> None:
    memory = Memory.create(path, KINDS)
    put(memory)
    child = os.fork()
    if child == 0:  # outlives its parent's writer, holding all it inherited
        signal.pause()
        os._exit(0)
    try:
        memory.close()
        with Memory.open(path, True, kinds=KINDS) as again:
            assert put(again) == 2
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_fork_of_a_writer_that_was_killed_locks_nobody_out(path: Path) -> None:
    Memory.create(path, KINDS).close()
    read, write = os.pipe()
    middle = os.fork()
    if middle == 0:
        memory = Memory.open(path, True, kinds=KINDS)
        put(memory)
        child = os.fork()
        if child == 0:
            os.write(write, f"{os.getpid()}\n".encode())
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(middle, 0)
    child = int(os.read(read, 32))
    try:
        assert (path / "lock").read_text() == f"{middle}\n"
        with Memory.open(path, True, kinds=KINDS) as memory:
            assert put(memory) == 2
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read)
        os.close(write)

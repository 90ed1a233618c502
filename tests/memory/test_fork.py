"""A writer belongs to the process that opened it, and to nobody once it is dropped."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsb.base import errors
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.strategies import KINDS, SMALL, THING


def forked(run: Callable[[], object]) -> int:
    """Runs it in a fork; 0 if it returned."""
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_can_neither_write_nor_disturb_the_writer(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        fill(memory, 2)
        memory.sync()
        before = {file.name: file.read_bytes() for file in path.iterdir()}

        def child() -> None:
            for write in (lambda: memory.commit(memory.changes()), memory.sync):
                with pytest.raises(errors.StateError, match="forked"):
                    write()
            dump(memory)
            memory.close()

        assert forked(child) == 0
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before
        with pytest.raises(errors.MemoryLocked, match=f"process {os.getpid()}"):
            Memory.open(path, write=True, kinds=KINDS)
        assert memory.commit(memory.changes()) == 3


def test_a_dropped_writer_locks_nobody_out(path: Path) -> None:
    memory = Memory.create(path, KINDS)
    fill(memory, 2)
    handles = len(os.listdir("/proc/self/fd"))
    del memory
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= handles - 3
    with Memory.open(path, write=True, kinds=KINDS) as again:
        assert again.head == 2


def test_a_child_reads_whatever_threads_were_doing(path: Path) -> None:
    # The locks of the index are held by a thread that the child does not have.
    with Memory.create(path, KINDS) as memory:
        fill(memory)
        held = (memory._index._lock, memory._index._marking, memory._index.catalog._lock)
        for lock in (*held, memory._index.runs[0]._lock, memory._symbols._lock):
            lock.acquire()
        memory._index._described = None
        child = os.fork()
        if child == 0:
            snapshot = memory.at()
            page = snapshot.page(SMALL, "gone")
            alive = page is None and len(snapshot.gather(THING, "big")[0]) > 0
            os._exit(0 if alive else 1)
        for lock in (*held, memory._index.runs[0]._lock, memory._symbols._lock):
            lock.release()
        assert os.waitpid(child, 0)[1] == 0

"""One writer at a time, and what is left of it when it is killed or its disk fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.disks import Failing
from mmsb.testing.strategies import KINDS, SMALL

ROOT = Path(__file__).parents[2]

HOLD = """
import sys
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS
with Memory.open(sys.argv[1], write=True, kinds=KINDS):
    print("held", flush=True)
    sys.stdin.readline()
"""


def python(program: str, path: Path) -> subprocess.Popen[str]:
    """A second process, talking over pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def put(memory: Memory, count: int, subject: str = "f") -> int:
    changes = memory.changes()
    page = changes.page(SMALL, subject)
    changes.patch(SMALL, page, {"value": np.full(count, memory.head + 1)})
    return memory.commit(changes)


def test_a_second_writer_is_told_who_holds_the_memory(filled: Path) -> None:
    with python(HOLD, filled) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(errors.MemoryLocked, match=f"process {other.pid}"):
            Memory.open(filled, write=True, kinds=KINDS)
        with Memory.open(filled, kinds=KINDS) as reader:
            dump(reader)
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait(30)
    with Memory.open(filled, write=True, kinds=KINDS):
        pass


def test_also_within_one_process(filled: Path) -> None:
    memory = Memory.open(filled, write=True, kinds=KINDS)
    with pytest.raises(errors.MemoryLocked, match=f"process {os.getpid()}"):
        Memory.open(filled, write=True, kinds=KINDS)
    memory.close()
    assert (filled / "lock").read_bytes() == b""


def test_a_dead_writer_locks_nobody_out(filled: Path) -> None:
    with python(HOLD, filled) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
        other.wait(30)
    assert (filled / "lock").read_text() == f"{other.pid}\n"
    with Memory.open(filled, write=True, kinds=KINDS) as memory:
        put(memory, 3)


def test_the_number_of_a_dead_writer_in_use_again_locks_nobody_out(filled: Path) -> None:
    # 1 is always some process; ours stands for one that got the number of the dead.
    for pid in (1, os.getpid()):
        (filled / "lock").write_text(f"{pid}\n")
        with Memory.open(filled, write=True, kinds=KINDS) as memory:
            put(memory, 3)
        assert (filled / "lock").read_bytes() == b""


def put_until_it_fails(memory: Memory) -> None:
    for _ in range(10_000):
        put(memory, 700)


def test_a_full_disk_fails_the_commit_and_nothing_else(mount: Callable[[str], Path]) -> None:
    disk = mount("size=512k")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    path = disk / "a.mmsb"
    with Memory.create(path, KINDS, segment_bytes=65536) as memory:
        with pytest.raises(errors.NoSpace, match="free some space"):
            put_until_it_fails(memory)
        head = memory.head
        assert head > 20
        before = dump(memory)
        with pytest.raises(errors.NoSpace):
            put(memory, 20_000)
        assert (memory.head, dump(memory)) == (head, before)
        with Memory.open(path, kinds=KINDS) as reader:
            assert dump(reader) == before
        assert check(path).sound
        ballast.unlink()
        assert put(memory, 20_000) == head + 1
    assert check(path).problems == check(path).torn == ()
    with Memory.open(path, kinds=KINDS) as reader:
        assert reader.head == head + 1


def test_a_memory_that_found_no_space_can_be_made_later(mount: Callable[[str], Path]) -> None:
    disk = mount("size=64k")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(50_000))
    with pytest.raises(errors.NoSpace):
        Memory.create(disk / "a.mmsb")
    assert list((disk / "a.mmsb").iterdir()) == []
    ballast.unlink()
    Memory.create(disk / "a.mmsb").close()
    assert check(disk / "a.mmsb").sound


def test_changes_that_found_no_space_can_be_committed_later(path: Path) -> None:
    disk = Failing()
    with Memory.create(path, KINDS, disk=disk) as memory:
        changes = memory.changes()
        changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [1]})
        changes.append("type", {"name": [changes.symbol("Int64")]})
        disk.fail(errno.ENOSPC, "write")
        with pytest.raises(errors.NoSpace):
            memory.commit(changes)
        disk.fail(0)
        assert changes.symbol("Float64") == 2
        assert memory.commit(changes) == 1
        assert memory.at().symbols(range(3)) == ["f", "Int64", "Float64"]
        assert memory.at().page(SMALL, "f") is not None
    assert check(path).sound


@pytest.mark.parametrize("call", ["sync", "write"])
def test_after_one_failure_the_writer_refuses(path: Path, call: str) -> None:
    disk = Failing()
    memory = Memory.create(path, KINDS, durability="none", disk=disk)
    fill(memory, 2)
    before = dump(memory)
    disk.fail(errno.EIO, call)
    with pytest.raises(errors.WriterFailed, match="open it again"):
        memory.sync() if call == "sync" else put(memory, 3)
    disk.fail(0)
    for again in (lambda: put(memory, 3), memory.sync):
        with pytest.raises(errors.WriterFailed):
            again()
    assert dump(memory) == before
    memory.close()
    with Memory.open(path, write=True, kinds=KINDS) as after:
        assert dump(after) == before
        assert put(after, 3) == 3


def test_a_failed_header_write_leaves_no_half_epoch(path: Path) -> None:
    disk = Failing()
    memory = Memory.create(path, KINDS, disk=disk)
    fill(memory, 2)
    memory.sync()
    disk.fail(errno.ENOSPC, "store")
    with pytest.raises(errors.WriterFailed):
        put(memory, 3)
    disk.fail(0)
    assert memory.head == 2
    memory.close()
    with Memory.open(path, kinds=KINDS) as reader:
        assert reader.head == 2
    with Memory.open(path, write=True, kinds=KINDS) as after:
        assert after.head == 3  # the frame was whole, and is taken in as a whole
        page = after.at().page(SMALL, "f")
        assert page is not None
        assert after.at().column(SMALL, page, "value").tolist() == [3, 3, 3]


def test_a_full_disk_while_sealing(path: Path) -> None:
    disk = Failing()
    with Memory.create(path, KINDS, segment_bytes=4096, disk=disk) as memory:
        put(memory, 600)
        before = sorted(os.listdir(path))
        disk.fail(errno.ENOSPC, "rename")
        with pytest.raises(errors.NoSpace):
            put(memory, 4000)
        assert sorted(os.listdir(path)) == before
        disk.fail(0)
        assert put(memory, 4000) == 2
    assert check(path).sound


def test_a_read_only_folder(mount: Callable[[str], Path]) -> None:
    disk = mount("size=4m")
    path = disk / "a.mmsb"
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory)
        content = dump(memory)
    done = subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=False)
    if done.returncode:
        pytest.skip("the small disk this test needs cannot be made read-only")
    with Memory.open(path, kinds=KINDS) as reader:
        assert dump(reader) == content
    with pytest.raises(errors.ReadOnly, match="cannot be written"):
        Memory.open(path, write=True, kinds=KINDS)
    with pytest.raises(errors.ReadOnly):
        Memory.create(disk / "b.mmsb", KINDS)


def test_a_folder_one_may_only_read(filled: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; test_a_read_only_folder stands for this one")
    for file in filled.iterdir():
        file.chmod(0o444)
    filled.chmod(0o555)
    with pytest.raises(errors.ReadOnly):
        Memory.open(filled, write=True, kinds=KINDS)

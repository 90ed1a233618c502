"""A disk that fails at any call: named errors, readable memories, and nothing told is lost."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mmsb.base import errors
from mmsb.memory import group
from mmsb.memory.check import check
from mmsb.memory.files import FULL
from mmsb.memory.memory import Memory
from mmsb.testing.disks import Failing, FailsOnce
from mmsb.testing.lives import Truth, play
from mmsb.testing.strategies import KINDS

EPOCHS = 6
TRUTH = Truth((), 1)


def put(memory: Memory) -> int:
    changes = memory.changes()
    play(memory.head + 1, 1, changes)
    return memory.commit(changes)


def holds(memory: Memory, *, least: int, most: int) -> None:
    assert least <= memory.head <= most
    for epoch in {memory.head // 2, memory.head}:
        assert TRUTH.is_in(memory, epoch), f"epoch {epoch}"


def live(path: Path, disk: FailsOnce, policy: Any) -> tuple[bool, int]:
    """A writer's life over that disk. Was the memory made, and the last epoch it acknowledged."""
    try:
        memory = Memory.create(path, KINDS, segment_bytes=4096, durability=policy, disk=disk)
    except errors.NoSpace:
        assert disk.number in FULL
        return path.joinpath("manifest").exists(), 0
    except errors.EnvironmentProblem:
        return path.joinpath("manifest").exists(), 0
    except errors.WriterFailed:
        return True, 0
    told, failed = 0, None
    while memory.head < EPOCHS:
        try:
            put(memory)
            told = memory.head
            if policy != "every" and told % 3 == 0:
                memory.sync()
        except errors.NoSpace:
            assert disk.number in FULL
            assert memory.head == told
            holds(memory, least=told, most=told)
            if disk.onward:
                break
        except errors.WriterFailed as error:
            told = memory.head
            failed = error
            with pytest.raises(errors.WriterFailed):
                put(memory)
            with pytest.raises(errors.WriterFailed):
                memory.sync()
            break
        holds(memory, least=told, most=told)
    holds(memory, least=told, most=told)
    with Memory.open(path, kinds=KINDS) as reader:
        holds(reader, least=told, most=told)
    try:
        memory.close()
    except errors.WriterFailed:
        assert failed is None  # nobody is told twice
        assert disk.failed
    memory.close()
    return True, told


def recovers(path: Path, made: bool, told: int) -> None:
    """With a disk that works all is there, and the memory goes on."""
    if not made:
        shutil.rmtree(path, ignore_errors=True)
        Memory.create(path, KINDS).close()
        return
    with Memory.open(path, kinds=KINDS) as reader:
        holds(reader, least=told, most=told + 1)
    with Memory.open(path, True, kinds=KINDS) as memory:
        holds(memory, least=told, most=told + 1)
        put(memory)
        holds(memory, least=told + 1, most=told + 2)
    report = check(path)
    assert (report.problems, report.torn) == ((), ())


def each_failure(room: Path, number: int, policy: str, onward: bool, step: int) -> int:
    """The n-th call fails, for every n."""
    at = 0
    while True:
        disk, path = FailsOnce(at, number, onward=onward), room / f"{at}.mmsb"
        try:
            made, told = live(path, disk, policy)
            assert disk.failed or told == EPOCHS
            recovers(path, made, told)
        except BaseException as error:
            raise AssertionError(f"call {at}: {error!r}") from error
        shutil.rmtree(path)
        if not disk.failed:
            return at
        at += step


@pytest.mark.parametrize("policy", ["none", "every"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_the_nth_call_fails(quick: Path, number: int, policy: str) -> None:
    assert each_failure(quick, number, policy, False, 1) > 50


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_all_calls_fail_from_the_nth_on(quick: Path, number: int) -> None:
    assert each_failure(quick, number, "group", True, 2) > 50


@pytest.mark.long
@pytest.mark.parametrize("onward", [False, True])
@pytest.mark.parametrize("policy", ["none", "group", "every"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT])
def test_any_call_fails(
    quick: Path, monkeypatch: pytest.MonkeyPatch, number: int, policy: str, onward: bool
) -> None:
    monkeypatch.setattr(f"{__name__}.EPOCHS", 20)
    assert each_failure(quick, number, policy, onward, 1) > 100


@pytest.mark.parametrize("onward", [False, True])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_the_nth_call_of_opening_fails(quick: Path, number: int, onward: bool) -> None:
    path = quick / "a.mmsb"
    Memory.create(path, KINDS, durability="none").close()
    with Memory.open(path, True, kinds=KINDS, durability="none") as memory:
        put(memory)
    with open(path / "segment-000001", "ab") as file:
        file.write(b"the power went" * 20)
    (path / "manifest.new").write_bytes(b"half")
    for at in range(50):
        copy = quick / f"{at}.mmsb"
        shutil.copytree(path, copy)
        disk = FailsOnce(at, number, onward=onward)
        try:
            memory = Memory.open(copy, True, kinds=KINDS, disk=disk)
        except (errors.WriterFailed, errors.NoSpace, errors.EnvironmentProblem):
            assert disk.failed
        else:
            try:
                memory.close()
            except errors.WriterFailed:
                assert disk.failed
        recovers(copy, True, 1)
        shutil.rmtree(copy)
        if not disk.failed:
            assert at > 4
            return
    raise AssertionError("opening has no end")


def test_the_thread_that_fails_is_heard_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "DELAY", 0.0)
    disk = Failing()
    memory = Memory.create(path, KINDS, disk=disk)
    disk.fail(errno.EIO, "sync")
    put(memory)
    thread = memory._writer._group._thread  # type: ignore[union-attr]
    while memory._writer._failure is None:  # type: ignore[union-attr]
        thread.join(0.001)
    with pytest.raises(errors.WriterFailed, match="a fsync failed"):
        memory.close()
    with Memory.open(path, kinds=KINDS) as reader:
        holds(reader, least=1, most=1)
    disk.fail(0)
    with Memory.open(path, True, kinds=KINDS, disk=disk) as memory:
        put(memory)


def test_a_commit_after_the_thread_failed_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "DELAY", 0.0)
    disk = Failing()
    memory = Memory.create(path, KINDS, disk=disk)
    disk.fail(errno.EIO, "sync")
    put(memory)
    while memory._writer._failure is None:  # type: ignore[union-attr]
        memory._writer._group._thread.join(0.001)  # type: ignore[union-attr]
    with pytest.raises(errors.WriterFailed, match="a fsync failed"):
        put(memory)
    assert memory.head == 1
    memory.close()  # told already


class Interrupts(FailsOnce):
    """The n-th call is where Ctrl-C comes."""

    def saw(self, call: str, path: Path, *details: object) -> None:
        count, self.seen = self.seen, self.seen + 1
        if count == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("policy", ["none", "every"])
def test_ctrl_c_at_any_call(quick: Path, policy: Any) -> None:
    for at in range(200):
        disk, path = Interrupts(at, 0), quick / f"{at}.mmsb"
        memory, told = None, 0
        try:
            memory = Memory.create(path, KINDS, segment_bytes=4096, durability=policy, disk=disk)
            while told < EPOCHS:
                put(memory)
                told = memory.head
            memory.close()
        except KeyboardInterrupt:
            pass
        if memory is not None:
            if told < EPOCHS:
                try:
                    assert put(memory) == memory.head
                except errors.WriterFailed:
                    assert memory.head in (told, told + 1)
                told = memory.head
                holds(memory, least=told, most=told)
            with suppress(errors.WriterFailed):
                memory.close()
            recovers(path, True, told)
        shutil.rmtree(path, ignore_errors=True)
        if not disk.failed:
            assert at > 50
            return


def test_ctrl_c_between_the_log_and_what_is_known_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory.create(path, KINDS, durability="none")
    put(memory)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(memory._index, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            put(memory)
    assert memory.head == 1
    with pytest.raises(errors.WriterFailed, match="interrupted"):
        put(memory)
    memory.close()
    with Memory.open(path, True, kinds=KINDS) as memory:
        holds(memory, least=2, most=2)

"""Checkpoints and forks: whole memories of their own, under their name whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmsb.base import errors
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.disks import FailsOnce, Watched
from mmsb.testing.strategies import KINDS, SMALL

EPOCHS = 6


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    with Memory.create(path, KINDS, segment_bytes=4096) as made:
        fill(made, EPOCHS)
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "b.mmsb"


def upto(cells: dict[object, bytes], epoch: int) -> dict[object, bytes]:
    return {key: value for key, value in cells.items() if key[0] <= epoch}  # type: ignore[index]


def put(memory: Memory, value: int) -> int:
    changes = memory.changes()
    changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [value] * 900})
    return memory.commit(changes)


def sizes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("epoch", range(EPOCHS + 1))
def test_a_checkpoint_is_a_memory_up_to_its_epoch(memory: Memory, other: Path, epoch: int) -> None:
    assert memory.checkpoint(other, epoch) == epoch
    assert check(other).sound
    with Memory.open(other, kinds=KINDS) as copy:
        assert (copy.head, copy.durable, copy.torn) == (epoch, epoch, None)
        assert dump(copy) == upto(dump(memory), epoch)
        assert copy.digest() == memory.digest(epoch)
    with Memory.open(other, write=True, kinds=KINDS) as copy:
        assert put(copy, 7) == epoch + 1
    assert memory.head == EPOCHS


def test_a_checkpoint_of_the_head_is_what_closing_leaves(memory: Memory, other: Path) -> None:
    memory.checkpoint(other)
    memory.close()
    assert sizes(other) == sizes(memory.path)


def test_a_checkpoint_shares_nothing(memory: Memory, other: Path) -> None:
    memory.checkpoint(other)
    before = dump(memory)
    memory.close()
    for file in memory.path.iterdir():
        file.write_bytes(b"gone")
    with Memory.open(other, kinds=KINDS) as copy:
        assert dump(copy) == before


def test_restoring_makes_another_and_keeps_the_checkpoint(
    memory: Memory, other: Path, tmp_path: Path
) -> None:
    memory.checkpoint(other, 4)
    before = sizes(other)
    with Memory.restore(other, tmp_path / "c.mmsb", kinds=KINDS) as restored:
        assert dump(restored) == upto(dump(memory), 4)
        assert put(restored, 3) == 5
    assert sizes(other) == before


def test_a_reader_makes_them_too(memory: Memory, other: Path, tmp_path: Path) -> None:
    memory.sync()
    with Memory.open(memory.path, kinds=KINDS) as reader:
        reader.checkpoint(other, 5)
        with reader.fork(5, tmp_path / "c.mmsb") as fork:
            assert put(fork, 1) == 6
    for made in (other, tmp_path / "c.mmsb"):
        with Memory.open(made, kinds=KINDS) as copy:
            assert upto(dump(copy), 5) == upto(dump(memory), 5)


def test_a_reader_cannot_fork_what_may_vanish(path: Path, other: Path) -> None:
    with Memory.create(path, KINDS, durability="none") as memory:
        put(memory, 1)
        memory.sync()
        put(memory, 2)
        with Memory.open(path, kinds=KINDS) as reader:
            with pytest.raises(errors.StateError, match=r"epoch 2 .* not durable"):
                reader.fork(None, other)
            assert not other.exists()
            reader.fork(1, other).close()
        assert memory.durable == 1
        memory.fork(2, other.with_name("c.mmsb")).close()
        assert memory.durable == 2


@pytest.mark.parametrize("epoch", [0, 3, EPOCHS])
def test_a_fork_and_its_parent_go_on_apart(memory: Memory, other: Path, epoch: int) -> None:
    before = dump(memory)
    with memory.fork(epoch, other) as fork:
        for number in range(1, 6):  # into segments of the same number
            assert put(memory, 10 + number) == EPOCHS + number
            assert put(fork, 20 + number) == epoch + number
        for side, first in ((memory, EPOCHS), (fork, epoch)):
            assert upto(dump(side), first) == upto(before, first)
        for number in range(1, 6):
            for side, first, tens in ((memory, EPOCHS, 10), (fork, epoch, 20)):
                now = side.at(first + number)
                page = now.page(SMALL, "f")
                assert page is not None
                assert now.column(SMALL, page, "value").tolist() == [tens + number] * 900
        held = dump(fork)
    assert check(other).sound
    assert check(memory.path).problems == ()
    memory.close()
    shutil.rmtree(memory.path)
    assert check(other).sound
    with Memory.open(other, write=True, kinds=KINDS) as fork:
        assert dump(fork) == held
        with fork.fork(None, other.with_name("c.mmsb")) as again:
            assert dump(again) == held


def test_a_fork_copies_nothing(memory: Memory, other: Path) -> None:
    memory.fork(None, other).close()
    own = max(file.name for file in other.glob("segment-*"))
    for file in other.glob("segment-*"):
        shared = file.stat().st_nlink == 2
        assert shared == (file.name != own), file.name
        assert not shared or file.samefile(memory.path / file.name)


def test_where_links_are_not_possible_it_copies_and_says_so(
    memory: Memory, mount: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    there = mount("size=4m") / "b.mmsb"
    with caplog.at_level(logging.WARNING), memory.fork(5, there) as fork:
        assert upto(dump(memory), 5) == dump(fork)
    (record,) = caplog.records
    held = sum(f.stat().st_size for f in there.glob("segment-*")) - 64
    assert f"copied {held} bytes" in record.getMessage()


def test_a_segment_that_is_gone_by_name_is_copied(memory: Memory, other: Path) -> None:
    """As compaction in another process may leave a reader."""
    memory.sync()
    with Memory.open(memory.path, kinds=KINDS) as reader:
        before = dump(reader)
        away = memory.path / "away"
        (memory.path / "segment-000001").rename(away)
        with reader.fork(None, other) as fork:
            assert dump(fork) == before
        away.rename(memory.path / "segment-000001")


def test_others_commit_meanwhile(memory: Memory, tmp_path: Path) -> None:
    before = dump(memory)
    with Memory.open(memory.path, kinds=KINDS) as reader, ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [put(memory, number) for number in range(60)])
        for number in range(10):
            source = (memory, reader)[number % 2]
            reader.refresh()
            source.checkpoint(tmp_path / f"checkpoint {number}")
            memory.fork(None, tmp_path / f"fork {number}").close()
        assert writing.result(60)[-1] == EPOCHS + 60
    for made in (*tmp_path.glob("checkpoint*"), *tmp_path.glob("fork*")):
        assert check(made).sound
        with Memory.open(made, kinds=KINDS) as copy:
            assert upto(dump(copy), EPOCHS) == before


TAKEN = ["file", "folder", "memory", "link"]


@pytest.mark.parametrize("what", TAKEN)
def test_nothing_is_written_over(memory: Memory, other: Path, what: str) -> None:
    match what:
        case "file":
            other.write_text("mine")
        case "folder":
            other.mkdir()
            (other / "mine").write_text("mine")
        case "memory":
            memory.checkpoint(other, 0)
        case "link":
            other.symlink_to("nowhere")
    for make in (lambda: memory.checkpoint(other), lambda: memory.fork(1, other)):
        with pytest.raises(errors.UsageError, match="taken"):
            make()
    assert os.path.lexists(other)
    assert len(list(other.parent.iterdir())) == 2


def test_an_empty_folder_is_taken_over(memory: Memory, other: Path) -> None:
    other.mkdir()
    memory.checkpoint(other)
    assert check(other).sound


def test_a_path_is_taken_from_where_one_is(
    memory: Memory, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.mkdir()
    monkeypatch.chdir(other)
    memory.checkpoint("inside")
    assert check(other / "inside").sound
    with pytest.raises(errors.UsageError, match="taken"):
        memory.checkpoint(".")


def test_what_cannot_be_asked(memory: Memory, other: Path) -> None:
    for make in (memory.checkpoint, lambda path, epoch: memory.fork(epoch, path)):
        with pytest.raises(errors.UnknownName, match="epochs are 0"):
            make(other, EPOCHS + 1)
        with pytest.raises(errors.UsageError, match="no folder"):
            make(other / "deeper", 1)
    with pytest.raises(errors.NotAMemory):
        Memory.restore(other, other.with_name("c.mmsb"))
    assert not other.exists()
    memory.close()
    with pytest.raises(errors.StateError, match="closed"):
        memory.checkpoint(other)


MAKERS: dict[str, Callable[[Memory, Path], object]] = {
    "checkpoint": lambda memory, path: memory.checkpoint(path, 4),
    "fork": lambda memory, path: memory.fork(4, path).close(),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("maker", MAKERS)
def test_no_step_that_fails_leaves_anything(
    filled: Path, other: Path, maker: str, number: int
) -> None:
    expected = {
        errno.ENOSPC: errors.NoSpace,
        errno.EIO: errors.EnvironmentProblem,
        errno.EACCES: errors.ReadOnly,
    }[number]
    for at in range(1000):
        disk = FailsOnce(at, number)
        with Memory.open(filled, kinds=KINDS, disk=disk) as reader:
            failure: Exception | None = None
            try:
                MAKERS[maker](reader, other)
            except (errors.MmsbError, OSError) as error:
                failure = error
        if not disk.failed:
            break
        if other.exists():  # a fork that was made, and could not be opened or closed
            assert maker == "fork"
            assert check(other).problems == ()
            shutil.rmtree(other)
        else:
            assert type(failure) is expected, failure
        assert list(other.parent.iterdir()) == [filled]
    assert at > 8
    assert check(other).sound


class KillsItself(Watched):
    """The n-th call kills the process."""

    def __init__(self, at: int) -> None:
        self.left = at

    def saw(self, call: str, path: Path, *details: object) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


@pytest.mark.parametrize("maker", MAKERS)
def test_killed_at_any_step_it_is_there_whole_or_not_at_all(
    filled: Path, other: Path, maker: str
) -> None:
    with Memory.open(filled, kinds=KINDS) as reader:
        before = upto(dump(reader), 4)
    killed, whole = 0, 0
    for at in range(1000):
        child = os.fork()
        if child == 0:
            try:
                with Memory.open(filled, kinds=KINDS, disk=KillsItself(at)) as reader:
                    MAKERS[maker](reader, other)
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        killed += os.WIFSIGNALED(status)
        if other.exists():
            whole += 1
            assert check(other).problems == ()
            with Memory.open(other, kinds=KINDS) as copy:
                assert dump(copy) == before
            shutil.rmtree(other)
        if not os.WIFSIGNALED(status):
            break
    assert killed > 8
    assert whole >= 1
    left = [folder for folder in other.parent.iterdir() if folder != filled]
    assert len(left) <= 1  # the last one removed what those before it left
    with Memory.open(filled, kinds=KINDS) as reader:
        MAKERS[maker](reader, other)
    assert sorted(other.parent.iterdir()) == sorted([filled, other])


@pytest.mark.parametrize("maker", MAKERS)
def test_all_is_synced_before_it_has_its_name(filled: Path, other: Path, maker: str) -> None:
    class Recording(Watched):
        def __init__(self) -> None:
            self.calls: list[tuple[str, Path]] = []

        def saw(self, call: str, path: Path, *details: object) -> None:
            self.calls.append((call, path))

    disk = Recording()
    with Memory.open(filled, kinds=KINDS, disk=disk) as reader:
        MAKERS[maker](reader, other)
    calls = disk.calls
    renamed = next(at for at, (call, _) in enumerate(calls) if call == "rename")
    folder = calls[renamed][1]
    before = calls[:renamed]
    assert before[-1] == ("sync_folder", folder)
    written = {path for call, path in before if call == "write"}
    assert {path.name for path in written} >= {"manifest", "header"}
    for path in written:
        own = [call for call, of in before if of == path]
        assert own[-1] == "sync", path
    assert calls[renamed + 1] == ("sync_folder", other.parent)


def test_one_that_is_being_made_is_left_alone(memory: Memory, other: Path) -> None:
    class Stops(Watched):
        def saw(self, call: str, path: Path, *details: object) -> None:
            if call == "rename":
                memory.checkpoint(other, 2)  # another of the same name, meanwhile

    with (
        Memory.open(memory.path, kinds=KINDS, disk=Stops()) as reader,
        pytest.raises(errors.UsageError, match="taken"),
    ):
        reader.checkpoint(other, 1)
    with Memory.open(other, kinds=KINDS) as copy:
        assert copy.head == 2
    assert len(list(other.parent.iterdir())) == 2


def test_an_end_that_is_damaged_is_told(filled: Path, other: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as reader:
        last = max(filled.glob("segment-*"))
        at = last.read_bytes().rindex(b"mmsbfrm\0")
        with last.open("r+b") as file:
            file.seek(at + 20)
            file.write(b"\xff")
        with pytest.raises(errors.CorruptData, match=f"{last.name} at offset {at}"):
            reader.checkpoint(other)
    assert not other.exists()

"""What a crash in a retention leaves: the memory before it or the one after, and whole."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmsb.base import errors
from mmsb.memory import files
from mmsb.memory.check import check
from mmsb.memory.disk import Disk
from mmsb.memory.memory import Memory
from mmsb.testing.disks import FailsOnce, Watched
from mmsb.testing.lives import Truth
from mmsb.testing.power import Recorder, states
from mmsb.testing.strategies import KINDS, SMALL

HEAD = 12
TRUTH = Truth((), 1)


def either(folder: Path) -> bool:
    """The memory is the old one or the new one, and whole; is it the new one?"""
    for write in (False, True, True):
        with Memory.open(folder, write, kinds=KINDS) as memory:
            assert memory.torn is None
            assert memory.head == HEAD
            base = memory._index.base
            for epoch in (base, 7, HEAD):
                assert TRUTH.is_in(memory, epoch), f"epoch {epoch}"
    report = check(folder)
    assert (report.problems, report.torn, report.epochs) == ((), (), HEAD + 1 - base)
    listed = [path.name.split("-") for path in folder.iterdir() if "-" in path.name]
    named = {number for number, _ in files.read_manifest(folder).segments}
    assert {int(number) for _, number in listed} == named
    assert base in (0, 6)
    return base == 6


def outages(quick: Path, lived: Path, each: int) -> Iterator[bool]:
    disk, chance = Recorder(lived), random.Random(each)
    with Memory.open(lived, True, kinds=KINDS, disk=disk) as memory:
        before = len(disk.calls)
        memory.retain(6)
        after = len(disk.calls)
    for moment in range(before, len(disk.calls) + 1):
        for root in states(disk, moment, quick / "lost", each, chance):
            found = either(root / str(lived).lstrip("/"))
            assert found or moment < after, "forgotten, and there again"
            shutil.rmtree(root)
            yield found


def test_the_power_goes_at_any_moment(quick: Path, lived: Path) -> None:
    found = [*outages(quick, lived, 3)]
    assert 10 < sum(found) < len(found) - 10


@pytest.mark.long
def test_the_power_goes_in_any_way(quick: Path, lived: Path) -> None:
    assert len([*outages(quick, lived, 25)]) > 500


class _Killed(BaseException):
    pass


class _Kills(Watched):
    """The process dies at the n-th call."""

    left = 10**9

    def saw(self, call: str, path: Path, *details: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise _Killed


def killed(path: Path, at: int) -> bool:
    disk = _Kills()
    memory = Memory.open(path, True, kinds=KINDS, disk=disk)
    disk.left = at
    try:
        memory.retain(6)
    except _Killed:
        return True
    finally:
        disk.left = -1
        if memory._writer is not None:
            memory._writer._held.drop()
        with suppress(_Killed, errors.WriterFailed):
            memory.close()
    return False


def test_the_writer_dies_at_any_call(lived: Path) -> None:
    found, at = [], 0
    while True:
        path = lived.with_name(f"killed {at}")
        shutil.copytree(lived, path)
        died = killed(path, at)
        found.append(either(path))
        at += 1
        if not died:
            break
    assert found == sorted(found)
    assert not found[0]
    assert found[-1]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_the_disk_fails_at_any_call(lived: Path, number: int) -> None:
    calls = FailsOnce(10**9, number)
    shutil.copytree(lived, lived.with_name("counted"))
    with Memory.open(lived.with_name("counted"), True, kinds=KINDS, disk=calls) as memory:
        first = calls.seen
        memory.retain(6)
        last = calls.seen
    for at in range(first, last):
        path = lived.with_name(f"failed {at}")
        shutil.copytree(lived, path)
        disk: Disk = FailsOnce(at, number)
        memory = Memory.open(path, True, kinds=KINDS, disk=disk)
        try:
            memory.retain(6)
        except (errors.NoSpace, errors.EnvironmentProblem):
            assert memory.at(0).epoch == 0
            memory.retain(6)  # now there is room
        except errors.WriterFailed:
            with pytest.raises(errors.WriterFailed):
                memory.create_page(SMALL, "another")
        memory.at(6).table("type")
        with suppress(errors.WriterFailed):
            memory.close()
        either(path)

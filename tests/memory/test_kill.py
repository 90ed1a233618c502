"""A writer killed at any moment, with readers following: nothing that was seen is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import traceback
from pathlib import Path

import pytest

from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

EPOCH_ROWS = 500


def write_until_killed(path: Path, policy: str, said: int) -> None:
    """Commits whose content follows from the epoch; says what it was told, a line each."""
    memory = Memory.open(path, True, kinds=KINDS, durability=policy)  # type: ignore[arg-type]
    os.write(said, b"durable %d\n" % memory.durable)
    while True:
        changes, epoch = memory.changes(), memory.head + 1
        for name in "ab":
            rows = [epoch] * (epoch * 37 % EPOCH_ROWS + 1)
            changes.patch(SMALL, changes.page(SMALL, name), {"value": rows})
        changes.symbol(f"epoch {epoch}")
        memory.commit(changes)
        os.write(said, b"visible %d\n" % epoch)
        if policy == "none" and epoch % 5 == 0:
            memory.sync()
        os.write(said, b"durable %d\n" % memory.durable)


def whole(memory: Memory, epoch: int) -> None:
    """The epoch is what was written, all of it."""
    snapshot = memory.at(epoch)
    for name in "ab":
        page = snapshot.page(SMALL, name)
        assert page is not None
        values = snapshot.column(SMALL, page, "value")[: epoch * 37 % EPOCH_ROWS + 1]
        assert (values == epoch).all()
        assert int(snapshot.written(page)[-1]) == epoch
    assert f"epoch {epoch}" in snapshot.symbols(range(epoch + 2))


class Following(threading.Thread):
    """A reader that looks at every epoch as it comes in."""

    def __init__(self, path: Path, durable: bool) -> None:
        super().__init__(daemon=True)
        self.memory = Memory.open(path, kinds=KINDS)
        self.follower = self.memory.follow(self.memory.head + 1, durable=durable)
        self.seen = [self.memory.head]
        self.problem: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for snapshot in self.follower:
                whole(self.memory, snapshot.epoch)
                self.seen.append(snapshot.epoch)
        except BaseException as error:
            self.problem = error

    def end(self) -> int:
        """The last epoch seen; all before it were, in order."""
        self.follower.stop()
        self.join(60)
        assert not self.is_alive()
        if self.problem is not None:
            raise self.problem
        assert self.seen == [*range(self.seen[0], self.seen[-1] + 1)]
        return self.seen[-1]


def kill_one(path: Path, policy: str, delay: float) -> dict[str, int]:
    """One writer's life; the last epochs it told of, by what it told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            write_until_killed(path, policy, write)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(write)
    with open(read, "rb") as pipe:
        first = [pipe.readline(), pipe.readline()]
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        lines = [line.split() for line in [*first, *pipe] if line.endswith(b"\n")]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    told = {what: [int(n) for one, n in lines if one.decode() == what] for what in TOLD}
    return {what: max(numbers, default=0) for what, numbers in told.items()}


TOLD = ("visible", "durable")


def kills(path: Path, count: int, seed: int) -> int:
    """Kills that many writers of one memory; returns its head at the end."""
    chance = random.Random(seed)
    Memory.create(path, KINDS, segment_bytes=4096).close()
    before = Memory.open(path, kinds=KINDS)
    for number in range(count):
        following = [Following(path, durable) for durable in (True, False)]
        policy = ("none", "group", "every")[number % 3]
        told = kill_one(path, policy, chance.uniform(0.0, 0.02))
        seen = [each.end() for each in following]
        assert not check(path).problems
        with Memory.open(path, kinds=KINDS) as reader:
            # Nobody has lost power: all that was visible is there, durable or not.
            assert reader.head >= max(told["visible"], *seen)
            assert reader.durable >= told["durable"]
            assert before.refresh() == reader.head
        with Memory.open(path, True, kinds=KINDS) as memory:
            assert memory.head >= before.head
            for epoch in range(max(1, told["durable"] - 3), memory.head + 1):
                whole(memory, epoch)
        assert check(path).torn == ()
        for each in following:
            each.memory.close()
    return before.head


def test_killed_writers_lose_nothing_that_was_seen(quick: Path) -> None:
    assert kills(quick / "a.mmsb", 30, seed=1) > 60


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_kills(tmp_path: Path, seed: int) -> None:
    assert kills(tmp_path / "a.mmsb", 50, seed) > 100

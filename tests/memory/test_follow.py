"""Followers see every epoch once, in order, and with ``durable`` none that can vanish."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mmsb
from mmsb.base import errors
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import assert_same_epoch, fill
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL

ROOT = Path(__file__).parents[2]

# Follows up to epoch 40 and says what it was shown, and what the durable mark was then.
FOLLOW = """
import sys
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL
with Memory.open(sys.argv[1], kinds=KINDS) as memory:
    print("ready", flush=True)
    for snapshot in memory.follow(1, durable=sys.argv[2] == "durable", timeout=60):
        value = snapshot.column(SMALL, snapshot.page(SMALL, "f"), "value")[0]
        print(snapshot.epoch, value, memory.durable, flush=True)
        if snapshot.epoch == 40:
            break
"""


# Commits until it is killed; syncs now and then.
COMMIT = """
import sys
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL
memory = Memory.open(sys.argv[1], write=True, kinds=KINDS, durability=sys.argv[2])
life = int(sys.argv[3])
while True:
    changes, epoch = memory.changes(), memory.head + 1
    changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [epoch, life] * (epoch * 37 % 200)})
    memory.commit(changes)
    print(epoch, flush=True)
    if epoch % 5 == 0:
        memory.sync()
"""


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    # Durable is what was synced, and no more.
    with Memory.create(path, KINDS, durability="none", segment_bytes=4096) as made:
        yield made


def put(memory: Memory) -> int:
    changes = memory.changes()
    changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [memory.head + 1]})
    return memory.commit(changes)


def epochs(memory: Memory, *args: int, **how: object) -> list[int]:
    """Those that are there now."""
    return [s.epoch for s in memory.follow(*args, timeout=0, **how)]  # type: ignore[arg-type]


def test_what_is_there_comes_at_once(memory: Memory) -> None:
    for _ in range(3):
        put(memory)
    assert epochs(memory, 0, durable=False) == [0, 1, 2, 3]
    assert epochs(memory, 2, durable=False) == [2, 3]
    assert epochs(memory, 4, durable=False) == []
    assert epochs(memory, durable=False) == []
    assert epochs(memory, 0) == [0]
    memory.sync()
    assert epochs(memory, 1) == [1, 2, 3]


def test_snapshots_are_of_their_epoch(memory: Memory) -> None:
    oracle = Oracle(KINDS)
    for _ in range(4):
        put(memory)
        changes = oracle.changes()
        changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [oracle.head + 1]})
        oracle.commit(changes)
    for snapshot in memory.range(1, 4):
        page = snapshot.page(SMALL, "f")
        assert page is not None
        assert snapshot.column(SMALL, page, "value").tolist() == [snapshot.epoch]
        assert_same_epoch(memory, oracle, snapshot.epoch)


@pytest.mark.parametrize("first", [-1, 3, "x"])
def test_epochs_that_are_not_there_are_refused(memory: Memory, first: int) -> None:
    put(memory)
    with pytest.raises(errors.UsageError):
        memory.follow(first)


def test_a_follower_waits_and_is_woken(memory: Memory) -> None:
    follower = memory.follow(durable=False, timeout=60)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: [next(follower).epoch for _ in range(3)])
        for _ in range(3):
            put(memory)
        assert waiting.result(60) == [1, 2, 3]
    assert follower.next_epoch == 4


def test_stopping_ends_one_that_waits(memory: Memory) -> None:
    follower = memory.follow()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(follower))
        follower.stop()
        assert waiting.result(60) == []
    put(memory)
    memory.sync()
    assert list(follower) == []


@pytest.mark.parametrize("durable", [False, True])
def test_closing_the_memory_ends_it_after_what_was_there(memory: Memory, durable: bool) -> None:
    seen: list[int] = []
    follower = memory.follow(durable=durable)
    thread = threading.Thread(target=lambda: seen.extend(s.epoch for s in follower))
    thread.start()
    for _ in range(5):
        put(memory)
    if durable:
        memory.sync()
    memory.close()
    thread.join(60)
    assert seen == [1, 2, 3, 4, 5]


def test_closing_a_reader_ends_its_followers(memory: Memory, path: Path) -> None:
    reader = Memory.open(path, kinds=KINDS)
    follower = reader.follow()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(follower))
        reader.close()
        assert waiting.result(60) == []
    with pytest.raises(errors.StateError, match="closed"):
        reader.follow()


def test_none_is_shown_that_is_not_durable(memory: Memory, path: Path) -> None:
    with Memory.open(path, kinds=KINDS) as reader:
        put(memory)
        put(memory)
        assert epochs(reader, 1) == []
        assert epochs(reader, 1, durable=False) == [1, 2]
        memory.sync()
        put(memory)
        assert epochs(reader, 1) == [1, 2]
        assert epochs(reader, 1, durable=False) == [1, 2, 3]


def test_no_header_is_read_again_that_did_not_change(
    memory: Memory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory.open(path, kinds=KINDS) as reader:
        looks: list[int] = []
        refresh = Memory.refresh

        def counted(self: Memory) -> int:
            looks.append(refresh(self))
            return looks[-1]

        follower = reader.follow(durable=False, timeout=0.05)
        monkeypatch.setattr(Memory, "refresh", counted)
        assert list(follower) == []
        assert len(looks) <= 1


@pytest.mark.parametrize("which", ["durable", "visible"])
def test_from_another_process(memory: Memory, path: Path, which: str) -> None:
    command = [sys.executable, "-c", FOLLOW, str(path), which]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for number in range(1, 41):
            put(memory)
            if number % 7 == 0 or number == 40:
                memory.sync()
        said = [list(map(int, line.split())) for line in other.stdout]
    assert [epoch for epoch, _, _ in said] == list(range(1, 41))
    assert all(value == epoch for epoch, value, _ in said)
    if which == "durable":
        assert all(epoch <= durable for epoch, _, durable in said)


def test_range_is_of_both_ends(memory: Memory) -> None:
    fill(memory, 3)
    assert [s.epoch for s in memory.range(1, 3)] == [1, 2, 3]
    assert [s.epoch for s in memory.range(2, 2)] == [2]
    with pytest.raises(errors.UnknownName):
        memory.range(0, 4)
    with pytest.raises(errors.UsageError, match="swap"):
        memory.range(2, 1)


def kill_and_follow(path: Path, lives: int) -> None:
    """What a follower was shown stays what it was, however often the writer is killed."""
    chance = random.Random(5)
    Memory.create(path, KINDS, segment_bytes=4096).close()
    shown: dict[int, bytes] = {}

    def value(memory: Memory, epoch: int) -> bytes:
        now = memory.at(epoch)
        page = now.page(SMALL, "f")
        assert page is not None
        return now.column(SMALL, page, "value").tobytes()

    with Memory.open(path, kinds=KINDS) as reader:
        follower = reader.follow(1)

        def follow() -> None:
            for snapshot in follower:
                shown[snapshot.epoch] = value(reader, snapshot.epoch)

        thread = threading.Thread(target=follow)
        thread.start()
        for life in range(lives):
            policy = chance.choice(["none", "group", "every"])
            command = [sys.executable, "-c", COMMIT, str(path), policy, str(life)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
                assert other.stdout is not None
                other.stdout.readline()
                time.sleep(chance.uniform(0, 0.04))
                other.kill()
                other.stdout.read()
        follower.stop()
        thread.join(60)
    assert list(shown) == list(range(1, len(shown) + 1))
    assert len(shown) > lives
    with Memory.open(path, write=True, kinds=KINDS) as after:
        assert after.head >= len(shown)
        assert {epoch: value(after, epoch) for epoch in shown} == shown


def test_what_was_shown_stays_when_the_writer_is_killed(path: Path) -> None:
    kill_and_follow(path, 6)


def test_questions_can_be_asked_of_what_is_followed(memory: Memory, path: Path) -> None:
    put(memory)
    memory.sync()
    with mmsb.open(path) as reader:
        (moment,) = reader.follow(1, timeout=0)
        assert type(moment) is type(reader.at(1))

"""The power goes at any moment: what was promised durable is there, whole, and nothing else is.

Every prefix of what a memory did to its disk is taken, with any part of what was not synced, and
opened: by a reader, by the next writer, and by a writer after the power went once more.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmsb.base import errors
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.lives import Truth, play
from mmsb.testing.power import Recorder, states
from mmsb.testing.strategies import KINDS, SMALL


def record(path: Path, disk: Recorder, truth: Truth, policy: Any, epochs: int) -> Truth:
    """One writer's life with all that it was promised written down; what its memory holds."""
    if path.exists():
        memory = Memory.open(path, True, kinds=KINDS, durability=policy, disk=disk)
        truth = truth.after(memory.head)
    else:
        memory = Memory.create(path, KINDS, segment_bytes=4096, durability=policy, disk=disk)
        disk.say("made", True)
    disk.say("durable", memory.durable)
    disk.say("visible", memory.head)
    for number in range(epochs):
        changes = memory.changes()
        play(memory.head + 1, truth.life, changes)
        memory.commit(changes)
        disk.say("visible", memory.head)
        if policy == "none" and number % 3 == 2:
            memory.sync()
        elif policy == "group" and number % 2:
            assert memory._writer is not None
            memory._writer._sync_behind()  # as the thread does
        if number == 5:
            memory.keyframe(memory.at().pages(SMALL).tolist())
        if number == 7:
            memory.compact(codec="lz4")
        disk.say("durable", memory.head if policy == "every" else memory.durable)
    memory.close()
    if policy != "none":
        disk.say("durable", memory.head)
    return truth


@dataclass
class Promise:
    """Was the memory made, the last epoch that is durable, the last that may be there."""

    made: bool = False
    durable: int = -1
    last: int = 1

    def at(self, disk: Recorder, moment: int) -> Promise:
        """With what was said before that call."""
        said: dict[str, list[int]] = {"made": [], "durable": [], "visible": []}
        for call in disk.calls[:moment]:
            if call.what == "say":
                said[call.path].append(call.details[0])  # type: ignore[arg-type]
        # A frame may be whole and not yet told.
        last = max([self.last, *(epoch + 1 for epoch in said["visible"])])
        return Promise(self.made or bool(said["made"]), max([self.durable, *said["durable"]]), last)

    def kept(self, folder: Path, truth: Truth, *, write: bool) -> int:
        """Opens what the power left; returns the head, or -1 if there is no memory yet."""
        try:
            memory = Memory.open(folder, write, kinds=KINDS)
        except errors.NotAMemory:
            assert not self.made
            return -1
        with memory:
            assert self.durable <= memory.head <= self.last
            # At the head most of what was ever written shows.
            for epoch in {0, 1, self.durable, memory.head - 1, memory.head} & {
                *range(memory.head + 1)
            }:
                assert truth.is_in(memory, epoch), f"epoch {epoch}"
            return memory.head


class Outages:
    """Takes the power at ``moments`` of a record, in ``each`` of its states.

    From up to ``more`` of these a second writer goes on, and loses the power too.
    """

    def __init__(self, room: Path, seed: int, moments: int, each: int, more: int = 0) -> None:
        self.room, self.moments, self.each, self.more = room, moments, each, more
        self.chance, self.seen = random.Random(seed), 0

    def run(self, path: Path, disk: Recorder, truth: Truth, base: Promise, policy: str) -> None:
        """What was promised holds; a second writer is promised what ``policy`` says."""
        for moment in self._moments(disk):
            for root in states(disk, moment, self.room, self.each, self.chance):
                try:
                    self._look(root / str(path).lstrip("/"), base.at(disk, moment), truth, policy)
                except BaseException as error:
                    note = f"call {moment} of {len(disk.calls)}, {root.name}"
                    raise AssertionError(f"{note}: {error}") from error
                shutil.rmtree(root)
                self.seen += 1

    def _moments(self, disk: Recorder) -> list[int]:
        """All, or half of them among those before a sync, when most is open."""
        count = len(disk.calls)
        if count < self.moments:
            return [*range(count + 1)]
        syncs = [n for n, call in enumerate(disk.calls) if call.what in ("sync", "sync_folder")]
        chosen = {*self.chance.sample(syncs, min(len(syncs), self.moments // 2))}
        while len(chosen) < self.moments:
            chosen.add(self.chance.randrange(count + 1))
        return sorted(chosen)

    def _look(self, folder: Path, promise: Promise, truth: Truth, policy: str) -> None:
        head = promise.kept(folder, truth, write=False)
        if head >= 0 and self.more and self.chance.random() < (0.5 if _has_tail(folder) else 0.03):
            self.more -= 1
            disk = Recorder(folder)
            truth = record(folder, disk, truth, policy, 4)
            again = Outages(self.room / "again", self.chance.randrange(2**32), 6, 5)
            again.run(folder, disk, truth, promise, policy)
        elif promise.kept(folder, truth, write=True) >= 0:
            report = check(folder)
            assert (report.problems, report.torn) == ((), ())


def _has_tail(folder: Path) -> bool:
    """Does something follow the last sound frame?"""
    with Memory.open(folder, kinds=KINDS) as memory:
        number, end = memory._log.end
        return any((folder / f"segment-{number:06d}").read_bytes()[end:])


def outages(
    room: Path, policy: str, seed: int, *, epochs: int, moments: int, each: int, more: int
) -> int:
    """Records a memory's life and takes the power from it; returns how often."""
    disk, path = Recorder(), room / "a.mmsb"
    disk.start[str(room)] = None
    truth = record(path, disk, Truth((), 1), policy, epochs)
    every = Outages(room / "outages", seed, moments, each, more)
    every.run(path, disk, truth, Promise(), policy)
    return every.seen


@pytest.mark.parametrize("policy", ["none", "group", "every"])
def test_what_was_promised_outlives_the_loss_of_power(quick: Path, policy: str) -> None:
    assert outages(quick, policy, 1, epochs=9, moments=12, each=5, more=3) == 60


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("policy", ["none", "group", "every"])
def test_at_every_moment(quick: Path, policy: str, seed: int) -> None:
    assert outages(quick, policy, seed, epochs=20, moments=10**6, each=12, more=40) > 1500


def did(disk: Recorder) -> list[tuple[str, str]]:
    """Call and file name, in order."""
    return [(call.what, Path(call.path).name) for call in disk.calls if call.what != "say"]


def test_a_tail_is_gone_before_anything_is_written_in_its_place(quick: Path) -> None:
    # Else a second outage could leave the new frame and, right behind it, the old next one.
    path = quick / "a.mmsb"
    record(path, Recorder(), Truth((), 1), "none", 2)
    with Memory.open(path, kinds=KINDS) as memory:
        end = memory._log.end[1]
    with open(path / "segment-000001", "r+b") as file:
        file.seek(end - 200)
        file.write(b"the power went" * 20)
    disk = Recorder(path)
    with Memory.open(path, True, kinds=KINDS, durability="none", disk=disk) as memory:
        assert memory.torn
        assert did(disk)[-5:] == [
            ("store", "header"),
            ("sync", "header"),
            ("unlink", "manifest.new"),
            ("truncate", "segment-000001"),
            ("sync", "segment-000001"),
        ]


def test_closing_keeps_one_header_slot_sound(quick: Path) -> None:
    disk = Recorder()
    record(quick / "a.mmsb", disk, Truth((), 1), "group", 4)
    assert (
        did(disk)[-6:-1]
        == [("sync", "segment-000002")]
        + [
            ("store", "header"),
            ("sync", "header"),
        ]
        * 2
    )
    places = [call.details[1] for call in disk.calls if call.what == "store"]
    assert places[-1] != places[-2]

"""A memory and a dictionary side by side, through any history Hypothesis thinks of."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mmsb.base.errors import Conflict, MemoryLocked
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory.check import check
from mmsb.memory.compact import Codec
from mmsb.memory.memory import Memory
from mmsb.memory.transaction import Transaction
from mmsb.testing.contracts import assert_same_diff, assert_same_epoch, assert_same_overlay
from mmsb.testing.oracle import Oracle
from mmsb.testing.oracle_transaction import OracleTransaction
from mmsb.testing.strategies import (
    GROWN,
    KINDS,
    SMALL,
    THING,
    Intern,
    Operation,
    WriteMany,
    columns,
    commits,
    deltas,
    grown_operations,
    play,
    row_lists,
    single_commits,
    subjects,
)


def open_when_free(path: Path, kinds: tuple[Kind, ...]) -> Memory:
    """Opens what a dropped writer held: its thread may be inside a sync for a moment."""
    for _ in range(1000):
        with suppress(MemoryLocked):
            return Memory.open(path, write=True, kinds=kinds)
        time.sleep(0.005)
    raise AssertionError("a dropped writer keeps its lock")


class SideBySide(RuleBasedStateMachine):
    """Commits of every sort, closings, crashes, readers: any epoch reads as the oracle says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.path = self.folder / "a.mmsb"
        self.oracle = Oracle(KINDS)
        self.digests: dict[int, str] = {}
        self.open: list[tuple[Transaction, OracleTransaction]] = []
        self.kinds = KINDS

    @initialize(durability=st.sampled_from(["none", "group", "every"]))
    def create(self, durability: str) -> None:
        # Segments of 4 KiB, so that histories cross many of them.
        self.memory = Memory.create(self.path, KINDS, durability=durability, segment_bytes=4096)
        self.reader = Memory.open(self.path, kinds=KINDS)

    @rule(operations=commits, drop=st.booleans(), narrow=st.booleans())
    def commit(self, operations: list[Operation], drop: bool = False, narrow: bool = False) -> None:
        ours, theirs = self.memory.changes(), self.oracle.changes()
        play(operations, ours)
        play(operations, theirs)
        # Pages that one commit writes several times are kept as given.
        drop = drop and not any(isinstance(op, WriteMany) for op in operations)
        committed = self.memory.commit(ours, drop_equal=drop, narrow=narrow)
        assert committed == self.oracle.commit(theirs, drop_equal=drop)
        self.digests[self.memory.head] = self.memory.digest()

    @precondition(lambda self: len(self.open) < 3)
    @rule()
    def begin(self) -> None:
        self.open.append((self.memory.transaction(), OracleTransaction(self.oracle)))

    @precondition(lambda self: self.open)
    @rule(operations=single_commits, data=st.data())
    def go_on(self, operations: list[Operation], data: st.DataObject) -> None:
        ours, theirs = self.open[data.draw(st.integers(0, len(self.open) - 1))]
        play(operations, ours)
        play(operations, theirs)
        assert_same_overlay(ours, theirs)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def commit_one(self, data: st.DataObject) -> None:
        ours, theirs = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        both = theirs.written_by_both()
        if both:
            with pytest.raises(Conflict) as caught:
                ours.commit()
            assert set(caught.value.pages) == both
            return
        assert ours.commit() == theirs.commit()
        assert_same_epoch(self.memory, self.oracle, self.oracle.head)
        for (what, id), final in theirs.moved.items():
            assert ours.final(what, id) == final

    @rule()
    def sync(self) -> None:
        assert self.memory.sync() == self.memory.durable == self.oracle.head

    @rule(operations=single_commits)
    def close_and_open(self, operations: list[Operation]) -> None:
        for ours, _ in self.open:  # what is not committed is lost
            play(operations, ours)
        self.memory.close()
        self.again()

    @rule(tail=st.binary(max_size=200), frame=st.booleans())
    def crash(self, tail: bytes, frame: bool) -> None:
        # Nobody closes; the process was writing a frame, or left what a lost page leaves.
        writer = self.memory._writer
        assert writer is not None
        name, end = writer._segment.name, writer._at
        self.open.clear()
        del self.memory, writer
        with (self.path / name).open("r+b") as file:
            file.seek(64 if frame else end)
            tail = file.read(150) if frame else tail
            file.seek(end)
            file.write(tail)
        self.memory = open_when_free(self.path, self.kinds)
        assert (self.memory.torn is not None) == any(tail)

    @rule(codec=st.sampled_from(["auto", "lz4", "zstd"]), seal=st.booleans())
    def compact(self, codec: Codec, seal: bool) -> None:
        self.memory.compact(codec=codec, seal=seal)

    def epochs(self) -> st.SearchStrategy[int]:
        return st.integers(self.oracle.base, self.oracle.head)

    @precondition(lambda self: self.oracle.head > self.oracle.base + 5)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        base = data.draw(self.epochs())
        kept, held = self.memory.at(), self.oracle.at()
        self.open.clear()
        self.memory.retain(base)
        self.oracle.forget(base)
        assert kept.symbols(range(held.symbol_count)) == held.symbols(range(held.symbol_count))
        assert_same_epoch(self.memory, self.oracle, base, (False,))

    @rule(files=st.sampled_from(["index*", "keyframes*"]))
    def what_is_derived_goes(self, files: str) -> None:
        for file in self.path.glob(files):
            file.unlink()

    @rule(data=st.data())
    def make_keyframes(self, data: st.DataObject) -> None:
        epoch = data.draw(self.epochs())
        then = self.oracle.at(epoch)
        live = [page for kind in (THING, SMALL) for page in then.pages(kind).tolist()]
        self.memory.keyframe(data.draw(st.lists(st.sampled_from(live))) if live else [], epoch)

    def again(self) -> None:
        self.open.clear()
        self.memory = Memory.open(self.path, write=True, kinds=self.kinds)

    @precondition(lambda self: self.kinds is KINDS)
    @rule()
    def a_later_program_knows_more(self) -> None:
        # It says so in its first commit, whatever that is.
        self.memory.close()
        self.kinds = GROWN
        self.again()
        self.oracle.learn(GROWN)

    @property
    def told(self) -> bool:
        """Do readers know all kinds by now?"""
        return self.memory._index.complete

    @precondition(lambda self: self.kinds is GROWN)
    @rule(operations=st.lists(grown_operations(), max_size=3), inside=st.booleans())
    def write_what_is_new(self, operations: list[Operation], inside: bool) -> None:
        if inside and self.open:
            play(operations, self.open[0][0])
            play(operations, self.open[0][1])
            assert_same_overlay(*self.open[0])
        else:
            self.commit(operations)

    @rule(
        data=st.data(),
        kind=st.sampled_from([THING, SMALL]),
        subject=subjects,
        rows=row_lists(),
        shape=st.sampled_from([None, Rows, range]),
    )
    def update_a_page(
        self, data: st.DataObject, kind: Kind, subject: str, rows: list[int], shape: Any
    ) -> None:
        page = self.oracle.at().page(kind, subject)
        if page is None:
            changes = self.oracle.changes()
            assert self.memory.create_page(kind, subject) == changes.page(kind, subject)
            self.oracle.commit(changes)
            return
        given: Any = rows
        if shape is not None and rows:
            given = shape(rows[0], rows[0] + len(rows))
            rows = list(range(rows[0], rows[0] + len(rows)))
        held = data.draw(columns(kind, len(rows)))
        changes = self.oracle.changes()
        changes.patch_rows(kind, page, rows, held)
        assert self.memory.update_page(page, given, held) == self.oracle.commit(changes)

    @rule(data=st.data())
    def commit_deltas(self, data: st.DataObject) -> None:
        now, made, changes = self.oracle.at(), [], self.oracle.changes()
        live = [(kind, page) for kind in (THING, SMALL) for page in now.pages(kind).tolist()]
        for kind, page in data.draw(st.lists(st.sampled_from(live), max_size=3)) if live else ():
            made.append(data.draw(deltas(kind, page)))
            changes.patch_rows(kind, page, made[-1].touched().tolist(), made[-1].buffers)
        assert self.memory.commit(made) == self.oracle.commit(changes)

    @rule(letter=st.sampled_from("xyz"), count=st.sampled_from([5000, 70_000]))
    def commit_across_blocks(self, letter: str, count: int) -> None:
        # One text of more than a segment, or than a block.
        self.commit([Intern(f"{letter}{self.oracle.head}" * count)])

    @rule(data=st.data(), durable=st.booleans())
    def follow(self, data: st.DataObject, durable: bool) -> None:
        if durable:
            self.memory.sync()
        first, head = data.draw(self.epochs()), self.oracle.head
        for source in (self.memory, self.reader):
            shown = source.follow(first, durable=durable, timeout=0)
            assert [snapshot.epoch for snapshot in shown] == list(range(first, head + 1))

    @precondition(lambda self: self.told)
    @rule(kinds=st.sampled_from([KINDS, ()]))
    def look_from_outside(self, kinds: tuple[object, ...]) -> None:
        # Without any kinds of its own a reader learns them from the log.
        with Memory.open(self.path, kinds=kinds) as other:  # type: ignore[arg-type]
            assert other.head == self.oracle.head
            assert_same_epoch(other, self.oracle, other.head, (False,))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def old_reader_follows(self, data: st.DataObject) -> None:
        assert self.reader.refresh() == self.oracle.head
        epoch = data.draw(self.epochs())
        assert_same_epoch(self.reader, self.oracle, epoch, (True,))

    @rule(data=st.data())
    def read_any_epoch(self, data: st.DataObject) -> None:
        epoch = data.draw(self.epochs())
        (only,) = self.memory.range(epoch, epoch)
        assert only.epoch == epoch
        assert_same_epoch(self.memory, self.oracle, epoch)
        assert self.memory.digest(epoch) == self.digests.get(epoch, self.memory.digest(epoch))

    @precondition(lambda self: self.oracle.head > 0)
    @rule(data=st.data())
    def diff(self, data: st.DataObject) -> None:
        new = data.draw(self.epochs())
        old = data.draw(st.integers(self.oracle.base, new))
        assert_same_diff(self.memory, self.oracle, old, new)

    @rule(data=st.data())
    def digest_says_what_content_says(self, data: st.DataObject) -> None:
        one, two = (data.draw(self.epochs()) for _ in range(2))
        equal = self.oracle.at(one).content() == self.oracle.at(two).content()
        assert (self.memory.digest(one) == self.memory.digest(two)) == equal

    @precondition(lambda self: self.told)
    @rule(operations=commits, how=st.sampled_from(["fork", "checkpoint"]), data=st.data())
    def another_goes_on(self, operations: list[Operation], how: str, data: st.DataObject) -> None:
        epoch = data.draw(self.epochs())
        # (a strategy made of memories would keep them, and their lock, alive)
        source = self.memory if data.draw(st.booleans()) else self.reader
        if source is self.reader:
            self.memory.sync()
            source.refresh()
        other, oracle = self.folder / "b.mmsb", self.oracle.fork(epoch)
        if how == "checkpoint":
            assert source.checkpoint(other, epoch) == epoch
            made = Memory.restore(other, self.folder / "c.mmsb", kinds=self.kinds)
        else:
            made = source.fork(epoch, other)
        with made:
            ours, theirs = made.changes(), oracle.changes()
            play(operations, ours)
            play(operations, theirs)
            assert made.commit(ours) == oracle.commit(theirs)
            assert_same_epoch(made, oracle, oracle.head, (True,))
            assert_same_epoch(made, oracle, epoch, (False,))
        for folder in self.folder.iterdir():
            if folder != self.path:
                assert check(folder).sound
                shutil.rmtree(folder)
        assert_same_epoch(self.memory, self.oracle, self.oracle.head)

    @rule()
    def check_finds_nothing(self) -> None:
        report = check(self.path)
        assert (report.problems, report.torn) == ((), ())
        assert report.epochs == self.oracle.head + 1 - self.oracle.base

    @invariant()
    def heads_agree(self) -> None:
        if hasattr(self, "memory"):
            assert self.memory.head == self.oracle.head

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            self.memory.close()
            self.reader.close()
        shutil.rmtree(self.folder)


@pytest.mark.long
class TestSideBySideLong(SideBySide.TestCase):  # type: ignore[misc,name-defined]
    """100,000 steps, others each time: a history has 70 on average."""

    settings = settings(
        max_examples=1500,
        stateful_step_count=100,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )


#: 5,000 steps, the same each time.
TestSideBySide = SideBySide.TestCase
TestSideBySide.settings = settings(
    max_examples=135,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

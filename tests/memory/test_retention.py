"""Retention: what is kept reads as before, and what is forgotten says so."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.memory import files
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.memory.salvage import salvage
from mmsb.testing.contracts import assert_same_diff, assert_same_epoch
from mmsb.testing.lives import Truth, play
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import GROWN, KINDS, SMALL

HEAD = 12
TRUTH = Truth((), 1)


def put(*sides: Memory | Oracle) -> None:
    for side in sides:
        changes = side.changes()
        play(side.head + 1, 1, changes)
        side.commit(changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def truth() -> Oracle:
    oracle = Oracle(KINDS)
    for _ in range(HEAD):
        put(oracle)
    return oracle


@pytest.fixture
def oracle(truth: Oracle) -> Oracle:
    return copy.deepcopy(truth)


@pytest.mark.parametrize("base", [1, 5, 10, HEAD])
def test_what_is_kept_reads_as_before(lived: Path, oracle: Oracle, base: int) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        digests = {epoch: memory.digest(epoch) for epoch in range(base, HEAD + 1)}
        memory.retain(base)
        oracle.forget(base)
        for side in (memory, Memory.open(lived, kinds=()), Memory.open(lived, kinds=KINDS)):
            for epoch in range(base, HEAD + 1):
                assert_same_epoch(side, oracle, epoch, ways=(epoch % 2 == 0,))
                assert_same_diff(side, oracle, base, epoch)
                assert side.digest(epoch) == digests[epoch]
            assert side.head == HEAD
            assert [shown.epoch for shown in side.follow(base, timeout=0)] == [*digests]
        put(memory, oracle)
        assert_same_epoch(memory, oracle, HEAD + 1)
    report = check(lived)
    assert (report.problems, report.torn, report.epochs) == ((), (), HEAD + 2 - base)


def test_what_is_forgotten_says_so(lived: Path) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        page = memory.create_page("thing", "thing")
        memory.retain(5)
        for ask in (
            lambda: memory.at(4),
            lambda: memory.diff(4, 6),
            lambda: memory.written_since(0),
            lambda: memory.digest(0),
            lambda: memory.fork(4, lived.with_name("fork")),
            lambda: memory.retain(4),
        ):
            with pytest.raises(errors.UnknownName, match="forgotten by retention; epochs are 5 …"):
                ask()
        with pytest.raises(errors.UnknownName, match="follow it from one of 5 …"):
            memory.follow(4)
        with pytest.raises(errors.UnknownName, match="does not exist"):
            memory.retain(memory.head + 1)
        before = sorted(lived.iterdir())
        memory.retain(5)  # nothing more to forget
        assert sorted(lived.iterdir()) == before
        assert memory.at().written(page).tolist()[0] == 5
        assert memory.stats()["frames"] == memory.head - 4
    with (
        Memory.open(lived, kinds=KINDS) as reader,
        pytest.raises(errors.ReadOnly),
    ):
        reader.retain(6)


def test_so_many_epochs_are_kept(lived: Path, oracle: Oracle) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        assert (memory.first, memory.keep) == (0, None)
        assert memory.retain(epochs=HEAD + 5) == 0
        assert memory.retain(epochs=4) == memory.first == HEAD - 3
        oracle.forget(HEAD - 3)
        assert_same_epoch(memory, oracle, HEAD - 3)
        for wrong in ((None, None), (HEAD, 1), (None, 0), (None, -1), (None, 2**62)):
            with pytest.raises(errors.UsageError):
                memory.retain(wrong[0], epochs=wrong[1])
        assert memory.first == HEAD - 3


def test_a_policy_is_kept_and_compaction_goes_by_it(lived: Path, oracle: Oracle) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        memory.compact(seal=True)
        assert memory.first == 0
        memory.keep_epochs(5)
        assert (memory.keep, memory.first) == (5, 0)
        put(memory, oracle)
        assert memory.first == 0
        memory.checkpoint(lived.with_name("copy"))
    with Memory.open(lived, kinds=KINDS) as reader:
        assert reader.keep == 5
        with pytest.raises(errors.ReadOnly):
            reader.keep_epochs(1)
    for name, left in (("copy", 0), ("a.mmsb", HEAD - 3)):
        with Memory.open(lived.with_name(name), True, kinds=KINDS) as memory:
            with pytest.raises(errors.UsageError):
                memory.compact(codec="none")  # type: ignore[arg-type]
            assert memory.first == 0
            memory.compact(seal=True)
            assert memory.first == left
    oracle.forget(HEAD - 3)
    with Memory.open(lived, True, kinds=KINDS) as memory:
        assert memory.keep == 5
        assert_same_epoch(memory, oracle, HEAD - 3)
        assert_same_epoch(memory, oracle, HEAD + 1)
        for wrong in (0, -1, 2**62, "5", 1.5):
            with pytest.raises(errors.UsageError):
                memory.keep_epochs(wrong)  # type: ignore[arg-type]
        put(memory, oracle)
        memory.keep_epochs(None)
        memory.compact(seal=True)
        assert (memory.keep, memory.first) == (None, HEAD - 3)
    assert check(lived).sound


def test_nothing_of_it_is_on_the_disk(quick: Path) -> None:
    with Memory.create(quick / "a.mmsb", KINDS, durability="none") as memory:
        secret = np.frombuffer(b"a secret that is overwritten", "u1")
        changes = memory.changes()
        page = changes.page(SMALL, "page")
        changes.patch(SMALL, page, {"value": secret})
        memory.commit(changes)
        memory.update_page(page, range(len(secret)), {"value": secret * 0})
        stored = secret.astype(memory.at(1).column(SMALL, page, "value").dtype).tobytes()

        def found() -> list[str]:
            return [p.name for p in quick.glob("a.mmsb/*") if stored in p.read_bytes()]

        assert found() == ["segment-000001"]
        memory.retain(2)
        assert found() == []
        before = sum(len(p.read_bytes().rstrip(b"\0")) for p in quick.glob("a.mmsb/segment-*"))
        for number in range(200):
            memory.update_page(page, [number % 7], {"value": [number]})
        memory.retain(memory.head)
        after = sum(len(p.read_bytes().rstrip(b"\0")) for p in quick.glob("a.mmsb/segment-*"))
        assert after <= before + 64


def test_a_column_that_was_never_written_stays_so(quick: Path) -> None:
    with Memory.create(quick / "a.mmsb", KINDS) as memory:
        changes = memory.changes()
        one, two, three = (changes.page("thing", name) for name in ("one", "two", "three"))
        changes.patch("thing", one, {"byte": [1, 2]})
        changes.patch("thing", two, {"byte": [1], "real": [2.0]}, start=3)
        memory.commit(changes)
        memory.retain(1)
        now = memory.at()
        assert now.blame("thing", one, "byte").tolist() == [1, 1]
        assert now.blame("thing", one, "real").tolist() == [0, 0]
        assert now.blame("thing", two, "real").tolist() == [1, 1, 1, 1]
        assert now.written(three).tolist() == []
        assert now.row_count("thing", three) == 0


def test_kinds_keep_what_was_said_of_them_by_then(lived: Path, oracle: Oracle) -> None:
    with Memory.open(lived, True, kinds=GROWN) as memory:
        oracle.learn(GROWN)
        put(memory, oracle)
        memory.retain(HEAD)
        oracle.forget(HEAD)
        for epoch in (HEAD, HEAD + 1):
            assert_same_epoch(memory, oracle, epoch, ways=(False,))
    with Memory.open(lived, True, kinds=()) as memory:
        memory.retain(HEAD + 1)
        oracle.forget(HEAD + 1)
        assert_same_epoch(memory, oracle, HEAD + 1, ways=(False,))


def test_readers_and_what_was_begun_before(lived: Path, oracle: Oracle) -> None:
    old = copy.deepcopy(oracle)
    with Memory.open(lived, True, kinds=KINDS) as memory:
        reader, late = Memory.open(lived, kinds=KINDS), Memory.open(lived, kinds=KINDS)
        held, mine = reader.at(3), memory.at(3)
        for page in held.pages(SMALL).tolist():
            held.columns(SMALL, page)
        begun, transaction = memory.changes(), memory.transaction()
        memory.retain(6)
        oracle.forget(6)
        for shot in (held, mine):
            for page in shot.pages(SMALL).tolist():
                wanted = old.at(3).column(SMALL, page, "value")
                assert shot.column(SMALL, page, "value").tolist() == wanted.tolist()
        # A reader that has read none of it is told, and follows.
        with pytest.raises(errors.StateError, match="was rewritten by retention"):
            assert_same_epoch(late, old, 2, ways=(False,))
        put(memory, oracle)
        for side in (reader, late):
            assert side.refresh() == HEAD + 1
            assert_same_epoch(side, oracle, 6, ways=(False,))
            with pytest.raises(errors.UnknownName):
                side.at(5)
        with pytest.raises(errors.Conflict, match="do them again"):
            memory.commit(begun)
        page = transaction.page(SMALL, "page 1")
        transaction.patch(SMALL, page, {"value": [77]})
        with pytest.raises(errors.Conflict, match="do them again"):
            transaction.commit()
        assert memory.head == HEAD + 1


@pytest.mark.parametrize(("kept", "more"), [(2, 0), (2, 1), (12, 3), (1, 0)])
def test_a_transaction_begun_before_conflicts_whatever_is_left(
    lived: Path, kept: int, more: int
) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        page = memory.create_page(SMALL, "mine")
        transaction, idle = memory.transaction(), memory.transaction()
        transaction.patch(SMALL, page, {"value": [77]})
        seen = transaction.at()
        for value in range(more):
            memory.update_page(page, [1], {"value": [value]})
        memory.retain(epochs=kept)
        head = memory.head
        assert seen.column(SMALL, page, "value").tolist() == [77]
        assert transaction.page(SMALL, "mine") == page
        for _ in range(2):
            with pytest.raises(errors.Conflict, match=r"forgot epochs .*do them again"):
                transaction.commit()
        assert idle.commit() is None
        assert memory.head == head
        with memory.transaction() as again:
            again.patch(SMALL, page, {"value": [78]})
        assert memory.at().cell(SMALL, page, "value", 0) == 78


def test_a_fork_and_a_checkpoint_of_it(lived: Path, oracle: Oracle) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        memory.retain(6)
        oracle.forget(6)
        memory.checkpoint(lived.with_name("copy"), 9)
        with memory.fork(9, lived.with_name("fork")) as fork:
            theirs = oracle.fork(9)
            put(fork, theirs)
            assert_same_epoch(fork, theirs, 10)
            fork.retain(8)
            theirs.forget(8)
            assert_same_epoch(fork, theirs, 8)
        assert_same_epoch(memory, oracle, 6)
        memory.retain(HEAD)
    with Memory.restore(lived.with_name("copy"), lived.with_name("again"), kinds=KINDS) as again:
        theirs = oracle.fork(9)
        put(again, theirs)
        assert_same_epoch(again, theirs, 6)
        assert_same_epoch(again, theirs, 10)
    for name in ("fork", "copy", "again", "a.mmsb"):
        assert check(lived.with_name(name)).sound


def test_a_reader_follows_through_it(lived: Path) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        reader, seen = Memory.open(lived, kinds=KINDS), list[int]()

        def follow() -> None:
            for shown in reader.follow(HEAD + 1, durable=False, timeout=20):
                shown.columns("thing", int(shown.pages("thing")[0]))
                seen.append(shown.epoch)
                if shown.epoch == HEAD + 12:
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(12):
            put(memory)
            if number % 4 == 3:
                while len(seen) <= number:  # else it would be behind what is forgotten
                    thread.join(0.01)
                memory.retain(memory.head)
        thread.join()
    assert seen == [*range(HEAD + 1, HEAD + 13)]


def test_a_manifest_that_says_it_wrongly_is_damage(lived: Path) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        memory.retain(6)
    held = files.read_manifest(lived)
    assert held.end is not None
    whole = (lived / "manifest").read_bytes()
    assert b'"base":6' in whole
    for manifest in (
        files.Manifest(held.segment_bytes, held.segments, base=5, end=held.end),
        files.Manifest(held.segment_bytes, held.segments),
        files.Manifest(held.segment_bytes, held.segments, base=6, end=held.end._replace(segment=1)),
        files.Manifest(held.segment_bytes, held.segments, base=6, end=held.end._replace(epoch=3)),
    ):
        (lived / "manifest").write_bytes(files.render_manifest(manifest))
        with pytest.raises(errors.CorruptData):
            Memory.open(lived, kinds=KINDS)
        assert not check(lived).sound
    (lived / "manifest").write_bytes(whole[:-5])
    assert [problem.file for problem in check(lived).problems] == ["manifest"]


def test_what_is_hurt_is_salvaged(lived: Path, oracle: Oracle) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        memory.retain(6)
        oracle.forget(6)
        hurt, out = memory._index.end_of(10), lived.with_name("out")
    with open(lived / f"segment-{hurt[0]:06d}", "r+b") as file:
        file.seek(hurt[1] + 8)  # in the header of epoch 11
        file.write(b"\xff" * 16)
    found = salvage(lived, out, kinds=KINDS)
    assert (found.exact, found.head) == (10, HEAD)
    with Memory.open(out, kinds=KINDS) as memory:
        for epoch in range(6, 11):
            assert_same_epoch(memory, oracle, epoch, ways=(False,))
        with pytest.raises(errors.UnknownName, match="forgotten"):
            memory.at(5)
    assert check(out).sound


def test_of_compressed_segments(lived: Path, oracle: Oracle) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        memory.compact(codec="zstd", seal=True)
        memory.retain(6)
        oracle.forget(6)
        put(memory, oracle)
        memory.compact(codec="lz4", seal=True)
        for side in (memory, Memory.open(lived, kinds=KINDS)):
            for epoch in (6, 9, HEAD + 1):
                assert_same_epoch(side, oracle, epoch, ways=(False,))
        memory.retain(9)
        oracle.forget(9)
        assert_same_epoch(memory, oracle, 9, ways=(True,))
    assert not [*lived.glob("*.z")]
    assert check(lived).sound

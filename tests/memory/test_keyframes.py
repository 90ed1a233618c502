"""Keyframes change nothing that is read, and what is wrong with them is never read."""

from __future__ import annotations

import shutil
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base import errors
from mmsb.base.rect import Rows
from mmsb.memory import framing, keyframes
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import assert_same_epoch, dump, fill
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL, THING, commits, play


def frames(path: Path) -> list[Path]:
    return sorted(path.glob("keyframes-*"))


@given(st.lists(st.tuples(commits, st.booleans()), max_size=6), st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_read_is_the_oracles(
    tmp_path_factory: pytest.TempPathFactory, history: list[object], data: st.DataObject
) -> None:
    path, oracle = tmp_path_factory.mktemp("key") / "a.mmsb", Oracle(KINDS)
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        reader = Memory.open(path, kinds=KINDS)
        for operations, keyed in history:  # type: ignore[misc]
            ours, theirs = memory.changes(), oracle.changes()
            play(operations, ours)
            play(operations, theirs)
            assert memory.commit(ours) == oracle.commit(theirs)
            if keyed:
                epoch = data.draw(st.integers(0, memory.head))
                snapshot = memory.at(epoch)
                pages = [p for kind in KINDS for p in snapshot.pages(kind).tolist()]
                assert memory.keyframe(pages, epoch) <= len(pages)
        reader.refresh()
        for epoch in range(memory.head + 1):
            assert_same_epoch(memory, oracle, epoch)
            assert_same_epoch(reader, oracle, epoch)
        if len(memory._index.keyframes):
            memory.drop_keyframes()
            assert frames(path) == []
            assert_same_epoch(memory, oracle, memory.head)
            assert_same_epoch(reader, oracle, memory.head)
        reader.close()


@pytest.fixture
def keyed(path: Path) -> Path:
    """A closed memory with keyframes of all pages at three of its epochs."""
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 12)
        for epoch in (3, 7, 11):
            snapshot = memory.at(epoch)
            pages = [page for kind in KINDS for page in snapshot.pages(kind).tolist()]
            assert memory.keyframe(pages, epoch) == len(pages)
            assert memory.keyframe(pages, epoch) == 0
    assert len(frames(path)) == 3
    return path


def test_a_keyframe_is_returned_as_it_lies_on_the_disk(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, Rows(0, 100), {"value": np.arange(100)})
        for row in range(40):
            memory.update_page(page, [row], {"value": [1000 + row]})
        before = memory.at().column(SMALL, page, "value")
        assert memory.keyframe([page]) == 1
        after = memory.at().column(SMALL, page, "value")
        assert np.array_equal(before, after)
        frame = memory._index.keyframes.find(page, memory.head)
        assert frame is not None
        assert np.shares_memory(after, frame.file.bytes)
        assert not after.flags.writeable
        assert memory.at().column(SMALL, page, "value", Rows(95, 105)).tolist() == [
            95, 96, 97, 98, 99, 0, 0, 0, 0, 0,
        ]  # fmt: skip


@pytest.mark.parametrize("shape", ["one by one", "scattered", "over all rows"])
def test_reads_begin_at_a_keyframe(path: Path, shape: str) -> None:
    """What a keyframe says is believed, so one that says something else shows who reads it."""
    wrote = {"one by one": [3], "scattered": [5, 60, 95]}.get(shape, Rows(0, 96))
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in "abc"]
        for page in pages:
            memory.update_page(page, Rows(0, 90), {"value": np.arange(90)})
        told = memory.head
        snapshot = memory.at()
        truth = {page: snapshot.column(SMALL, page, "value").copy() for page in pages}
        memory.keyframe(pages[1:2])
        (file,) = frames(path)
        own = next(column for column in SMALL.columns if column.name == "value")
        file.write_bytes(keyframes.pack([(pages[1], told, 90, {own: np.full(90, 7, "<u4")})]))
        for page in pages:
            memory.update_page(page, wrote, {"value": [1] * len(wrote)})
    with Memory.open(path, kinds=KINDS) as memory:
        memory._index.compiled = True
        for epoch in (told - 1, told, memory.head):
            expected = []
            for page in pages:
                at = memory.at(epoch)
                cells = np.zeros(at.row_count(SMALL, page), "<u4")
                cells[: len(truth[page])] = truth[page][: len(cells)]
                if page == pages[1] and epoch >= told:
                    cells[:90] = 7
                if (at.written(page) > told).any():
                    cells[range(96) if isinstance(wrote, Rows) else wrote] = 1
                expected.append(cells)
            at = memory.at(epoch)
            found, offsets = at.gather(SMALL, "value")
            assert np.diff(offsets).tolist() == [len(cells) for cells in expected]
            assert found.tolist() == np.concatenate(expected).tolist()
            whole = np.empty(len(found), "<u4")
            assert at.gather(SMALL, "value", out=whole)[0].tolist() == found.tolist()
            of = [page for page, cells in zip(pages, expected, strict=True) for _ in cells]
            rows = [row for cells in expected for row in range(len(cells))]
            assert at.cells(SMALL, "value", of, rows).tolist() == found.tolist()
            assert at.cells(SMALL, "value", [pages[1]], [10**6]).tolist() == [0]
            each = [
                at.cell(SMALL, *place) for place in zip(of, ["value"] * len(of), rows, strict=True)
            ]
            assert each == found.tolist()
            for page, cells in zip(pages, expected, strict=True):
                assert at.column(SMALL, page, "value").tolist() == cells.tolist()


def test_damaged_keyframes_are_left_alone(keyed: Path, tmp_path: Path) -> None:
    with Memory.open(keyed, kinds=KINDS) as memory:
        expected = dump(memory)
        assert len(memory._index.keyframes) > 3
        assert memory._index.keyframes.broken == []
    rng = np.random.default_rng(3)
    told = 0
    for turn in range(60):
        copy = tmp_path / "copy"
        shutil.copytree(keyed, copy)
        file = frames(copy)[turn % 3]
        raw = bytearray(file.read_bytes())
        at = int(rng.integers(len(raw)))
        if turn % 5:
            raw[at] ^= 1 << int(rng.integers(8))
        else:
            del raw[at:]
        file.write_bytes(raw)
        with Memory.open(copy, kinds=KINDS) as memory:
            memory._index.compiled = True
            assert dump(memory) == expected
            told += bool(memory._index.keyframes.broken)
        shutil.rmtree(copy)
    assert told > 25  # the rest hit zeros between the columns


def test_pages_that_are_read_much_get_them(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        hot, cold = (memory.create_page(SMALL, name) for name in ("hot", "cold"))
        for page in (hot, cold):
            memory.update_page(page, Rows(0, 8), {"value": range(8)})
            for number in range(2 * framing.DELTAS):
                memory.update_page(page, [number % 8], {"value": [number]})
        for _ in range(100 * framing.READS):
            memory.at().column(SMALL, hot, "value")
        assert framing.chosen(memory._index, memory.head) == [hot]
        assert memory.keyframe() == 1
        assert memory.keyframe() == 0


def _busy(memory: Memory, reads: int) -> tuple[int, int]:
    """A page that is read much, and one that is not, each changed until segments are sealed."""
    hot, cold = (memory.create_page(SMALL, name) for name in ("hot", "cold"))
    for number in range(4 * framing.DELTAS):
        for page in (hot, cold):
            memory.update_page(page, Rows(0, 8), {"value": range(number, number + 8)})
    memory.sync()
    for _ in range(reads):
        memory.at().column(SMALL, hot, "value")
    before = len(memory._log.manifest.segments)
    while len(memory._log.manifest.segments) == before:
        memory.update_page(cold, Rows(0, 8), {"value": range(8)})
    memory._behind.wait()
    return hot, cold


def test_sealing_a_segment_makes_those_that_pay(path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        reader = Memory.open(path, kinds=KINDS)
        hot, cold = _busy(memory, 100 * framing.READS)
        own = memory._index.keyframes
        assert (own.find(hot, memory.head) is None, own.find(cold, memory.head)) == (False, None)
        reader.refresh()
        assert len(reader._index.keyframes) == 1
        assert np.array_equal(
            reader.at().column(SMALL, hot, "value"), np.arange(8) + 4 * framing.DELTAS - 1
        )
        reader.close()
        made = len(own)
        assert memory.compact().left is not None
        assert len(own) == made  # it was not read since


def test_a_page_that_is_not_read_gets_none(path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        _busy(memory, 1)
        assert len(memory._index.keyframes) == 0
        assert frames(path) == []


def test_what_cannot_be_made_behind_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        monkeypatch.setattr(memory._disk, "put_derived", full)
        hot, _ = _busy(memory, 100 * framing.READS)
        assert len(memory._index.keyframes) == 0
        assert any("keyframes as of epoch" in one for one in memory._index.rebuilt)
        assert memory.stats()["health"]["verdict"] == "degraded"
        assert memory.at().column(SMALL, hot, "value").tolist()[0] == 4 * framing.DELTAS - 1


def test_only_a_writer_makes_them(keyed: Path) -> None:
    with Memory.open(keyed, kinds=KINDS) as reader:
        for call in (reader.keyframe, reader.drop_keyframes):
            with pytest.raises(errors.ReadOnly):
                call()


def test_pages_that_are_not_there_have_none(path: Path) -> None:
    with Memory.create(path, KINDS) as memory, pytest.raises(errors.UnknownName):
        memory.keyframe([999])


def test_several_columns_of_a_page(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(THING, "f")
        memory.update_page(page, [0, 2], {"byte": [1, 2], "real": [-0.0, 2.5]})
        memory.keyframe([page])
        memory.update_page(page, [5], {"wide": [-3]})
        found = memory.query_page(page)
        assert found["byte"].tolist() == [1, 0, 2, 0, 0, 0]
        assert found["wide"].tolist() == [0, 0, 0, 0, 0, -3]
        assert np.signbit(found["real"][0])
        assert found["short"].tolist() == [0xFFFF] * 6

"""Opening, committing, following; what is visible and what is durable."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.base.rect import Rows
from mmsb.base.schema import KINDS as ALL_KINDS
from mmsb.memory import group
from mmsb.memory.check import check
from mmsb.memory.delta import new_delta
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.strategies import KINDS, SMALL, THING


def write(memory: Memory, value: int, subject: str = "f") -> int:
    changes = memory.changes()
    changes.patch(SMALL, changes.page(SMALL, subject), {"value": [value]})
    return memory.commit(changes)


def value(memory: Memory, epoch: int | None = None) -> int:
    snapshot = memory.at(epoch)
    page = snapshot.page(SMALL, "f")
    assert page is not None
    return int(snapshot.column(SMALL, page, "value")[0])


def test_equal_commits_give_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "one.mmsb", tmp_path / "two.mmsb"]
    for path in paths:
        with Memory.create(path, KINDS, segment_bytes=4096) as memory:
            fill(memory, 20)
    names = sorted(os.listdir(paths[0]))
    assert sorted(os.listdir(paths[1])) == names
    assert len(names) > 5  # several segments
    for name in names:
        assert (paths[0] / name).read_bytes() == (paths[1] / name).read_bytes(), name


def test_reopening_changes_neither_content_nor_bytes(filled: Path) -> None:
    before = {file.name: file.read_bytes() for file in filled.iterdir()}
    with Memory.open(filled, kinds=KINDS) as memory:
        content = dump(memory)
    with Memory.open(filled, write=True, kinds=KINDS) as memory:
        assert dump(memory) == content
    assert {file.name: file.read_bytes() for file in filled.iterdir()} == before


def test_every_kind_of_the_contract_can_be_stored(path: Path) -> None:
    with Memory.create(path) as memory:
        changes = memory.changes()
        for kind in ALL_KINDS:
            if kind.name in ("heap", "symbol"):
                continue
            columns = {column.name: [1, 2] for column in kind.columns}
            if kind.append_only:
                assert changes.append(kind, columns) == 0
            else:
                changes.patch(kind, changes.page(kind, "f"), columns)
        memory.commit(changes)
    with Memory.open(path) as memory:
        for kind in ALL_KINDS[2:]:
            page = int(memory.at().pages(kind)[0])
            assert [c.tolist() for c in memory.at().columns(kind, page).values()] == [
                [1, 2] for _ in kind.columns
            ]


def test_preallocated_bytes_are_given_back(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        write(memory, 1)
        assert memory.stats()["bytes"] > 4_000_000
    with Memory.open(path) as memory:
        assert memory.stats()["bytes"] < 20_000


def test_a_frame_larger_than_a_segment_gets_one_of_its_size(path: Path) -> None:
    big = np.arange(200_000, dtype="<u4")
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        write(memory, 1)
        changes = memory.changes()
        changes.patch(SMALL, changes.page(SMALL, "f"), {"value": big})
        memory.commit(changes)
        write(memory, 7)
        assert memory.stats()["segments"] == 3
    with Memory.open(path, kinds=KINDS) as memory:
        page = memory.at().page(SMALL, "f")
        assert page is not None
        assert np.array_equal(memory.at(2).column(SMALL, page, "value"), big)
        assert memory.at(3).column(SMALL, page, "value")[:2].tolist() == [7, 1]


def test_a_reader_stays_on_its_epoch_and_follows_when_asked(path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        write(memory, 1)
        with Memory.open(path, kinds=KINDS) as reader:
            old = reader.at()
            for number in range(2, 60):
                write(memory, number)
            assert (reader.head, value(reader)) == (1, 1)
            assert reader.refresh() == 59
            assert (value(reader), value(reader, 30), old.epoch) == (59, 30, 1)


def test_snapshots_outlive_their_memory(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        write(memory, 5)
        snapshot = memory.at()
    assert snapshot.column(SMALL, int(snapshot.pages(SMALL)[0]), "value").tolist() == [5]
    with pytest.raises(errors.StateError, match="closed"):
        memory.at()


@pytest.mark.parametrize(("policy", "durable"), [("none", 0), ("group", 0), ("every", 1)])
def test_visible_is_not_durable_unless_the_policy_says_so(
    path: Path, policy: str, durable: int
) -> None:
    with Memory.create(path, KINDS, durability=policy) as memory:  # type: ignore[arg-type]
        write(memory, 1)
        with Memory.open(path, kinds=KINDS) as reader:
            assert (reader.head, reader.durable) == (1, durable)
        assert memory.sync() == 1
        assert memory.durable == 1


def test_closing_makes_durable_except_under_none(tmp_path: Path) -> None:
    for policy, durable in (("none", 0), ("group", 1), ("every", 1)):
        with Memory.create(tmp_path / policy, KINDS, durability=policy) as memory:  # type: ignore[arg-type]
            write(memory, 1)
        with Memory.open(tmp_path / policy, kinds=KINDS) as memory:
            assert (memory.head, memory.durable) == (1, durable)


def test_group_syncs_when_sixteen_megabytes_are_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "DELAY", 3600.0)
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "f")
        for _ in range(3):
            assert memory.durable == 0
            changes = memory.changes()
            changes.patch(SMALL, page, {"value": np.zeros(1_500_000, "<u4")})
            memory.commit(changes)
        assert memory.durable == memory.head


def test_commits_that_do_not_touch_each_other_both_pass(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in "ab"]
        one, two, late = memory.changes(), memory.changes(), memory.changes()
        one.patch(SMALL, pages[0], {"value": [1]})
        two.patch(SMALL, pages[1], {"value": [2]})
        late.patch(SMALL, pages[0], {"value": [3]})
        memory.commit(one)
        memory.commit(two)
        with pytest.raises(errors.Conflict, match=f"page {pages[0]}"):
            memory.commit(late)
        assert memory.at().gather(SMALL, "value")[0].tolist() == [1, 2]


def test_ids_given_out_twice_are_a_conflict(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        one, two = memory.changes(), memory.changes()
        assert one.symbol("a") == two.symbol("b")
        memory.commit(one)
        with pytest.raises(errors.Conflict, match="give out ids"):
            memory.commit(two)
        with pytest.raises(errors.UsageError, match="committed already"):
            memory.commit(one)


def test_an_empty_commit_is_an_epoch(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        assert memory.commit(memory.changes()) == 1
        assert memory.diff(0, 1) == ()


def test_deltas_can_be_committed_as_they_are(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "f")
        delta = new_delta(page, SMALL, Rows(2, 4), {"value": np.array([8, 9], "<u4")})
        memory.commit([delta], source=3)
        assert memory.query_page(page)["value"].tolist() == [0, 0, 8, 9]
        assert memory.create_page(SMALL, "f") == page
        memory.update_page(page, Rows(0, 1), {"value": [5]})
        memory.update_page(page, [3], {"value": [6]})
        assert memory.query_page(page)["value"].tolist() == [5, 0, 8, 6]
        assert memory.query_page(page, 2)["value"].tolist() == [0, 0, 8, 9]


def test_the_stats_count(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        stats = memory.stats()
    assert stats["bytes"] == sum(file.stat().st_size for file in filled.iterdir())
    assert stats["rows"]["type"] == 12
    assert stats["rows"]["thing"] == 3 * 19
    assert stats["rows"]["small"] == 0  # its page is deleted
    # Three times, in a byte each; the deletions dropped the other three.
    assert stats["bytes_by_kind"]["small"] == 3 * 50
    assert (stats["epochs"], stats["frames"]) == (6, 7)
    assert stats["segments"] == len(list(filled.glob("segment-*")))
    assert stats["bytes"] > sum(stats["bytes_by_kind"].values())


@pytest.mark.parametrize("epoch", [-1, 7])
def test_an_epoch_that_does_not_exist(filled: Path, epoch: int) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        with pytest.raises(errors.UnknownName, match="epochs are 0 … 6"):
            memory.at(epoch)
        with pytest.raises(errors.UnknownName):
            memory.diff(0, epoch)


def test_a_reader_does_not_write(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        with pytest.raises(errors.ReadOnly, match="write=True"):
            memory.commit(memory.changes())
        with pytest.raises(errors.ReadOnly):
            memory.sync()


def test_places_that_hold_no_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for name in ("nothing", "file", "."):
        for write_too in (False, True):
            with pytest.raises(errors.NotAMemory):
                Memory.open(tmp_path / name, write=write_too)
    assert sorted(os.listdir(tmp_path)) == ["file"]  # looking left nothing behind
    with pytest.raises(errors.UsageError, match="not empty"):
        Memory.create(tmp_path)


def test_settings_that_make_no_sense(path: Path) -> None:
    with pytest.raises(errors.UsageError, match="segment_bytes"):
        Memory.create(path, segment_bytes=100)
    with pytest.raises(errors.UsageError, match="heap"):
        Memory.create(path, kinds=[THING])
    assert not path.exists()


def test_check_is_content_with_a_sound_memory(filled: Path) -> None:
    report = check(filled)
    assert report.sound
    assert (report.problems, report.torn, report.epochs) == ((), (), 7)
    assert report.segments == len(list(filled.glob("segment-*")))

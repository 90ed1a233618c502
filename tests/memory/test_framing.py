"""Which pages get keyframes by themselves, and that making them behind loses and leaves nothing."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from mmsb.base.rect import Rows
from mmsb.memory import framing, keyframes
from mmsb.memory.behind import Behind
from mmsb.memory.frame import Broken
from mmsb.memory.keyframes import Keyframe
from mmsb.memory.memory import Memory
from mmsb.memory.meter import Meter
from mmsb.testing.strategies import KINDS, SMALL

MANY = 4 * framing.DELTAS
LONG = 100 * MANY


def frames(path: Path) -> list[Path]:
    return sorted(path.glob("keyframes-*"))


@pytest.mark.parametrize("how", ["sparse", "read by cells", "read as it was"])
def test_a_long_page_with_few_cells_written_gets_none(path: Path, how: str) -> None:
    """A keyframe of it would take far more room than the deltas, again at every sealed segment."""
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, Rows(0, 1), {"value": [1]})
        early = memory.head
        memory.update_page(page, Rows(0, LONG), {"value": np.arange(LONG)})
        memory.keyframe([page])
        memory._index.rows_known.clear()
        for number in range(MANY):
            rows = [0, LONG - 1] if how == "sparse" else [number]
            memory.update_page(page, rows, {"value": [7] * len(rows)})
        memory._index.meter._reads.every = True
        for _ in range(2 * framing.READS):
            if how == "read by cells":
                memory.at().cells(SMALL, "value", [page] * 64, [1] * 64)
            memory.at(early if how == "read as it was" else None).cell(SMALL, page, "value", 0)
        if how == "read as it was":
            memory.at(early).row_count(SMALL, page)
        assert dict(memory._index.meter.hottest(9))[page] >= framing.READS
        assert framing.chosen(memory._index, memory.head) == []
        memory.update_page(page, Rows(0, LONG), {"value": np.arange(LONG)})
        assert framing.chosen(memory._index, memory.head) == [page]


def test_making_them_is_no_read(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, Rows(0, 8), {"value": range(8)})
        memory._index.meter._reads.every = True
        memory.at().column(SMALL, page, "value")
        before = memory._index.meter.hottest(9)
        assert memory.keyframe([page]) == 1
        assert memory._index.meter.hottest(9) == before


def test_large_ones_go_to_several_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_FILE_BYTES", 64)
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in "abcde"]
        for page in pages:
            memory.update_page(page, Rows(0, 8), {"value": range(page, page + 8)})
        assert memory.keyframe(pages) == 5
        assert len(frames(path)) > 1
        assert len(memory._index.keyframes) == 5
        for page in pages:
            assert memory.at().column(SMALL, page, "value").tolist() == list(range(page, page + 8))


def test_those_of_epochs_to_come_are_taken_in_when_these_are(path: Path) -> None:
    """A reader's look at the folder may come between a writer's commit and its own refresh."""
    with Memory.create(path, KINDS) as memory, Memory.open(path, kinds=KINDS) as reader:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, Rows(0, 8), {"value": range(8)})
        memory.keyframe([page])
        reader._index.keyframes.load(reader.head)
        assert len(reader._index.keyframes) == 0
        reader.refresh()
        assert len(reader._index.keyframes) == 1
        assert reader._index.keyframes.broken == []


def test_those_of_epochs_that_are_gone_go_too(path: Path, tmp_path: Path) -> None:
    """Else they would be believed once there are other epochs of these numbers."""
    other = tmp_path / "other"
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        memory.checkpoint(other)
        memory.update_page(page, Rows(0, 8), {"value": range(8)})
        memory.keyframe([page])
    shutil.copy(frames(path)[0], other)
    with Memory.open(other, kinds=KINDS) as reader:
        assert len(reader._index.keyframes) == 0
    assert len(frames(other)) == 1
    with Memory.open(other, True, kinds=KINDS) as memory:
        assert frames(other) == []
        assert memory.stats()["health"]["verdict"] == "degraded"
        memory.update_page(page, Rows(0, 8), {"value": range(90, 98)})
    with Memory.open(other, kinds=KINDS) as memory:
        memory._index.compiled = True
        assert memory.at().column(SMALL, page, "value").tolist() == list(range(90, 98))


def test_what_a_crash_left_of_one_goes(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        memory.create_page(SMALL, "x")
    (path / "keyframes-000007.new").write_bytes(b"half")
    with Memory.open(path, True, kinds=KINDS):
        assert frames(path) == []


def test_gather_and_cells_leave_damaged_ones_alone(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in "abc"]
        for page in pages:
            memory.update_page(page, Rows(0, 90), {"value": np.arange(page, page + 90)})
            memory.update_page(page, [3], {"value": [1]})
        memory.keyframe(pages)
        memory.update_page(pages[0], [4], {"value": [2]})
        truth = {page: memory.at().column(SMALL, page, "value").tolist() for page in pages}
    (file,) = frames(path)
    raw = bytearray(file.read_bytes())
    raw[raw.index(np.arange(pages[1] + 10, pages[1] + 20).astype("<u4").tobytes())] ^= 1
    file.write_bytes(raw)
    for way in ("gather", "cells"):
        with Memory.open(path, kinds=KINDS) as memory:
            memory._index.compiled = True
            for _ in range(2):
                if way == "gather":
                    found = memory.at().gather(SMALL, "value")[0]
                else:
                    of, rows = np.repeat(pages, 90), list(range(90)) * 3
                    found = memory.at().cells(SMALL, "value", of, rows)
                assert found.tolist() == np.concatenate(list(truth.values())).tolist()
            assert len(memory._index.keyframes.broken) == 1
            assert len(memory._index.keyframes) == 2


def test_one_that_says_more_rows_than_there_are_harms_nothing(path: Path) -> None:
    """Its checksums hold, so what it says is believed, but no cell lands in another page."""
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in "abc"]
        for page in pages:
            memory.update_page(page, Rows(0, 8), {"value": range(8)})
        memory.keyframe(pages[1:2])
        own = SMALL.columns[[column.name for column in SMALL.columns].index("value")]
        held = [(pages[1], memory.head, 99, {own: np.full(99, 7, "<u4")})]
    frames(path)[0].write_bytes(keyframes.pack(held))
    with Memory.open(path, kinds=KINDS) as memory:
        memory._index.compiled = True
        found = memory.at().gather(SMALL, "value")[0]
        assert found.tolist() == [*range(8), *[7] * 8, *range(8)]


def test_dropping_all_while_a_read_meets_a_damaged_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, Rows(0, 8), {"value": range(8)})
        memory.keyframe([page])

        def cells(*_: object) -> None:
            memory.drop_keyframes()
            raise Broken("as if damaged")

        monkeypatch.setattr(Keyframe, "cells", cells)
        assert memory.at().column(SMALL, page, "value").tolist() == list(range(8))
        assert memory.drop_keyframes() == 0


def test_a_look_by_another_thread_while_it_is_asked_what_was_read_lately() -> None:
    meter = Meter()
    meter.heat = np.full(4, 9, "<u4")
    meter.look()

    class Slow(np.ndarray):  # type: ignore[type-arg]
        def copy(self, *_: object) -> np.ndarray:  # type: ignore[type-arg,override]
            meter.heat = np.full(8, 9, "<u4")
            meter.look()
            return np.array(self)

    meter.heat = meter.heat.view(Slow)
    assert meter.lately().tolist() == [0] * 4
    assert meter.lately().tolist() == [0] * 8


def test_what_is_put_behind_work_that_fails_is_done(caplog: pytest.LogCaptureFixture) -> None:
    behind, done = Behind(), []

    def fail() -> None:
        raise ValueError("nobody thought of this")

    with caplog.at_level(logging.ERROR, "mmsb.memory"):
        behind.put(fail)
        behind.put(lambda: done.append(1))
        behind.wait()
        behind.put(lambda: done.append(2))
        behind.wait()
    assert done == [1, 2]
    assert "nobody thought of this" in caplog.text


def test_closing_that_is_interrupted_while_it_waits_lets_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    memory = Memory.create(path, KINDS, durability="none")
    page = memory.create_page(SMALL, "x")
    monkeypatch.setattr(memory._behind, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        memory.close()
    with Memory.open(path, True, kinds=KINDS) as again:
        assert again.at().subject(page) == "x"


@pytest.mark.parametrize("call", ["checkpoint", "fork", "drop_keyframes", "retain"])
def test_commits_go_on_while_work_behind_is_waited_for(
    path: Path, tmp_path: Path, call: str
) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, [0], {"value": [1]})
        slow = threading.Event()
        memory._behind.put(slow.wait)  # type: ignore[arg-type]
        args = {"checkpoint": (tmp_path / "c",), "fork": (1, tmp_path / "f"), "retain": (1,)}
        made: list[object] = []
        thread = threading.Thread(
            target=lambda: made.append(getattr(memory, call)(*args.get(call, ())))
        )
        thread.start()
        thread.join(0.2)
        assert made == []
        committing = threading.Thread(
            target=memory.update_page, args=(page, [0], {"value": [2]}), daemon=True
        )
        committing.start()
        committing.join(10)
        waited = committing.is_alive()
        slow.set()
        thread.join()
        committing.join()
        assert not waited
        for own in made:
            if isinstance(own, Memory):
                own.close()


def test_all_together_take_no_more_than_some_times_the_log(path: Path) -> None:
    """Narrow commits store one byte for all rows of a page where these are equal."""
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in "abcd"]
        memory._index.meter._reads.every = True
        for turn in range(3):
            for number in range(framing.DELTAS):
                changes = memory.changes()
                cells = np.full(len(pages) * LONG, turn + number)
                changes.patch_many(SMALL, pages, {"value": cells})
                memory.commit(changes, narrow=True)
            for page in pages * framing.READS:
                memory.at().cell(SMALL, page, "value", 0)
            memory.sync()
            assert framing.chosen(memory._index, memory.head, lately=True) == pages
            framing.behind(memory._index, memory.at(), memory._disk)
        log = memory._log.end[1]
        assert sum(file.stat().st_size for file in frames(path)) <= framing.SPARE * log + 4096

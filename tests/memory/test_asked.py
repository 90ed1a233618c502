"""Whatever is passed where something else is wanted is refused by name, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import CorruptData, UsageError, quote
from mmsb.base.rect import Rows
from mmsb.memory.asked import BEYOND
from mmsb.memory.changes import Changes
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING


class Unspeakable:
    """Python cannot write it, as it cannot write a number of thousands of digits."""

    def __repr__(self) -> str:
        raise ValueError("cannot be written")


WRONG: list[Any] = [
    *(None, 3.5, -1, 2**40, "zz", b"x", [], [None], ["a"], [1.5], [[1]], {}, object(), True),
    *(range(2), slice(0, 2), np.zeros(2), np.array(["a"]), np.int64(1), (1,), iter([1])),
    *(float("nan"), np.zeros((2, 2), "<u4"), SMALL, Rows(0, 1)),
    *(10**5000, -(10**5000), [10**5000], np.array([10**5000], object), Unspeakable()),
    *("\ud800", "a\0b", np.str_("value"), np.float32(1e30), np.datetime64("now"), 1j),
]
RIGHT = {
    "kind": SMALL,
    "name": "value",
    "rows": Rows(0, 2),
    "columns": ["value"],
    "row": 0,
    "subject": "x",
    "id": 0,
    "ids": [0],
}
READS = {
    "column": ("kind", "page", "name", "rows"),
    "columns": ("kind", "page", "columns"),
    "table": ("kind",),
    "gather": ("kind", "name", "pages"),
    "gather_columns": ("kind", "columns", "pages"),
    "cell": ("kind", "page", "name", "row"),
    "cells": ("kind", "name", "pages", "ids"),
    "pages": ("kind",),
    "page": ("kind", "subject"),
    "subject": ("page",),
    "subjects": ("pages",),
    "kind_of": ("page",),
    "row_count": ("kind", "page"),
    "symbol": ("id",),
    "symbols": ("ids",),
    "arrow": ("kind", "columns", "pages"),
    "written": ("page",),
    "blame": ("kind", "page", "columns"),
}


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    with Memory.create(path, KINDS, durability="none") as made:
        made.update_page(made.create_page(SMALL, "x"), [0, 1], {"value": [1, 2]})
        yield made


def refused(call: Callable[[], object], what: str) -> None:
    """It gives an answer or a UsageError (of which UnknownName is one); nothing else."""
    try:
        with suppress(UsageError):
            call()
    except Exception as error:
        raise AssertionError(f"{what} ends in {error!r}") from error


@pytest.mark.parametrize("compiled", [True, False])
def test_reads(memory: Memory, compiled: bool) -> None:
    memory._index.compiled = compiled
    snapshot = memory.at()
    (page,) = memory.at().pages(SMALL).tolist()
    right = {**RIGHT, "page": page, "pages": [page]}
    for name, wanted in READS.items():
        read: Callable[..., object] = getattr(snapshot, name)
        for at, one in enumerate(wanted):
            for wrong in WRONG:
                given = [right[one] for one in wanted]
                given[at] = wrong
                refused(
                    lambda read=read, given=given: read(*given), f"{name}({one}={quote(wrong)})"
                )


def test_questions_of_a_memory(memory: Memory) -> None:
    (page,) = memory.at().pages(SMALL).tolist()
    for wrong in WRONG:
        calls: dict[str, Callable[[Any], Any]] = {
            "at": memory.at,
            "range": lambda one: list(memory.range(one, 2)),
            "diff": lambda one: memory.diff(0, one),
            "digest": memory.digest,
            "replay": lambda one: list(memory.replay(one, 0, 2)),
            "written_since": memory.written_since,
            "follow": lambda one: list(memory.follow(one, timeout=0)),
            "timeout": lambda one: memory.follow(1, timeout=one),
            "query_page": memory.query_page,
            "query_page as of": lambda one: memory.query_page(page, one),
            "open": Memory.open,
            "kinds": lambda one: Memory.open(memory.path, kinds=one),
            "resident_bytes": lambda one: Memory.open(memory.path, resident_bytes=one),
            "durability": lambda one: Memory.open(memory.path, durability=one),
            "overlay": lambda one: memory.transaction().at().column(SMALL, page, "value", one),
            "names": lambda one: memory.transaction().at().columns(SMALL, page, one),
        }
        for name, call in calls.items():
            refused(lambda call=call, wrong=wrong: call(wrong), f"{name}({quote(wrong)})")  # type: ignore[misc]


def writes(memory: Memory, page: int, ours: Changes) -> dict[str, Callable[[Any], Any]]:
    cells = {"value": [1]}
    return {
        "create_page": lambda one: memory.create_page(one, "y"),
        "update_page": lambda one: memory.update_page(one, [0], cells),
        "rows": lambda one: memory.update_page(page, one, cells),
        "cells": lambda one: memory.update_page(page, [0], one),
        "values": lambda one: memory.update_page(page, [0], {"value": one}),
        "source": lambda one: memory.commit([], source=one),
        "commit": memory.commit,
        "keyframe": memory.keyframe,
        "compact": lambda one: memory.compact(codec=one),
        "page": lambda one: ours.page(SMALL, one),
        "pages": lambda one: ours.pages(SMALL, one),
        "patch": lambda one: ours.patch(one, page, cells),
        "patch page": lambda one: ours.patch(SMALL, one, cells),
        "patch cells": lambda one: ours.patch(SMALL, page, one),
        "patch start": lambda one: ours.patch(SMALL, page, cells, one),
        "patch_rows": lambda one: ours.patch_rows(SMALL, page, one, cells),
        "append": lambda one: ours.append(one, cells),
        "delete": ours.delete,
        "symbol": ours.symbol,
        "symbols": ours.symbols,
        "patch_many": lambda one: ours.patch_many(SMALL, one, cells),
        "patch_many starts": lambda one: ours.patch_many(SMALL, [page], cells, one),
        "patch_many counts": lambda one: ours.patch_many(SMALL, [page], cells, 0, one),
        "commit_arrow": lambda one: memory.commit_arrow(SMALL, one),
    }


def test_writes(memory: Memory) -> None:
    (page,) = memory.at().pages(SMALL).tolist()
    before = memory.digest(2)
    for wrong in WRONG:
        for name, call in writes(memory, page, memory.changes()).items():
            refused(lambda call=call, wrong=wrong: call(wrong), f"{name}({quote(wrong)})")  # type: ignore[misc]
    assert memory.digest(2) == before
    for stop in (10**5000, -(10**5000), Unspeakable()):
        refused(lambda stop=stop: Rows(0, stop), "Rows")  # type: ignore[misc]


def test_rows_beyond_the_last(memory: Memory) -> None:
    snapshot = memory.at()
    (page,) = snapshot.pages(SMALL).tolist()
    far = snapshot.column(SMALL, page, "value", Rows(0, BEYOND + 2))
    assert far[:3].tolist() == [1, 2, 0]
    assert not far[2:].any()
    for rows in (Rows(0, BEYOND + 3), Rows(0, 2**32 - 1), Rows(7, BEYOND + 8)):
        for side in (snapshot, memory.transaction().at()):
            with pytest.raises(UsageError, match="beyond the 2 rows that page"):
                side.column(SMALL, page, "value", rows)
    # What a transaction wrote far beyond the base is its own.
    with memory.transaction() as t:
        t.patch(SMALL, page, {"value": np.ones(BEYOND + 9, "<u4")}, 4)
        t.patch(THING, t.page(THING, "new"), {"byte": np.ones(BEYOND + 9, "<u1")})
        seen = t.at().column(SMALL, page, "value")
        assert (len(seen), seen[:5].tolist()) == (BEYOND + 13, [1, 2, 0, 0, 1])


def test_a_mark_in_a_damaged_frame(path: Path) -> None:
    # What an index file says was not read: a frame that does not hold is met by its mark.
    with Memory.create(path, KINDS, durability="none", segment_bytes=4096) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, [0], {"value": [1]})
        memory.sync()
        place = memory._log.position.offset
        begin = int(memory._index.runs[0].frames.values[-1])
        while memory.stats()["segments"] < 3:
            memory.update_page(page, range(90), {"value": range(90)})
    assert begin < place
    with open(path / "segment-000001", "r+b") as file:
        file.seek(begin + 20)
        file.write(b"\xff\xff")
    for write in (False, True):
        with pytest.raises(CorruptData, match="segment-000001"):
            Memory.open(path, write, kinds=KINDS)


@pytest.mark.parametrize("compiled", [True, False])
def test_out_may_be_of_any_class_but_masked(memory: Memory, compiled: bool) -> None:
    class Odd(np.ndarray[Any, Any]):
        def __getitem__(self, at: Any) -> Any:
            return np.zeros(1, "<u4")

        def __len__(self) -> int:
            return 2

    memory._index.compiled = compiled
    snapshot = memory.at()
    for given in (Odd, np.recarray, np.memmap):
        held = np.zeros(2, "<u4")
        found, _ = snapshot.gather(SMALL, "value", out=held.view(given))
        assert (found.tolist(), held.tolist()) == ([1, 2], [1, 2])
        with pytest.raises(UsageError, match="2 cells"):
            snapshot.gather(SMALL, "value", out=np.zeros(1, "<u4").view(given))
    masked = np.ma.array(np.zeros(2, "<u4"), mask=[True, False], hard_mask=True)
    with pytest.raises(UsageError, match="without a mask"):
        snapshot.gather(SMALL, "value", out=masked)

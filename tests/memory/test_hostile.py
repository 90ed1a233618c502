"""Every public call of the memory, with something hostile in each position: an answer, or one
sentence of a named error. Never an error of Python's or numpy's, never a warning, never a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import UsageError
from mmsb.base.rect import Rows
from mmsb.base.schema import DTYPES, Column, Kind
from mmsb.memory.cells import cells as made_cells
from mmsb.memory.check import check
from mmsb.memory.delta import Delta, merge, new_delta
from mmsb.memory.memory import Memory
from mmsb.memory.salvage import salvage
from mmsb.testing.hostile import swept
from mmsb.testing.strategies import KINDS, SMALL

CELLS = {"value": [1]}
ANY = Kind(60, "any", tuple(Column(n, name, name, 0) for n, name in enumerate(DTYPES)))
CELL = np.zeros(1, "<u4")
MAKES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "Rows": (Rows, (0, 1)),
    "Column": (Column, (0, "a", "u8", 0, "", True)),
    "Kind": (Kind, (5, "k", (Column(0, "a", "u8", 0),), False)),
    "Kind.column": (SMALL.column, ("value",)),
    "Delta": (Delta, (0, 0, SMALL, ("value",), Rows(0, 1), None, 0, 0, {"value": CELL})),
    "new_delta": (new_delta, (0, SMALL, Rows(0, 1), {"value": CELL})),
    "merge": (merge, (new_delta(0, SMALL, Rows(0, 1), {"value": CELL}),)),
}


@pytest.fixture
def made(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A memory, and places for more."""
    monkeypatch.chdir(path.parent)
    with Memory.create(path, KINDS, durability="none", segment_bytes=4096) as memory:
        page = memory.create_page(SMALL, "x")
        memory.update_page(page, [0, 1], {"value": [1, 2]})
        yield SimpleNamespace(memory=memory, page=page, head=memory.head, path=path)


def test_what_is_made() -> None:
    assert swept(MAKES) == []


def reads(made: SimpleNamespace, side: Any) -> dict[str, Any]:
    page, rows = made.page, Rows(0, 2)
    return {
        "kind": (side.kind, (SMALL,)),
        "pages": (side.pages, (SMALL,)),
        "page": (side.page, (SMALL, "x")),
        "kind_of": (side.kind_of, (page,)),
        "subject": (side.subject, (page,)),
        "row_count": (side.row_count, (SMALL, page)),
        "column": (side.column, (SMALL, page, "value", rows)),
        "columns": (side.columns, (SMALL, page, ["value"])),
        "table": (side.table, ("type",)),
        "symbols": (side.symbols, ([0],)),
    }


def test_reads(made: SimpleNamespace) -> None:
    now, page = made.memory.at(), made.page
    copy = now.to_device(SMALL, page)
    own = {
        "subjects": (now.subjects, ([page],)),
        "subject_ids": (now.subject_ids, ([page],)),
        "lives": (now.lives, ([page],)),
        "gather": (lambda *a: now.gather(*a[:3], device=a[3]), (SMALL, "value", [page], "cpu")),
        "gather_columns": (now.gather_columns, (SMALL, ["value"], [page])),
        "cell": (now.cell, (SMALL, page, "value", 0)),
        "cells": (now.cells, (SMALL, "value", [page], [0])),
        "symbol": (now.symbol, (0,)),
        "symbol_id": (now.symbol_id, ("x",)),
        "arrow": (lambda *a: now.arrow(*a[:3], texts=a[3]), (SMALL, ["value"], [page], True)),
        "written": (now.written, (page,)),
        "blame": (now.blame, (SMALL, page, ["value"])),
        "to_device": (
            lambda *a: now.to_device(*a[:3], device=a[3]),
            (SMALL, page, ["value"], "cpu"),
        ),
        "copy.column": (copy.column, ("value", now.epoch)),
        "copy.check": (copy.check, (now.epoch,)),
    }
    assert swept({**reads(made, now), **own}) == []


def test_reads_of_a_transaction(made: SimpleNamespace) -> None:
    transaction = made.memory.transaction()
    transaction.patch(SMALL, made.page, {"value": [3]})
    transaction.page(SMALL, "new")
    transaction.append("type", {"name": [1]})
    assert swept(reads(made, transaction.at())) == []


def test_questions_of_a_memory(made: SimpleNamespace) -> None:
    memory, page, head = made.memory, made.page, made.head
    copy = memory.at().to_device(SMALL, page)
    calls = {
        "at": (memory.at, (head,)),
        "range": (lambda *a: list(memory.range(*a)), (0, 1)),
        "diff": (memory.diff, (0, 1, [SMALL])),
        "digest": (memory.digest, (1,)),
        "replay": (lambda *a: list(memory.replay(*a)), (page, 0, head)),
        "written_since": (memory.written_since, (0,)),
        "query_page": (memory.query_page, (page, head)),
        "know": (memory.know, (SMALL,)),
        "bring": (memory.bring, ([copy], head)),
        "follow": (lambda *a: memory.follow(a[0], durable=a[1], timeout=a[2]), (head, True, 0.0)),
        "transaction": (lambda a: memory.transaction(source=a), (0,)),
    }
    assert swept(calls) == []


def test_paths(made: SimpleNamespace) -> None:
    memory, path, head, count = made.memory, made.path, made.head, iter(range(10**6))

    def new(given: Any) -> Any:
        return (
            path.with_name(f"new {next(count)}")
            if isinstance(given, str) and given == "NEW"
            else given
        )

    def created(to: Any, kinds: Any, durability: Any, size: Any) -> None:
        if isinstance(size, np.ndarray) or not isinstance(size, int) or size < 2**30:
            made = Memory.create(new(to), kinds, durability=durability, segment_bytes=size)
            made.close()

    def opened(at: Any, write: Any, kinds: Any, durability: Any, most: Any) -> None:
        options = {"durability": durability, "resident_bytes": most}
        Memory.open(at, write, kinds=kinds, **options).close()

    calls = {
        "open": (opened, (path, False, KINDS, "none", None)),
        "check": (check, (path,)),
        "salvage": (lambda *a: salvage(a[0], new(a[1]), kinds=a[2]), (path, "NEW", KINDS)),
        "checkpoint": (lambda *a: memory.checkpoint(new(a[0]), a[1]), ("NEW", head)),
        "fork": (
            lambda a, b, c: memory.fork(a, new(b), durability=c).close(),
            (head, "NEW", "none"),
        ),
        "restore": (
            lambda *a: Memory.restore(a[0], new(a[1]), kinds=a[2], durability=a[3]).close(),
            (path, "NEW", KINDS, "none"),
        ),
        "create": (created, ("NEW", KINDS, "none", 4096)),
    }
    assert swept(calls) == []
    # What is refused leaves nothing behind.
    for wrong in ({"durability": "often"}, {"segment_bytes": 2**63}, {"kinds": [3]}):
        with pytest.raises(UsageError):
            Memory.create(path.with_name("none"), **wrong)
        assert not path.with_name("none").exists()


def collecting(made: SimpleNamespace, new: Callable[[], Any]) -> dict[str, Any]:
    """Calls of changes or a transaction, each on new ones."""
    page = made.page
    calls: dict[str, tuple[Any, ...]] = {
        "symbol": ("x",),
        "symbols": (["x"],),
        "page": (SMALL, "x"),
        "pages": (SMALL, ["x"]),
        "append": ("type", {"name": [1]}),
        "patch": (SMALL, page, CELLS, 0),
        "patch_rows": (SMALL, page, [0], CELLS),
        "patch_many": (SMALL, [page], CELLS, [0], [1]),
        "delete": (page,),
    }

    def method(name: str) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            return getattr(new(), name)(*given)

        return call

    found = {name: (method(name), right) for name, right in calls.items()}
    found["values"] = (lambda cells: new().patch(SMALL, page, {"value": cells}), ([1],))
    found["rows of values"] = (lambda cells: new().append("type", {"name": cells}), ([1],))
    return found


def test_writes(made: SimpleNamespace) -> None:
    memory, page = made.memory, made.page
    ended = memory.transaction()
    ended.patch(SMALL, page, CELLS)
    ended.commit()
    before = memory.digest(made.head)

    def committed(*given: Any) -> None:
        changes = memory.changes()
        changes.patch(SMALL, page, CELLS)
        source, drop_equal, narrow, to = given
        memory.commit(changes, source=source, drop_equal=drop_equal, narrow=narrow, to=to)

    calls = {
        "create_page": (memory.create_page, (SMALL, "x")),
        "update_page": (
            lambda *a: memory.update_page(*a[:3], source=a[3]),
            (page, [0], CELLS, 0),
        ),
        "cells": (lambda cells: memory.update_page(page, [0], {"value": cells}), ([1],)),
        "deltas": (memory.commit, ([],)),
        "commit": (committed, (0, False, False, ())),
        "commit_arrow": (memory.commit_arrow, (SMALL, None)),
        "keyframe": (memory.keyframe, ([page], made.head)),
        "compact": (lambda *a: memory.compact(codec=a[0], seal=a[1]), ("auto", False)),
        "keep_epochs": (memory.keep_epochs, (10**6,)),
        "final": (ended.final, ("page", page)),
    }
    assert swept(calls) == []
    assert swept(collecting(made, memory.changes)) == []
    assert swept(collecting(made, memory.transaction)) == []
    assert memory.digest(made.head) == before
    # It does forget where what it is given happens to be right.
    assert swept({"retain": (memory.retain, (0,))}) == []
    assert swept({"retain": (lambda count: memory.retain(epochs=count), (10**6,))}) == []


@pytest.mark.parametrize(
    "cells",
    [
        [1j],
        np.array([1 + 0j]),
        [np.complex64(1), None],
        np.array(["2020-01-01"], "M8[s]"),
        np.array([5], "m8[s]"),
        np.array(["1"]),
        np.ma.MaskedArray([1, 2], [False, True]),
    ],
)
@pytest.mark.parametrize("dtype", ["u8", "u32", "i64", "f64"])
def test_cells_that_are_no_numbers(cells: Any, dtype: str) -> None:
    with pytest.raises(UsageError, match=rf"any\.{dtype}: pass numbers that fit .*, not "):
        made_cells(ANY, ANY.column(dtype), cells)


def test_a_mask_is_no_list_of_rows_or_pages(made: SimpleNamespace) -> None:
    mask = np.array([False, True])
    now = made.memory.at()
    for call in (
        lambda: now.subjects(mask),
        lambda: now.gather(SMALL, "value", mask),
        lambda: now.cells(SMALL, "value", [made.page, made.page], mask),
        lambda: made.memory.update_page(made.page, mask, {"value": [1, 2]}),
        lambda: made.memory.changes().patch_many(SMALL, [made.page], CELLS, [True]),
    ):
        with pytest.raises(UsageError, match="not True and False"):
            call()

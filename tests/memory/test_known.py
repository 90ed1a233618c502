"""Kinds that come late, or cannot be stored; a log that is rewritten while a reader looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsb.base import schema
from mmsb.base.errors import Conflict, StateError, UsageError
from mmsb.base.schema import Column, Kind
from mmsb.memory.memory import Memory

ONE = Kind(100, "k", (Column(0, "a", "u32", fill=0),))
TWO = Kind(100, "k", (*ONE.columns, Column(1, "b", "u8", fill=0)))
THREE = Kind(100, "k", (*TWO.columns, Column(2, "c", "u8", fill=0)))
TABLE = Kind(101, "t", (Column(0, "x", "u8", fill=0),), append_only=True)


def test_changes_begun_before_a_kind_was_known_conflict(path: Path) -> None:
    with Memory.create(path, (*schema.KINDS, ONE)) as memory:
        page, other = memory.create_page(ONE, "s"), memory.create_page(ONE, "q")
        changes = memory.changes()
        memory.know(TWO)
        changes.patch("k", page, {"b": [1]})
        with pytest.raises(Conflict, match="made known"):
            memory.commit(changes)
        changes = memory.changes()
        changes.patch("k", page, {"b": [1]})
        memory.know(THREE, TABLE)
        memory.update_page(other, [0], {"c": [1]})
        with pytest.raises(Conflict, match="made known"):
            memory.commit(changes)
        memory.know(THREE)  # known already: nothing changes
        changes = memory.changes()
        memory.know(THREE)
        changes.append("t", {"x": [7]})
        memory.commit(changes)
    with Memory.open(path) as memory:
        assert memory.query_page(other)["c"].tolist() == [1]
        assert memory.at().table("t")["x"].tolist() == [7]


def test_a_transaction_takes_in_kinds_that_come_late(path: Path) -> None:
    with Memory.create(path, (*schema.KINDS, ONE)) as memory:
        page = memory.create_page(ONE, "s")
        with memory.transaction() as transaction:
            transaction.patch(ONE, page, {"a": [5]})
            memory.know(TWO)
        memory.update_page(page, [0], {"b": [6]})
    with Memory.open(path) as memory:
        found = memory.query_page(page)
        assert (found["a"].tolist(), found["b"].tolist()) == ([5], [6])


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Kind(300, "z", ONE.columns, append_only=1),  # type: ignore[arg-type]
        lambda: Kind(70_000, "z", ONE.columns),
        lambda: Kind(-3, "z", ONE.columns),
        lambda: Kind(300, 5, ONE.columns),  # type: ignore[arg-type]
        lambda: Kind(300, "z", (Column(0, 5, "u8", 0),)),  # type: ignore[arg-type]
        lambda: Kind(300, "z", (Column(0, "a", "u8", 0, None),)),  # type: ignore[arg-type]
        lambda: Kind(300, "z", (Column(True, "a", "u8", 0),)),
        lambda: Kind(300, "z", (Column(0, "a", "u8", 0, digest=1),)),  # type: ignore[arg-type]
    ],
)
def test_kinds_that_cannot_be_stored_are_refused_before_anything_is_written(
    path: Path, bad: Any
) -> None:
    with pytest.raises(UsageError, match=r"^(kind|column) "):
        Memory.create(path, (*schema.KINDS, bad()))
    assert not path.exists()
    with Memory.create(path, (*schema.KINDS, ONE)) as memory:
        page = memory.create_page(ONE, "s")
        with pytest.raises(UsageError, match=r"^(kind|column) "):
            memory.know(bad())
    with pytest.raises(UsageError, match=r"^(kind|column) "):
        Memory.open(path, write=True, kinds=(*schema.KINDS, bad()))
    with Memory.open(path, write=True) as memory:
        memory.update_page(page, [0], {"a": [1]})
    with pytest.raises(StateError):
        memory.know(ONE)


def test_a_log_that_is_rewritten_while_a_reader_looks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename falls between the reader's two looks at the manifest, wherever that is."""
    from mmsb.memory import log

    with Memory.create(path, (*schema.KINDS, ONE)) as memory:
        page = memory.create_page(ONE, "s")
        for number in range(5):
            memory.update_page(page, [0], {"a": [number]})
        for after in range(4):
            with Memory.open(path) as reader:
                epoch = memory.update_page(page, [0], {"a": [9 + after]})
                memory.update_page(page, [0], {"a": [50]})
                plain, left = log.read_manifest, [after]

                def late(folder: Path, plain: Any = plain, left: list[int] = left) -> Any:
                    left[0] -= 1
                    if left[0] == -1:
                        memory.retain(epochs=1)
                    return plain(folder)

                monkeypatch.setattr(log, "read_manifest", late)
                assert reader.refresh() == memory.head == epoch + 1
                monkeypatch.undo()
                memory.update_page(page, [0], {"a": [21]})
                assert reader.refresh() == memory.head
                assert reader.query_page(page)["a"].tolist() == [21]
                assert reader.query_page(page, epoch + 1)["a"].tolist() == [50]


def test_a_flag_is_no_number_of_epochs(path: Path) -> None:
    with Memory.create(path, (*schema.KINDS, ONE)) as memory:
        for call in (memory.retain, memory.keep_epochs):
            with pytest.raises(UsageError, match="whole number, not True"):
                call(True)
        assert memory.first == 0

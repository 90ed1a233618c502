"""Schemas live in the log: older and newer memories read each other as far as they can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsb.base import errors
from mmsb.base.schema import HEAP, SYMBOL, Column, Kind
from mmsb.memory.check import check
from mmsb.memory.memory import Memory

OLD = Kind(9, "note", (Column(0, "text", "u32", 0, "symbol"),))
NEW = replace(OLD, columns=(*OLD.columns, Column(1, "weight", "i32", -5)))
LOG = Kind(10, "log", (Column(0, "code", "u16", 7),), append_only=True)
BASE = (HEAP, SYMBOL)


@pytest.fixture
def old(path: Path) -> Path:
    with Memory.create(path, (*BASE, OLD)) as memory:
        memory.update_page(memory.create_page("note", "f"), [0, 1], {"text": [1, 2]})
    return path


def test_a_column_that_is_not_stored_reads_as_its_fill(old: Path) -> None:
    with Memory.open(old, kinds=(*BASE, NEW, LOG)) as memory:
        assert memory.query_page(2)["weight"].tolist() == [-5, -5]
        assert memory.at().pages("log").tolist() == []
        assert memory.at().table("log")["code"].tolist() == []


def test_new_kinds_and_columns_can_be_written(old: Path) -> None:
    with Memory.open(old, write=True, kinds=(*BASE, NEW, LOG)) as memory:
        changes = memory.changes()
        assert changes.append("log", {"code": [3]}) == 0
        changes.patch("note", 2, {"weight": [9]})
        assert changes.page("note", "g") == 4  # 3 is the table of the new kind
        memory.commit(changes)
        changes = memory.changes()
        assert changes.append("log", {"code": [4]}) == 1
        memory.commit(changes)
    assert check(old).sound
    for kinds in ((), BASE, (*BASE, OLD)):
        with Memory.open(old, kinds=kinds) as memory:
            assert memory.query_page(2)["weight"].tolist() == [9, -5]
            assert memory.query_page(2, 2)["weight"].tolist() == [-5, -5]
            assert memory.at().table("log")["code"].tolist() == [3, 4]
            assert memory.kinds["note"] == NEW


def test_a_memory_is_readable_without_knowing_any_kind(old: Path) -> None:
    with Memory.open(old, kinds=()) as memory:
        assert list(memory.kinds) == ["heap", "symbol", "note"]
        assert memory.query_page(2)["text"].tolist() == [1, 2]


def test_an_older_program_writes_on_without_losing_columns(old: Path) -> None:
    with Memory.open(old, write=True, kinds=(*BASE, NEW)) as memory:
        memory.update_page(2, [0], {"weight": [1]})
    with Memory.open(old, write=True, kinds=(*BASE, OLD)) as memory:
        memory.update_page(2, [1], {"weight": [2], "text": [0]})
    with Memory.open(old, kinds=(*BASE, NEW)) as memory:
        assert memory.query_page(2)["weight"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        Kind(9, "letter", OLD.columns),
        Kind(9, "note", (Column(0, "text", "u64", 0),)),
        Kind(9, "note", (Column(0, "words", "u32", 0),)),
        Kind(9, "note", (Column(3, "text", "u32", 0),)),
        Kind(8, "note", OLD.columns),
        replace(OLD, append_only=True),
    ],
)
def test_an_id_is_never_given_a_second_meaning(old: Path, other: Kind) -> None:
    with pytest.raises(errors.UsageError, match="made with"):
        Memory.open(old, write=True, kinds=(*BASE, other))
    with Memory.open(old, write=True, kinds=(*BASE, OLD)):
        pass  # the lock was let go

"""A write that is refused leaves no trace in what goes on to be committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsb.base import errors
from mmsb.memory import encode, reading
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    with Memory.create(path, KINDS, durability="none") as made:
        made.create_page(THING, "x")
        yield made


@pytest.mark.parametrize("texts", [["new", 5], ["new", "\ud800"], ["ünew", 5], ["new", None]])
@pytest.mark.parametrize("through", ["symbols", "pages"])
def test_texts_of_which_one_is_none(memory: Memory, texts: list[Any], through: str) -> None:
    (page,) = memory.at().pages(THING).tolist()
    t = memory.transaction()
    with pytest.raises(errors.UsageError):
        t.symbols(texts) if through == "symbols" else t.pages(THING, texts)
    name = t.symbol("other")
    assert t.at().symbols([name]) == ["other"]
    t.patch(THING, page, {"name": [name]})
    theirs = memory.changes()
    theirs.symbols(["a", "b", "c"])
    memory.commit(theirs)  # so that the transaction's ids move
    t.commit()
    now = memory.at()
    assert now.symbols(now.column(THING, page, "name")) == ["other"]
    assert now.symbols(range(now.symbol_count)) == ["x", "a", "b", "c", "other"]


def test_what_can_be_read_once_is_read_once(memory: Memory) -> None:
    (page,) = memory.at().pages(THING).tolist()
    with memory.transaction() as t:
        t.patch_many(THING, iter([page]), {"byte": [7]})
        assert t.at().column(THING, page, "byte").tolist() == [7]
    assert memory.at().column(THING, page, "byte").tolist() == [7]


def test_a_transaction_that_was_refused_a_write(memory: Memory) -> None:
    (page,) = memory.at().pages(THING).tolist()
    with memory.transaction() as t:
        t.symbol("kept")
        for refused in (
            lambda: t.patch(THING, page, {"byte": [1], "none such": [1]}),
            lambda: t.patch(THING, page, {"byte": [256]}),
            lambda: t.patch_rows(THING, page, [0, 1], {"byte": [1]}),
            lambda: t.patch_many(THING, iter([page, page]), {"byte": [1]}),
            lambda: t.patch(SMALL, page, {"value": [1]}),
            lambda: t.append("symbol", {"offset": [0]}),
        ):
            with pytest.raises(errors.UsageError):
                refused()
    now = memory.at()
    assert now.symbols(range(now.symbol_count)) == ["x", "kept"]
    assert now.row_count(THING, page) == 0


@pytest.mark.parametrize("columns", [["byte"], {"byte"}, ("byte",), "byte"])
def test_columns_that_are_only_named(memory: Memory, columns: Any) -> None:
    (page,) = memory.at().pages(THING).tolist()
    with pytest.raises(errors.UsageError, match="name at least one column"):
        memory.update_page(page, [0], columns)
    assert memory.head == 1


def test_memory_runs_out_while_much_is_read(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError

    (page,) = memory.at().pages(THING).tolist()
    for at in range(3):
        memory.update_page(page, [at], {"byte": [at + 1]})
    digest, files = memory.digest(), sorted(memory.path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(reading, "digest", full)
        patch.setattr(reading, "diff", full)
        patch.setattr(encode, "draft", full)
        for call in (memory.digest, lambda: memory.diff(0, 2), lambda: memory.retain(3)):
            with pytest.raises(errors.EnvironmentProblem, match="memory that is free"):
                call()
    assert (memory.first, sorted(memory.path.iterdir())) == (0, files)
    assert memory.retain(3) == 3
    assert memory.digest() == digest

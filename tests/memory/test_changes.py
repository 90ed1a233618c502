"""Collecting a commit: what is resolved before it is written, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.memory import cells
from mmsb.memory.changes import Changes
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING


@pytest.fixture
def memory(path: Path) -> Any:
    with Memory.create(path, KINDS) as made:
        yield made


def test_of_two_writes_to_a_cell_the_later_wins(memory: Memory) -> None:
    changes = memory.changes()
    page = changes.page(THING, "f")
    changes.patch(THING, page, {"byte": [1, 2, 3], "short": [1, 2, 3]})
    changes.patch_rows(THING, page, [1], {"byte": [9]})
    changes.patch(THING, page, {"byte": [8]}, start=2)
    memory.commit(changes)
    assert memory.at().column(THING, page, "byte").tolist() == [1, 9, 8]
    assert memory.at().column(THING, page, "short").tolist() == [1, 2, 3]
    assert memory.stats()["bytes_by_kind"]["thing"] == 3 * (1 + 2)
    (written,) = memory.diff(0, 1)[2:]  # after heap and symbol
    assert (written.columns, written.rows.tolist()) == (("byte", "short"), [0, 1, 2])


def test_columns_not_named_are_untouched(memory: Memory) -> None:
    page = memory.create_page(THING, "f")
    memory.update_page(page, [0, 1], {"byte": [1, 2], "line": [-1, -2]})
    memory.update_page(page, [1], {"line": [5]})
    assert memory.query_page(page)["byte"].tolist() == [1, 2]
    assert memory.query_page(page)["line"].tolist() == [-1, 5]
    assert memory.at().blame(THING, page, "byte").tolist() == [2, 2]
    assert memory.at().blame(THING, page, "line").tolist() == [2, 3]


def test_appends_join_and_fill_what_they_do_not_name(memory: Memory) -> None:
    changes = memory.changes()
    assert changes.append("event", {"kind": [1, 2]}) == 0
    assert changes.append("event", {"world": [77], "kind": [3]}) == 2
    assert changes.append("event", {"kind": []}) == 3
    memory.commit(changes)
    changes = memory.changes()
    assert changes.append("event", {"window": [4]}) == 3
    memory.commit(changes)
    table = memory.at().table("event")
    assert table["kind"].tolist() == [1, 2, 3, 0]
    assert table["world"].tolist() == [0, 0, 77, 0]
    assert table["window"].tolist() == [0, 0, 0, 4]
    assert memory.stats()["deltas"] == 2


def test_deltas_of_one_shape_share_buffers(memory: Memory) -> None:
    changes = memory.changes()
    for number in range(50):
        changes.patch(SMALL, changes.page(SMALL, f"f{number}"), {"value": [number] * number})
    memory.commit(changes)
    assert memory.stats()["deltas"] == 49 + 2  # no delta for no rows; heap and symbol
    snapshot = memory.at()
    for number, page in enumerate(snapshot.pages(SMALL)):
        assert snapshot.column(SMALL, page, "value").tolist() == [number] * number


def test_what_the_caller_keeps_can_change_later(memory: Memory) -> None:
    values, rows = np.array([1, 2, 3], "<u4"), np.array([0, 1, 2], "<u4")
    changes = memory.changes()
    page = changes.page(SMALL, "f")
    changes.patch_rows(SMALL, page, rows, {"value": values})
    values[:] = 0
    rows[:] = 0
    memory.commit(changes)
    assert memory.at().column(SMALL, page, "value").tolist() == [1, 2, 3]


def test_writes_to_a_page_deleted_by_the_same_commit_are_dropped(memory: Memory) -> None:
    changes = memory.changes()
    page = changes.page(SMALL, "f")
    changes.patch(SMALL, page, {"value": [1]})
    changes.delete(page)
    again = changes.page(SMALL, "f")
    changes.patch(SMALL, again, {"value": [2]})
    memory.commit(changes)
    assert memory.at().pages(SMALL).tolist() == [again]
    assert memory.at().column(SMALL, again, "value").tolist() == [2]


REFUSED: list[Callable[[Changes, int], object]] = [
    lambda c, p: c.patch(SMALL, p, {"value": [2**32]}),
    lambda c, p: c.patch(SMALL, p, {"value": [-1]}),
    lambda c, p: c.patch(SMALL, p, {"value": np.array([-1], "<i8")}),
    lambda c, p: c.patch(SMALL, p, {"value": [0.5]}),
    lambda c, p: c.patch(SMALL, p, {"value": ["text"]}),
    lambda c, p: c.patch(SMALL, p, {"value": 3}),
    lambda c, p: c.patch(SMALL, p, {"value": [[3]]}),
    lambda c, p: c.patch(SMALL, p, {}),
    lambda c, p: c.patch(SMALL, p, {"nothing": [1]}),
    lambda c, p: c.patch(SMALL, p, {"value": [1]}, start=-1),
    lambda c, p: c.patch(SMALL, p, {"value": [1]}, start=2**32 - 2),
    lambda c, p: c.patch(THING, p, {"byte": [1]}),
    lambda c, p: c.patch("nothing", p, {"byte": [1]}),
    lambda c, p: c.patch(SMALL, 99, {"value": [1]}),
    lambda c, p: c.patch_rows(SMALL, p, [1, 0], {"value": [1, 2]}),
    lambda c, p: c.patch_rows(SMALL, p, [1, 1], {"value": [1, 2]}),
    lambda c, p: c.patch_rows(SMALL, p, [1], {"value": [1, 2]}),
    lambda c, p: c.patch_rows(SMALL, p, [2**32 - 1], {"value": [1]}),
    lambda c, p: c.patch("type", 2, {"name": [1]}),
    lambda c, p: c.append(SMALL, {"value": [1]}),
    lambda c, p: c.append("symbol", {"length": [1]}),
    lambda c, p: c.append("type", {"name": [1], "lattice": [1, 2]}),
    lambda c, p: c.page("type", "f"),
    lambda c, p: c.delete(2),
    lambda c, p: c.delete(99),
]


@pytest.mark.parametrize("attempt", REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_leaves_no_trace(
    memory: Memory, attempt: Callable[[Changes, int], object]
) -> None:
    changes = memory.changes()
    page = changes.page(SMALL, "f")
    with pytest.raises(errors.UsageError):
        attempt(changes, page)
    changes.patch(SMALL, page, {"value": [1]})
    memory.commit(changes)
    assert memory.at().row_count(SMALL, page) == 1
    assert memory.stats()["rows"]["type"] == 0


def test_numbers_beyond_two_to_the_63_stay_exact(memory: Memory) -> None:
    page = memory.create_page(THING, "f")
    memory.update_page(page, [0, 1, 2], {"big": [2**64 - 1, 3, 2**63 + 1]})
    assert memory.query_page(page)["big"].tolist() == [2**64 - 1, 3, 2**63 + 1]


def test_changes_of_another_memory_are_refused(memory: Memory, path: Path) -> None:
    with Memory.create(path.with_name("b.mmsb"), KINDS) as other:
        foreign = other.changes()
        foreign.patch(SMALL, foreign.page(SMALL, "f"), {"value": [1]})
        before = (path / "segment-000001").read_bytes()
        with pytest.raises(errors.UsageError, match=r"collected for .*b\.mmsb"):
            memory.commit(foreign)
        assert (path / "segment-000001").read_bytes() == before
        assert other.commit(foreign) == 1


ODD: list[Callable[[Memory], object]] = [
    lambda m: m.at("1"),  # type: ignore[arg-type]
    lambda m: m.digest(0.5),  # type: ignore[arg-type]
    lambda m: m.diff(0, "x"),  # type: ignore[arg-type]
    lambda m: m.at().kind_of("x"),  # type: ignore[arg-type]
    lambda m: m.changes().symbol(5),  # type: ignore[arg-type]
    lambda m: m.changes().delete("x"),  # type: ignore[arg-type]
    lambda m: m.changes().patch(SMALL, "x", {"value": [1]}),  # type: ignore[arg-type]
    lambda m: m.changes().patch(SMALL, 9, {"value": [1]}, start=1.5),  # type: ignore[arg-type]
    lambda m: m.changes().append("event", [1]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("ask", ODD)
def test_values_of_another_type_are_refused(
    memory: Memory, ask: Callable[[Memory], object]
) -> None:
    with pytest.raises(errors.UsageError):
        ask(memory)


def test_far_rows_are_refused(memory: Memory) -> None:
    changes = memory.changes()
    page = changes.page(SMALL, "f")
    with pytest.raises(errors.UsageError, match="rows that a page can have"):
        changes.patch_rows(SMALL, page, [0, 4_000_000_000], {"value": [1, 2]})
    with pytest.raises(errors.UsageError, match="rows that a page can have"):
        changes.patch(SMALL, page, {"value": [1]}, start=2**27)
    changes.patch(SMALL, page, {"value": [1]}, start=2**27 - 1)


def test_cells_that_do_not_fit_into_memory_are_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "full", full)
    with pytest.raises(errors.EnvironmentProblem, match="fewer rows"):
        cells.filled(SMALL.columns[0], 2**40)

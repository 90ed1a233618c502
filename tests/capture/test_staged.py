"""Staged pages: whatever was set reads back, and only what changed is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmsb.base import schema
from mmsb.base.model import STAGES, Stage
from mmsb.capture.staged import Layout, PlainPage, StagedPage

BLOCK = Layout(schema.BLOCK)


class Cells:
    """A sink that keeps cells in a dictionary, as a memory would."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, int], int] = {}
        self.written = 0

    def page(self, _kind: Any, _key: str) -> int:
        return 7

    def patch(self, _kind: Any, _page: int, columns: dict[str, Any], start: int = 0) -> None:
        length = len(next(iter(columns.values())))
        self.patch_rows(_kind, _page, range(start, start + length), columns)

    def patch_rows(self, _kind: Any, _page: int, rows: Any, columns: dict[str, Any]) -> None:
        for name, values in columns.items():
            for row, value in zip(rows, np.asarray(values).tolist(), strict=True):
                self.cells[(name, int(row))] = value
                self.written += 1

    def read(self, kind: schema.Kind, name: str, stage: Stage, row: int) -> int:
        for s in reversed(STAGES[: STAGES.index(stage) + 1]):
            column = kind.column(schema.staged(name, s))
            value = self.cells.get((column.name, row), column.fill)
            if value != column.fill:
                return value
        return kind.column(schema.staged(name, Stage.LOWERED)).fill


State = dict[int, tuple[int, int]]
states = st.dictionaries(
    st.integers(0, 9), st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8
)


TAKEN = (Stage.LOWERED, Stage.INFERRED, Stage.OPTIMIZED)


def cells(state: State) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows, and alive, first, last of each."""
    rows = sorted(state)
    values = [[1] * len(rows), *([state[r][k] for r in rows] for k in (0, 1))]
    return np.array(rows, np.int64), np.array(values, np.uint32).reshape(3, len(rows))


@given(st.lists(st.tuples(states, states, states), min_size=1, max_size=4))
def test_every_stage_reads_as_last_set(versions: list[tuple[State, State, State]]) -> None:
    sink, page = Cells(), StagedPage(BLOCK, "f")
    page.grow(10)
    for version in versions:
        for stage, state in zip(TAKEN, version, strict=True):
            page.set_stage(sink, stage, *cells(state))  # type: ignore[arg-type]
            for row in range(10):
                alive = sink.read(schema.BLOCK, "alive", stage, row) == 1
                assert alive == (row in state)
                if alive:
                    got = tuple(sink.read(schema.BLOCK, n, stage, row) for n in ("first", "last"))
                    assert got == state[row]


def test_the_same_state_again_writes_nothing() -> None:
    sink, page = Cells(), StagedPage(BLOCK, "f")
    page.grow(3)
    for _ in range(2):
        for stage in STAGES:
            page.set_stage(sink, stage, *cells({r: (r, r) for r in range(3)}))  # type: ignore[arg-type]
    assert sink.written == 9  # alive, first, last of three rows, once


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 9), min_size=1)), max_size=6))
def test_a_plain_page_reads_as_last_set(updates: list[tuple[int, list[int]]]) -> None:
    sink, page, model = Cells(), PlainPage(schema.SLOT, "f"), {}
    for start, values in updates:
        page.update(sink, {"name": values}, start)  # type: ignore[arg-type]
        model.update({start + k: value for k, value in enumerate(values)})
    fill = schema.SLOT.column("name").fill
    for row in range(page.size):
        assert sink.cells.get(("name", row), fill) == model.get(row, fill)

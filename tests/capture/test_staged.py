"""Staged pages: whatever was set reads back, and only what changed is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmsb.base import schema
from mmsb.base.model import STAGES, Stage
from mmsb.capture.staged import PlainPage, StagedPage


class Cells:
    """A sink that keeps cells in a dictionary, as a memory would."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, int], int] = {}
        self.written = 0

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


@given(st.lists(st.tuples(states, states, states), min_size=1, max_size=4))
def test_every_stage_reads_as_last_set(versions: list[tuple[State, State, State]]) -> None:
    sink, page = Cells(), StagedPage(schema.BLOCK, 7)
    page.grow(10)
    for version in versions:
        for stage, state in zip(Stage, version, strict=True):
            rows = np.array(sorted(state), np.int64)
            page.set_stage(
                sink,  # type: ignore[arg-type]
                stage,
                rows,
                {
                    "first": np.array([state[r][0] for r in rows.tolist()], np.uint32),
                    "last": np.array([state[r][1] for r in rows.tolist()], np.uint32),
                },
            )
            for row in range(10):
                alive = sink.read(schema.BLOCK, "alive", stage, row) == 1
                assert alive == (row in state)
                if alive:
                    got = tuple(sink.read(schema.BLOCK, n, stage, row) for n in ("first", "last"))
                    assert got == state[row]


def test_the_same_state_again_writes_nothing() -> None:
    sink, page = Cells(), StagedPage(schema.BLOCK, 7)
    page.grow(3)
    rows = np.arange(3)
    values = {"first": np.arange(3, dtype=np.uint32), "last": np.arange(3, dtype=np.uint32)}
    for _ in range(2):
        for stage in Stage:
            page.set_stage(sink, stage, rows, values)  # type: ignore[arg-type]
    assert sink.written == 9  # alive, first, last of three rows, once


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 9), min_size=1)), max_size=6))
def test_a_plain_page_reads_as_last_set(updates: list[tuple[int, list[int]]]) -> None:
    sink, page, model = Cells(), PlainPage(schema.SLOT, 1, ["name"]), {}
    for start, values in updates:
        page.update(sink, {"name": values}, start)  # type: ignore[arg-type]
        model.update({start + k: value for k, value in enumerate(values)})
    fill = schema.SLOT.column("name").fill
    for row in range(page.size):
        assert sink.cells.get(("name", row), fill) == model.get(row, fill)

"""Cells in fewer bytes, and one for a delta: every reader gets the bits that were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base.rect import Rows
from mmsb.base.schema import DTYPES, HEAP, SYMBOL, TYPE, Column, Kind
from mmsb.memory.check import check
from mmsb.memory.frame import SHAPED, Frame
from mmsb.memory.kernels_fields import META
from mmsb.memory.memory import Memory
from mmsb.memory.shapes import EACH, narrowed, shape_of, widened
from mmsb.testing.contracts import assert_same_diff, assert_same_epoch, same
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL, THING, cell

NAMES = ["p0", "p1", "p2"]
#: Around where a value no longer fits, and the numbers that mean something.
EDGES = [
    *(2 ** (8 * size) + more for size in (1, 2, 4) for more in range(-4, 2)),
    *(2**64 - 1, 2**64 - 2, 2**64 - 3, 2**63, 0, 1),
]
WIDE = Kind(
    60,
    "wide",
    tuple(Column(at, dtype, dtype, 0) for at, dtype in enumerate(DTYPES)),
)


def cells_of(column: Column, count: int) -> st.SearchStrategy[list[Any]]:
    """Cells near the edges of what fewer bytes hold, or small, or all the same."""
    width, dtype = (DTYPES[column.dtype][0], DTYPES[column.dtype][1])

    def bits(number: int) -> Any:
        return np.array([number % 2 ** (8 * width)], f"<u{width}").view(dtype)[0]

    edge, small = st.sampled_from(EDGES).map(bits), st.integers(0, 200).map(bits)
    one = edge | small | cell(column)
    few = st.lists(small, min_size=count, max_size=count)
    near = st.lists(edge | small, min_size=count, max_size=count)
    return few | near | one.map(lambda value: [value] * count)


@given(st.sampled_from(WIDE.columns).flatmap(lambda c: st.tuples(st.just(c), cells_of(c, 12))))
@settings(max_examples=300, deadline=None)
def test_narrowed_cells_come_back_bit_for_bit(drawn: tuple[Column, list[Any]]) -> None:
    column, listed = drawn
    values = np.array(listed, DTYPES[column.dtype][1])
    edges = np.array([0, 5, 6, 12])
    shape = shape_of(values, edges)
    stored = narrowed(values, shape, edges)
    assert stored.dtype.itemsize == 1 << (shape & 3) <= values.dtype.itemsize
    counts = np.diff(edges) if shape & EACH else np.ones(len(values), int)
    assert np.repeat(widened(stored, values.dtype), counts).tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("values", "bytes_"),
    [([0, 253], 1), ([0, 254], 2), ([2**32 - 1, 2**32 - 2, 7], 1), ([2**32 - 3], 4), ([65534], 4)],
)
def test_the_two_highest_numbers_take_no_room(values: list[int], bytes_: int) -> None:
    edges = np.arange(len(values) + 1)
    assert 1 << (shape_of(np.array(values, "<u4"), edges) & 3) == bytes_


patches = st.lists(
    st.none()
    | st.tuples(
        st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True).map(sorted),
        st.booleans(),
    ),
    min_size=len(NAMES),
    max_size=len(NAMES),
)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_read_gives_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kinds = (HEAP, SYMBOL, TYPE, WIDE)
    path, oracle = tmp_path_factory.mktemp("shapes") / "a.mmsb", Oracle(kinds)
    with Memory.create(path, kinds, segment_bytes=4096, durability="none") as memory:
        for _ in range(data.draw(st.integers(1, 4))):
            ours, theirs = memory.changes(), oracle.changes()
            names = data.draw(st.lists(st.sampled_from(WIDE.columns), min_size=1, unique=True))
            for name, patch in zip(NAMES, data.draw(patches), strict=True):
                if patch is not None:
                    rows, gapless = patch
                    rows = list(range(rows[0], rows[0] + len(rows))) if gapless else rows
                    cells = {c.name: data.draw(cells_of(c, len(rows))) for c in names}
                    for side in (ours, theirs):
                        side.patch_rows(WIDE, side.page(WIDE, name), rows, cells)
            assert memory.commit(ours, narrow=True) == oracle.commit(theirs)
            assert_same_epoch(memory, oracle, memory.head)
            assert_same_diff(memory, oracle, memory.head - 1, memory.head)
        for page in oracle.at().pages(WIDE).tolist():
            for epoch, state in memory.replay(page, 1, memory.head):
                for name, values in state.items():
                    assert same(values, oracle.at(epoch).column(WIDE, page, name))
    assert check(path).sound
    with Memory.open(path, kinds=kinds) as memory:
        assert_same_epoch(memory, oracle, memory.head)


def sizes(memory: Memory) -> list[int]:
    ends = [memory._index.end_of(epoch)[1] for epoch in range(memory.head + 1)]
    return np.diff(ends).tolist()


def test_one_cell_stands_for_all_of_a_delta(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "a.mmsb", KINDS) as memory:
        changes = memory.changes()
        pages = changes.pages(SMALL, [str(n) for n in range(1000)])
        memory.commit(changes)
        for narrow in (False, True):
            changes = memory.changes()
            changes.patch_many(SMALL, pages, {"value": np.repeat(np.arange(1000) << 20, 50)})
            memory.commit(changes, narrow=narrow)
        assert sizes(memory)[1:] == pytest.approx([208_000, 12_000], rel=0.05)
        for compiled in (True, False):
            memory._index.compiled = compiled
            values, _ = memory.at().gather(SMALL, "value")
            assert (values == np.repeat(np.arange(1000) << 20, 50)).all()
            assert (
                memory.at().column(SMALL, int(pages[7]), "value", Rows(10, 13)).tolist()
                == [7 << 20] * 3
            )


def test_a_frame_is_of_the_version_that_it_needs(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "a.mmsb", KINDS) as memory:
        page = memory.create_page(THING, "f")
        for value, narrow in ((2**40, True), (1, False), (1, True)):
            changes = memory.changes()
            changes.patch(THING, page, {"big": [value] * 40})
            memory.commit(changes, narrow=narrow)
        run = memory._index.open_run
        assert run is not None
        held = [Frame(run.segment, at, len(run.segment.bytes)) for at in run.frames.values.tolist()]
        assert [frame.version for frame in held] == [2, 2, 3, 2, 3]
        assert held[4].table.batch_flags.tolist() == [4 | SHAPED]
        assert held[4].size < held[3].size


def test_what_is_not_narrow_is_a_view_as_before(tmp_path: Path) -> None:
    with Memory.create(tmp_path / "a.mmsb", KINDS) as memory:
        changes = memory.changes()
        page = changes.page(SMALL, "p")
        changes.patch(SMALL, page, {"value": np.arange(1000) << 20})
        memory.commit(changes, narrow=True)
        assert memory.at().column(SMALL, page, "value").base is not None


@pytest.mark.parametrize("narrow", [True, False])
def test_what_is_kept_of_narrow_commits_stays_narrow(tmp_path: Path, narrow: bool) -> None:
    with Memory.create(tmp_path / "a", KINDS) as memory:
        for epoch in range(3):
            changes = memory.changes()
            pages = changes.pages(SMALL, [f"p{at}" for at in range(50)])
            changes.patch_many(SMALL, pages, {"value": np.arange(5000, dtype="u4") % (100 + epoch)})
            memory.commit(changes, narrow=narrow)
        digest, truth = memory.digest(), memory.at().gather(SMALL, "value")[0]
    before = _size(memory.path)
    with Memory.open(memory.path, write=True, kinds=KINDS) as memory:
        memory.retain(memory.head)
        assert memory.digest() == digest
        assert memory.at().gather(SMALL, "value")[0].tolist() == truth.tolist()
        run = memory._index.runs[0]
        kept = [
            run.table[at]
            for at in range(len(run.table))
            if run.table[at, META] & 0xFFFF == SMALL.id
        ]
        assert [bool(int(row[META]) >> 16 & SHAPED) for row in kept] == [narrow] * len(kept) != []
    assert _size(memory.path) < before
    assert check(memory.path).sound


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("segment-*"))

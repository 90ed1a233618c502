"""Cells that equal the head's are not stored again, and nothing else is left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base.errors import CorruptData
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import assert_same_diff, assert_same_epoch
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL, THING

NAMES = [f"p{n}" for n in range(4)]
#: Few values, so that many are written again; beyond the last row too.
VALUES = [0, 1, 2**32 - 1]

#: (first row, cells of "name" and of "type") for each page, or none.
patches = st.lists(
    st.none()
    | st.tuples(
        st.integers(0, 4),
        st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(VALUES)), max_size=6),
    ),
    min_size=len(NAMES),
    max_size=len(NAMES),
)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.create(tmp_path / "a.mmsb", KINDS) as made:
        yield made


@given(st.lists(st.tuples(patches, st.booleans()), max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_written_is_what_differs(
    tmp_path_factory: pytest.TempPathFactory, commits: list[Any]
) -> None:
    path, oracle = tmp_path_factory.mktemp("equal") / "a.mmsb", Oracle(KINDS)
    with Memory.create(path, KINDS, segment_bytes=4096, durability="none") as memory:
        for given_, at_once in commits:
            ours, theirs = memory.changes(), oracle.changes()
            pages = ours.pages(THING, NAMES).tolist()
            assert [theirs.page(THING, name) for name in NAMES] == pages
            said = [(page, one) for page, one in zip(pages, given_, strict=True) if one]
            columns = {
                name: [cells[at] for _, (_, listed) in said for cells in listed]
                for at, name in enumerate(("name", "type"))
            }
            starts = [start for _, (start, _) in said]
            counts = [len(listed) for _, (_, listed) in said]
            ends = np.cumsum(counts).tolist()
            for (page, _), start, count, end in zip(said, starts, counts, ends, strict=True):
                own = {name: cells[end - count : end] for name, cells in columns.items()}
                theirs.patch(THING, page, own, start)
                if not at_once:
                    ours.patch(THING, page, own, start)
            if at_once:
                ours.patch_many(THING, [page for page, _ in said], columns, starts, counts)
            committed = memory.commit(ours, drop_equal=True)
            assert committed == oracle.commit(theirs, drop_equal=True)
            assert_same_epoch(memory, oracle, memory.head)
            assert_same_diff(memory, oracle, memory.head - 1, memory.head)


def test_the_same_again_is_an_epoch_without_a_delta(memory: Memory) -> None:
    cells = {"name": np.arange(1000), "real": np.full(1000, np.nan)}
    for _ in range(2):
        changes = memory.changes()
        changes.patch(THING, changes.page(THING, "f"), cells)
        memory.commit(changes, drop_equal=True)
    assert (memory.head, memory.diff(1, 2)) == (2, ())
    assert memory.at().written(memory.at().pages(THING)[0]).tolist() == [1]
    sizes = [memory._index.end_of(epoch)[1] for epoch in (1, 2)]
    assert sizes[1] - sizes[0] == 128


def test_zeros_of_two_signs_differ(memory: Memory) -> None:
    for value in (0.0, -0.0):
        changes = memory.changes()
        changes.patch(THING, changes.page(THING, "f"), {"real": [value]})
        memory.commit(changes, drop_equal=True)
    real = memory.at().column(THING, int(memory.at().pages(THING)[0]), "real")
    assert np.signbit(real).tolist() == [True]


def test_one_changed_cell_of_a_table_is_all_that_is_stored(memory: Memory) -> None:
    changes, count = memory.changes(), 100_000
    pages = changes.pages(SMALL, [str(n) for n in range(10)])
    changes.patch_many(SMALL, pages, {"value": np.arange(count)})
    memory.commit(changes)
    values = np.arange(count)
    values[12_345] = 7
    changes = memory.changes()
    changes.patch_many(SMALL, pages, {"value": values})
    memory.commit(changes, drop_equal=True)
    (entry,) = memory.diff(1, 2)
    assert (entry.page, entry.rows.tolist()) == (pages[1], [2345])


def test_a_page_that_one_commit_writes_twice_reads_as_the_last_says(memory: Memory) -> None:
    changes = memory.changes()
    page = changes.page(SMALL, "p")
    changes.patch(SMALL, page, {"value": [1, 1]})
    memory.commit(changes)
    changes = memory.changes()
    changes.patch(SMALL, page, {"value": [2, 2]})
    changes.patch_many(SMALL, [page], {"value": [1]})
    memory.commit(changes, drop_equal=True)
    assert memory.at().column(SMALL, page, "value").tolist() == [1, 2]


def test_what_it_compares_with_must_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.mmsb"
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "p")
        memory.update_page(page, range(30_000), {"value": np.arange(30_000) | 0x5A5A0000})
    raw = bytearray((path / "segment-000001").read_bytes())
    raw[-40_000] ^= 1
    (path / "segment-000001").write_bytes(raw)
    with Memory.open(path, write=True, kinds=KINDS) as memory:
        changes = memory.changes()
        changes.patch(SMALL, page, {"value": np.arange(30_000)})
        with pytest.raises(CorruptData):
            memory.commit(changes, drop_equal=True)
        head = memory.head
        assert memory.commit(changes) == head + 1

"""The states of a page one after another are those that every epoch says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base import errors
from mmsb.base.rect import Rows
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING, columns, row_lists


def assert_replays(memory: Memory, page: int, first: int, last: int) -> list[int]:
    """The epochs, and each state is that of its epoch."""
    epochs = []
    for epoch, state in memory.replay(page, first, last):
        epochs.append(epoch)
        for name, values in memory.query_page(page, epoch).items():
            assert values.dtype == state[name].dtype
            assert values.tobytes() == state[name].tobytes(), (epoch, name)
            assert not state[name].flags.writeable
    return epochs


@given(
    st.lists(
        st.lists(row_lists().flatmap(lambda r: st.tuples(st.just(r), columns(THING, len(r))))),
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_state_is_that_of_its_epoch(
    tmp_path_factory: pytest.TempPathFactory,
    commits: list[list[tuple[list[int], dict[str, Any]]]],
) -> None:
    path = tmp_path_factory.mktemp("replay") / "memory"
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        page, other = memory.create_page(THING, "f"), memory.create_page(SMALL, "g")
        for writes in commits:
            changes = memory.changes()
            changes.patch(SMALL, other, {"value": [1, 2]})
            for rows, held in writes:
                changes.patch_rows(THING, page, rows, held)
            memory.commit(changes)
        head = memory.head
        wrote = memory.at().written(page).tolist()
        assert assert_replays(memory, page, 1, head) == wrote
        later = [epoch for epoch in wrote if 4 <= epoch <= head - 1]
        if head > 4:
            assert assert_replays(memory, page, 4, head - 1) == later


def test_a_batch_of_many_pages_is_one_step_for_each(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        pages = changes.pages(SMALL, [f"p{n}" for n in range(50)])
        changes.patch_many(SMALL, pages, {"value": np.arange(200)}, starts=np.arange(50))
        memory.commit(changes)
        changes = memory.changes()
        counts = np.arange(50) % 3 + 1
        cells = {"value": np.arange(counts.sum())}
        changes.patch_many(SMALL, pages, cells, starts=7, counts=counts)
        memory.commit(changes)
        for page in pages.tolist():
            assert assert_replays(memory, page, 0, 2) == [1, 2]


def test_a_deletion_ends_it_and_what_was_not_written_is_shared(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(THING, "f")
        memory.update_page(page, Rows(0, 3), {"byte": [1, 2, 3], "big": [4, 5, 6]})
        memory.update_page(page, [1], {"byte": [9]})
        (_, one), (_, two) = memory.replay(page, 0, memory.head)
        assert two["big"] is one["big"]
        assert one["byte"].tolist() == [1, 2, 3]
        changes = memory.changes()
        changes.delete(page)
        memory.commit(changes)
        assert [epoch for epoch, _ in memory.replay(page, 0, memory.head)] == [2, 3]
        assert list(memory.replay(page, memory.head, memory.head)) == []


def test_what_cannot_be_replayed_is_said(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(THING, "f")
        with pytest.raises(errors.UsageError, match="swap"):
            memory.replay(page, 1, 0)
        with pytest.raises(errors.UnknownName):
            memory.replay(page, 0, 2)
        with pytest.raises(errors.UnknownName):
            memory.replay(page + 1, 0, 1)

"""Columnar batches: many pages and many deltas in one call, against the same said one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base import errors
from mmsb.memory.changes import Changes
from mmsb.memory.check import check
from mmsb.memory.disk import File
from mmsb.memory.frame import Draft
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import assert_same_epoch
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL, THING

NAMES = [f"p{n}" for n in range(6)]

#: (pages, first rows, rows of each) of one call.
calls = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.integers(0, 4)), max_size=8
)


@given(st.lists(st.lists(calls, max_size=3), max_size=4), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_deltas_are_as_many_patches(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[Any]], compiled: bool
) -> None:
    path, oracle = tmp_path_factory.mktemp("many") / "a.mmsb", Oracle(KINDS)
    with Memory.create(path, KINDS, segment_bytes=4096, durability="none") as memory:
        memory._index.compiled = compiled
        for number, batch in enumerate(commits):
            ours, theirs = memory.changes(), oracle.changes()
            pages = dict(zip(NAMES, ours.pages(THING, NAMES).tolist(), strict=True))
            assert [theirs.page(THING, name) for name in NAMES] == list(pages.values())
            for call in batch:
                counts = [count for _, _, count in call]
                cells = np.arange(sum(counts)) + 100 * number
                columns = {"byte": cells % 251, "big": cells}
                ours.patch_many(
                    THING, [pages[name] for name, _, _ in call], columns,
                    starts=[start for _, start, _ in call], counts=counts,
                )  # fmt: skip
                for (name, start, count), end in zip(call, np.cumsum(counts), strict=True):
                    own = {key: values[end - count : end] for key, values in columns.items()}
                    theirs.patch(THING, pages[name], own, start)
            assert memory.commit(ours) == oracle.commit(theirs)
            assert_same_epoch(memory, oracle, memory.head)
    assert check(path).sound


def test_pages_are_those_that_page_makes(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        first = changes.page(SMALL, "b")
        pages = changes.pages(SMALL, ["a", "b", "c", "a"])
        assert pages.tolist() == [first + 1, first, first + 2, first + 1]
        assert changes.page(SMALL, "c") == first + 2
        assert changes.pages(SMALL, ["c", "ü"]).tolist() == [first + 2, first + 3]
        memory.commit(changes)
        changes = memory.changes()
        changes.delete(first)
        again = changes.pages(SMALL, ["c", "b", "new", "a"])
        assert again.tolist() == [first + 2, first + 4, first + 5, first + 1]
        memory.commit(changes)
        assert memory.at().subjects(again) == ["c", "b", "new", "a"]
        assert memory.changes().pages(SMALL, ["b"]).tolist() == [first + 4]


Wrong = Callable[[Changes, int], object]
WRONG: dict[str, tuple[Wrong, type[errors.MmsbError], str]] = {
    "cells that do not divide": (
        lambda c, p: c.patch_many(SMALL, [p, p], {"value": [1, 2, 3]}),
        errors.UsageError, "counts"),
    "counts that do not add up": (
        lambda c, p: c.patch_many(SMALL, [p], {"value": [1, 2]}, counts=[3]),
        errors.UsageError, "3 rows"),
    "too few starts": (
        lambda c, p: c.patch_many(SMALL, [p, p], {"value": [1, 2]}, starts=[0]),
        errors.UsageError, "one start"),
    "a start below zero": (
        lambda c, p: c.patch_many(SMALL, [p], {"value": [1]}, starts=-1), errors.UsageError, "-1"),
    "rows that a page cannot have": (
        lambda c, p: c.patch_many(SMALL, [p], {"value": [1]}, starts=2**30),
        errors.UsageError, "outside"),
    "a page that is not there": (
        lambda c, p: c.patch_many(SMALL, [p, 999], {"value": [1, 2]}), errors.UnknownName, "999"),
    "a page of another kind": (
        lambda c, p: c.patch_many(THING, [p], {"byte": [1]}), errors.UsageError, "of kind 'small'"),
    "a table": (
        lambda c, p: c.patch_many("type", [0], {"name": [1]}), errors.UsageError, "append-only"),
    "a page of it patched later": (
        lambda c, p: (c.patch_many(SMALL, [p], {"value": [1]}), c.patch(SMALL, p, {"value": [2]})),
        errors.UsageError, "earlier patch_many"),
    "a deleted page": (
        lambda c, p: (c.delete(p), c.patch_many(SMALL, [p], {"value": [1]})),
        errors.UsageError, "deleted"),
    "pages of a table": (lambda c, p: c.pages("type", ["x"]), errors.UsageError, "append"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(
    path: Path, wrong: Wrong, error: type[errors.MmsbError], words: str
) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "x")
        with pytest.raises(error, match=words):
            wrong(memory.changes(), page)


def test_a_deleted_page_takes_its_deltas_with_it(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        one, two = changes.pages(SMALL, ["one", "two"]).tolist()
        changes.patch_many(SMALL, [one, two, one], {"value": [1, 2, 3]}, starts=[0, 0, 1])
        changes.delete(one)
        memory.commit(changes)
        assert memory.at().gather(SMALL, "value")[0].tolist() == [2]
        assert memory.at().written(one).tolist() == [1]


def test_a_conflict_names_the_pages(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        pages = memory.changes()
        one, two = pages.pages(SMALL, ["one", "two"]).tolist()
        memory.commit(pages)
        late = memory.changes()
        late.patch_many(SMALL, [one, two], {"value": [1, 2]})
        memory.update_page(two, [0], {"value": [9]})
        with pytest.raises(errors.Conflict, match=f"page {two}"):
            memory.commit(late)


def test_a_large_frame_is_written_in_pieces_and_is_the_same_bytes(path: Path) -> None:
    random = np.random.default_rng(1)
    parts = [random.bytes(size) for size in (8, 65536 - 16, 5_000_000, 24, 2_000_000)]
    for table in (b"t" * 64, b"t" * 1_200_000):
        draft = Draft(3, 0, 0, table, parts)
        path.mkdir(exist_ok=True)
        file = File(path / f"of{len(table)}", os.O_CREAT)
        draft.write(file, 7, 640)
        written = (path / f"of{len(table)}").read_bytes()
        assert written[640:] == bytes(draft.render(7, 640))
        assert len(written) == 640 + draft.size
        file.close()

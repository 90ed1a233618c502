"""The laws of ⊕ and ⊗."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from mmsb.base.errors import UsageError
from mmsb.base.rect import Rows
from mmsb.memory.delta import Delta, Patch, apply, merge, new_delta
from mmsb.memory.page import Page
from mmsb.testing.strategies import SMALL, THING, deltas

EMPTY = Patch(0, THING, {})
PAGE = Page.empty(0, THING)


@given(deltas(), deltas(), deltas())
def test_merge_is_associative(a: Delta, b: Delta, c: Delta) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c)


@given(deltas())
def test_merge_is_idempotent(a: Delta) -> None:
    assert merge(a, a) == Patch.of(a)


@given(deltas())
def test_the_empty_patch_is_the_identity(a: Delta) -> None:
    assert merge(a, EMPTY) == merge(EMPTY, a) == Patch.of(a)


@given(deltas(), deltas(), deltas())
def test_applying_twice_is_applying_the_merge(p: Delta, a: Delta, b: Delta) -> None:
    page = apply(PAGE, p)
    assert apply(apply(page, a), b) == apply(page, merge(a, b))


@given(deltas(), deltas())
def test_applying_is_idempotent_and_leaves_the_page_alone(p: Delta, a: Delta) -> None:
    page = apply(PAGE, p)
    before = {name: values.copy() for name, values in page.columns.items()}
    assert apply(apply(page, a), a) == apply(page, a)
    assert apply(page, EMPTY) == page
    assert all(np.array_equal(before[n], v, equal_nan=True) for n, v in page.columns.items())


@given(deltas(), deltas(), deltas())
def test_a_patch_is_its_deltas(a: Delta, b: Delta, c: Delta) -> None:
    patch = merge(a, b, c)
    parts = patch.deltas()
    assert patch == (merge(*parts) if parts else EMPTY)
    written = [name for part in parts for name in part.columns]
    assert len(written) == len(set(written))


def test_the_later_cell_wins() -> None:
    def at(rows: list[int], values: list[int]) -> Delta:
        cells = {"value": np.array(values, "<u4")}
        return new_delta(0, SMALL, np.array(rows, "<u4"), cells)

    (only,) = merge(at([1, 2, 3], [10, 20, 30]), at([2, 9], [99, 90])).deltas()
    assert only.touched().tolist() == [1, 2, 3, 9]
    assert only.buffers["value"].tolist() == [10, 99, 30, 90]
    assert (only.rows, only.sparse is None) == (Rows(1, 10), False)


def test_deltas_of_two_pages_do_not_merge() -> None:
    cells = {"value": np.zeros(1, "<u4")}
    with pytest.raises(UsageError, match="of one page"):
        merge(new_delta(0, SMALL, Rows(0, 1), cells), new_delta(1, SMALL, Rows(0, 1), cells))


@pytest.mark.parametrize(
    ("rows", "sparse", "cells"),
    [
        (Rows(0, 2), None, np.zeros(3, "<u4")),
        (Rows(0, 2), None, np.zeros(2, "<u8")),
        (Rows(0, 2), np.array([1, 2], "<u4"), np.zeros(2, "<u4")),
    ],
)
def test_a_delta_whose_buffers_do_not_fit_is_refused(
    rows: Rows, sparse: np.ndarray | None, cells: np.ndarray
) -> None:
    with pytest.raises(UsageError, match=r"rows|buffer"):
        Delta(0, 0, SMALL, ("value",), rows, sparse, 0, 0, {"value": cells})

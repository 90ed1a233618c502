"""A function defined again and again costs the memory its facts, and Julia no more heap."""

from __future__ import annotations

import pytest
from inside import Python


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.long)])
def test_redefinitions_cost_their_facts(python: Python, count: int) -> None:
    found = python.facts("growth.py", str(count))
    first, *_, before, last = found["facts"]
    assert last - before == pytest.approx((last - first) / 3, rel=0.1)
    plain, recorded = (live[3] - live[1] for live in found["live"].values())
    # beside what Julia itself keeps of each: until `stop`, that it has been told, and its symbols
    assert recorded < plain + 1000 * (2 * count // 3)

"""Names of thousands of characters: each question answers, or says shortly why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmsb
from mmsb.base.errors import MmsbError
from mmsb.testing.hostile import LONGEST

TOUR = Path(mmsb.__file__).parent / "data" / "tour.mmsb"
LONG = {
    "a word": "f" * 5000,
    "modules": "A." * 3000 + "f",
    "types": f"f({'::Int64, ' * 2000}::Int64)",
    "one type": f"f(::{'Vector{' * 900}Int64{'}' * 900})",
    "values": f"f({'1, ' * 2000}1)",
    "cut": f"f({'::Int64, ' * 2000}…",
    "no end": "f" + "(" * 3000,
    "where": f"h(::T) where {{{'T<:Int64, ' * 2000}T}}",
    "a tuple": f"Tuple{{typeof(f), {'Int64, ' * 2000}Int64}}",
    "of": f"{'f' * 3000}(::Int64) of {'g' * 3000}(::Any)",
}


@pytest.mark.parametrize("name", LONG)
def test_what_is_said_of_a_long_name_is_short(name: str) -> None:
    long = LONG[name]
    with mmsb.open(TOUR) as memory:
        now = memory.at()
        asks: dict[str, Callable[[Any], Any]] = {
            **{
                ask.__name__: ask
                for ask in (now.show, now.why, now.warn, now.dependencies, now.callers)
            },
            **{ask.__name__: ask for ask in (now.callees, now.impact, now.cause, now.decisions)},
            "reached": lambda long: memory.reached(0, 3, start=long),
            "log": memory.log,
            "stage": lambda long: now.show("price", stage=long),
            "diff": lambda long: memory.diff(0, 3, long),
            "subscribe": lambda long: memory.subscribe(None, [long], print),
        }
        for what, ask in asks.items():
            try:
                ask(long)
            except MmsbError as error:
                told = str(error)
                assert len(told) <= LONGEST, f"{what}: {told[:200]}"
                assert "\n" not in told

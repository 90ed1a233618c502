"""Something hostile in each position of a call: an answer, or one sentence of a named error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmsb.base.errors import MmsbError
from mmsb.base.rect import Rows
from mmsb.testing.strategies import SMALL

#: A function and right arguments, by what it is called in a report.
Calls = Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]]
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 2**63, 2**64, 10**400, 1.5, float("nan"), 1j, object(), int, slice(0, 2)),
    *("", "zz", "\ud800", "a\0b", "x" * 5000, b"x", np.int64(1), np.bool_(True), SMALL, Rows(0, 1)),
    *([], {}, {1}, range(2**40), (1, 2), [None], [-1], [1.5], [2**64], [99_999], [1j]),
    *(["a"], [[]], [[1], [1, 2]]),
    *({"value": 1}, {"nope": [1]}, {"value": [1j]}, [np.complex64(1)], [0] * 10_000),
    *(np.array(3), np.array([1.5]), np.array([[1], [2]]), np.zeros((0, 2)), np.array(["a"])),
    *(np.array([True, False]), np.array([None]), np.array(["2020"], "M8[s]"), np.array([1j])),
    *(np.array([-1]), np.array([2**63], "u8"), np.ma.MaskedArray([1, 2], [True, False])),
    *(np.array([float("nan")]), lambda: 1),
)

LONGEST = 600  # characters of one sentence


def swept(calls: Calls) -> list[str]:
    """Whatever each call does in a wrong way with one hostile argument among right ones."""
    wrong: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, (call, right) in calls.items():
            for at in range(len(right)):
                for hostile in HOSTILE:
                    what = f"{name}, argument {at}: {hostile!r:.40}"
                    try:
                        call(*right[:at], hostile, *right[at + 1 :])
                    except MmsbError as error:
                        told = str(error)
                        if "\n" in told or not 0 < len(told) <= LONGEST:
                            wrong.append(f"{what} is told as {error!r:.200}")
                    except Exception as error:
                        wrong.append(f"{what} ends in {error!r:.200}")
    return wrong

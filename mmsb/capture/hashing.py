"""Hashes of many rows at once: 64 bits, the same on every machine and in every run.

Equality of hashes stands for equality of what is hashed where both belong to one code object: a
few thousand things, so that two alike by chance come once in some 10^12 code objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

# splitmix64 (public domain, Sebastiano Vigna, https://prng.di.unimi.it/splitmix64.c)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mixed(values: NDArray[Any]) -> U64:
    """Every bit of a result depends on every bit of its value."""
    out = values.astype(np.uint64)
    out += _STEP
    out ^= out >> np.uint64(30)
    out *= _FIRST
    out ^= out >> np.uint64(27)
    out *= _SECOND
    out ^= out >> np.uint64(31)
    return out


def combined(*columns: NDArray[Any]) -> U64:
    """One hash for each row of the columns; their order counts."""
    out = mixed(columns[0])
    for column in columns[1:]:
        out ^= column.astype(np.uint64)
        out = mixed(out)
    return out


def of_lists(rows: U64, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> U64:
    """One hash for each list: of rows [start, start + length), whose hashes hold their places."""
    sums = np.zeros(len(rows) + 1, np.uint64)
    np.cumsum(rows, out=sums[1:])
    return mixed(sums[starts + lengths] - sums[starts] + lengths.astype(np.uint64))

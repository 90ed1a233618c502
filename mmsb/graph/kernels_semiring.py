"""The built-in semirings' two operations on unsigned numbers; none wraps round, all saturate.

``ring`` u64[8], in every kernel: `OP`, `MOST` … are places in it. A user's own semiring has the
kernels made anew with its ``add`` and ``multiply`` in place of these two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel

OP, MOST, ZERO, ONE, UNIT, IDEMPOTENT, SELECTIVE, ABSORPTIVE = range(8)
# any_pair is lor_land on edges that all weigh one.
LOR_LAND, ANY_PAIR, MIN_PLUS, MAX_PLUS, PLUS_TIMES, MAX_MIN, USER = range(7)
_0, _1 = np.uint64(0), np.uint64(1)


@kernel
def plus(left: Any, right: Any, most: Any) -> Any:
    """The sum, or ``most``."""
    return left + right if right <= most - left else most


@kernel
def add(ring: Any, left: Any, right: Any) -> Any:
    """Two ways to one node put together."""
    op = ring[OP]
    if op == MIN_PLUS:
        return min(left, right)
    if op == PLUS_TIMES:
        return plus(left, right, ring[MOST])
    if op == MAX_PLUS:  # all ones is the least: one more makes it 0
        if left == ring[ZERO]:
            return right
        return left if right == ring[ZERO] else max(left, right)
    return max(left, right)


@kernel
def multiply(ring: Any, value: Any, weight: Any) -> Any:
    """A value taken along an edge."""
    op, most = ring[OP], ring[MOST]
    if op == MIN_PLUS:
        return plus(value, weight, most)
    if op == MAX_MIN:
        return min(value, weight)
    if op <= ANY_PAIR:
        return min(value, weight, _1)
    if op == MAX_PLUS:
        if value == ring[ZERO] or weight == ring[ZERO]:
            return ring[ZERO]
        return plus(value, weight, most - _1)
    if value == _0:
        return _0
    return value * weight if weight <= most // value else most

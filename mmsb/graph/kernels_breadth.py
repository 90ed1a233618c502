"""Breadth first: hops and the least predecessor, along few edges or against all of them.

``labels`` u64[count]: hops above the parent, `NEVER` where nothing came. The lesser label wins, so
that the order in which edges are looked at does not matter. A sparse step goes along the edges of
the frontier, a run of ``queue``; a dense one asks of each node that has not been reached whether an
edge comes from the frontier, which is then a bit a node. Either finds the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel

NEVER = np.uint64(2**64 - 1)
NONE = np.uint32(2**32 - 1)
_1, _32 = np.uint64(1), np.uint64(32)


@kernel
def along(
    starts: Any,
    stops: Any,
    targets: Any,
    labels: Any,
    queue: Any,
    at: int,
    held: int,
    level: int,
    last: int,
    counted: int,
    most: int,
) -> Any:
    """Sparse steps from ``queue[at:held]``, at ``level``; if that is 0 nothing else is reached.

    Until nothing is new, or at level ``last``, or where the frontier has more than ``most`` edges,
    which is looked at only of ``counted`` nodes or more. ``queue`` u32[count]. (at, held, level).
    """
    if level == 0:
        labels[:] = NEVER
        for i in range(held):
            labels[queue[i]] = np.uint64(NONE)
    while at < held and level < last:
        if held - at >= counted:
            size = 0
            for i in range(at, held):
                size += stops[queue[i]] - starts[queue[i]]
            if size > most:
                break
        level += 1
        end, step = held, np.uint64(level) << _32
        for i in range(at, end):
            node = queue[i]
            label = step | np.uint64(node)
            for edge in range(starts[node], stops[node]):
                to = targets[edge]
                before = labels[to]
                if before > label:
                    labels[to] = label
                    if before == NEVER:
                        queue[held] = to
                        held += 1
        at = end
    return at, held, level


@kernel
def to_bits(labels: Any, level: int, front: Any, seen: Any, low: int, high: int) -> int:
    """Words ``low`` … ``high`` of the bits of the frontier, which is at ``level``, and of all."""
    count, now = len(labels), np.uint64(level)
    for word in range(low, high):
        new = old = np.uint64(0)
        first = word << 6
        for bit in range(min(64, count - first)):
            label = labels[first + bit]
            old |= np.uint64(label != NEVER) << np.uint64(bit)
            new |= np.uint64(label >> _32 == now) << np.uint64(bit)
        if first + 64 > count:
            old |= ~np.uint64(0) << np.uint64(count - first)
        front[word], seen[word] = new, old
    return 0


@kernel
def against(
    starts: Any,
    stops: Any,
    sources: Any,
    ordered: bool,
    labels: Any,
    front: Any,
    seen: Any,
    fresh: Any,
    level: int,
    low: int,
    high: int,
) -> int:
    """A dense step to ``level`` for the nodes of words ``low`` … ``high``; how many are new."""
    found, step = 0, np.uint64(level) << _32
    for word in range(low, high):
        left = ~seen[word]
        new = np.uint64(0)
        while left != 0:
            lowest = left & (~left + _1)
            left ^= lowest
            bit = _bit_of(lowest)
            node = (word << 6) + bit
            best = NONE
            for edge in range(starts[node], stops[node]):
                source = sources[edge]
                if (front[source >> 6] >> np.uint64(source & 63)) & _1:
                    best = min(best, source)
                    if ordered:
                        break
            if best != NONE:
                labels[node] = step | np.uint64(best)
                new |= lowest
                found += 1
        fresh[word] = new
        seen[word] |= new
    return found


@kernel
def _bit_of(lowest: Any) -> Any:
    """Which bit of a word that has one is set: de Bruijn."""
    return _PLACE[(lowest * _BRUIJN) >> np.uint64(58)]


_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACE = np.zeros(64, np.int64)
for _at in range(64):
    _PLACE[(((1 << _at) * 0x03F79D71B4CB0A89) & (2**64 - 1)) >> 58] = _at


@kernel
def to_queue(front: Any, queue: Any, held: int) -> int:
    """The nodes of the bits, ascending, behind what the queue holds; how many it then holds."""
    for word in range(len(front)):
        left = front[word]
        while left != 0:
            lowest = left & (~left + _1)
            left ^= lowest
            queue[held] = (word << 6) + _bit_of(lowest)
            held += 1
    return held

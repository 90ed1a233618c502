"""Least costs by buckets, as in delta-stepping (Meyer and Sanders, 2003).

``labels`` u64[count] hold cost, hops and parent in one, from the highest bit down; ``shape`` u64[5]
says how many bits each has. The lesser label wins, so neither threads nor the width of a bucket
matter. A bucket is a chain of ``entries``, u64[parts, room]: a node, and above it the entry before,
counted from 1. ``heads`` i64[parts, `BUCKETS` + 1], the last for what lies beyond the others. Each
thread (part) has its own; ``near`` u32[count] are the nodes of the bucket that is being settled,
with ``marks`` u8[count].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from mmsb.base.kernels import kernel
from mmsb.graph.kernels_semiring import UNIT

#: Places in ``shape``: bits of the parent, bits of the hops, the greatest cost that is reached,
#: whether one above it has no room here (1) or is as good as none (0), bits of a bucket's width.
PARENT, HOPS, MOST, ROOM, WIDTH = range(5)
#: Places in ``numbers`` i64[4 + 2 × parts]: how many are near, of which bucket, the first bucket of
#: all, is there a label without room; then by part which of the near is to come, and entries used.
NEAR, BUCKET, FIRST, SHORT, AT = range(5)
BUCKETS = 256
NEVER = np.uint64(2**64 - 1)
NONE = np.uint32(2**32 - 1)
_0, _1, _32 = np.uint64(0), np.uint64(1), np.uint64(32)
_intrinsic: Callable[[Callable[..., Any]], Any] = intrinsic


@_intrinsic
def _least(_context: Any, array: Any, _at: Any, _value: Any) -> Any:
    """``array[at] = min(array[at], value)`` at once for all threads; what was there."""

    def make(context: Any, builder: Any, _: Any, args: Any) -> Any:
        held = context.make_array(array)(context, builder, args[0])
        pointer = builder.gep(held.data, [args[1]])
        return builder.atomic_rmw("umin", pointer, args[2], "monotonic")

    return types.uint64(array, types.int64, types.uint64), make


@kernel
def relax(edges: Any, labels: Any, shape: Any, lists: Any, numbers: Any, part: int) -> Any:
    """Goes along the edges of every ``parts``-th near node, from the one that is to come.

    Stops before one for which there might be too few entries (1).
    """
    starts, stops, targets, weights, heavy, ring = edges
    near, _, entries, heads = lists
    parts, size = entries.shape
    below, above = shape[PARENT], shape[PARENT] + shape[HOPS]
    full = (_1 << shape[HOPS]) - _1
    at, used = numbers[AT + part], numbers[AT + parts + part]
    while at < numbers[NEAR]:
        node = near[at]
        if size - used < stops[node] - starts[node]:
            break
        at += parts
        label = labels[node]
        room = shape[MOST] - (label >> above)
        step = (label >> below) + _1
        parent = np.uint64(node) if below else _0
        if step & full == _0:
            numbers[SHORT] = 1
            break
        for edge in range(starts[node], stops[node]):
            weight = np.uint64(weights[edge]) if heavy else ring[UNIT]
            if weight > room:
                numbers[SHORT] |= np.int64(shape[ROOM])
                continue
            mine = (step + (weight << shape[HOPS])) << below | parent
            to = np.int64(targets[edge])
            if mine >= labels[to] or mine >> below >= _least(labels, to, mine) >> below:
                continue
            bucket = min(np.int64(mine >> above >> shape[WIDTH]) - numbers[FIRST], BUCKETS)
            entries[part, used] = np.uint64(heads[part, bucket]) << _32 | np.uint64(to)
            used += 1
            heads[part, bucket] = used
    numbers[AT + part], numbers[AT + parts + part] = at, used
    return np.int64(at < numbers[NEAR])


@kernel
def _take(labels: Any, shape: Any, lists: Any, numbers: Any) -> bool:
    """The nodes of the least bucket that has some are near; False if there is none."""
    near, marks, entries, heads = lists
    parts = len(entries)
    above = shape[PARENT] + shape[HOPS]
    for i in range(numbers[NEAR]):
        marks[near[i]] = 0
    held = 0
    while held == 0:
        place = numbers[BUCKET] - numbers[FIRST]
        while place < BUCKETS and not _any(heads, place):
            place += 1
        if place == BUCKETS:
            if not _next(labels, shape, entries, heads, numbers):
                return False
            continue
        bucket = np.uint64(numbers[FIRST] + place)
        for part in range(parts):
            entry = heads[part, place]
            heads[part, place] = 0
            while entry:
                held_here = entries[part, entry - 1]
                entry, node = np.int64(held_here >> _32), np.uint32(held_here)
                if marks[node] == 0 and labels[node] >> above >> shape[WIDTH] == bucket:
                    marks[node] = 1
                    near[held] = node
                    held += 1
        numbers[BUCKET] = np.int64(bucket)
    numbers[NEAR] = held
    for part in range(parts):
        numbers[AT + part] = part
    return True


@kernel
def _any(heads: Any, place: int) -> bool:
    found = False
    for part in range(len(heads)):
        found |= heads[part, place] != 0
    return found


@kernel
def _next(labels: Any, shape: Any, entries: Any, heads: Any, numbers: Any) -> bool:
    """Spreads what lies beyond over buckets that begin with the least of them; False if nothing."""
    parts, above = len(entries), shape[PARENT] + shape[HOPS]
    done = np.uint64(numbers[FIRST] + BUCKETS)
    least = NEVER
    for part in range(parts):
        entry = heads[part, BUCKETS]
        while entry:
            held = entries[part, entry - 1]
            entry = np.int64(held >> _32)
            bucket = labels[np.uint32(held)] >> above >> shape[WIDTH]
            if bucket >= done:
                least = min(least, bucket)
    if least == NEVER:
        return False
    numbers[FIRST] = numbers[BUCKET] = np.int64(least)
    for part in range(parts):
        entry = heads[part, BUCKETS]
        heads[part, BUCKETS] = 0
        while entry:
            here = entry - 1
            held = entries[part, here]
            entry, node = np.int64(held >> _32), np.uint32(held)
            bucket = labels[node] >> above >> shape[WIDTH]
            if bucket < done:
                continue
            place = min(np.int64(bucket - least), BUCKETS)
            entries[part, here] = np.uint64(heads[part, place]) << _32 | np.uint64(node)
            heads[part, place] = here + 1
    return True


@kernel
def settle(edges: Any, labels: Any, shape: Any, lists: Any, numbers: Any, wide: int) -> Any:
    """Goes on until all is settled (0), more than ``wide`` nodes are near (1), which are then to be
    relaxed by all, a label has no room (2), or entries ran out (3)."""
    parts = len(lists[2])
    while numbers[SHORT] == 0:
        left = False
        for part in range(parts):
            left |= numbers[AT + part] < numbers[NEAR]
        if not left and not _take(labels, shape, lists, numbers):
            return 0
        if numbers[NEAR] > wide:
            return 1
        for part in range(parts):
            if relax(edges, labels, shape, lists, numbers, part):
                return 2 if numbers[SHORT] else 3
    return 2


@kernel
def opened(labels: Any, shape: Any, most: Any, values: Any, hops: Any, parent: Any) -> Any:
    """Takes labels apart; ``most`` and NONE where nothing came. Returns the most hops."""
    below, above = shape[PARENT], shape[PARENT] + shape[HOPS]
    deepest = np.uint64(0)
    for node in range(len(labels)):
        label = labels[node]
        if label == NEVER:
            values[node], hops[node], parent[node] = most, NONE, NONE
            continue
        step = (label >> below) & ((_1 << shape[HOPS]) - _1)
        values[node], hops[node] = label >> above, step
        parent[node] = label & ((_1 << below) - _1) if min(below, step) else NONE
        deepest = max(deepest, step)
    return deepest


@kernel
def parents(edges: Any, values: Any, hops: Any, parent: Any) -> None:
    """The least predecessor of each, of which ``parent`` holds NONE, by values and hops."""
    starts, stops, targets, weights, heavy, ring = edges
    for node in range(len(values)):
        if hops[node] == NONE:
            continue
        value, step = values[node], hops[node] + np.uint32(1)
        for edge in range(starts[node], stops[node]):
            to = targets[edge]
            weight = np.uint64(weights[edge]) if heavy else ring[UNIT]
            if hops[to] == step and parent[to] == NONE and values[to] - value == weight:
                parent[to] = node

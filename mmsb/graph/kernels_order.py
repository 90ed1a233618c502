"""Topological order, levels, edges per node, shortest cycles."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel


@kernel
def count_into(starts: Any, stops: Any, targets: Any, packed: bool, counts: Any) -> None:
    """Counts edges to each node on top of ``counts``, i64; ``packed``: no gaps in ``targets``."""
    if packed:
        for at in range(starts[0], stops[len(starts) - 1]):
            counts[targets[at]] += 1
    else:
        for node in range(len(starts)):
            for at in range(starts[node], stops[node]):
                counts[targets[at]] += 1


@kernel
def by_level(starts: Any, stops: Any, targets: Any, packed: bool, order: Any, level: Any) -> int:
    """Nodes by level, then number, into ``order`` u32; ``level`` u32: most edges that lead there.

    Returns how many were placed; where not all were, the others lie on cycles or behind them, and
    ``order`` holds nothing.
    """
    n = len(starts)
    if n == 0:
        return 0
    waits = np.zeros(n, np.int64)
    count_into(starts, stops, targets, packed, waits)
    queue, begins = np.empty(n, np.uint32), np.empty(n, np.int64)
    tail = 0
    for node in range(n):
        if waits[node] == 0:
            queue[tail] = node
            tail += 1
    low, depth = 0, 0
    while low < tail:
        begins[depth] = low
        high = tail
        for at in range(low, high):
            node = queue[at]
            level[node] = depth
            for edge in range(starts[node], stops[node]):
                there = targets[edge]
                left = waits[there] - 1
                waits[there] = left
                if left == 0:  # a branch: a store at an address that hangs on it costs more
                    queue[tail] = there
                    tail += 1
        low = high
        depth += 1
    if tail == n:
        for node in range(n):
            place = begins[level[node]]
            order[place] = node
            begins[level[node]] = place + 1
    return tail


@kernel
def shortest_cycle(starts: Any, stops: Any, targets: Any, roots: Any, found: Any, path: Any) -> int:
    """The first that is shortest of the cycles through ``roots``; ``path`` u32 holds it from its
    root on. Returns its length; 0 where none lies on one. ``found``: components; a cycle stays in
    one. O(roots × edges of their components)."""
    n = len(starts)
    parent, hops = np.empty(n, np.uint32), np.full(n, -1, np.int64)
    queue = np.empty(n, np.uint32)
    best = 0
    for root in roots:
        tail, end = _close(starts, stops, targets, root, found, parent, hops, queue, best)
        if end >= 0:
            best = hops[end] + 1
            here = end
            for at in range(best - 1, -1, -1):
                path[at] = here
                here = np.int64(parent[here])
        for at in range(tail):
            hops[queue[at]] = -1
        if best == 1:
            break
    return best


@kernel
def _close(
    starts: Any,
    stops: Any,
    targets: Any,
    root: int,
    found: Any,
    parent: Any,
    hops: Any,
    queue: Any,
    best: int,
) -> tuple[int, int]:
    """Breadth first from ``root`` until an edge leads back to it in fewer than ``best`` edges (0:
    in any number); how many nodes are in ``queue``, and the last of the cycle or -1."""
    queue[0], hops[root], parent[root] = root, 0, root
    head, tail = 0, 1
    while head < tail:
        here = np.int64(queue[head])
        head += 1
        if best and hops[here] + 1 >= best:
            break
        for at in range(starts[here], stops[here]):
            there = np.int64(targets[at])
            if there == root:
                return tail, here
            if hops[there] < 0 and found[there] == found[root]:
                hops[there], parent[there] = hops[here] + 1, here
                queue[tail] = there
                tail += 1
    return tail, -1

"""Adjacency that grows in place: a node's edges lie in room of their own, in one pool.

Of a side: ``starts``, ``stops``, ``ends`` (i64 a node): its edges are [start, stop) of the pool,
and there is room up to its end. ``end[0]``: where the pool's unused rest begins.
"""

from __future__ import annotations

from typing import Any

from mmsb.base.kernels import kernel


@kernel
def insert(
    starts: Any,
    stops: Any,
    ends: Any,
    pool: Any,
    weights: Any,
    end: Any,
    nodes: Any,
    others: Any,
    weigh: Any,
    first: int,
) -> int:
    """Edges ``first`` … of ``nodes`` to ``others``; how many are in when the pool is full.

    A node whose room is full moves to the rest of the pool, with as much room again. Without
    ``others`` there is but room made for the edges, which `leave` is to give back.
    """
    weighted, real = len(weights) > 0, len(others) > 0
    for at in range(first, len(nodes)):
        node = nodes[at]
        stop = stops[node]
        if stop == ends[node]:
            start = starts[node]
            length = stop - start
            room = 2 * length + 4
            to = end[0]
            if stop == to and to + length + 4 <= len(pool):  # the last one has the rest before it
                end[0] = ends[node] = to + length + 4
            else:
                if to + room > len(pool):
                    return at
                for k in range(length):
                    pool[to + k] = pool[start + k]
                if weighted:
                    for k in range(length):
                        weights[to + k] = weights[start + k]
                starts[node], ends[node] = to, to + room
                stop = to + length
                end[0] = to + room
        if real:
            pool[stop] = others[at]
            if weighted:
                weights[stop] = weigh[at]
        stops[node] = stop + 1
    return len(nodes)


@kernel
def leave(stops: Any, nodes: Any, count: int) -> None:
    """Takes out the last ``count`` edges that came in, those of ``nodes``; their room stays."""
    for at in range(count):
        stops[nodes[at]] -= 1


@kernel
def remove(
    starts: Any, stops: Any, pool: Any, weights: Any, nodes: Any, others: Any, weigh: Any
) -> int:
    """Takes edges out, the node's last into the gap; how many are out when one is not there."""
    weighted = len(weights) > 0
    for at in range(len(nodes)):
        node, other = nodes[at], others[at]
        start, stop = starts[node], stops[node]
        k = start
        while k < stop and (pool[k] != other or (weighted and weights[k] != weigh[at])):
            k += 1
        if k == stop:
            return at
        pool[k] = pool[stop - 1]
        if weighted:
            weights[k] = weights[stop - 1]
        stops[node] = stop - 1
    return len(nodes)


@kernel
def pack(
    starts: Any, stops: Any, ends: Any, pool: Any, weights: Any, new: Any, new_weights: Any
) -> int:
    """All nodes' edges one after another in ``new``, without room between; where they end."""
    weighted = len(weights) > 0
    to = 0
    for node in range(len(starts)):
        start, length = starts[node], stops[node] - starts[node]
        for k in range(length):
            new[to + k] = pool[start + k]
        if weighted:
            for k in range(length):
                new_weights[to + k] = weights[start + k]
        starts[node] = to
        to += length
        stops[node] = ends[node] = to
    return to

"""Propagation over any semiring: wave by wave, in topological order, and who was witness.

``edges``: ``starts``, ``stops`` i64[count], ``targets`` u32 of a side, its ``weights`` u64 or u32
where ``heavy`` (else every edge weighs the unit of the ring), and the ``ring``. ``came``:
``values`` u64[count]; ``hops``, ``parent`` u32[count], `NONE` where there is none. See
docs/propagation.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel
from mmsb.graph.kernels_semiring import IDEMPOTENT, SELECTIVE, UNIT, ZERO, add, multiply

NONE = np.uint32(2**32 - 1)
#: A share of what is handed on is so many of so many parts: nothing is damped.
WHOLE = 1 << 16
_BITS, _LOW = np.uint64(16), np.uint64(WHOLE - 1)


@kernel
def _scatter(edges: Any, state: Any, held: int, number: int) -> int:
    """What ``held`` nodes of a wave hand on, put together by target in ``pending``."""
    starts, stops, targets, weights, heavy, ring = edges
    front, carried, stamp, pending, via, fresh = state
    zero, unit, selective = ring[ZERO], ring[UNIT], ring[SELECTIVE] != 0
    found = 0
    for i in range(held):
        node, value = front[i], carried[i]
        for edge in range(starts[node], stops[node]):
            weight = np.uint64(weights[edge]) if heavy else unit
            given = multiply(ring, value, weight)
            if given == zero:
                continue
            to = targets[edge]
            if stamp[to] != number:
                stamp[to] = number
                pending[to], via[to], fresh[found] = given, node, to
                found += 1
                continue
            both = add(ring, pending[to], given)
            if not selective or given == pending[to]:
                via[to] = min(via[to], node)
            elif both != pending[to]:
                via[to] = node
            pending[to] = both
    return found


@kernel
def damped(value: Any, share: Any) -> Any:
    """⌊value · share / 2^16⌋ without overflow; ``share`` u64, at most `WHOLE`."""
    return (value >> _BITS) * share + ((value & _LOW) * share >> _BITS)


@kernel
def waves(edges: Any, came: Any, state: Any, held: int, number: int, last: int, share: Any) -> Any:
    """Waves ``number`` + 1 … ``last``, or until one changes nothing; (held, number) thereafter.

    A wave reads what the one before wrote and nothing newer. Of the sum that
    comes to a node ``share`` / `WHOLE` counts; only sums of numbers may be damped. ``state``:
    ``front`` u32, ``carried`` u64, the ``held`` nodes that changed in it and what they hand on;
    ``stamp`` u32, zeros at first; ``pending`` u64, ``via`` and ``fresh`` u32; all of length count.
    """
    values, hops, parent = came
    front, carried, _, pending, via, fresh = state
    ring = edges[5]
    zero, idempotent, selective = ring[ZERO], ring[IDEMPOTENT] != 0, ring[SELECTIVE] != 0
    while held > 0 and number < last:
        number += 1
        found = _scatter(edges, state, held, number)
        held = 0
        for i in range(found):
            node = fresh[i]
            if share != WHOLE:
                pending[node] = damped(pending[node], share)
                if pending[node] == zero:
                    continue
            old = values[node]
            new = add(ring, old, pending[node])
            if idempotent and new == old:
                continue
            if selective or hops[node] == NONE:
                hops[node], parent[node] = number, via[node]
            values[node] = new
            front[held] = node
            carried[held] = new if idempotent else pending[node]
            if carried[held] != zero:
                held += 1
        if held == 0:
            number -= 1
    return held, number


@kernel
def _reach(edges: Any, waiting: Any, depth: Any, queue: Any, held: int) -> int:
    """Fills ``queue`` with what its first ``held`` reach; how many lead to each; depth 1 to all."""
    starts, stops, targets, _, _, _ = edges
    reached = held
    for i in range(held):
        depth[queue[i]] = 1
    at = 0
    while at < reached:
        node = queue[at]
        at += 1
        for edge in range(starts[node], stops[node]):
            to = targets[edge]
            waiting[to] += 1
            if depth[to] == 0:
                depth[to] = 1
                queue[reached] = to
                reached += 1
    return reached


@kernel
def ordered(edges: Any, came: Any, waiting: Any, depth: Any, queue: Any, held: int) -> Any:
    """One pass in topological order over what the ``held`` seeds in ``queue`` reach.

    ``waiting``, ``depth`` u32[count]: zeros at first. Returns how deep it went, and how many nodes
    wait in vain, on a cycle or behind one: their ``waiting`` is not 0.
    """
    starts, stops, targets, weights, heavy, ring = edges
    values, hops, parent = came
    zero, unit, selective = ring[ZERO], ring[UNIT], ring[SELECTIVE] != 0
    reached = _reach(edges, waiting, depth, queue, held)
    done = 0
    for i in range(held):  # only seeds can have nothing before them
        if waiting[queue[i]] == 0:
            queue[done], queue[i] = queue[i], queue[done]
            done += 1
    at, deepest = 0, 1
    while at < done:
        node = queue[at]
        at += 1
        value, step = values[node], hops[node] + np.uint32(1)
        deepest = max(deepest, depth[node])
        for edge in range(starts[node], stops[node]):
            to = targets[edge]
            depth[to] = max(depth[to], depth[node] + 1)
            waiting[to] -= 1
            if waiting[to] == 0:
                queue[done] = to
                done += 1
            weight = np.uint64(weights[edge]) if heavy else unit
            given = multiply(ring, value, weight)
            if given == zero:
                continue
            old = values[to]
            values[to] = add(ring, old, given)
            better = selective and values[to] != old
            tied = not selective or given == old
            sooner = step < hops[to] or (step == hops[to] and node < parent[to])
            if better or (tied and sooner):
                hops[to], parent[to] = step, node
    return deepest - 1, reached - done


@kernel
def witnesses(edges: Any, came: Any, queue: Any, held: int) -> None:
    """The least (hops, predecessor) of every value that is final, from the seeds in ``queue``.

    Breadth first over the edges that a value may have come by: of a selective semiring those that
    hand on the very value. ``hops``: 0 for seeds whose value stayed their own, else NONE.
    """
    starts, stops, targets, weights, heavy, ring = edges
    values, hops, parent = came
    zero, unit, selective = ring[ZERO], ring[UNIT], ring[SELECTIVE] != 0
    at = 0
    while at < held:
        node = queue[at]
        at += 1
        value, step = values[node], hops[node] + np.uint32(1)
        for edge in range(starts[node], stops[node]):
            to = targets[edge]
            if hops[to] < step:
                continue
            weight = np.uint64(weights[edge]) if heavy else unit
            given = multiply(ring, value, weight)
            if given == zero or (selective and given != values[to]):
                continue
            if hops[to] == NONE:
                hops[to], parent[to] = step, node
                queue[held] = to
                held += 1
            elif parent[to] > node:
                parent[to] = node

"""Immediate dominators by Semi-NCA (Georgiadis 2005), and sums over their tree. No recursion.

Nodes are dealt with by their number in preorder, from 1; 0 is above all roots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel

NONE = 0xFFFFFFFF


@kernel
def _walk(
    starts: Any, stops: Any, targets: Any, roots: Any, number: Any, node: Any, parent: Any
) -> int:
    """Depth first: ``number`` i64 of a node, 0 where it is not reached; ``node``, ``parent`` i64 of
    a number. Returns the greatest number."""
    deep_edge = np.empty(len(starts) + 1, np.int64)
    last = 0
    for root in roots:
        if number[root]:
            continue
        last += 1
        here, above = last, 0
        number[root], node[last], parent[last] = last, root, 0
        deep_edge[last] = starts[root]
        while here:
            own = node[here]
            at, stop = deep_edge[here], stops[own]
            while at < stop and number[targets[at]]:
                at += 1
            deep_edge[here] = at + 1
            if at == stop:
                here = parent[here]
                continue
            last += 1
            there = np.int64(targets[at])
            above = here
            here = last
            number[there], node[last], parent[last] = last, there, above
            deep_edge[last] = starts[there]
    return last


@kernel
def _least(start: int, linked: int, above: Any, semi: Any, label: Any, stack: Any) -> Any:
    """Of the numbers from ``linked`` on over ``start``, itself included, one whose ``semi``
    is least; ``above`` is made shorter on the way."""
    if start < linked or above[start] < linked:
        return label[start]
    deep, here = 0, start
    while above[here] >= linked:
        stack[deep] = here
        deep += 1
        here = above[here]
    best = label[here]
    while deep:
        deep -= 1
        lower = stack[deep]
        above[lower] = above[here]
        if semi[best] < semi[label[lower]]:
            label[lower] = best
        else:
            best = label[lower]
        here = lower
    return label[start]


@kernel
def dominators(
    starts: Any,
    stops: Any,
    targets: Any,
    back_starts: Any,
    back_stops: Any,
    back_targets: Any,
    roots: Any,
    found: Any,
) -> None:
    """``found`` u32: the immediate dominator; of a node that none dominates itself; else NONE."""
    n = len(starts)
    number, node, parent = (
        np.zeros(n, np.int64),
        np.empty(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
    )
    count = _walk(starts, stops, targets, roots, number, node, parent)
    semi, label = np.arange(count + 1), np.arange(count + 1)
    above, closest = parent[: count + 1].copy(), parent
    stack, is_root = np.empty(count + 1, np.int64), np.zeros(n, np.bool_)
    for root in roots:
        is_root[root] = True
    for own in range(count, 0, -1):
        least = parent[own]
        here = node[own]
        if is_root[here]:
            least = np.int64(0)
        for at in range(back_starts[here], back_stops[here]):
            before = number[back_targets[at]]
            if before:
                least = min(least, semi[_least(before, own + 1, above, semi, label, stack)])
        semi[own] = least
    found[:] = NONE
    for own in range(1, count + 1):
        over = closest[own]
        while over > semi[own]:
            over = closest[over]
        closest[own] = over
        found[node[own]] = node[over] if over else node[own]


@kernel
def sums(found: Any, out: Any) -> None:
    """``out`` u64: values, turned into what each node and all below it have together, saturated."""
    n = len(found)
    waits = np.zeros(n, np.int64)
    for node in range(n):
        if found[node] != NONE and found[node] != node:
            waits[found[node]] += 1
    for leaf in range(n):
        if found[leaf] == NONE or waits[leaf]:
            continue
        waits[leaf] = -1  # handed on
        here = np.int64(leaf)
        while found[here] != here:
            over = np.int64(found[here])
            total = out[over] + out[here]
            out[over] = total if total >= out[here] else ~np.uint64(0)
            waits[over] -= 1
            if waits[over]:
                break
            waits[over] = -1
            here = over

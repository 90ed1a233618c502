"""Strong components, and the numbers that all components get.

``starts``, ``stops``, ``targets``: a side of a graph. ``seen``: a bit a node in i64 words.
A ``found`` component has an id until it is named: ids ascend along every edge between two of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel

NONE = 0xFFFFFFFF


@kernel
def is_in(seen: Any, node: int) -> Any:
    return (seen[node >> 6] >> (node & 63)) & 1 != 0


@kernel
def put_in(seen: Any, node: int) -> None:
    seen[node >> 6] |= np.int64(1) << (node & 63)


@kernel
def busiest(starts: Any, stops: Any, back_starts: Any, back_stops: Any) -> int:
    """The least of the nodes with the greatest product of edges out and in; -1 without nodes."""
    best, most = -1, -1.0
    for node in range(len(starts)):
        product = float(stops[node] - starts[node]) * float(back_stops[node] - back_starts[node])
        if product > most:
            best, most = node, product
    return best


@kernel
def reach(
    node: int,
    starts: Any,
    stops: Any,
    targets: Any,
    back_starts: Any,
    back_stops: Any,
    back_targets: Any,
    seen: Any,
    queue: Any,
) -> None:
    """All that the node reaches, into ``seen``; ``queue`` u32, a number a node.

    Once a sixteenth of the edges has been followed, all nodes that were not seen look back for one
    that was, again and again while that finds many; those found last are then followed forward.
    """
    put_in(seen, node)
    queue[0] = node
    head, tail = 0, 1
    left = len(targets) // 16
    while head < tail:
        here = queue[head]
        if left >= 0:
            left -= stops[here] - starts[here]
            if left < 0:
                head, tail = 0, _look_back(back_starts, back_stops, back_targets, seen, queue)
                continue
        head += 1
        for at in range(starts[here], stops[here]):
            there = np.int64(targets[at])
            if not is_in(seen, there):
                put_in(seen, there)
                queue[tail] = there
                tail += 1


@kernel
def _look_back(starts: Any, stops: Any, targets: Any, seen: Any, queue: Any) -> int:
    """How many the last sweep found, which are in ``queue``; no other needs to be followed."""
    while True:
        tail = 0
        for node in range(len(starts)):
            if is_in(seen, node):
                continue
            for at in range(starts[node], stops[node]):
                if is_in(seen, np.int64(targets[at])):
                    put_in(seen, node)
                    queue[tail] = node
                    tail += 1
                    break
        if tail * 32 < len(starts):
            return tail


@kernel
def _close(found: Any, waiting: Any, held: int, least: int, last: int, order: Any, end: int) -> int:
    """Takes the component ``last`` off the nodes that wait: all from the index ``least`` on."""
    while held and np.int64(found[waiting[held - 1]]) >= least:
        held -= 1
        end -= 1
        found[waiting[held]] = last
        order[end] = waiting[held]
    return held


@kernel
def find(
    starts: Any,
    stops: Any,
    targets: Any,
    among: Any,
    found: Any,
    order: Any,
    last: int,
    end: int,
) -> tuple[int, int]:
    """Components of what the nodes in ``among`` reach (all, where that is empty), by Pearce (2016).

    ``found`` u32: NONE, or the component. Components get the ids last, last - 1, …; their nodes lie
    in ``order`` u32 before ``end`` backward, so both ascend along the edges between components.
    Returns the next id and where in ``order`` the first node lies. No recursion.
    """
    n = len(starts)
    stack, waiting, at_edge = np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.int64)
    index, held = 0, 0  # held: nodes in ``waiting``, done, but of a component that is not
    for root in range(n):
        if found[root] != NONE or (len(among) and not is_in(among, root)):
            continue
        deep, here, at = 0, root, starts[root]
        least, own = index, True
        found[root] = index
        index += 1
        while True:
            there = np.int64(-1)
            for edge in range(at, stops[here]):
                low = np.int64(found[targets[edge]])
                if low == NONE:
                    there, at = np.int64(targets[edge]), edge + 1
                    break
                if low < least:
                    least, own = low, False
            found[here] = least
            if there >= 0:
                stack[deep], at_edge[deep] = here, at << 1 | own
                deep += 1
                here, at, least, own = there, starts[there], index, True
                found[here] = index
                index += 1
                continue
            waiting[held] = here
            held += 1
            if own:
                before = held
                held = _close(found, waiting, held, least, last, order, end)
                last -= 1
                end -= before - held
                index -= before - held
            if deep == 0:
                break
            deep -= 1
            low = np.int64(found[here])
            here, at, own = np.int64(stack[deep]), at_edge[deep] >> 1, at_edge[deep] & 1 != 0
            least = np.int64(found[here])
            if low < least:
                least, own = low, False
    return last, end


@kernel
def name_core(forward: Any, backward: Any, found: Any, name: int) -> int:
    """Nodes in both sets are one component. Returns how many they are."""
    count = 0
    for node in range(len(found)):
        if is_in(forward, node) and is_in(backward, node):
            found[node] = name
            count += 1
    return count


@kernel
def without(forward: Any, backward: Any, rest: Any) -> None:
    """What is in ``forward`` and not in ``backward``."""
    for word in range(len(rest)):
        rest[word] = forward[word] & ~backward[word]


@kernel
def lift(
    starts: Any, stops: Any, targets: Any, found: Any, order: Any, low: int, high: int, level: Any
) -> None:
    """Levels of all that the nodes order[low:high] lead to; ``level`` u32, by component's id."""
    for at in range(low, high):
        node = order[at]
        own = found[node]
        above = level[own] + 1
        for edge in range(starts[node], stops[node]):
            other = found[targets[edge]]
            if other != own and level[other] < above:
                level[other] = above


@kernel
def lift_all(found: Any, order: Any, low: int, high: int, level: Any, above: int) -> None:
    """At least level ``above`` for the nodes order[low:high]."""
    for at in range(low, high):
        own = found[order[at]]
        level[own] = max(level[own], above)


@kernel
def strong(starts: Any, stops: Any, targets: Any, found: Any, level: Any, labels: Any) -> Any:
    """All of it, where a graph is small."""
    n = len(starts)
    order, all_nodes = np.empty(n, np.uint32), np.empty(0, np.int64)
    found[:], level[:] = NONE, 0
    find(starts, stops, targets, all_nodes, found, order, n - 1, n)
    lift(starts, stops, targets, found, order, 0, n, level)
    return name(found, level, labels)


@kernel
def name(found: Any, level: Any, labels: Any) -> Any:
    """``labels`` u32: components numbered by level, then by their least node. Returns how many."""
    n = len(found)
    names = np.full(n, NONE, np.uint32)
    places = np.zeros(n + 1, np.int64)
    for node in range(n):
        own = found[node]
        if names[own] == NONE:
            names[own] = 0
            places[level[own] + 1] += 1
    for each in range(n):
        places[each + 1] += places[each]
    count = places[n]
    names[:] = NONE
    for node in range(n):
        own = found[node]
        if names[own] == NONE:
            names[own] = places[level[own]]
            places[level[own]] += 1
        labels[node] = names[own]
    return count

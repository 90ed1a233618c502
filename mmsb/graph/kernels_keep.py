"""A propagation kept up to date: labels that are not what their predecessors say, put right.

Lifelong planning (Koenig, Likhachev and Furcy 2004) on Ramalingam and Reps's problem (1996), over
any selective, absorptive semiring. A node's label is (value, hops); what its predecessors say is
the least of (value along the edge, hops + 1, predecessor). A node where the two differ waits in a
heap by the lesser. If it is to get better, it does, and tells its successors; if worse, it loses
what it has, and who hung on it looks for the least of what still stands.

``sides``: (starts, stops, targets, weights) along the direction, then against it; ``heavy``: have
edges weights. ``labels``: values of the ring's dtype, hops, parent, u32. ``seeds``: nodes u32,
ascending, and values u64. ``work``: ``slot`` u32[count], a node's place in ``table`` + 1 or 0;
``table`` u64[n, 7]: node, what its predecessors say (value, hops, parent), and its first label;
``heap`` u64[m, 2]: value, hops << 32 | node; ``at`` i64[4]: rows of the table, of the heap, edges
that were looked at, room that is wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel
from mmsb.graph.kernels_semiring import UNIT, ZERO, add, multiply

NONE = np.uint32(2**32 - 1)
_32 = np.uint64(32)
_LOW = np.uint64(2**32 - 1)
NODE, VALUE, HOPS, PARENT, WAS_VALUE, WAS_HOPS, WAS_PARENT = range(7)
TOUCHED, WAITING, SEEN, WANTED = range(4)


@kernel
def _less(ring: Any, value: Any, rest: Any, than: Any, than_rest: Any) -> bool:
    """Is a label before another? ``rest``: hops, or hops << 32 | node."""
    if value == than:
        return bool(rest < than_rest)
    return bool(add(ring, value, than) == value)


@kernel
def _push(ring: Any, heap: Any, at: Any, value: Any, rest: Any) -> None:
    here = at[WAITING]
    at[WAITING] = here + 1
    while here > 0:
        above = (here - 1) >> 1
        if not _less(ring, value, rest, heap[above, 0], heap[above, 1]):
            break
        heap[here, 0], heap[here, 1] = heap[above, 0], heap[above, 1]
        here = above
    heap[here, 0], heap[here, 1] = value, rest


@kernel
def _drop(ring: Any, heap: Any, at: Any) -> None:
    """Takes the first out."""
    last = at[WAITING] - 1
    at[WAITING] = last
    value, rest = heap[last, 0], heap[last, 1]
    here = 0
    while 2 * here + 1 < last:
        below = 2 * here + 1
        if below + 1 < last and _less(
            ring, heap[below + 1, 0], heap[below + 1, 1], heap[below, 0], heap[below, 1]
        ):
            below += 1
        if not _less(ring, heap[below, 0], heap[below, 1], value, rest):
            break
        heap[here, 0], heap[here, 1] = heap[below, 0], heap[below, 1]
        here = below
    heap[here, 0], heap[here, 1] = value, rest


@kernel
def _row(labels: Any, work: Any, node: Any) -> int:
    """The node's row of the table, made if there is none."""
    values, hops, parent = labels
    slot, table, _, at = work
    if slot[node] == 0:
        row = at[TOUCHED]
        at[TOUCHED] = row + 1
        slot[node] = row + 1
        own = table[row]
        own[NODE] = node
        own[VALUE] = own[WAS_VALUE] = values[node]
        own[HOPS] = own[WAS_HOPS] = hops[node]
        own[PARENT] = own[WAS_PARENT] = parent[node]
    return int(slot[node]) - 1


@kernel
def _say(ring: Any, labels: Any, work: Any, row: int, value: Any, hop: Any, via: Any) -> None:
    """What the predecessors of a row's node say; it waits if its label is another."""
    values, hops, parent = labels
    _, table, heap, at = work
    own = table[row]
    own[VALUE], own[HOPS], own[PARENT] = value, hop, via
    node = own[NODE]
    held, step = np.uint64(values[node]), np.uint64(hops[node])
    if held == value and step == hop:
        parent[node] = via
    elif _less(ring, held, step, value, hop):
        _push(ring, heap, at, held, step << _32 | node)
    else:
        _push(ring, heap, at, value, hop << _32 | node)


@kernel
def _look(ring: Any, into: Any, heavy: bool, labels: Any, seeds: Any, work: Any, row: int) -> None:
    """Asks all predecessors of a row's node."""
    starts, stops, targets, weights = into
    values, hops, _ = labels
    _, table, _, at = work
    node = table[row, NODE]
    zero, unit = ring[ZERO], ring[UNIT]
    value, hop, via = zero, np.uint64(NONE), np.uint64(NONE)
    place = np.searchsorted(seeds[0], np.uint32(node))
    if place < len(seeds[0]) and seeds[0][place] == node:
        value, hop = seeds[1][place], np.uint64(0)
    at[SEEN] += stops[node] - starts[node]
    for edge in range(starts[node], stops[node]):
        before = targets[edge]
        held = np.uint64(values[before])
        if held == zero:
            continue
        weight = np.uint64(weights[edge]) if heavy else unit
        given = multiply(ring, held, weight)
        if given == zero:
            continue
        step = np.uint64(hops[before]) + np.uint64(1)
        if given == value and step == hop:
            via = min(via, np.uint64(before))
        elif _less(ring, given, step, value, hop):
            value, hop, via = given, step, np.uint64(before)
    _say(ring, labels, work, row, value, hop, via)


@kernel
def _offer(
    ring: Any, sides: Any, heavy: bool, labels: Any, seeds: Any, work: Any, edge: Any, new: bool
) -> None:
    """An edge (node, to, weight) says what it says now. ``new``: it said nothing before."""
    values, hops, parent = labels
    slot, table, _, _ = work
    node, to, weight = edge
    zero = ring[ZERO]
    given = multiply(ring, np.uint64(values[node]), weight)
    step = np.uint64(hops[node]) + np.uint64(1)
    if slot[to] != 0:
        own = table[slot[to] - 1]
        value, hop, via = own[VALUE], own[HOPS], own[PARENT]
    else:
        value, hop, via = np.uint64(values[to]), np.uint64(hops[to]), np.uint64(parent[to])
    if given != zero:
        if given == value and step == hop:
            if node < via:
                _say(ring, labels, work, _row(labels, work, to), value, hop, np.uint64(node))
            return
        if _less(ring, given, step, value, hop):
            _say(ring, labels, work, _row(labels, work, to), given, step, np.uint64(node))
            return
    if via == node and not new:  # it said more before
        _look(ring, sides[1], heavy, labels, seeds, work, _row(labels, work, to))


@kernel
def begin(
    ring: Any,
    sides: Any,
    heavy: bool,
    labels: Any,
    seeds: Any,
    work: Any,
    removed: Any,
    added: Any,
) -> None:
    """Edges that went, and edges that came: (sources, targets, weights) along the direction.

    The table and the heap must have room for a row for each.
    """
    values, _, parent = labels
    slot, table, _, _ = work
    sources, targets, _ = removed
    for i in range(len(sources)):
        to = targets[i]
        via = table[slot[to] - 1, PARENT] if slot[to] != 0 else np.uint64(parent[to])
        if via == sources[i]:
            _look(ring, sides[1], heavy, labels, seeds, work, _row(labels, work, to))
    sources, targets, weights = added
    for i in range(len(sources)):
        if values[sources[i]] != ring[ZERO]:
            weight = np.uint64(weights[i]) if heavy else ring[UNIT]
            edge = (sources[i], targets[i], weight)
            _offer(ring, sides, heavy, labels, seeds, work, edge, True)


@kernel
def settle(ring: Any, sides: Any, heavy: bool, labels: Any, seeds: Any, work: Any) -> bool:
    """Until nothing waits: True; or False where ``at[WANTED]`` more rows are wanted first."""
    starts, stops, targets, weights = sides[0]
    values, hops, parent = labels
    slot, table, heap, at = work
    zero, unit = ring[ZERO], ring[UNIT]
    while at[WAITING] > 0:
        value, rest = heap[0, 0], heap[0, 1]
        node = rest & _LOW
        row = slot[node] - 1
        own = table[row]
        degree = stops[node] - starts[node]
        held, step = np.uint64(values[node]), np.uint64(hops[node])
        if held == own[VALUE] and step == own[HOPS]:
            _drop(ring, heap, at)
            continue
        worse = _less(ring, held, step, own[VALUE], own[HOPS])
        if worse:
            key, key_rest = held, step << _32 | node
        else:
            key, key_rest = own[VALUE], own[HOPS] << _32 | node
        if key != value or key_rest != rest:
            _drop(ring, heap, at)
            continue
        if at[WAITING] + degree + 2 > len(heap) or at[TOUCHED] + degree > len(table):
            at[WANTED] = degree + 2
            return False
        _drop(ring, heap, at)
        at[SEEN] += degree
        if not worse:
            values[node], hops[node], parent[node] = own[VALUE], own[HOPS], own[PARENT]
            for at_edge in range(starts[node], stops[node]):
                weight = np.uint64(weights[at_edge]) if heavy else unit
                edge = (np.uint32(node), targets[at_edge], weight)
                _offer(ring, sides, heavy, labels, seeds, work, edge, False)
            continue
        values[node], hops[node], parent[node] = zero, NONE, NONE
        _say(ring, labels, work, row, own[VALUE], own[HOPS], own[PARENT])
        for at_edge in range(starts[node], stops[node]):
            to = targets[at_edge]
            via = table[slot[to] - 1, PARENT] if slot[to] != 0 else np.uint64(parent[to])
            if via == node:
                _look(ring, sides[1], heavy, labels, seeds, work, _row(labels, work, to))
    return True


@kernel
def finish(labels: Any, work: Any, changed: Any) -> int:
    """Clears the table; ``changed`` u32: the nodes whose label is another than before. How many."""
    values, hops, parent = labels
    slot, table, _, at = work
    count = 0
    for row in range(at[TOUCHED]):
        own = table[row]
        node = own[NODE]
        slot[node] = 0
        if (
            values[node] != own[WAS_VALUE]
            or hops[node] != own[WAS_HOPS]
            or parent[node] != own[WAS_PARENT]
        ):
            changed[count] = node
            count += 1
    at[TOUCHED] = 0
    return count


@kernel
def undo(labels: Any, work: Any) -> None:
    """All labels as they were before `begin`; clears the table and the heap. Takes no memory."""
    values, hops, parent = labels
    slot, table, _, at = work
    for row in range(at[TOUCHED]):
        own = table[row]
        node = own[NODE]
        slot[node] = 0
        values[node], hops[node], parent[node] = own[WAS_VALUE], own[WAS_HOPS], own[WAS_PARENT]
    at[TOUCHED] = at[WAITING] = 0

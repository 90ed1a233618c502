"""What many seed sets reach at once: 64 sets to a word, on all cores."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.graph import breadth
from mmsb.graph.adjacency import Direction, Graph
from mmsb.memory import pool
from mmsb.memory.cells import Array

_FOREVER = 2**62


def reach(
    graph: Graph, direction: Direction, nodes: Array, owners: Array, sets: int, last: int | None
) -> tuple[Array, int]:
    """Bits u64[words, count], bit s % 64 of word s // 64 for set s, and how many steps it took.

    ``nodes`` u32 and ``owners``: a node and the number of its set.

    O(edges × steps) a word at most, and most often far less.
    """
    words, steps = (sets + 63) // 64, 0
    bits = np.zeros((words, graph.count), np.uint64)
    places = np.uint64(1) << (owners & 63).astype(np.uint64)
    np.bitwise_or.at(bits, (owners >> 6, nodes), places)
    limit = _FOREVER if last is None else last
    for word in range(words):
        every = np.uint64((1 << min(64, sets - 64 * word)) - 1)
        steps = max(steps, _word(graph, direction, bits[word], every, limit))
    return bits, steps


def _word(graph: Graph, direction: Direction, seen: Array, every: np.uint64, last: int) -> int:
    from mmsb.graph import kernels_reach as kernels

    side, count = graph.side(direction), graph.count
    fresh, coming = seen.copy(), np.zeros(count, np.uint64)
    front = np.empty(2 * count + 1, np.uint32)
    first = np.flatnonzero(seen)
    held, level = len(first), 0
    front[:held] = first
    most = graph.size // breadth.MANY if graph.size >= breadth.SMALL else _FOREVER
    along = (side.starts, side.stops, side.targets, seen, fresh, coming, front)
    while True:
        held, level = kernels.along(*along, held, level, last, most)
        if not held or level >= last:
            return int(level)
        other = graph.side("backward" if direction == "forward" else "forward")
        against = (other.starts, other.stops, other.targets, every, seen, fresh, coming)

        def step(low: int, high: int, against: Any = against) -> int:
            run: Any = kernels.against
            return int(run(*against, low, high))

        pool.spread(step, count, smallest=64 * breadth.WORDS)
        held = int(kernels.taken(seen, fresh, coming, front))
        level += held > 0

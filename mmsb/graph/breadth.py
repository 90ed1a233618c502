"""Breadth first on all cores, along the edges or against them, whichever looks at fewer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from mmsb.graph.adjacency import Direction, Graph, Side
from mmsb.memory import pool
from mmsb.memory.cells import Array

#: A step goes against the edges where its frontier has more than one in 15 of all; along them again
#: where it found fewer than one node in 18. As Beamer, Asanović and Patterson (2012) chose them.
MANY, FEW = 15, 18
#: Below so many edges all steps go along them, as do those from fewer nodes than the other.
SMALL, COUNTED = 1 << 15, 1024
#: So many words of 64 nodes at least to a thread.
WORDS = 128
_FOREVER = 2**62


@cache
def _kernels() -> Any:
    from mmsb.graph import kernels_breadth

    return kernels_breadth


def breadth(
    graph: Graph, side: Side, direction: Direction, nodes: Array, last: int | None
) -> tuple[Array, int]:
    """Labels u64[count]: hops above the least parent, all ones where nothing came; and levels.

    The first step against the edges makes the other side of the graph, once. O(reached edges).
    """
    kernels = _kernels()
    count, held = graph.count, len(nodes)
    labels, queue = np.empty(count, np.uint64), np.empty(count, np.uint32)
    queue[:held] = nodes
    last = _FOREVER if last is None else last
    most = graph.size // MANY if graph.size >= SMALL else _FOREVER
    arrays = (side.starts, side.stops, side.targets, labels, queue)
    at, held, level = kernels.along(*arrays, 0, held, 0, last, COUNTED, most)
    while at < held and level < last:
        held, level = _against(graph.side(_OTHER[direction]), labels, queue, level, last)
        at, held, level = kernels.along(*arrays, 0, held, level, last, COUNTED, most)
    return labels, int(level) - (at == held and level > 0)


_OTHER: dict[Direction, Direction] = {"forward": "backward", "backward": "forward"}


def _against(other: Side, labels: Array, queue: Array, level: int, last: int) -> tuple[int, int]:
    """Dense steps while they find much; the last frontier is then in the queue. (held, level)."""
    kernels = _kernels()
    count = len(labels)
    words = (count + 63) // 64
    front, seen, fresh = (np.empty(words, np.uint64) for _ in range(3))
    found = np.zeros(words // WORDS + 1, np.int64)  # by the first word of each thread's part

    def bits(low: int, high: int) -> int:
        return int(kernels.to_bits(labels, level, front, seen, low, high))

    def step(low: int, high: int) -> int:
        sides = (other.starts, other.stops, other.targets, other.ordered)
        new = kernels.against(*sides, labels, front, seen, fresh, level, low, high)
        found[low // WORDS] += new
        return 0

    pool.spread(bits, words, smallest=WORDS)
    held = count
    while held >= max(1, count // FEW) and level < last:
        level += 1
        found[:] = 0
        pool.spread(step, words, smallest=WORDS)
        held = int(found.sum())
        front, fresh = fresh, front
    return int(kernels.to_queue(front, queue, 0)), level

"""Least costs and their witnesses, by buckets, on all cores."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.graph.semiring import Semiring
from mmsb.memory import pool
from mmsb.memory.cells import Array

#: From how many nodes on a wave is shared out.
WIDE = 2048


def cheapest(
    edges: tuple[Any, ...], ring: Semiring, nodes: Array, given: Array, size: int
) -> tuple[Array, Array, Array, int] | None:
    """Values u64, hops, parent and the steps of min_plus; None if a cost has no room in a label.

    ``edges``: as kernels take them. O(edges × how often a cost is improved + buckets × nodes).
    """
    count = len(edges[0])
    for bits in (count.bit_length(), 0):
        found = _with(edges, ring, nodes, given, count, bits, _width(edges, size, count))
        if found is not None:
            return found
    return None


def _with(
    edges: tuple[Any, ...],
    ring: Semiring,
    nodes: Array,
    given: Array,
    count: int,
    below: int,
    width: int,
) -> tuple[Array, Array, Array, int] | None:
    from mmsb.graph import kernels_cheapest as kernels

    hops_bits = count.bit_length()
    if below:  # leave 32 bits to costs, or what there is
        hops_bits = min(hops_bits, max(8, 32 - below))
    most = 2 ** (64 - below - hops_bits) - 2
    short = most < ring.most - 1
    most = min(most, ring.most - 1)
    if len(given) and int(given.max()) > most:
        return None
    shape = np.array([below, hops_bits, most, short, width], np.uint64)
    labels = np.full(count, kernels.NEVER)
    labels[nodes] = (given << np.uint64(below + hops_bits)) | np.uint64((1 << below) - 1)
    parts = pool.THREADS if count > WIDE else 1  # else no wave is shared out
    beyond = kernels.BUCKETS
    numbers = np.zeros(kernels.AT + 2 * parts, np.int64)
    numbers[kernels.FIRST] = -beyond  # so that seeds lie beyond all buckets
    numbers[kernels.BUCKET] = numbers[kernels.FIRST] + beyond
    numbers[kernels.AT + parts] = len(nodes)
    near, marks = np.empty(count, np.uint32), np.zeros(count, np.uint8)
    entries = np.empty((parts, 2 * count // parts + len(nodes) + 64), np.uint64)
    entries[0, : len(nodes)] = nodes | (np.arange(len(nodes), dtype=np.uint64) << np.uint64(32))
    heads = np.zeros((parts, beyond + 1), np.int64)
    heads[0, beyond] = len(nodes)
    lists = (near, marks, entries, heads)

    def relax(low: int, high: int) -> int:
        short = 0
        for part in range(low, high):
            short |= kernels.relax(edges, labels, shape, lists, numbers, part)
        return short

    wide = WIDE if parts > 1 else count
    while state := kernels.settle(edges, labels, shape, lists, numbers, wide):
        if state == 2:
            return None
        if state == 3 or pool.spread(relax, parts, smallest=1):
            more = np.empty(
                (parts, 2 * entries.shape[1] + int((edges[1] - edges[0]).max())), np.uint64
            )
            more[:, : entries.shape[1]] = entries
            entries = more
            lists = (near, marks, entries, heads)
    values = np.empty(count, np.uint64)
    hops, parent = np.empty(count, np.uint32), np.empty(count, np.uint32)
    steps = kernels.opened(labels, shape, np.uint64(ring.most), values, hops, parent)
    if not below:
        kernels.parents(edges, values, hops, parent)
    return values, hops, parent, int(steps)


def _width(edges: tuple[Any, ...], size: int, count: int) -> int:
    """Bits of the width of a bucket, about a mean weight over a mean degree."""
    weights, heavy = edges[3], edges[4]
    some = weights[:1024]
    mean = np.add.reduce(some, dtype=float) / len(some) if heavy and len(some) else 1.0
    return int(mean * count / max(size, 1)).bit_length()

"""Where a propagation starts: nodes and their first values, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.graph.adjacency import Graph
from mmsb.graph.semiring import Semiring
from mmsb.memory.cells import Array

#: A node, nodes, or nodes with values; each by number or name.
Seeds = int | str | Iterable[int | str] | Mapping[int | str, int]


def seeded(graph: Graph, seeds: Seeds, ring: Semiring) -> tuple[Array, Array]:
    """Nodes, u32, ascending, each once, and their values, u64. UnknownName, UsageError.

    A node named twice is one seed; with values both are put together by the semiring. A value of
    zero is no seed.
    """
    if type(seeds) is int and 0 <= seeds < graph.count:  # the quick way for the many small calls
        return np.array([seeds], np.uint32), np.array([ring.one], np.uint64)
    if isinstance(seeds, int | np.integer | str):
        return np.array([graph.node(seeds)], np.uint32), _ones(ring, 1)
    if isinstance(seeds, Mapping):
        return _valued(graph, seeds, ring)
    if isinstance(seeds, np.ndarray):
        return _array(graph, seeds, ring)
    if not isinstance(seeds, Iterable):
        raise UsageError(f"seeds are nodes, or nodes with values, not {quote(seeds)}")
    nodes = np.array(sorted({graph.node(each) for each in seeds}), np.uint32)
    return nodes, _ones(ring, len(nodes))


def node_sets(graph: Graph, seed_sets: list[Seeds], ring: Semiring) -> tuple[Array, Array, int]:
    """The nodes of all sets, u32, the number of the set of each, i64, and how many sets there are.

    Of a boolean semiring, of which all seeds have the same value. UnknownName, UsageError.
    """
    nodes: list[int] = []
    ends = []
    for seeds in seed_sets:
        if type(seeds) is int:
            nodes.append(seeds)
        elif type(seeds) is list and all(type(each) is int for each in seeds):
            nodes += seeds
        else:
            nodes += seeded(graph, seeds, ring)[0].tolist()
        ends.append(len(nodes))
    for end in (min(nodes), max(nodes)) if nodes else ():
        graph.node(end)
    lengths = np.diff(np.array([0, *ends]))
    return np.array(nodes, np.uint32), np.repeat(np.arange(len(ends)), lengths), len(ends)


def _valued(graph: Graph, seeds: Mapping[Any, Any], ring: Semiring) -> tuple[Array, Array]:
    held: dict[int, int] = {}
    for given, value in seeds.items():
        node, fit = graph.node(given), int(ring.fit(value, "a seed's value"))
        held[node] = ring.add(held[node], fit) if node in held else fit
    some = sorted((node, value) for node, value in held.items() if value != ring.zero)
    nodes = np.array([node for node, _ in some], np.uint32)
    return nodes, np.array([value for _, value in some], np.uint64)


def _array(graph: Graph, seeds: Array, ring: Semiring) -> tuple[Array, Array]:
    if isinstance(seeds, np.ma.MaskedArray) or seeds.ndim != 1 or seeds.dtype.kind not in "ui":
        raise UsageError(
            f"seeds are one list of node numbers, not {seeds.dtype} of shape {seeds.shape}"
        )
    nodes = np.unique(seeds)
    if len(nodes):
        for end in (int(nodes[0]), int(nodes[-1])):
            if not 0 <= end < graph.count:
                raise UnknownName(f"there is no node {end}; nodes are 0 … {graph.count - 1}")
    return nodes.astype(np.uint32), _ones(ring, len(nodes))


def _ones(ring: Semiring, count: int) -> Array:
    return np.full(count, ring.one, np.uint64)

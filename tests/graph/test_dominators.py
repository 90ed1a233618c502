"""Dominators, held to their definition: without its dominator a node is not reached."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import UnknownName, UsageError
from mmsb.graph.adjacency import Graph
from mmsb.graph.dominators import NONE, dominated_sums, dominators

Edges = list[tuple[int, int]]


def _reached(edges: Edges, roots: list[int], without: int = -1) -> set[int]:
    found = {root for root in roots if root != without}
    todo = list(found)
    while todo:
        here = todo.pop()
        for s, t in edges:
            if s == here and t not in found and t != without:
                found.add(t)
                todo.append(t)
    return found


def _dominators(count: int, edges: Edges, roots: list[int]) -> tuple[list[int], list[set[int]]]:
    """Immediate ones, and all that each node dominates, itself included."""
    everywhere = _reached(edges, roots)
    below = [everywhere - _reached(edges, roots, node) for node in range(count)]
    immediate = []
    for node in range(count):
        over = [each for each in range(count) if node in below[each] and each != node]
        # The last on the way: it dominates least.
        top = node if node in everywhere else NONE
        immediate.append(min(over, key=lambda each: len(below[each]), default=top))
    return immediate, below


def test_immediate_dominators_and_sums_over_their_tree() -> None:
    random = np.random.default_rng(3)
    for _ in range(2000):
        count = int(random.integers(1, 13))
        size = int(random.integers(0, 3 * count))
        edges = [(int(s), int(t)) for s, t in random.integers(0, count, (size, 2))]
        roots = random.integers(0, count, int(random.integers(1, 4))).tolist()
        graph = Graph.from_edges([s for s, _ in edges], [t for _, t in edges], count=count)
        found = dominators(graph, roots)
        immediate, below = _dominators(count, edges, roots)
        assert (found.dtype, found.tolist()) == (np.uint32, immediate), (count, edges, roots)
        values = random.integers(0, 100, count)
        sums = [
            sum(int(values[each]) for each in below[node]) if below[node] else int(values[node])
            for node in range(count)
        ]
        assert dominated_sums(found, values).tolist() == sums, (count, edges, roots)


def test_large_graphs_as_networkx_has_them() -> None:
    networkx: Any = pytest.importorskip("networkx")
    random = np.random.default_rng(4)
    for count, degree in ((3000, 2), (3000, 1.2), (500, 20)):
        ends = random.integers(0, count, (2, int(count * degree)))
        graph = Graph.from_edges(*ends, count=count)
        made = networkx.DiGraph(list(zip(*ends.tolist(), strict=True)))
        root = int(ends[0, 0])
        theirs = networkx.immediate_dominators(made, root)
        expected = [theirs.get(node, NONE) for node in range(count)]
        expected[root] = root
        assert dominators(graph, root).tolist() == expected


def test_a_long_path_needs_no_deep_stack_and_sums_saturate() -> None:
    count = 200_000
    ahead = np.arange(count - 1)
    found = dominators(Graph.from_edges(ahead, ahead + 1), [0])
    assert found.tolist() == [0, *range(count - 1)]
    sums = dominated_sums(found, np.full(count, 2**60, np.uint64))
    assert sums[-17:].tolist() == [2**64 - 1] * 2 + [k << 60 for k in range(15, 0, -1)]
    assert (sums[:-15] == 2**64 - 1).all()


def test_what_is_wrong_is_named() -> None:
    graph = Graph.from_edges([0], [1])
    with pytest.raises(UnknownName, match="no node 2"):
        dominators(graph, [2])
    with pytest.raises(UsageError, match="at least one root"):
        dominators(graph, [])
    assert dominators(graph, "1").tolist() == [NONE, 1]
    found = dominators(graph, 0)
    with pytest.raises(UsageError, match="one unsigned number for each of 2 nodes"):
        dominated_sums(found, [1.0, 2.0])
    with pytest.raises(UsageError, match="-1 is below 0"):
        dominated_sums(found, [1, -1])
    with pytest.raises(UsageError, match="for each of 2 nodes"):
        dominated_sums(found, [1])

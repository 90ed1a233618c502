"""Components, order, levels and cycles, held to plain Python that follows the definitions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import CycleError
from mmsb.graph import structure
from mmsb.graph.adjacency import Graph, Side
from mmsb.memory import pool

Edges = list[tuple[int, int]]


def _graph(count: int, edges: Edges) -> Graph:
    return Graph.from_edges([s for s, _ in edges], [t for _, t in edges], count=count)


def _spread_out(graph: Graph) -> Graph:
    """The same with gaps between nodes and neighbours in falling order, as a live one is."""
    starts, stops = graph.out.starts + 2 * np.arange(graph.count), np.empty(graph.count, np.int64)
    stops[:] = starts + (graph.out.stops - graph.out.starts)
    targets = np.full(graph.size + 2 * graph.count, 2**32 - 1, np.uint32)
    for node in range(graph.count):
        targets[starts[node] : stops[node]] = graph.out.neighbours(node)[::-1]
    return Graph(Side(starts, stops, targets, None, ordered=False), size=graph.size)


def _cases() -> Iterator[tuple[int, Edges]]:
    """Empty ones, single nodes, loops, parallel edges, all graphs of three nodes, and random ones,
    sparse and dense, with cycles and without."""
    yield from ((0, []), (1, []), (1, [(0, 0)]), (2, [(0, 1), (0, 1)]), (2, [(1, 0), (0, 1)]))
    pairs = list(itertools.product(range(3), repeat=2))
    for chosen in itertools.product((False, True), repeat=len(pairs)):
        yield 3, list(itertools.compress(pairs, chosen))
    random = np.random.default_rng(5)
    for _ in range(1200):
        count = int(random.integers(1, 14))
        size = int(random.integers(0, 3 * count))
        edges = random.integers(0, count, (size, 2))
        if random.random() < 0.4:
            names = random.permutation(count)
            edges = names[np.sort(edges[edges[:, 0] != edges[:, 1]], axis=1)]
        yield count, [(int(s), int(t)) for s, t in edges]


CASES = list(_cases())


@pytest.fixture(params=["small", "many", "many, both ways", "many, two threads"])
def ways(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Graphs go the way of the small or that of the large, on one thread or two."""
    if request.param != "small":
        monkeypatch.setattr(structure, "_MANY", 1)
        monkeypatch.setattr(structure, "_SMALLEST", 1)
        monkeypatch.setattr(pool, "THREADS", 2 if "two" in request.param else 1)
    way: str = request.param
    return way


def _prepared(count: int, edges: Edges, ways: str) -> Iterator[Graph]:
    graph = _graph(count, edges)
    if "both" in ways:
        assert graph.into is not None
    yield graph
    if ways == "small":
        yield _spread_out(graph)


# The oracles.


def _reached(count: int, edges: Edges) -> list[set[int]]:
    """What each node reaches, itself included."""
    sets = [{node} for node in range(count)]
    changed = True
    while changed:
        changed = False
        for s, t in edges:
            if not sets[t] <= sets[s]:
                sets[s] |= sets[t]
                changed = True
    return sets


def _strong(count: int, edges: Edges) -> tuple[list[int], list[int]]:
    """Labels by level and least node, and levels."""
    reach = _reached(count, edges)
    least = [min(m for m in reach[n] if n in reach[m]) for n in range(count)]
    level = dict.fromkeys(least, 0)
    for _ in level:
        for s, t in edges:
            if least[s] != least[t]:
                level[least[t]] = max(level[least[t]], level[least[s]] + 1)
    names = {each: at for at, each in enumerate(sorted(level, key=lambda c: (level[c], c)))}
    return [names[c] for c in least], [level[c] for c in least]


def _weak(count: int, edges: Edges) -> list[int]:
    reach = _reached(count, edges + [(t, s) for s, t in edges])
    least = [min(each) for each in reach]
    names = {each: at for at, each in enumerate(sorted(set(least)))}
    return [names[each] for each in least]


def _shortest(count: int, edges: Edges) -> int:
    """The length of a shortest cycle; 0 without any."""
    near = np.zeros((count, count), bool)
    for s, t in edges:
        near[s, t] = True
    power = near.copy()
    for length in range(1, count + 1):
        if power.diagonal().any():
            return length
        power = (power.astype(int) @ near.astype(int)) > 0
    return 0


def test_strong_components(ways: str) -> None:
    for count, edges in CASES:
        labels, levels = _strong(count, edges)
        for graph in _prepared(count, edges, ways):
            found = structure.strong_components(graph)
            assert (found.dtype, found.tolist()) == (np.uint32, labels), (count, edges)
            assert structure.depth(graph).tolist() == levels, (count, edges)


def test_weak_components(ways: str) -> None:
    for count, edges in CASES:
        for graph in _prepared(count, edges, ways):
            found = structure.weak_components(graph)
            assert found.tolist() == _weak(count, edges), (count, edges)


def test_topological_order_or_a_shortest_cycle() -> None:
    for count, edges in CASES:
        _, levels = _strong(count, edges)
        length = _shortest(count, edges)
        for graph in _prepared(count, edges, "small"):
            if not length:
                order = structure.topological_order(graph).tolist()
                assert order == sorted(range(count), key=lambda n: (levels[n], n)), (count, edges)
                assert structure.shortest_cycle(graph) == []
                continue
            with pytest.raises(CycleError, match="→") as caught:
                structure.topological_order(graph)
            cycle = caught.value.cycle
            assert len(cycle) == length, (count, edges, cycle)
            assert {*zip(cycle, [*cycle[1:], cycle[0]], strict=True)} <= {*edges}
            assert cycle[0] == min(cycle)


def test_a_cycle_in_a_large_graph_leads_through_the_least_node_that_lies_on_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(structure, "_LOOKED_AT", 3)
    graph = _graph(7, [(0, 1), (1, 2), (2, 3), (3, 1), (4, 5), (5, 4), (2, 6)])
    assert structure.shortest_cycle(graph) == [1, 2, 3]
    assert structure.shortest_cycle(graph, np.array([5, 6])) == [5, 4]
    assert structure.shortest_cycle(graph, np.array([0, 6])) == []
    with pytest.raises(CycleError, match="6 → 6; order the components") as caught:
        structure.topological_order(_graph(7, [(0, 1), (1, 0), (6, 6)]))
    assert (caught.value.code, caught.value.cycle) == ("cycle", [6])


def test_condensation_keeps_what_lies_between_components() -> None:
    for count, edges in CASES[:700]:
        weights = list(range(5, 5 + len(edges)))
        graph = Graph.from_edges(
            [s for s, _ in edges], [t for _, t in edges], np.array(weights, int), count=count
        )
        made, labels = structure.condensation(graph)
        assert labels.tolist() == _strong(count, edges)[0]
        assert made.count == len({*labels.tolist()})
        kept = [
            (int(labels[s]), int(labels[t]), w)
            for (s, t), w in zip(edges, weights, strict=True)
            if labels[s] != labels[t]
        ]
        sources, targets, carried = made.edges()
        assert carried is not None
        assert sorted(zip(*(c.tolist() for c in (sources, targets, carried)), strict=True)) == (
            sorted(kept)
        )
        assert all(s < t for s, t, _ in kept)
    made, _ = structure.condensation(_graph(4, [(1, 2), (2, 1), (2, 0)]))
    assert made.nodes.texts(range(3)) == ["1 +1", "3", "0"]
    assert [made.node(name) for name in ("1", "2", "1 +1", "3", "0")] == [0, 0, 0, 1, 2]


def test_fan_in_and_fan_out_count_every_edge() -> None:
    graph = _graph(4, [(0, 1), (0, 1), (2, 2), (2, 1)])
    for each in (graph, _spread_out(graph)):
        assert structure.fan_out(each).tolist() == [2, 0, 2, 0]
        assert structure.fan_in(each).tolist() == [0, 3, 1, 0]
    assert graph.into.targets.tolist() == [0, 0, 2, 2]
    assert structure.fan_in(graph).tolist() == [0, 3, 1, 0]
    assert structure.fan_in(_graph(0, [])).tolist() == []


@pytest.mark.parametrize("threads", [1, 2])
def test_large_graphs_as_scipy_has_them(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    csgraph = pytest.importorskip("scipy.sparse.csgraph")
    matrix = pytest.importorskip("scipy.sparse").csr_matrix
    monkeypatch.setattr(pool, "THREADS", threads)
    random = np.random.default_rng(8)
    count, size = 150_000, 400_000
    for skew in (1.0, 6.0):  # evenly, and with a few nodes at most of the edges
        ends = (random.random((2, size)) ** skew * count).astype(np.uint32)
        graph = Graph.from_edges(*ends, count=count)
        cells = matrix((np.ones(size), ends), shape=(count, count))
        for kind, ours in (
            ("strong", structure.strong_components),
            ("weak", structure.weak_components),
        ):
            number, theirs = csgraph.connected_components(cells, True, kind)
            labels = ours(graph)
            assert int(labels.max()) + 1 == number
            pairs = np.unique(labels.astype(np.int64) * count + theirs)
            assert len(pairs) == number
            assert np.array_equal(labels, ours(graph))
        labels = structure.strong_components(graph)
        assert (labels[ends[0]] <= labels[ends[1]]).all()


def test_a_path_as_long_as_the_graph_needs_no_deep_stack() -> None:
    count = 300_000
    ahead = np.arange(count - 1, dtype=np.uint32)
    graph = Graph.from_edges(ahead, ahead + 1)
    assert np.array_equal(structure.topological_order(graph), np.arange(count))
    assert np.array_equal(structure.strong_components(graph), np.arange(count))
    assert structure.weak_components(graph).max() == 0
    ring = Graph.from_edges(np.append(ahead, count - 1), np.append(ahead + 1, 0))
    assert structure.strong_components(ring).max() == 0
    assert len(structure.shortest_cycle(ring)) == count


def test_edges_beyond_32_bits(mapped: Any) -> None:
    """Five nodes whose edges lie behind 2^32 others that nothing refers to."""
    far = 2**32 + 8
    targets = mapped(far + 5, np.uint32)
    targets[far:] = (1, 2, 3, 1, 4)  # 0 → 1 → 2 → 3 → 1, 3 → 4
    starts = far + np.array([0, 1, 2, 3, 5])
    stops = far + np.array([1, 2, 3, 5, 5])
    graph = Graph(Side(starts, stops, targets, None, ordered=False), size=5)
    assert structure.strong_components(graph).tolist() == [0, 1, 1, 1, 2]
    assert structure.weak_components(graph).tolist() == [0] * 5
    assert structure.fan_in(graph).tolist() == [0, 2, 1, 1, 1]
    with pytest.raises(CycleError) as caught:
        structure.topological_order(graph)
    assert caught.value.cycle == [1, 2, 3]

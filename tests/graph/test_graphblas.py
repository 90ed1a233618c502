"""Propagation and components against SuiteSparse GraphBLAS: a second oracle, made by others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mmsb.graph import structure
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.propagate import propagate, propagate_many
from mmsb.graph.structure import strong_components, weak_components
from mmsb.testing.contracts_graph import eager, threads

gb: Any = pytest.importorskip(
    "graphblas", reason="python-graphblas is not installed (none for Python 3.14)"
)

INFINITE = 2**64 - 1
NAMED = {
    "empty": (0, []),
    "one node": (1, []),
    "one loop": (1, [(0, 0)]),
    "parallel": (2, [(0, 1), (0, 1), (0, 1)]),
    "cycle": (4, [(0, 1), (1, 2), (2, 0), (3, 3)]),
    "apart": (5, [(0, 1), (3, 4)]),
}
DRAWN = 200


class Drawn:
    """Edges with weights small enough that 64 bits hold every sum over ways."""

    def __init__(self, number: int, *, cycles: bool) -> None:
        random = np.random.default_rng(number)
        named = list(NAMED.values())
        if number < len(named):
            self.count, pairs = named[number]
            ends = np.array(pairs, np.int64).reshape(-1, 2)
        else:
            self.count = int(random.integers(1, 40))
            ends = random.integers(0, self.count, (int(random.integers(0, 3 * self.count)), 2))
        if not cycles:
            ends = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1)
        self.sources, self.targets = ends[:, 0], ends[:, 1]
        self.weights = random.integers(0, 4, len(ends))
        back = bool(random.random() < 0.5)
        self.direction: Direction = "backward" if back else "forward"
        self.along = (self.targets, self.sources) if back else (self.sources, self.targets)
        most = min(self.count, 3)
        self.seeds = np.unique(random.integers(0, max(1, self.count), most)).tolist()

    def graph(self, *, weights: bool) -> Graph:
        held = self.weights if weights else None
        return Graph.from_edges(self.sources, self.targets, held, count=self.count)

    def matrix(self, dup: Any, *, weights: bool) -> Any:
        """What one step is multiplied with; parallel edges are put together by ``dup``."""
        cells = self.weights if weights else np.ones(len(self.weights), np.int64)
        shape = {"nrows": self.count, "ncols": self.count}
        return gb.Matrix.from_coo(*self.along, cells, dtype="INT64", dup_op=dup, **shape)

    def start(self, value: int) -> Any:
        nodes, values = self.seeds, [value] * len(self.seeds)
        return gb.Vector.from_coo(nodes, values, dtype="INT64", size=self.count)


def drawn(*, cycles: bool = True) -> Iterator[Drawn]:
    for number in range(DRAWN):
        made = Drawn(number, cycles=cycles)
        if made.count:
            yield made


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All kernels, also on the smallest graph, on so many threads."""
    if request.param == 2:
        monkeypatch.setattr(structure, "_MANY", 0)
        monkeypatch.setattr(structure, "_SMALLEST", 1)
    with threads(request.param), eager():
        yield


def fixpoint(start: Any, step: Callable[[Any], Any], add: Any) -> Any:
    """Kleene's iteration, until nothing changes."""
    now = start.dup()
    while True:
        new = now.dup()
        new(add) << step(now)
        if new.isequal(now):
            return now
        now = new


def tight(labels: Any) -> list[int]:
    """Of each node the least of those with its label."""
    _, first, back = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    found: list[int] = first[back].tolist()
    return found


def test_graphs_that_are_named_are_among_those_drawn() -> None:
    seen = [Drawn(number, cycles=True) for number in range(len(NAMED))]
    assert [(each.count, len(each.weights)) for each in seen] == [
        (count, len(edges)) for count, edges in NAMED.values()
    ]
    assert Graph.from_edges([], [], count=0).count == 0
    assert propagate(Graph.from_edges([], [], count=0), []).values.tolist() == []


@pytest.mark.usefixtures("together")
def test_breadth_first_levels_and_reach() -> None:
    for made in drawn():
        matrix = made.matrix(gb.binary.plus, weights=False)
        seen, front, level = made.start(0), made.start(0), 0
        while front.nvals:
            level += 1
            front(~seen.S, replace=True) << gb.semiring.any_pair(front @ matrix)
            front(front.S) << level
            seen(front.S) << front
        graph = made.graph(weights=False)
        for name in ("any_pair", "min_plus"):
            found = propagate(graph, made.seeds, name, made.direction)
            assert found.hops is not None
            assert found.hops.astype(np.int32).tolist() == seen.to_dense(-1).tolist()
        reached = propagate(graph, made.seeds, "any_pair", made.direction).reached.tolist()
        assert reached == seen.to_coo()[0].tolist()


@pytest.mark.usefixtures("together")
def test_least_costs() -> None:
    for made in drawn():
        matrix = made.matrix(gb.binary.min, weights=True)
        ends = fixpoint(
            made.start(0), lambda now, by=matrix: gb.semiring.min_plus(now @ by), gb.binary.min
        )
        found = propagate(made.graph(weights=True), made.seeds, "min_plus", made.direction)
        costs = [INFINITE if cost < 0 else cost for cost in ends.to_dense(-1).tolist()]
        assert found.values.tolist() == costs


@pytest.mark.usefixtures("together")
def test_widest_ways() -> None:
    for made in drawn():
        matrix = made.matrix(gb.binary.max, weights=True)
        ends = fixpoint(
            made.start(9), lambda now, by=matrix: gb.semiring.max_min(now @ by), gb.binary.max
        )
        seeds = dict.fromkeys(made.seeds, 9)
        found = propagate(made.graph(weights=True), seeds, "max_min", made.direction)
        assert found.values.tolist() == ends.to_dense(0).tolist()


@pytest.mark.usefixtures("together")
def test_sums_over_all_ways_without_cycles() -> None:
    for made in drawn(cycles=False):
        matrix = made.matrix(gb.binary.plus, weights=True)
        total, front = made.start(1), made.start(1)
        for _ in range(made.count):  # ways have fewer edges than there are nodes
            front << gb.semiring.plus_times(front @ matrix)
            total(gb.binary.plus) << front
        found = propagate(made.graph(weights=True), made.seeds, "plus_times", made.direction)
        assert found.values.tolist() == total.to_dense(0).tolist()


@pytest.mark.usefixtures("together")
def test_sums_over_ways_of_so_many_edges_with_cycles() -> None:
    for made in drawn():
        matrix = made.matrix(gb.binary.plus, weights=True)
        total, front = made.start(1), made.start(1)
        for _ in range(4):
            front << gb.semiring.plus_times(front @ matrix)
            total(gb.binary.plus) << front
        asked = (made.graph(weights=True), made.seeds, "plus_times", made.direction)
        assert propagate(*asked, rounds=4).values.tolist() == total.to_dense(0).tolist()


@pytest.mark.usefixtures("together")
def test_reach_of_many_sets_and_strong_components() -> None:
    for made in drawn():
        matrix = made.matrix(gb.binary.plus, weights=False)
        every = np.arange(made.count)
        first = gb.Matrix.from_coo(every, every, np.ones(made.count, np.int64))
        ends = fixpoint(first, lambda now, by=matrix: gb.semiring.any_pair(now @ by), gb.binary.any)
        graph = made.graph(weights=False)
        found = propagate_many(graph, every.tolist(), "any_pair", made.direction)
        reach = ends.to_dense(0)
        assert found.values.tolist() == reach.tolist()
        strong = strong_components(graph)
        assert tight(strong) == np.argmax((reach > 0) & (reach.T > 0), axis=1).tolist()


@pytest.mark.usefixtures("together")
def test_weak_components() -> None:
    for made in drawn():
        out = made.matrix(gb.binary.plus, weights=False)
        near = out.ewise_add(out.T, gb.binary.plus).new()
        ends = fixpoint(
            gb.Vector.from_dense(np.arange(made.count)),
            lambda now, by=near: gb.semiring.min_first(now @ by),
            gb.binary.min,
        )
        assert tight(weak_components(made.graph(weights=False))) == ends.to_dense().tolist()

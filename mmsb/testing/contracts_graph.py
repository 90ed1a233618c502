"""What every way to propagate must do, said once, on every device and number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsb.base.errors import CycleError, UsageError
from mmsb.graph import breadth, cheapest
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.propagate import propagate, propagate_many, steps
from mmsb.graph.propagation import Propagation
from mmsb.graph.semiring import BUILT_IN, Semiring, Width
from mmsb.memory import pool
from mmsb.memory.machine import Device
from mmsb.testing.oracle_graph import Answer, Edge, propagated, ring

Random = np.random.Generator
Cells = npt.NDArray[Any]


def _one_of(random: Random, choices: Sequence[Any]) -> Any:
    return choices[int(random.integers(len(choices)))]


@dataclass(frozen=True)
class Case:
    """A propagation to be asked for."""

    count: int
    edges: list[Edge]
    seeds: dict[int, int]
    name: str
    width: Width
    direction: Direction
    limit: int | None
    rounds: int | None
    damping: float | None = None

    @property
    def ring(self) -> Semiring:
        return BUILT_IN[self.name].over(self.width)

    def graph(self) -> Graph:
        columns: tuple[Any, ...] = tuple(zip(*self.edges, strict=True)) or ((), (), None)
        sources, targets, weights = columns
        heavy = weights is not None and weights[0] is not None
        held = np.array(weights, np.uint64) if heavy else None
        return Graph.from_edges(sources, targets, held, count=self.count)

    def answer(self) -> Answer:
        """The oracle's."""
        back = self.direction == "backward"
        edges = [(t, s, w) for s, t, w in self.edges] if back else self.edges
        of = ring(self.name, self.ring.most)
        damping = None if self.damping is None else Fraction(round(self.damping * 2**16), 2**16)
        return propagated(self.count, edges, self.seeds, of, self.limit, self.rounds, damping)


def case(random: Random, counts: Sequence[int] = (0, 1, 2, 3, 5, 8, 13)) -> Case:
    """Any: empty, loops, parallel edges, cycles or none, weights at the ends or none."""
    count = int(_one_of(random, counts))
    size = int(random.integers(0, 3 * count + 1)) if count else 0
    ends = random.integers(0, max(count, 1), (size, 2))
    if random.random() < 0.4:  # no cycle: all edges go up
        ends = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1)
    name = str(random.choice(list(BUILT_IN)))
    width: Width = "u1" if name in ("lor_land", "any_pair") else _one_of(random, ("u1", "u4", "u8"))
    most = BUILT_IN[name].over(width).most
    pick: dict[str, Callable[[], int | None]] = {
        "none": lambda: None,
        "small": lambda: min(int(random.integers(0, 5)), most),
        "far": lambda: most - int(random.integers(0, min(4, most))),
        "wide": lambda: min(int(random.integers(0, 3)) << 57, most),
        "mixed": lambda: _one_of(random, (0, 1, 2, most // 3, most // 2, most - 1, most)),
    }
    weigh = pick[_one_of(random, ("none", "small", "small", "far", "wide", "mixed"))]
    edges: list[Edge] = [(int(s), int(t), weigh()) for s, t in ends.tolist()]
    values = [most, most - 1, 0, *(min(each, most) for each in (1, 2, 3))]
    start = BUILT_IN[name].over(width)
    seeds = {}
    for node in random.integers(0, max(count, 1), int(random.integers(0, 4)) if count else 0):
        value = start.one if random.random() < 0.6 else _one_of(random, values)
        if value != start.zero:
            seeds[int(node)] = value
    bound = int(random.integers(0, 6)) if random.random() < 0.5 else None
    kind = "rounds" if random.random() < 0.4 else "limit"
    damps = name == "plus_times" and kind == "rounds" and bound is not None
    return Case(
        count,
        edges,
        seeds,
        name,
        width,
        "backward" if random.random() < 0.5 else "forward",
        bound if kind == "limit" else None,
        bound if kind == "rounds" else None,
        _one_of(random, (None, 0, 0.5, 0.85, 1 / 3, 2**-16, 1)) if damps else None,
    )


@contextmanager
def threads(number: int) -> Iterator[None]:
    """As if the process might use so many cores."""
    before, pool.THREADS = pool.THREADS, number
    try:
        yield
    finally:
        pool.THREADS = before


@contextmanager
def eager() -> Iterator[None]:
    """As if the smallest graph were worth dense steps and all threads."""
    before = breadth.SMALL, breadth.COUNTED, breadth.WORDS, cheapest.WIDE
    breadth.SMALL = breadth.COUNTED = cheapest.WIDE = 0
    breadth.WORDS = 1
    try:
        yield
    finally:
        breadth.SMALL, breadth.COUNTED, breadth.WORDS, cheapest.WIDE = before


class PropagationContract:
    """Take it as a base and say on what ``device`` and how many ``threads``."""

    device: Device = "cpu"
    threads: int = 1

    def ask(self, asked: Case, graph: Graph, **more: Any) -> Propagation:
        with threads(self.threads):
            return propagate(graph, **self.terms(asked), **more)

    def terms(self, asked: Case) -> dict[str, Any]:
        """What `propagate` and `steps` are asked alike."""
        return {
            "seeds": asked.seeds,
            "semiring": asked.ring,
            "direction": asked.direction,
            "limit": asked.limit,
            "rounds": asked.rounds,
            "damping": asked.damping,
            "device": self.device,
        }

    def holds(self, asked: Case) -> None:
        """Values, witnesses, paths, waves and the bound on steps, against the oracle's."""
        graph, truth = asked.graph(), asked.answer()
        if asked.damping is not None and self.device == "gpu":
            self.refuses_damping(asked, graph)
            return
        if truth.cycle:
            self.refuses(asked, graph)
            return
        found = self.ask(asked, graph)
        self.same(asked, found, truth)
        with eager():
            self.same(asked, self.ask(asked, graph), truth)
        self.same_bare(asked, self.ask(asked, graph, witness=False), truth)
        if asked.damping is None:
            self.paths(asked, found)
        self.waves(asked, graph, truth)
        if asked.ring.absorptive:
            assert found.steps <= max(0, asked.count - 1), asked

    def same(self, asked: Case, found: Propagation, truth: Answer) -> None:
        self.same_bare(asked, found, truth)
        if asked.damping is not None:  # rounded sums have no witness
            assert (found.hops, found.parent) == (None, None)
            return
        assert found.hops is not None
        assert found.parent is not None
        assert found.hops.dtype == found.parent.dtype == np.dtype("u4")
        assert found.hops.tolist() == truth.hops, asked
        assert found.parent.tolist() == truth.parent, asked

    def same_bare(self, asked: Case, found: Propagation, truth: Answer) -> None:
        assert found.values.dtype == np.dtype(asked.width), asked
        assert found.values.tolist() == truth.values, asked
        zero = asked.ring.zero
        reached = [node for node, value in enumerate(truth.values) if value != zero]
        assert found.reached.tolist() == reached, asked

    def paths(self, asked: Case, found: Propagation) -> None:
        """Each path is a way of that many edges, and of a selective semiring gives that value."""
        of = ring(asked.name, asked.ring.most)
        held: dict[tuple[int, int], list[int]] = {}
        for source, target, weight in asked.edges:
            ends = (source, target) if asked.direction == "forward" else (target, source)
            taken = weight if weight is not None and of.weighted else of.unit
            held.setdefault(ends, []).append(taken)
        assert found.hops is not None
        for node in range(asked.count):
            path = found.path(node)
            if found.hops[node] == 2**32 - 1:
                assert path == [], asked
                continue
            assert len(path) == found.hops[node] + 1, asked
            assert path[-1] == node, asked
            ways = {asked.seeds[path[0]]}
            for step in pairwise(path):
                ways = {of.multiply(way, weight) for way in ways for weight in held[step]}
            assert not of.selective or found.value(node) in ways, asked

    def waves(self, asked: Case, graph: Graph, truth: Answer) -> None:
        with threads(self.threads):
            seen = list(steps(graph, **self.terms(asked)))
        assert [wave.number for wave in seen] == list(range(len(seen))), asked
        assert seen[0].nodes.tolist() == sorted(asked.seeds), asked
        now = [asked.ring.zero] * asked.count
        for number, wave in enumerate(seen):
            pairs = dict(zip(wave.nodes.tolist(), wave.values.tolist(), strict=True))
            assert list(pairs) == sorted(pairs), asked
            for node, value in pairs.items():
                now[node] = value
            if number and asked.ring.selective:
                assert pairs == truth.waves[number - 1], asked
        assert now == truth.values, asked

    def refuses(self, asked: Case, graph: Graph) -> None:
        """By naming a cycle: of edges that are there, a shortest of those the seeds reach."""
        try:
            self.ask(asked, graph)
        except CycleError as error:
            pairs = {(source, target) for source, target, _ in asked.edges}
            ring_round = [*error.cycle, error.cycle[0]]
            assert all(step in pairs for step in pairwise(ring_round)), asked
        else:
            raise AssertionError(f"a cycle went unseen: {asked}")

    def refuses_damping(self, asked: Case, graph: Graph) -> None:
        """In a sentence that names the CPU; ``auto`` asks that."""
        said = ""
        try:
            self.ask(asked, graph)
        except UsageError as error:
            said = str(error)
        assert said == "a damped propagation runs on the CPU alone; use device='cpu'", asked
        found = propagate(graph, **{**self.terms(asked), "device": "auto"})
        assert found.device == "cpu"
        assert found.values.tolist() == asked.answer().values, asked

    def holds_for_many(self, asked: list[Case]) -> None:
        """Many seed sets on the first case's graph are as each on its own."""
        first = asked[0]
        if first.answer().cycle or (first.damping is not None and self.device == "gpu"):
            return
        sets = [
            {node: first.ring.one for node in each.seeds if node < first.count} for each in asked
        ]
        graph = first.graph()
        given = (first.ring, first.direction, first.limit)
        more: dict[str, Any] = {
            "rounds": first.rounds,
            "damping": first.damping,
            "device": self.device,
        }
        with threads(self.threads), eager():
            for witness in (False, True):
                try:
                    many = propagate_many(graph, sets, *given, witness=witness, **more)
                except CycleError:
                    return
                assert len(many.values) == len(sets)
                for number, seeds in enumerate(sets):
                    row = many.row(number)
                    alone = propagate(graph, seeds, *given, witness=witness, **more)
                    assert row.values.dtype == alone.values.dtype
                    assert row.values.tolist() == alone.values.tolist(), first
                    if witness and first.damping is None:
                        assert row.hops is not None
                        assert row.parent is not None
                        assert row.hops.tolist() == _list(alone.hops), first
                        assert row.parent.tolist() == _list(alone.parent), first
                        assert all(
                            row.path(node) == alone.path(node) for node in range(first.count)
                        )


def _list(cells: Cells | None) -> list[int]:
    assert cells is not None
    found: list[int] = cells.tolist()
    return found

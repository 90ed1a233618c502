"""A propagation kept up to date, held to a fresh one and to the definition, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import EnvironmentProblem, UsageError
from mmsb.graph import growing as growing_module
from mmsb.graph import incremental as incremental_module
from mmsb.graph.adjacency import Graph
from mmsb.graph.growing import Edges, Growing
from mmsb.graph.incremental import Kept
from mmsb.graph.nodes import Numbers
from mmsb.graph.propagate import propagate
from mmsb.graph.semiring import ANY_PAIR, LOR_LAND, MAX_MIN, MIN_PLUS, Semiring, user
from mmsb.memory.cells import Array

RINGS = (MIN_PLUS, MIN_PLUS.over("u4"), MAX_MIN, MAX_MIN.over("u4"), LOR_LAND, ANY_PAIR)


def some_edges(random: Any, count: int, size: int, weighted: bool) -> Edges:
    ends = random.integers(0, count, (2, size), np.uint32)
    kinds = ([0, 1, 1, 1, 2], [0, 1, 2, 3, 9, 2**32 - 1])
    weights = random.choice(kinds[int(random.integers(2))], size).astype(np.uint32)
    return Edges(ends[0], ends[1], weights if weighted else None)


def picked(random: Any, graph: Graph, size: int) -> Edges:
    """Some of its edges."""
    sources, targets, weights = graph.edges()
    at = random.permutation(len(sources))[:size]
    return Edges(sources[at], targets[at], None if weights is None else weights[at])


class Short:
    """numpy without room for the n-th array that is asked of it."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if name not in ("append", "array", "concatenate", "empty", "full", "sort", "zeros"):
            return found

        def made(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise MemoryError(name)
            return found(*given, **named)

        return made


def listed(growing: Growing) -> list[list[tuple[int, ...]]]:
    """Its edges, both ways, and weights."""
    graph = growing.graph
    ways = []
    for side in (graph.out, graph.into):
        weights = np.ones(len(side.targets), "u4") if side.weights is None else side.weights
        ways.append(
            sorted(
                (node, int(side.targets[at]), int(weights[at]))
                for node in range(graph.count)
                for at in range(int(side.starts[node]), int(side.stops[node]))
            )
        )
    return ways


@pytest.mark.parametrize("weighted", [True, False])
def test_a_change_without_room_changes_nothing(
    weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(7)
    failed = 0
    for size in (0, 3, 60, 400):
        first = some_edges(random, 20, 50, weighted)
        growing, plain = (
            Growing(Graph.from_edges(first.sources, first.targets, first.weights, count=20))
            for _ in range(2)
        )
        gone, new = picked(random, growing.graph, 9), some_edges(random, 45, size, weighted)
        if weighted and size:
            wide = np.append(new.weights[1:].astype("u8"), np.uint64(2**40))
            new = Edges(new.sources, new.targets, wide)
        before, about = listed(growing), (growing.size, growing.steps, growing.count)
        for left in range(100):
            with monkeypatch.context() as patched:
                patched.setattr(growing_module, "np", Short(left))
                try:
                    growing.change(gone, new, nodes=Numbers(45), epoch=3)
                except EnvironmentProblem:
                    failed += 1
                else:
                    break
            assert listed(growing) == before
            assert (growing.size, growing.steps, growing.count) == about
        plain.change(gone, new, nodes=Numbers(45), epoch=3)
        assert listed(growing) == listed(plain) != before
        assert (growing.size, growing.steps, growing.count) == (41 + size, 1, 45)
        growing.change(new, gone)  # and goes on as one that never failed
        assert listed(growing) == [sorted(way) for way in before]
    assert failed > 20


def test_what_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing(Graph.from_edges([0, 1], [1, 2], [1, 2]))
    before = listed(growing)
    hostile: tuple[Any, ...] = (5, "zz", [[0], [1]], None, [-1], [1.5], [2**64], [[0]], {0}, 1j)
    for wrong in hostile:
        for given in (Edges(wrong, [0], [1]), Edges([0], wrong, [1]), Edges([0], [0], wrong)):
            for way in ((given, None), (None, given)):
                with pytest.raises(UsageError):
                    growing.change(*way)
        for edges in (wrong, (wrong,)):
            if edges is not None:
                with pytest.raises(UsageError):
                    growing.change(edges)  # type: ignore[arg-type]
        if wrong is not None:
            with pytest.raises(UsageError):
                growing.change(nodes=wrong)
    with pytest.raises(UsageError, match="3 or more"):
        growing.change(nodes=Numbers(2))
    assert listed(growing) == before
    changed = growing.change(None, Edges([1], [0], [9]))  # type: ignore[arg-type]
    assert changed.added.sources.dtype == np.uint32
    assert listed(growing)[0] == [(0, 1, 1), (1, 0, 9), (1, 2, 2)]


def assert_as_fresh(kept: Kept, seeds: Any, ring: Semiring, direction: Any) -> None:
    ours = kept.answer
    fresh = propagate(ours.graph, seeds, ring, direction)
    for name in ("values", "hops", "parent"):
        left, right = getattr(ours, name), getattr(fresh, name)
        assert left.dtype == right.dtype, name
        assert left.tolist() == right.tolist(), name


def lives_of(random: Any, ring: Semiring, steps: int) -> None:
    count, weighted = int(random.integers(1, 24)), bool(random.integers(2))
    size = int(random.integers(0, 3 * count))
    first = some_edges(random, count, size, weighted)
    growing = Growing(Graph.from_edges(first.sources, first.targets, first.weights, count=count))
    direction = ("forward", "backward")[int(random.integers(2))]
    nodes = random.integers(0, count, int(random.integers(1, 4))).tolist()
    values = random.integers(0, 5, len(nodes)).tolist()
    seeds = dict(zip(nodes, values, strict=True))
    if ring.boolean or random.integers(2):
        seeds = dict.fromkeys(nodes, ring.one)
    kept = Kept(growing, seeds, ring, direction)
    for _ in range(steps):
        few = int(random.choice([1, 1, 2, 5, 40]))
        gone = picked(random, growing.graph, int(random.integers(0, few + 1)))
        new = some_edges(random, count, int(random.integers(0, few + 1)), weighted)
        if random.integers(8) == 0:
            count += int(random.integers(1, 20))
        before = [each.copy() for each in (kept.answer.values, kept.answer.hops)]
        parents = kept.answer.parent.copy()
        changed = growing.change(gone, new, nodes=Numbers(count))
        touched = kept.update(changed)
        assert_as_fresh(kept, seeds, ring, direction)
        now = kept.answer
        old = len(parents)
        differ = (now.values[:old] != before[0]) | (now.hops[:old] != before[1])
        differ |= now.parent[:old] != parents
        came = old + np.flatnonzero(now.hops[old:] != 0xFFFFFFFF)
        assert touched.tolist() == [*np.flatnonzero(differ).tolist(), *came.tolist()]
        assert touched.dtype == np.uint32


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: f"{ring.name} {ring.dtype}")
def test_any_life_of_small_graphs(ring: Semiring) -> None:
    random = np.random.default_rng(5)
    for _ in range(150):
        lives_of(random, ring, 12)


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: f"{ring.name} {ring.dtype}")
def test_an_update_without_room_changes_nothing(
    ring: Semiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever array there is no room for, and however often: then it is taken in whole."""
    random = np.random.default_rng(9)
    failed = 0
    for _ in range(4):
        count = 200
        first = some_edges(random, count, 300, True)
        growing = Growing(
            Graph.from_edges(first.sources, first.targets, first.weights, count=count)
        )
        seeds = dict.fromkeys([0, 1, 2, 3], ring.one)
        kept = Kept(growing, seeds, ring)
        for _ in range(3):
            count += 90
            gone, new = picked(random, growing.graph, 90), some_edges(random, count, 200, True)
            before = told(kept)
            changed = growing.change(gone, new, nodes=Numbers(count))
            for left in range(100):
                with monkeypatch.context() as patched:
                    patched.setattr(incremental_module, "np", Short(left))
                    try:
                        touched = kept.update(changed)
                    except EnvironmentProblem:
                        failed += 1
                    else:
                        break
                assert told(kept) == before
            assert_as_fresh(kept, seeds, ring, "forward")
            after = told(kept)
            was = before[0] + [ring.zero] * (count - len(before[0]))
            differ = [node for node in range(count) if was[node] != after[0][node]]
            assert set(differ) <= set(touched.tolist())
    assert failed > 30


def test_an_update_that_finds_no_room_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub of a star has lost its label when its 500 neighbours find no room."""
    hub = np.full(500, 1, np.uint32)
    star = np.arange(2, 502, dtype=np.uint32)
    growing = Growing(Graph.from_edges(np.append(0, hub), np.append(1, star)))
    kept, one = Kept(growing, 0), np.array([0], np.uint32)
    before = told(kept)
    for _ in range(2):
        changed = growing.change(Edges(one, one + 1))
        for left in (0, 1, 1):  # for the table, the heap, what changed; what it got is kept
            with monkeypatch.context() as patched:
                patched.setattr(incremental_module, "np", Short(left))
                with pytest.raises(EnvironmentProblem, match=r"stands at step .* pass it again"):
                    kept.update(changed)
            assert told(kept) == before
        assert kept.update(changed).tolist() == list(range(1, 502))
        assert_as_fresh(kept, [0], MIN_PLUS, "forward")
        kept.update(growing.change(None, Edges(one, one + 1)))
        assert told(kept) == before
        kept = Kept(growing, 0)


def told(kept: Kept) -> list[list[int]]:
    now = kept.answer
    return [each.tolist() for each in (now.values, now.hops, now.parent)]


@pytest.mark.long
def test_a_semiring_of_ones_own() -> None:
    """The way whose greatest weight is least. (It is compiled for some ten seconds.)"""

    def least(left: Any, right: Any) -> Any:
        return min(left, right)

    def larger(left: Any, right: Any) -> Any:
        return max(left, right)

    said = {"unit": 1, "selective": True, "absorptive": True}
    ring = user("minimax", least, larger, 255, 0, dtype="u1", **said)
    random = np.random.default_rng(6)
    for _ in range(40):
        lives_of_narrow(random, ring)


def lives_of_narrow(random: Any, ring: Semiring) -> None:
    growing = Growing(
        Graph.from_edges(*random.integers(0, 12, (2, 30)), random.integers(0, 9, 30), count=12)
    )
    kept = Kept(growing, [0], ring)
    for _ in range(10):
        gone = picked(random, growing.graph, 3)
        weights = random.integers(0, 9, 3).astype(np.uint32)
        new = Edges(*random.integers(0, 12, (2, 3), np.uint32), weights)
        kept.update(growing.change(gone, new))
        assert_as_fresh(kept, [0], ring, "forward")


def test_the_cost_follows_what_changes() -> None:
    """A chain of 100,000, and a star that hangs on its end: edges that do not matter cost none."""
    count = 100_000
    chain = np.arange(count - 1, dtype=np.uint32)
    growing = Growing(Graph.from_edges(chain, chain + 1, count=count + 1000))
    kept = Kept(growing, 0)

    def step(gone: tuple[int, int] | None, new: tuple[int, int] | None) -> tuple[Array, int]:
        before = kept.looked_at
        parts = [
            None if each is None else Edges(*np.array(each, np.uint32).reshape(2, 1))
            for each in (gone, new)
        ]
        return kept.update(growing.change(*parts)), kept.looked_at - before

    assert step(None, (5, 3)) == (pytest.approx([]), 0)
    found, cost = step(None, (count - 1, count))
    assert found.tolist() == [count]
    assert cost < 5
    found, cost = step((count - 3, count - 2), None)
    assert found.tolist() == [count - 2, count - 1, count]
    assert cost < 20
    found, cost = step(None, (10, count - 2))
    assert found.tolist() == [count - 2, count - 1, count]
    assert cost < 20
    assert kept.answer.path(count) == [*range(11), count - 2, count - 1, count]


def test_what_is_asked_wrongly_says_so() -> None:
    growing = Growing(Graph.from_edges([0, 1], [1, 2], [1, 2]))
    with pytest.raises(UsageError, match="plus_times is not selective and absorptive"):
        Kept(growing, 0, "plus_times")
    kept = Kept(growing, 0, MIN_PLUS.over("u4"))
    one = np.array([0], np.uint32)
    first = growing.change(None, Edges(one, one, one))
    second = growing.change(None, Edges(one, one, one))
    for each in (first, second):
        with pytest.raises(UsageError, match=r"stands at step 0 of a graph at step 2"):
            kept.update(each)
    kept = Kept(growing, 0, MIN_PLUS.over("u4"))
    wide = growing.change(None, Edges(one, one, np.array([2**40], np.uint64)))
    with pytest.raises(UsageError, match="does not fit min_plus of u4"):
        kept.update(wide)


def test_a_growing_graph_refuses_what_is_no_change() -> None:
    growing = Growing(Graph.from_edges([0, 0, 1], [1, 1, 2], [3, 4, 5]))
    one, two = np.array([0], np.uint32), np.array([0, 0, 0], np.uint32)
    for gone in (Edges(two, two + 1, two + 3), Edges(one, one + 2, one + 3)):
        with pytest.raises(UsageError, match="is not there"):
            growing.change(gone)
    with pytest.raises(UsageError, match="has weights; pass them"):
        growing.change(None, Edges(one, one))
    with pytest.raises(UsageError, match="one for one"):
        growing.change(None, Edges(one, two, one))
    with pytest.raises(UsageError, match=r"nodes are 0 … 2"):
        growing.change(None, Edges(one, one + 3, one))
    assert (growing.size, growing.steps) == (3, 0)
    assert sorted(growing.graph.out.neighbours(0).tolist()) == [1, 1]
    assert growing.graph.into.neighbours(2).tolist() == [1]


def test_hubs_that_grow_and_shrink() -> None:
    """Rooms that are full, moved and packed, on both sides, against a list of edges."""
    random = np.random.default_rng(8)
    growing, held = Growing(Graph.from_edges([], [], [], count=9)), list[tuple[int, int, int]]()
    for _ in range(200):
        size = int(random.integers(0, 60))
        new = [tuple(map(int, random.integers(0, [3, 9, 4]))) for _ in range(size)]
        gone = [held.pop(int(random.integers(len(held)))) for _ in range(min(len(held), size - 9))]
        parts = [Edges(*np.array(each, np.uint32).reshape(-1, 3).T.copy()) for each in (gone, new)]
        growing.change(*parts)
        held += new
        for graph, wanted in (
            (growing.graph, held),
            (growing.graph.reversed(), [(t, s, w) for s, t, w in held]),
        ):
            assert sorted(zip(*(each.tolist() for each in graph.edges()), strict=True)) == sorted(
                wanted
            )
    assert growing.nbytes < 24 * len(held) + 12_000

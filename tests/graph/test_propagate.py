"""Propagation against plain Python, on thousands of graphs, on one thread and two."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import CycleError, UnknownName, UsageError
from mmsb.graph.adjacency import Graph
from mmsb.graph.propagate import propagate, propagate_many, steps
from mmsb.graph.semiring import MIN_PLUS
from mmsb.testing.contracts_graph import PropagationContract, case


class _Runs(PropagationContract):
    def test_small_graphs(self) -> None:
        random = np.random.default_rng(1)
        for _ in range(2000):
            self.holds(case(random))

    def test_graphs_of_several_words_of_bits(self) -> None:
        random = np.random.default_rng(3)
        for _ in range(100):
            self.holds(case(random, (63, 64, 65, 130, 200)))

    def test_many_seed_sets(self) -> None:
        random = np.random.default_rng(2)
        for _ in range(60):
            self.holds_for_many([case(random) for _ in range(int(random.integers(1, 9)))])
        for _ in range(10):
            self.holds_for_many([case(random, (8, 130)) for _ in range(70)])


class TestOneThread(_Runs):
    threads = 1


class TestTwoThreads(_Runs):
    threads = 2


CHAIN = Graph.from_edges([0, 1, 2], [1, 2, 3], [1, 2, 2**40])


@pytest.mark.parametrize(
    ("seeds", "more", "error", "said"),
    [
        (4, {}, UnknownName, "there is no node 4; nodes are 0 … 3"),
        (-1, {}, UnknownName, "there is no node -1"),
        ("x", {}, UnknownName, "there is no node 'x'"),
        ([0, 9], {}, UnknownName, "there is no node 9"),
        (np.array([0, 9]), {}, UnknownName, "there is no node 9"),
        (np.array([0.5]), {}, UsageError, "node numbers"),
        (1.5, {}, UsageError, "seeds are nodes"),
        ([True], {}, UsageError, "not True"),
        ({0: -1}, {}, UsageError, "-1 is not a seed's value of min_plus"),
        ({0: 2**64}, {}, UsageError, "which goes from 0"),
        ({0: 0.5}, {}, UsageError, "whole number"),
        ({0: 2}, {"semiring": "lor_land"}, UsageError, "2 is not a seed's value"),
        (0, {"semiring": "plus_max"}, UnknownName, "there is no semiring 'plus_max'"),
        (0, {"semiring": MIN_PLUS.over("u4")}, UsageError, "a weight of 1099511627776 does not"),
        (0, {"direction": "sideways"}, UsageError, "direction 'sideways' is not known"),
        (0, {"limit": -1}, UsageError, "limit is a number of edges"),
        (0, {"limit": 1.5}, UsageError, "limit is a number of edges"),
        (0, {"rounds": "2"}, UsageError, "rounds is a number of edges"),
        (0, {"rounds": 2, "limit": 2}, UsageError, "not both"),
        (0, {"device": "tpu"}, UsageError, "there is no device 'tpu'"),
        (0, {"damping": 0.5, "rounds": 2}, UsageError, "min_plus does not sum numbers up"),
        (0, {"damping": 0.5, "semiring": "plus_times"}, UsageError, "damping goes with rounds=N"),
        *(
            (0, {"damping": each, "semiring": "plus_times", "rounds": 2}, UsageError, "in 0 … 1")
            for each in (-0.1, 1.1, float("nan"), True, "0.5")
        ),
    ],
)
def test_bad_input(seeds: Any, more: dict[str, Any], error: type[Exception], said: str) -> None:
    for ask in (propagate, steps):
        with pytest.raises(error, match=re.escape(said)):
            ask(CHAIN, seeds, **more)
    with pytest.raises(error, match=re.escape(said)):
        propagate_many(CHAIN, [0, seeds], **more)


def test_weights_below_zero_or_broken_are_refused_with_the_graph() -> None:
    for weights in ([-1], [0.5], [1, 2]):
        with pytest.raises(UsageError):
            Graph.from_edges([0], [1], weights)


def test_a_cycle_is_named() -> None:
    graph = Graph.from_edges([0, 1, 2, 3, 4, 2], [1, 2, 3, 1, 4, 1], count=6)
    with pytest.raises(CycleError, match=re.escape("1 → 2 → 1; ask for rounds=N")) as error:
        propagate(graph, 0, "plus_times")
    assert error.value.cycle == [1, 2]
    assert error.value.code == "cycle"
    with pytest.raises(CycleError):
        steps(graph, 0, "max_plus", limit=3)
    assert propagate(graph, 5, "plus_times").values.tolist() == [0, 0, 0, 0, 0, 1]
    with pytest.raises(CycleError) as error:
        propagate(graph, 3, "max_plus", "backward")
    assert error.value.cycle == [1, 2]
    assert propagate(graph, 0, "plus_times", rounds=4).values.tolist() == [1, 3, 2, 1, 0, 0]


def test_a_damped_run_settles_where_damping_outweighs_what_leaves_a_node() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        count, size, damping = 20, 40, 0.2
        ends, weights = random.integers(0, count, (2, size)), random.integers(0, 3, size)
        graph = Graph.from_edges(*ends, weights, count=count)
        seeds = {int(node): int(random.integers(1, 2**40)) for node in ends[0, :3]}
        most = np.bincount(ends[0], weights, minlength=count).max() * damping
        if most >= 1:
            continue
        bound = 1 + int(np.log(sum(seeds.values())) / -np.log(most)) if most else 1
        about = (graph, seeds, "plus_times")
        far = propagate(*about, rounds=10_000, damping=damping)
        assert far.steps <= bound
        same = propagate(*about, rounds=far.steps, damping=damping)
        assert same.values.tolist() == far.values.tolist()
        exact = np.zeros((count, count))
        np.add.at(exact, tuple(ends), weights * damping)
        start = np.array([seeds.get(node, 0) for node in range(count)])
        whole = np.linalg.solve(np.eye(count) - exact.T, start)
        assert np.allclose(far.values, whole, rtol=1e-4, atol=count * bound)


def test_damping_rounds_down_and_keeps_no_witness() -> None:
    ring = Graph.from_edges([0, 1], [1, 0])
    found = propagate(ring, {0: 1000}, "plus_times", rounds=3, damping=0.5)
    assert found.values.tolist() == [1000 + 250, 500 + 125]
    with pytest.raises(UsageError, match="kept no witness"):
        found.path(1)
    found = propagate(ring, {0: 2**64 - 1}, "plus_times", rounds=1, damping=0.5)
    assert found.values.tolist() == [2**64 - 1, 2**63 - 1]
    about = {"rounds": 2, "damping": 0.85}
    many = propagate_many(ring, [0, {1: 9}], "plus_times", witness=True, **about)  # type: ignore[arg-type]
    assert many.values.tolist() == [[1, 0], [0 + 7, 9 + 5]]
    assert many.hops is None


def test_seeds_by_name_and_value() -> None:
    found = propagate(CHAIN, {"1": 5, 2: 1})
    assert found.values.tolist() == [2**64 - 1, 5, 1, 2**40 + 1]
    assert found.path("3") == [2, 3]
    assert found.path(0) == []
    assert found.reached.tolist() == [1, 2, 3]
    assert propagate(CHAIN, {0: MIN_PLUS.zero}).reached.tolist() == []
    assert propagate(CHAIN, []).reached.tolist() == []
    assert propagate(CHAIN, ["0", 0], "plus_times").values.tolist() == [1, 1, 2, 2**41]
    with pytest.raises(UsageError, match="kept no witness"):
        propagate(CHAIN, 0, witness=False).path(3)
    with pytest.raises(UsageError, match="ask one of its rows"):
        propagate_many(CHAIN, [0, 1]).path(3)
    with pytest.raises(UsageError, match="no row 2"):
        propagate_many(CHAIN, [0, 1]).row(2)


def test_a_chain_longer_than_a_label_has_bits_for() -> None:
    count = 70_000
    chain = np.arange(count - 1)
    graph = Graph.from_edges(chain, chain + 1, np.full(count - 1, 3))
    found = propagate(graph, 0)
    assert found.values.tolist() == list(range(0, 3 * count, 3))
    assert found.hops is not None
    assert found.hops.tolist() == list(range(count))
    assert found.path(count - 1) == list(range(count))
    assert found.steps == count - 1

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
        (0, {"direction": "sideways"}, UsageError, "there is no direction 'sideways'"),
        (0, {"limit": -1}, UsageError, "limit is a number of edges"),
        (0, {"limit": 1.5}, UsageError, "limit is a number of edges"),
        (0, {"rounds": "2"}, UsageError, "rounds is a number of edges"),
        (0, {"rounds": 2, "limit": 2}, UsageError, "not both"),
        (0, {"device": "tpu"}, UsageError, "there is no device 'tpu'"),
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

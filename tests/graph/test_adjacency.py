"""Graphs from edges, held to lists of edges."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.base.errors import UnknownName, UsageError
from mmsb.graph.adjacency import Graph
from mmsb.graph.growing import Growing

EDGES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**40)), max_size=60
)


@given(EDGES)
def test_both_sides_hold_the_edges(edges: list[tuple[int, int, int]]) -> None:
    sources, targets, weights = (
        (list(column) for column in zip(*edges, strict=True)) if edges else ([], [], [])
    )
    graph = Graph.from_edges(sources, targets, weights, count=10)
    for side, pairs in (
        (graph.out, [(s, t, w) for s, t, w in edges]),
        (graph.into, [(t, s, w) for s, t, w in edges]),
    ):
        found: Counter[tuple[int, int, int]] = Counter()
        assert side.weights is not None
        for node in range(10):
            span = slice(int(side.starts[node]), int(side.stops[node]))
            near = side.targets[span].tolist()
            assert near == sorted(near)
            found.update(
                (node, t, w) for t, w in zip(near, side.weights[span].tolist(), strict=True)
            )
        assert found == Counter(pairs)
    back = graph.reversed()
    assert back.out is graph.into
    assert back.into is graph.out


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(UsageError, match="2 sources and 1 targets"):
        Graph.from_edges([0, 1], [1])
    with pytest.raises(UnknownName, match="target 7 is no node"):
        Graph.from_edges([0], [7], count=3)
    with pytest.raises(UsageError, match="unsigned"):
        Graph.from_edges([0], [1], [-1])
    with pytest.raises(UsageError, match="one list"):
        Graph.from_edges([0.5], [1])
    with pytest.raises(UnknownName, match="no node 3"):
        Graph.from_edges([0], [2]).node(3)
    with pytest.raises(UnknownName, match="no node 'x'"):
        Graph.from_edges([0], [2]).node("x")
    assert Graph.from_edges([], []).count == 0
    assert Graph.from_edges(np.zeros(0, np.uint32), [], count=4).into.starts.tolist() == [0] * 4


@pytest.mark.parametrize("wrong", ["zz", -1, 1.5, True, 2**64, [1], object(), 10**5000], ids=type)
def test_what_is_no_epoch_is_refused(wrong: Any) -> None:
    growing = Growing(Graph.from_edges([0], [1]))
    for ask in (
        lambda: Graph.from_edges([0], [1], epoch=wrong),
        lambda: growing.change(epoch=wrong),
    ):
        with pytest.raises(UsageError, match=r"^epoch") as told:
            ask()
        assert len(str(told.value)) < 200
    assert growing.steps == 0


def test_an_epoch_is_kept_as_a_number() -> None:
    assert Graph.from_edges([0], [1]).epoch is None
    for epoch in (0, np.uint32(7), 2**64 - 1):
        graph = Graph.from_edges([0], [1], epoch=epoch)  # type: ignore[arg-type]
        assert (graph.epoch, type(graph.epoch)) == (int(epoch), int)

"""Compressed sparse rows from edges, held to numpy's stable sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import EnvironmentProblem
from mmsb.graph import adjacency, kernels_build
from mmsb.graph.adjacency import Graph, side
from mmsb.memory import pool

Array = Any
WEIGHTS = (None, np.uint32, np.uint64)


def _sorted(sources: Array, targets: Array, weights: Array | None, count: int) -> list[Array]:
    """Where each node's edges end, targets, weights."""
    order = np.lexsort((targets, sources))
    ends = np.cumsum(np.bincount(sources, minlength=count))
    return [ends, targets[order], np.empty(0) if weights is None else weights[order]]


def _edges(random: Any, size: int, count: int, dtype: Any) -> tuple[Array, Array, Array | None]:
    sources, targets = random.integers(0, count, (2, size)).astype(np.uint32)
    return (
        sources,
        targets,
        None if dtype is None else random.integers(0, 2**32, size).astype(dtype),
    )


def _check(sources: Array, targets: Array, weights: Array | None, count: int) -> None:
    made = side(sources, targets, weights, count)
    found = [made.stops, made.targets, np.empty(0) if weights is None else made.weights]
    for ours, theirs in zip(found, _sorted(sources, targets, weights, count), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(made.starts[1:], made.stops[:-1])
    assert count == 0 or made.starts[0] == 0
    assert made.targets.dtype == np.uint32
    assert not made.starts.flags.writeable


@pytest.fixture(params=["one go", "parts", "parts, two threads"])
def ways(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges go through the kernel for few, or are parted into many buckets by 1 or 2 threads."""
    if request.param != "one go":
        monkeypatch.setattr(adjacency, "_FEW", 8)
        monkeypatch.setattr(adjacency, "_BUCKET", 4)
        monkeypatch.setattr(pool, "THREADS", 2 if "two" in request.param else 1)


@pytest.mark.usefixtures("ways")
def test_sides_are_sorted_and_equal_edges_keep_their_order() -> None:
    random = np.random.default_rng(1)
    for size, count in ((0, 0), (0, 3), (1, 1), (9, 1), (30, 4), (48, 9), (49, 9), (999, 100)):
        for dtype in WEIGHTS:
            for _ in range(5):
                _check(*_edges(random, size, count, dtype), count)
    for count in (2, 70_000, 2**22):
        sources, targets, weights = _edges(random, 3000, count, np.uint64)
        _check(sources, targets, weights, count)
        sources.sort()
        _check(sources, targets, weights, count)
        _check(sources, np.sort(targets), weights, count)
        targets[np.lexsort((targets, sources))] = targets.copy()
        _check(np.zeros_like(sources), targets, weights, count)
        _check(targets, np.full_like(sources, count - 1), None, count)


@pytest.mark.usefixtures("ways")
def test_what_is_sorted_already_is_copied() -> None:
    sources, targets = np.repeat(np.arange(50, dtype=np.uint32), 4), np.arange(200, dtype=np.uint32)
    made = side(sources, targets, None, 400)
    assert made.targets.tolist() == targets.tolist()
    assert targets.flags.writeable
    assert made.stops.tolist() == [*range(4, 201, 4), *[200] * 350]


@pytest.mark.usefixtures("ways")
def test_a_side_turned_round_twice_is_itself() -> None:
    random = np.random.default_rng(2)
    graph = Graph.from_edges(*_edges(random, 2000, 90, np.uint32))
    again = Graph(graph.into, size=graph.size).into
    for name in ("starts", "stops", "targets", "weights"):
        assert np.array_equal(getattr(again, name), getattr(graph.out, name))


def test_edges_in_a_view_with_strides() -> None:
    pairs = np.array([[2, 0], [1, 1], [0, 2], [0, 1]], np.uint32)
    made = Graph.from_edges(pairs[:, 0], pairs[:, 1])
    assert made.out.targets.tolist() == [1, 2, 1, 0]


def test_positions_beyond_32_bits(mapped: Any) -> None:
    """The kernels at the end of arrays that are mapped and never touched before."""
    far = 2**32 + 8
    sources, targets = mapped(far + 4, np.uint32), mapped(far + 4, np.uint32)
    sources[far:], targets[far:] = (0, 1, 1, 3), (7, 2, 1, 0)
    nothing, ends = np.empty(0, np.uint32), np.full(5, -1)
    kernels_build.ends_of_sorted(sources, far, far + 4, ends)
    assert ends.tolist() == [far + 1, far + 3, far + 3, far + 4, far + 4]
    assert kernels_build.falls(sources, targets, far, far + 4)
    counts = np.zeros(3, np.int64)
    kernels_build.count_buckets(sources, far, far + 4, 1, counts)
    assert counts.tolist() == [3, 1, 0]
    keys, out = mapped(far + 4, np.int64), mapped(far + 4, np.uint32)
    places = np.array([far, far + 3])
    kernels_build.part(sources, targets, nothing, far, far + 4, 1, places, keys, nothing)
    begins = np.array([far, far + 3, far + 4, far + 4])
    kernels_build.lay_buckets(begins, 0, 3, 1, keys, nothing, ends, out, nothing)
    assert out[far:].tolist() == [7, 1, 2, 0]
    assert ends.tolist() == [far + 1, far + 3, far + 3, far + 4, far + 4]


def test_a_graph_for_which_there_is_no_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(EnvironmentProblem, match="1 edges and 2 nodes"):
        side(np.zeros(1, np.uint32), np.ones(1, np.uint32), None, 2)

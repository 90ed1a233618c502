"""Weak and strong components and topological order, on R-MAT graphs, 1,024 nodes, and calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from benchmarks.graph import blas
from benchmarks.graph.base import base
from benchmarks.graph.harness import (
    MIDDLE,
    OURS,
    SMALL,
    Rival,
    compared,
    graphblas_matrix,
    here,
    networkx_graph,
    rustworkx_graph,
    scipy_matrix,
)
from benchmarks.graph.rmat import Edges, rmat
from benchmarks.harness import Array, Bench, Goal, Result
from mmsb.graph.adjacency import Graph
from mmsb.graph.structure import strong_components, topological_order, weak_components

FRESH = "mmsb, one side made"


def run(bench: Bench) -> Result:
    result = Result("Components and topological order")
    result.say(
        "Components are equal when they put the same nodes together; an order is right when every "
        "edge leads on, and must be the same each time from mmsb. GraphBLAS has FastSV, a "
        "forward and backward search with trimming and colours, and peeling (benchmarks/graph/"
        "blas.py); SciPy and rustworkx their own functions. Both sides of mmsb's graph are at "
        f"hand, as GraphBLAS has the matrix both ways; in “{FRESH}” it makes the other side in "
        "each call if it wants it. rustworkx takes part up to 2^18 nodes, as do the strong "
        "components of GraphBLAS."
    )
    small = _without_cycles(_even(1024, 4))
    timings = _order(bench, result, small)
    goal = Goal("topological order, 1,024 nodes, degree 4", timings[OURS].middle, 12e-6, "s")
    result.goals.append(goal)
    _order(bench, result, _without_cycles(rmat(bench.pick(18, 10))))
    goals = {} if bench.quick else {"the best peer": 1.5}
    for scale in (10,) if bench.quick else (18, 20):
        _components(bench, result, rmat(scale), goals)
    calls = base(bench, result)
    if calls is not None:
        _components(bench, result, calls, goals)
    return result


def _components(bench: Bench, result: Result, edges: Edges, goals: dict[str, float]) -> None:
    both, one = edges.graph(), edges.graph()
    assert both.into.ordered
    ours: dict[str, Callable[[Graph], Array]] = {
        "weak": weak_components,
        "strong": strong_components,
    }
    theirs = _peers(bench, edges)
    for kind, find in ours.items():
        rivals = {OURS: _labelled(find, both)}
        if kind == "strong":
            rivals[FRESH] = _labelled(find, one, fresh=True)
        rivals |= theirs[kind]
        compared(bench, result, edges, f"{kind} components", rivals, goals=goals)


def _labelled(find: Callable[[Graph], Array], graph: Graph, *, fresh: bool = False) -> Rival:
    def once() -> Array:
        return find(Graph(graph.out, size=graph.size) if fresh else graph)

    return Rival(once, _canonical)


def _canonical(labels: Array) -> Array:
    """The least node of each node's component, i64."""
    _, first, back = np.unique(labels, return_index=True, return_inverse=True)
    least: Array = first[back].astype(np.int64)
    return least


def _peers(bench: Bench, edges: Edges) -> dict[str, dict[str, Rival]]:
    """By kind of component, then by name."""
    names = here(bench, "SciPy", "GraphBLAS", "rustworkx", "networkx")
    made: dict[str, dict[str, Rival]] = {"weak": {}, "strong": {}}

    def add(name: str, weak: Callable[[], Any], strong: Callable[[], Any], answer: Any) -> None:
        made["weak"][name], made["strong"][name] = Rival(weak, answer), Rival(strong, answer)

    def sets(found: Iterable[Collection[int]]) -> Array:
        labels = np.empty(edges.count, np.int64)
        for each in found:
            labels[list(each)] = min(each)
        return labels

    if "SciPy" in names:
        from scipy.sparse.csgraph import connected_components

        cells = scipy_matrix(edges)
        add(
            "SciPy",
            lambda: connected_components(cells, True, "weak")[1],
            lambda: connected_components(cells, True, "strong")[1],
            _canonical,
        )
    if "GraphBLAS" in names:
        from graphblas import binary

        out = graphblas_matrix(edges)
        into = out.T.new()
        near = out.ewise_add(into, binary.lor).new(dtype="INT32")
        add("GraphBLAS", lambda: blas.weak(near), lambda: blas.strong(out, into), _canonical)
        if edges.count > MIDDLE:
            del made["strong"]["GraphBLAS"]  # most of a minute
    if "rustworkx" in names and edges.count <= MIDDLE:
        import rustworkx

        held = rustworkx_graph(edges)
        add(
            "rustworkx",
            lambda: rustworkx.weakly_connected_components(held),
            lambda: rustworkx.strongly_connected_components(held),
            sets,
        )
    if "networkx" in names and edges.count <= SMALL:
        import networkx

        slow = networkx_graph(edges)
        add(
            "networkx",
            lambda: list(networkx.weakly_connected_components(slow)),
            lambda: list(networkx.strongly_connected_components(slow)),
            sets,
        )
    return made


def _order(bench: Bench, result: Result, edges: Edges) -> Any:
    def right(order: Any) -> Array:
        place = np.full(edges.count, -1)
        place[np.asarray(order)] = np.arange(edges.count)
        return np.array(
            [(place >= 0).all() and (place[edges.sources] < place[edges.targets]).all()]
        )

    graph = edges.graph()
    assert np.array_equal(topological_order(graph), topological_order(edges.graph()))
    rivals = {OURS: Rival(lambda: topological_order(graph), right)}
    names = here(bench, "GraphBLAS", "rustworkx", "networkx")
    if "GraphBLAS" in names:
        out = graphblas_matrix(edges)
        rivals["GraphBLAS"] = Rival(lambda: blas.order(out), right)
    if "rustworkx" in names:
        import rustworkx

        held = rustworkx_graph(edges)
        rivals["rustworkx"] = Rival(lambda: rustworkx.topological_sort(held), right)
    if "networkx" in names and edges.count <= SMALL:
        import networkx

        slow = networkx_graph(edges)
        rivals["networkx"] = Rival(lambda: list(networkx.topological_sort(slow)), right)
    goals = {"the best peer": 1.5} if edges.count > SMALL else {}
    return compared(bench, result, edges, "topological order", rivals, goals=goals)


def _even(count: int, degree: int) -> Edges:
    """Edges between any two nodes alike."""
    ends = np.random.default_rng(6).integers(0, count, (2, count * degree)).astype(np.uint32)
    keys = np.unique(ends[0].astype(np.uint64) << np.uint64(32) | ends[1])
    sources = (keys >> np.uint64(32)).astype(np.uint32)
    return Edges(f"{count:,} nodes of degree {degree}", count, sources, keys.astype(np.uint32))


def _without_cycles(edges: Edges) -> Edges:
    """Each edge turned so that it leads to the greater in an order that is drawn; no loops."""
    rank = np.random.default_rng(9).permutation(edges.count)
    turned = rank[edges.sources] > rank[edges.targets]
    sources = np.where(turned, edges.targets, edges.sources)
    targets = np.where(turned, edges.sources, edges.targets)
    apart = sources != targets
    keys = np.unique(sources[apart].astype(np.uint64) << np.uint64(32) | targets[apart])
    return dataclasses.replace(
        edges,
        name=f"{edges.name}, turned one way",
        sources=(keys >> np.uint64(32)).astype(np.uint32),
        targets=keys.astype(np.uint32),
    )

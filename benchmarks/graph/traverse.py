"""BFS, reach from 32 seed sets and least costs, on R-MAT graphs and on the calls of Base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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
from benchmarks.harness import Array, Bench, Result
from mmsb.graph.propagate import propagate, propagate_many
from mmsb.graph.propagation import Propagation

GOALS = {"GraphBLAS": 1.5, "the best peer": 1.5}
SETS = 32


def run(bench: Bench) -> Result:
    """Answers are compared as levels, as a bit a node and set, and as costs."""
    result = Result("Traversal of R-MAT graphs and of the calls of Base, forward")
    result.say(
        "BFS gives hops and parents, from one node with more than ten edges (of the calls of "
        "Base: from the one that reaches most); the least parent by "
        "mmsb, any by the others. Reach is from 32 sets of one node each. Weights are 1 … 255; "
        "least costs come with hops and parents from mmsb alone. GraphBLAS has the matrix by rows "
        "and its transpose, and pushes or pulls as LAGraph does (`any_secondi` under a mask; "
        "`any_pair` on a matrix with a row a set; `min_plus` from what changed). SciPy: "
        "`breadth_first_order`, `dijkstra`."
    )
    for scale in (8,) if bench.quick else (12, 18, 20):
        edges = rmat(scale)
        seeds = _busy(edges)
        _all(bench, result, edges, int(seeds[0]), seeds, GOALS if scale >= 18 else {})
    calls = base(bench, result)
    if calls is not None:
        reach = propagate_many(calls.graph(), range(calls.count), "any_pair")
        furthest = int(reach.values.sum(axis=1).argmax())
        _all(bench, result, calls, furthest, _busy(calls), {} if bench.quick else GOALS)
    return result


def _busy(edges: Edges) -> Array:
    """The nodes with more than ten edges, where there are any."""
    degrees = np.bincount(edges.sources, minlength=edges.count)
    return np.flatnonzero(degrees > min(10, int(degrees.max()) - 1))


def _all(
    bench: Bench,
    result: Result,
    edges: Edges,
    first: int,
    seeds: Array,
    goals: Mapping[str, float],
) -> None:
    """BFS and least costs from one node, reach from some of the others."""
    compared(bench, result, edges, "BFS", _breadth(bench, edges, first), goals=goals)
    some = seeds[:: max(1, len(seeds) // SETS)][:SETS].tolist()
    compared(bench, result, edges, "reach", _reach(bench, edges, some), goals=goals)
    costs = _costs(bench, edges, edges.weights(), first)
    compared(bench, result, edges, "least costs", costs, goals=goals)


def _breadth(bench: Bench, edges: Edges, seed: int) -> dict[str, Rival]:
    graph, count = edges.graph(), edges.count
    assert graph.into.ordered

    def hops(found: Propagation) -> Array:
        assert found.hops is not None
        return found.hops.astype(np.int64)

    def levels(parent: Array) -> Array:
        """Of parents, with the node itself at the seed and -1 where there is none."""
        level = np.full(count, 2**32 - 1, np.int64)
        level[seed] = 0
        for step in range(1, count):
            new = (level == 2**32 - 1) & (parent >= 0)
            new &= level[np.where(parent < 0, 0, parent)] == step - 1
            if not new.any():
                break
            level[new] = step
        return level

    ways = {OURS: Rival(lambda: propagate(graph, seed, "any_pair"), hops)}
    peers = here(bench, "GraphBLAS", "SciPy", "networkx")
    if "GraphBLAS" in peers:
        blas = _Blas(edges)
        ways["GraphBLAS"] = Rival(lambda: blas.breadth(seed), lambda v: levels(v.to_dense(-1)))
    if "SciPy" in peers:
        from scipy.sparse.csgraph import breadth_first_order

        matrix = scipy_matrix(edges)

        def before(found: tuple[Array, Array]) -> Array:
            parent = np.where(found[1] < 0, -1, found[1]).astype(np.int64)
            parent[seed] = seed
            return levels(parent)

        ways["SciPy"] = Rival(lambda: breadth_first_order(matrix, seed), before)
    if "networkx" in peers and count <= SMALL:
        import networkx

        nx = networkx_graph(edges)

        def of_lengths(found: dict[int, int]) -> Array:
            level = np.full(count, 2**32 - 1, np.int64)
            level[list(found)] = list(found.values())
            return level

        lengths: Any = networkx.single_source_shortest_path_length
        ways["networkx"] = Rival(lambda: lengths(nx, seed), of_lengths)
    return ways


def _reach(bench: Bench, edges: Edges, seeds: list[int]) -> dict[str, Rival]:
    graph = edges.graph()
    assert graph.into.ordered
    ways = {
        OURS: Rival(lambda: propagate_many(graph, seeds, "any_pair"), lambda p: p.values),
    }
    peers = here(bench, "GraphBLAS", "SciPy")
    if "GraphBLAS" in peers:
        blas = _Blas(edges)
        ways["GraphBLAS"] = Rival(
            lambda: blas.reach(seeds), lambda m: m.to_dense(False).astype(np.uint8)
        )
    if "SciPy" in peers:
        from scipy.sparse.csgraph import breadth_first_order

        matrix = scipy_matrix(edges)

        def each() -> list[Array]:
            return [breadth_first_order(matrix, one, return_predecessors=False) for one in seeds]

        def table(found: list[Array]) -> Array:
            made = np.zeros((len(seeds), edges.count), np.uint8)
            for row, nodes in enumerate(found):
                made[row, nodes] = 1
            return made

        ways["SciPy"] = Rival(each, table)
    return ways


def _costs(bench: Bench, edges: Edges, weights: Array, seed: int) -> dict[str, Rival]:
    graph, count = edges.graph(weights), edges.count
    ways = {OURS: Rival(lambda: propagate(graph, seed), lambda p: p.values)}
    far = np.uint64(2**64 - 1)

    def whole(costs: Array) -> Array:
        return np.where(np.isinf(costs), 0, costs).astype(np.uint64) | np.isinf(costs) * far

    peers = here(bench, "GraphBLAS", "SciPy", "rustworkx")
    if "GraphBLAS" in peers:
        blas = _Blas(edges, weights)
        ways["GraphBLAS"] = Rival(
            lambda: blas.costs(seed),
            lambda v: np.where(v.to_dense(-1) < 0, far, v.to_dense(-1).astype(np.uint64)),
        )
    if "SciPy" in peers:
        from scipy.sparse.csgraph import dijkstra

        matrix = scipy_matrix(edges, weights)
        ways["SciPy"] = Rival(lambda: dijkstra(matrix, indices=seed), whole)
    if "rustworkx" in peers and count <= MIDDLE:
        import rustworkx

        rx = rustworkx_graph(edges, weights)

        def lengths() -> Any:
            return rustworkx.digraph_dijkstra_shortest_path_lengths(rx, seed, float)

        def of_lengths(found: Any) -> Array:
            costs = np.full(count, np.inf)
            costs[seed] = 0
            for node, cost in found.items():
                costs[node] = cost
            return whole(costs)

        ways["rustworkx"] = Rival(lengths, of_lengths)
    return ways


class _Blas:
    """SuiteSparse's GraphBLAS, with the matrix by rows both ways."""

    def __init__(self, edges: Edges, weights: Array | None = None) -> None:
        self.along = graphblas_matrix(edges, weights, "BOOL" if weights is None else "INT64")
        self.against = self.along.T.new()
        degrees = np.bincount(edges.sources, minlength=edges.count)
        self.count, self.size, self.degrees = edges.count, edges.size, degrees
        self.along.wait()
        self.against.wait()

    def breadth(self, seed: int) -> Any:
        """Parents, by push and pull as LAGraph_BreadthFirstSearch has it."""
        from graphblas import Vector
        from graphblas.semiring import ss

        parent, front = Vector("INT64", self.count), Vector("INT64", self.count)
        parent[seed] = front[seed] = seed
        left, before, push = self.size, 0, True
        while held := front.nvals:
            if push and held > before:
                edges = int(self.degrees[front.to_coo(values=False)[0]].sum())
                left -= edges
                push = edges <= left / 8
            elif not push:
                push = held < before and held <= self.count / 512
            before = held
            step = front.vxm(self.along, ss.any_secondi)
            if not push:
                step = self.against.mxv(front, ss.any_secondi)
            front(~parent.S, replace=True) << step
            parent(front.S) << front
        return parent

    def reach(self, seeds: list[int]) -> Any:
        """A row a set: what is new goes on under the mask of what is not."""
        from graphblas import Matrix
        from graphblas.semiring import any_pair

        rows = np.arange(len(seeds))
        shape = {"nrows": len(seeds), "ncols": self.count}
        seen = Matrix.from_coo(rows, seeds, True, dtype="BOOL", **shape)
        front = seen.dup()
        while front.nvals:
            front(~seen.S, replace=True) << front.mxm(self.along, any_pair)
            seen(front.S) << front
        return seen

    def costs(self, seed: int) -> Any:
        """Bellman and Ford, from those that became cheaper alone."""
        from graphblas import Vector, binary
        from graphblas.semiring import min_plus

        costs = Vector("INT64", self.count)
        costs[seed] = 0
        front = costs.dup()
        while front.nvals:
            found = front.vxm(self.along, min_plus).new()
            better = found.dup(mask=~costs.S)
            less = found.ewise_mult(costs, binary.lt).new()
            better(less.V) << found
            costs(better.S) << better
            front = better
        return costs

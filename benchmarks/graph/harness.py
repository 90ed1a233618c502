"""The peers' own forms of a graph, and how ways to one answer are compared on it.

What measures and what is shown is benchmarks/harness.py.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.graph.rmat import Edges
from benchmarks.harness import Array, Bench, Goal, Result, Timings, Way, measured, number, same
from benchmarks.harness import seconds as shown

OURS = "mmsb"
#: Nodes up to which networkx takes part, and rustworkx: they hold an object or more an edge.
SMALL, MIDDLE = 1 << 13, 1 << 18
#: How peers are called in tables, and the package that each is.
PEERS = {
    "SciPy": "scipy",
    "GraphBLAS": "graphblas",
    "rustworkx": "rustworkx",
    "networkx": "networkx",
}


@dataclass(frozen=True)
class Rival:
    """One way to an answer. ``answer`` turns what ``run`` gives into what all must agree on."""

    run: Callable[[], Any]
    answer: Callable[[Any], Array]


def compared(
    bench: Bench,
    result: Result,
    edges: Edges,
    what: str,
    rivals: Mapping[str, Rival],
    *,
    goals: Mapping[str, float] | None = None,
    times: int = 1000,
) -> Timings:
    """Times ways to one answer on one graph once all agree, and adds a table with M edges/s.

    ``rivals[OURS]`` is ours. ``goals``: by a peer's name, how many times as long it must take at
    least; ``"the best peer"`` is the quickest of all that ran.
    """
    truth: Array | None = None
    for name, rival in rivals.items():
        answer = rival.answer(rival.run())
        if truth is None:
            truth = answer
        same(f"{what}, {edges.name}: {name}", truth, answer)
    timings = measured(bench, {name: Way(each.run, times) for name, each in rivals.items()})
    ours = timings[OURS]
    others = {n: each.over(ours) for n, each in timings.items() if not n.startswith(OURS)}
    for name, bound in (goals or {}).items():
        found = min(others.values(), default=None) if name == "the best peer" else others.get(name)
        goal = Goal(f"{what}, {edges.name}, {name} of it", found, bound, "×", at_least=True)
        result.goals.append(goal)
    result.say(f"{what}, {edges.name}: {edges.count:,} nodes, {edges.size:,} edges.")
    rows = [
        [
            name,
            shown(timing.middle),
            shown(timing.p99),
            number(edges.size / timing.middle / 1e6),
            "" if name == OURS else number(timing.over(ours)),
        ]
        for name, timing in timings.items()
    ]
    result.table(["", "median", "p99", "M edges/s", f"× {OURS}"], rows)
    print(f"{what}, {edges.name}: measured", file=sys.stderr, flush=True)
    return timings


def here(bench: Bench, *names: str) -> list[str]:
    """Those of the peers that are installed; none where none are wanted."""
    found = [name for name in names if importlib.util.find_spec(PEERS[name]) is not None]
    return found if bench.peers else []


# A peer's own form of a graph, made before the clock runs.


def scipy_matrix(edges: Edges, weights: Array | None = None) -> Any:
    """A csr_matrix with sorted i32 indices, as csgraph wants it; without weights all ones."""
    from scipy.sparse import csr_matrix

    starts = np.concatenate(([0], np.cumsum(np.bincount(edges.sources, minlength=edges.count))))
    cells = np.ones(edges.size) if weights is None else weights.astype(np.float64)
    shape = (edges.count, edges.count)
    made = csr_matrix((cells, edges.targets.astype(np.int32), starts.astype(np.int32)), shape=shape)
    made.has_sorted_indices = True
    return made


def graphblas_matrix(edges: Edges, weights: Array | None = None, dtype: str = "BOOL") -> Any:
    """A GrB_Matrix by rows on as many threads as there are cores; iso-valued without weights."""
    import graphblas as gb

    cells = True if weights is None else weights
    return gb.Matrix.from_coo(
        edges.sources,
        edges.targets,
        cells,
        dtype=dtype,
        nrows=edges.count,
        ncols=edges.count,
    )


def rustworkx_graph(edges: Edges, weights: Array | None = None) -> Any:
    """A PyDiGraph; its edges hold None, or a float."""
    import rustworkx

    made = rustworkx.PyDiGraph(node_count_hint=edges.count, edge_count_hint=edges.size)
    made.add_nodes_from(range(edges.count))
    pairs = zip(edges.sources.tolist(), edges.targets.tolist(), strict=True)
    if weights is None:
        made.extend_from_edge_list(list(pairs))
    else:
        made.extend_from_weighted_edge_list(
            [(s, t, w) for (s, t), w in zip(pairs, weights.astype(float).tolist(), strict=True)]
        )
    return made


def networkx_graph(edges: Edges, weights: Array | None = None) -> Any:
    """A DiGraph."""
    import networkx

    made = networkx.DiGraph()
    made.add_nodes_from(range(edges.count))
    pairs = zip(edges.sources.tolist(), edges.targets.tolist(), strict=True)
    if weights is None:
        made.add_edges_from(pairs)
    else:
        made.add_weighted_edges_from(
            (s, t, w) for (s, t), w in zip(pairs, weights.tolist(), strict=True)
        )
    return made

"""Claim 3: one edge of ten million changes, and what was propagated is put right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.graph.rmat import rmat
from benchmarks.harness import Array, Bench, Goal, Result, number, same, seconds
from mmsb.graph.adjacency import Graph
from mmsb.graph.growing import Edges, Growing
from mmsb.graph.incremental import Kept
from mmsb.graph.propagate import propagate
from mmsb.graph.propagation import NONE

GOAL = 50e-6
PUBLISHED = (
    "Salsa and Adapton keep a graph of calls and of what each read. After a change they walk it "
    "from what is asked back to its inputs (Adapton marks forward first), compare, and run again "
    "what read something else. Their unit is a user's function, and a cycle is an error, or a "
    "fixpoint of its own. Carried over to a graph, a node would be a call that reads its "
    "predecessors: the walk back would visit all that leads to what is asked, which here is most "
    "of the graph, and what lies on a cycle could uphold itself. Labels with hops "
    "(docs/design/0015-the-graph.md) do neither; no figure of theirs is of the same work, so none "
    "is put beside these."
)


@dataclass(frozen=True)
class Step:
    """One edge taken out or put in."""

    change: float  # seconds, of the graph
    update: float  # seconds, of the propagation
    looked_at: int  # edges
    changed: int  # nodes


def run(bench: Bench) -> Result:
    result = Result("One changed edge in a graph of 10^7, propagated")
    edges = rmat(bench.pick(20, 12), 10, distinct=False)
    for name, weights in (("lor_land", None), ("min_plus", edges.weights())):
        graph = edges.graph(weights)
        _one(bench, result, name, graph)
    result.say(PUBLISHED)
    return result


def _one(bench: Bench, result: Result, ring: str, graph: Graph) -> None:
    heavy = graph.out.weights is not None
    seed = int(np.argmax(graph.out.stops - graph.out.starts))
    growing = Growing(graph)
    kept = Kept(growing, seed, ring)
    random = np.random.default_rng(3)
    list(_steps(graph, growing, kept, np.arange(3)))  # the kernels are loaded
    steps = {
        "any edge": list(_steps(graph, growing, kept, _any(bench, graph, random))),
        "an edge of a witness": list(_steps(graph, growing, kept, _witness(bench, kept, random))),
    }
    fresh = propagate(growing.graph, seed, ring)
    for part in ("values", "hops", "parent"):
        same(f"{ring}: {part}", getattr(fresh, part), getattr(kept.answer, part))
    again = min(_seconds(lambda: propagate(growing.graph, seed, ring)) for _ in range(2))
    sources, targets, weights = graph.edges()
    whole = _seconds(lambda: Graph.from_edges(sources, targets, weights, count=graph.count))
    middle = np.median([step.change + step.update for step in steps["any edge"]])
    what = f"{ring}{', weighed' if heavy else ''}"
    result.goals.append(Goal(f"{what}: one edge, the median", float(middle), GOAL, "s"))
    result.say(
        f"{what}, from the node with most edges: {graph.count:,} nodes, {graph.size:,} edges. An "
        "edge is taken out, and put back; each is one step of the graph (both sides) and one of "
        "the propagation (values, hops, parents), the Python calls included."
    )
    result.table(
        ["", "median", "p90", "greatest", "of it the graph", "edges looked at, greatest", "nodes"],
        [_row(name, own) for name, own in steps.items()],
    )
    result.say(
        f"A fresh propagation takes {seconds(again)} ({number(again / middle)} ×), building "
        f"one side of the graph {seconds(whole)}. {_slope(steps['an edge of a witness'])}"
    )


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _any(bench: Bench, graph: Graph, random: Any) -> Array:
    """Some edges, as places in `Graph.edges`."""
    found: Array = random.integers(0, graph.size, bench.pick(1000, 50))
    return found


def _witness(bench: Bench, kept: Kept, random: Any) -> Array:
    """Nodes that something led to, as -1 - node: the edge that ends its witnessed way is meant."""
    answer = kept.answer
    assert answer.parent is not None
    nodes = np.flatnonzero(answer.parent != NONE)
    chosen = random.choice(nodes, bench.pick(1000, 50))
    return -1 - chosen.astype(np.int64)


def _steps(graph: Graph, growing: Growing, kept: Kept, at: Array) -> Iterator[Step]:
    sources, targets, weights = graph.edges()
    for place in at.tolist():
        own = _edge_of(graph, kept, -1 - place) if place < 0 else place
        part = slice(own, own + 1)
        weight = None if weights is None else weights[part].copy()
        edge = Edges(sources[part].copy(), targets[part].copy(), weight)
        for gone, new in ((edge, None), (None, edge)):
            before, start = kept.looked_at, time.perf_counter()
            changed = growing.change(gone, new)
            middle = time.perf_counter()
            nodes = kept.update(changed)
            end = time.perf_counter()
            yield Step(middle - start, end - middle, kept.looked_at - before, len(nodes))


def _edge_of(graph: Graph, kept: Kept, node: int) -> int:
    """The lightest edge to a node from the one before it on its way."""
    assert kept.answer.parent is not None
    before = int(kept.answer.parent[node])
    first = int(graph.out.starts[before])
    places = first + np.flatnonzero(graph.out.neighbours(before) == node)
    weights = graph.out.weights
    return int(places[0] if weights is None else places[np.argmin(weights[places])])


def _row(name: str, steps: list[Step]) -> list[str]:
    both = np.array([step.change + step.update for step in steps])
    part = float(np.median([step.change for step in steps]))
    most = max(steps, key=lambda step: step.looked_at)
    return [
        name,
        seconds(float(np.median(both))),
        seconds(float(np.percentile(both, 90))),
        seconds(float(both.max())),
        seconds(part),
        f"{most.looked_at:,}",
        f"{max(step.changed for step in steps):,}",
    ]


def _slope(steps: list[Step]) -> str:
    """What an edge that is looked at costs, where many are."""
    far = sorted(steps, key=lambda step: step.looked_at)[-max(1, len(steps) // 20) :]
    edges = sum(step.looked_at for step in far)
    taken = sum(step.update for step in far)
    return (
        f"Of the steps that reached furthest (a twentieth: {edges // len(far):,} edges each) an "
        f"edge that was looked at took {seconds(taken / max(1, edges))}."
    )

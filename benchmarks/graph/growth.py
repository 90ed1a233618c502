"""Claim 4: what the graph costs from 10^3 to 10^8 edges, and the bytes an edge takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.graph.rmat import rmat
from benchmarks.harness import ROOT, Array, Bench, Goal, Result, Way, measured, once, plot, seconds
from mmsb.graph.adjacency import Graph, Side
from mmsb.graph.growing import Edges, Growing
from mmsb.graph.incremental import Kept
from mmsb.graph.propagate import propagate
from mmsb.graph.shadow import ShadowPageGraph
from mmsb.memory.memory import Memory

PLOT = ROOT / "docs" / "benchmarks-graph-growth.svg"
DEGREE = 16
IDS = 8  # bytes an edge: its other end, both ways
#: Call sites that a memory is written with, at most.
MOST_CALLS = 20_000_000


def run(bench: Bench) -> Result:
    result = Result("Cost against size, from 10^3 to 10^8 edges")
    scales = [5, 6] if bench.quick else [6, 9, 13, 16, 20, 23]
    grown: dict[str, list[float | None]] = {}
    sizes, beside = [], []
    for scale in scales:
        costs, size, bytes_ = _of(bench, scale)
        print(f"growth: {size:,} edges", file=sys.stderr)
        sizes.append(size)
        beside.append(bytes_)
        for name, cost in costs.items():
            grown.setdefault(name, []).append(cost)
    names = ("frozen, both ways", "live, both ways")
    for at, name in enumerate(names):
        found = max(
            each[at]
            for each, size in zip(beside, sizes, strict=True)
            if size > 10_000 or bench.quick
        )
        result.goals.append(Goal(f"bytes an edge beside the ids: {name}", found, 8, "B"))
    result.say(
        f"R-MAT with {DEGREE} edges a node. `call graph of a memory`: `ShadowPageGraph.at` of as "
        "many call sites, committed at once. `building`: both sides from an edge list. `reach` and "
        "`fewest hops`: from the node with most edges, witnesses included. `one edge`: taken out "
        "or put in, graph and kept propagation together. The ids are an edge's other end, 4 bytes "
        "in each direction."
    )
    heads = ["", *(f"{size:,}" for size in sizes)]
    rows = [
        [name, *("" if cost is None else seconds(cost) for cost in costs)]
        for name, costs in grown.items()
    ]
    rows += [
        [f"bytes an edge beside the ids: {name}", *(f"{each[at]:.1f}" for each in beside)]
        for at, name in enumerate(names)
    ]
    result.table(heads, rows)
    if bench.write:
        plot(PLOT, "edges", sizes, grown)
        result.say(f"![Cost against the number of edges]({PLOT.name})")
    return result


def _of(bench: Bench, scale: int) -> tuple[dict[str, float | None], int, tuple[float, float]]:
    """The costs on one graph, its edges, and bytes an edge beside the ids, frozen and live."""
    rmat.cache_clear()
    edges = rmat(scale, DEGREE, distinct=False)
    sources, targets, count, size = edges.sources, edges.targets, edges.count, edges.size
    times = 3 if size > 10**6 else 1000
    if size > 10**7:
        bench = replace(bench, quick=True)  # two rounds: one call takes seconds
    costs: dict[str, float | None] = {"call graph of a memory": None}
    if size <= MOST_CALLS:
        costs["call graph of a memory"] = _from_memory(bench, sources, targets, count)

    def build() -> Graph:
        made = Graph.from_edges(sources, targets, count=count)
        assert made.into.ordered
        return made

    graph = build()
    hub = int(np.argmax(graph.out.stops - graph.out.starts))
    frozen = sum(map(_bytes, (graph.out, graph.into))) / size - IDS
    ways = {
        "building": Way(build, times=times),
        "reach (lor_land)": Way(lambda: propagate(graph, hub, "lor_land"), times=times),
        "fewest hops (min_plus)": Way(lambda: propagate(graph, hub), times=times),
    }
    costs |= {name: each.middle for name, each in measured(bench, ways).items()}
    growing = Growing(graph)
    kept = Kept(growing, hub)
    steps = _steps(growing, kept, np.random.default_rng(5), sources, targets)
    way = Way(lambda: next(steps), times=2000)
    costs["one edge, kept"] = measured(bench, {"one": way})["one"].middle
    return costs, size, (frozen, growing.nbytes / size - IDS)


def _steps(
    growing: Growing, kept: Kept, random: Any, sources: Array, targets: Array
) -> Iterator[None]:
    while True:
        at = int(random.integers(len(sources)))
        edge = Edges(sources[at : at + 1], targets[at : at + 1])
        kept.update(growing.change(edge, None))
        yield
        kept.update(growing.change(None, edge))
        yield


def _bytes(side: Side) -> int:
    return side.starts.nbytes + side.stops.nbytes + side.targets.nbytes


def _from_memory(bench: Bench, sources: Array, targets: Array, count: int) -> float:
    """Seconds that reading the call graph takes, of a memory with a page for each node."""
    with bench.room("calls") as room, Memory.create(Path(room) / "a.mmsb") as memory:
        changes = memory.changes()
        names = [f"f{node}" for node in range(count)]
        pages = changes.pages("call", names)
        symbols = np.array([changes.symbol(name) for name in names], np.uint32)
        counts = np.bincount(sources, minlength=count)
        cells = {"alive": np.ones(len(targets), np.uint8), "callee": symbols[targets]}
        changes.patch_many("call", pages, cells, 0, counts)
        memory.commit(changes)
        shadow = ShadowPageGraph(memory)
        assert shadow.at().size == len(targets)
        return min(once(shadow.at) for _ in range(bench.rounds))

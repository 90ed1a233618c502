"""Small and frequent: what one call costs, Python's part included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Bench, Goal, Result, Way, measured, number
from benchmarks.harness import seconds as shown
from mmsb.graph.adjacency import Graph
from mmsb.graph.propagate import propagate, propagate_many

#: What the older MMSB published, and what is aimed at, in µs.
PUBLISHED = {
    "one hop": (176, 10),
    "a chain of 10": (1366, 30),
    "a batch of 128 × 2": (19393, 200),
    "BFS, 1,024 nodes of degree 4": (153, 10),
}


def run(bench: Bench) -> Result:
    """Each of the four on a graph of its own; results are checked before."""
    result = Result("Small and frequent calls")
    calls = _calls()
    timings = measured(bench, {name: Way(call, 2000) for name, call in calls.items()})
    rows = []
    for name, (before, goal) in PUBLISHED.items():
        timing = timings[name]
        found = timing.middle * 1e6
        result.goals.append(Goal(name, found, goal, "µs"))
        ratio = number(before / found)
        rows.append([name, shown(timing.middle), shown(timing.p99), f"{before:,} µs", ratio])
    result.table(["", "median", "p99", "older MMSB, published", "× mmsb"], rows)
    return result


def _calls() -> dict[str, Callable[[], Any]]:
    hop = Graph.from_edges([0], [1])
    chain = Graph.from_edges(np.arange(10), np.arange(1, 11))
    # 128 nodes that changed, each with two that follow from it.
    fan = Graph.from_edges(np.repeat(np.arange(128), 2), np.arange(128, 384))
    sources = np.repeat(np.arange(1024), 4)
    regular = Graph.from_edges(sources, np.random.default_rng(1).integers(0, 1024, 4096))
    sets = list(range(128))
    assert propagate(hop, 0).value(1) == 1
    assert propagate(chain, 0).path(10) == list(range(11))
    assert propagate_many(fan, sets, "any_pair").values.sum() == 3 * 128
    assert len(propagate(regular, 0).reached) > 900
    return {
        "one hop": lambda: propagate(hop, 0),
        "a chain of 10": lambda: propagate(chain, 0),
        "a batch of 128 × 2": lambda: propagate_many(fan, sets, "any_pair"),
        "BFS, 1,024 nodes of degree 4": lambda: propagate(regular, 0),
    }

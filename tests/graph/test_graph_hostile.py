"""Public calls of the graph, with something hostile in each position: an answer, or one sentence of
a named error. Never an error of Python's or numpy's, never a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from derived_model import KINDS, RAW, TOTAL

from mmsb.base.errors import UsageError
from mmsb.graph import structure
from mmsb.graph.adjacency import Graph
from mmsb.graph.dominators import dominated_sums, dominators
from mmsb.graph.edges import EdgeKind
from mmsb.graph.growing import Growing
from mmsb.graph.incremental import Kept
from mmsb.graph.propagate import propagate, propagate_many, steps
from mmsb.graph.semiring import MIN_PLUS, chance_of_cost, cost_of_chance, semiring
from mmsb.graph.shadow import ShadowPageGraph
from mmsb.query.reader import Reader
from mmsb.query.tree import tree
from mmsb.testing.hostile import Calls, swept

GRAPH = Graph.from_edges([0, 1, 2], [1, 2, 3], [1, 1, 1])
MANY = propagate_many(GRAPH, [0, 1])
ONE = propagate(GRAPH, 0)
ASKED = (GRAPH, 0, "min_plus", "forward", 3)
OF_A_GRAPH: Calls = {
    "from_edges": (lambda *a: Graph.from_edges(*a[:3], count=a[3]), ([0], [1], [1], 3)),
    "nodes": (lambda nodes: Graph.from_edges([0], [1], nodes=nodes), (GRAPH.nodes,)),
    "side": (GRAPH.side, ("forward",)),
    "node": (GRAPH.node, (0,)),
    "name": (GRAPH.name, (0,)),
    "neighbours": (GRAPH.out.neighbours, (0,)),
    "propagate": (lambda *a: propagate(*a[:5], witness=a[5], device=a[6]), (*ASKED, True, "cpu")),
    "many": (
        lambda *a: propagate_many(*a[:5], witness=a[5], device=a[6]),
        (GRAPH, [0], *ASKED[2:], True, "cpu"),
    ),
    "steps": (lambda *a: list(steps(*a)), ASKED),
    "rounds": (lambda rounds: propagate(GRAPH, 0, rounds=rounds), (3,)),
    "value of a seed": (lambda value: propagate(GRAPH, {0: value}), (1,)),
    "value": (ONE.value, (0,)),
    "path": (ONE.path, (0,)),
    "row": (MANY.row, (0,)),
    "shortest_cycle": (structure.shortest_cycle, (GRAPH, [0])),
    "dominators": (dominators, (GRAPH, [0])),
    "dominated_sums": (dominated_sums, (dominators(GRAPH, [0]), np.ones(4, "u8"))),
    "Growing": (Growing, (GRAPH, GRAPH.nodes)),
    "Kept": (Kept, (Growing(GRAPH), 0, MIN_PLUS, "forward")),
    "update": (Kept(Growing(GRAPH), 0).update, (None,)),
    "semiring": (semiring, ("min_plus",)),
    "add": (MIN_PLUS.add, (1, 2)),
    "multiply": (MIN_PLUS.multiply, (1, 2)),
    "over": (MIN_PLUS.over, ("u4",)),
    "cost_of_chance": (cost_of_chance, (0.5,)),
    "chance_of_cost": (chance_of_cost, (5,)),
    "EdgeKind": (
        EdgeKind,
        ("calls", "call", "<subject>", "callee", "", "", (("alive", 1),), "", "", ""),
    ),
    **{
        name: (getattr(structure, name), (GRAPH,))
        for name in ("strong_components", "weak_components", "condensation", "topological_order")
    },
    **{name: (getattr(structure, name), (GRAPH,)) for name in ("depth", "fan_out", "fan_in")},
}


def test_a_graph() -> None:
    assert swept(OF_A_GRAPH) == []


def test_what_follows_a_memory(tmp_path: Path) -> None:
    with Reader.create(tmp_path / "m.mmsb", KINDS, durability="none") as memory:
        assert isinstance(memory, Reader)
        changes = memory.changes()
        changes.patch(RAW, changes.page(RAW, "p"), {"x": [1]})
        memory.commit(changes)
        graphs = memory.graph()

        def at(*given: Any) -> Any:
            return graphs.at(*given[:2], page=given[2], stage=given[3], weights=given[4])

        def live(*given: Any) -> Any:
            return graphs.live(given[0], epoch=given[1], stage=given[2], weights=given[3])

        def derive(*given: Any) -> None:
            kind, inputs, function, whole, version = given
            memory.derive(kind, inputs, whole=whole, version=version)(function)

        calls: Calls = {
            "ShadowPageGraph": (ShadowPageGraph, (memory,)),
            "at": (at, (1, "calls", None, None, None)),
            "at rows": (at, (1, "uses", "p", None, None)),
            "live": (live, ("calls", 1, None, None)),
            "advance": (graphs.live("calls").advance, (1,)),
            "subscribe": (memory.subscribe, ([RAW], ["f"], lambda _: None)),
            "derive": (derive, (TOTAL, {"raw": "x"}, lambda _: None, False, "1")),
            "columns": (lambda names: derive(TOTAL, {"raw": names}, print, False, 1), ("x",)),
            "tree": (
                lambda *a: tree(memory, depth=a[0], most=a[1], at=a[2]),
                (4, 12, None),
            ),
        }
        assert swept(calls) == []
        for wrong in (0, -1):
            for named in ({"depth": wrong}, {"most": wrong}):
                with pytest.raises(UsageError, match="ask for 1 or more"):
                    memory.at().tree(**named)
        with pytest.raises(UsageError, match="a function's name is a text, not 5"):
            memory.subscribe(None, [5], print)  # type: ignore[list-item]

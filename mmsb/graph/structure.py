"""What a graph is made of: components, order, levels, cycles.

All answers follow from the graph alone, not from how many threads there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmsb.base.errors import CycleError
from mmsb.graph.adjacency import Graph, Side, a_graph, node_ids
from mmsb.graph.nodes import Groups
from mmsb.memory.cells import Array, address_of, frozen
from mmsb.memory.pool import spread

_MANY = 1 << 18  # edges from which on both threads pay
_SMALLEST = 1 << 14  # nodes of a part
_SAMPLED = 2  # neighbours that weak components begin with
_LOOKED_AT = 1 << 26  # edges that a search for the shortest of all cycles may follow


def strong_components(graph: Graph) -> Array:
    """A label a node, u32: its strong component, in which each node reaches each other.

    Labels are 0, 1, … in a topological order of the components: by level (the most edges between
    components on a way there), then by least node. O(nodes + edges); ``graph.into`` is made where
    there are many edges.
    """
    return _strong(graph).labels


def weak_components(graph: Graph) -> Array:
    """A label a node, u32: its component where edges may be walked both ways.

    Labels are 0, 1, … by least node. O(nodes + edges).
    """
    from mmsb.graph import kernels_weak as kernels

    out, count = a_graph(graph).out, graph.count
    labels = np.empty(count, np.uint32)
    if graph.size < _MANY:
        kernels.weak(out.starts, out.stops, out.targets, labels)
        return frozen(labels)
    parent = np.arange(count, dtype=np.uint32)
    address, seen = address_of(parent), np.empty((count + 63) // 64, np.int64)

    def first(low: int, high: int) -> int:
        kernels.join_first(out.starts, out.stops, out.targets, low, high, parent, address, _SAMPLED)
        return 0

    def flatten(low: int, high: int) -> int:
        kernels.flatten(low, high, parent)
        return 0

    spread(first, count, smallest=_SMALLEST)
    spread(flatten, count, smallest=_SMALLEST)
    roots, often = np.unique(parent[:: count // 1024 + 1], return_counts=True)
    root = int(roots[np.argmax(often)])

    def mark(low: int, high: int) -> int:
        kernels.mark(parent, root, low, high, seen)
        return 0

    # From both ends, what is outside of the largest tree meets all that is left to join.
    both = graph.both_ways
    sides = ((out, _SAMPLED), (graph.into, 0)) if both else ((out, _SAMPLED),)

    def rest(low: int, high: int) -> int:
        for side, done in sides:
            edges = (side.starts, side.stops, side.targets)
            kernels.join_rest(*edges, low, high, parent, address, done, seen, both)
        return 0

    spread(mark, len(seen), smallest=_SMALLEST)
    spread(rest, count, smallest=_SMALLEST)
    spread(flatten, count, smallest=_SMALLEST)
    kernels.number(parent, labels)
    return frozen(labels)


def condensation(graph: Graph) -> tuple[Graph, Array]:
    """The graph of strong components, without cycles, and the component of each node, u32.

    Its nodes are numbered as `strong_components` does, so all edges lead to greater numbers. Every
    edge between two components is kept, with its weight; those within one are not.
    """
    labels = strong_components(graph)
    sources, targets, weights = graph.edges()
    sources, targets = labels[sources], labels[targets]
    kept = sources != targets
    nodes = Groups(graph.nodes, labels)
    made = Graph.from_edges(
        sources[kept],
        targets[kept],
        None if weights is None else weights[kept],
        nodes=nodes,
        epoch=graph.epoch,
    )
    return made, labels


def topological_order(graph: Graph) -> Array:
    """All nodes, u32, each before those that its edges lead to: by level, then by number.

    A node's level is the most edges on a way there. CycleError names a cycle (`shortest_cycle`).
    O(nodes + edges).
    """
    order, level = (np.empty(a_graph(graph).count, np.uint32) for _ in range(2))
    if _leveled(graph.out, order, level) != graph.count:
        raise _no_order(graph)
    return frozen(order)


def depth(graph: Graph) -> Array:
    """The level of each node, u32: the most edges between strong components on a way there.

    0 where no edge leads in from another component. O(nodes + edges).
    """
    order, level = (np.empty(a_graph(graph).count, np.uint32) for _ in range(2))
    if _leveled(graph.out, order, level) == graph.count:
        return frozen(level)
    strong = _strong(graph)
    return frozen(strong.level[strong.found])


def fan_out(graph: Graph) -> Array:
    """How many edges leave each node, i64; parallel ones and loops count. O(nodes)."""
    out = a_graph(graph).out
    return frozen(out.stops - out.starts)


def fan_in(graph: Graph) -> Array:
    """How many edges lead to each node, i64. O(edges); O(nodes) where ``graph.into`` is made."""
    from mmsb.graph import kernels_order as kernels

    if a_graph(graph).both_ways:
        return frozen(graph.into.stops - graph.into.starts)
    out, counts = graph.out, np.zeros(graph.count, np.int64)
    if graph.count:
        kernels.count_into(out.starts, out.stops, out.targets, out.ordered, counts)
    return frozen(counts)


def shortest_cycle(graph: Graph, among: Array | None = None) -> list[int]:
    """A shortest cycle: nodes, each with an edge to the next, the last to the first; or none, [].

    ``among``: only cycles through these nodes. The cycle is the shortest of all, and of several the
    first that breadth-first search finds from the least node, with which it begins. Where that
    would follow more than 2^26 edges (those of a node's component, for each node), it is a loop, or
    the shortest through the least node that lies on a cycle.
    """
    from mmsb.graph import kernels_order as kernels

    labels = strong_components(graph)
    out = graph.out
    sources, targets, _ = graph.edges()
    asked = np.zeros(graph.count, np.bool_)
    if among is None:
        asked[:] = True
    else:
        chosen = node_ids(among, "among")
        if len(chosen):
            graph.node(int(chosen.max()))
        asked[chosen] = True
    loops = sources[(sources == targets) & asked[sources]]
    if len(loops):
        return [int(loops.min())]
    large = np.bincount(labels)[labels] > 1
    roots = np.flatnonzero(large & asked)
    if not len(roots):
        return []
    edges = np.zeros(int(labels.max()) + 1, np.int64)
    np.add.at(edges, labels, out.stops - out.starts)
    if int(edges[labels[roots]].sum()) > _LOOKED_AT:
        roots = roots[:1]
    path = np.empty(graph.count, np.uint32)
    length = kernels.shortest_cycle(out.starts, out.stops, out.targets, roots, labels, path)
    found: list[int] = path[:length].tolist()
    return found


def way_round(graph: Graph, cycle: list[int]) -> str:
    """A cycle by names, of the first six nodes."""
    names = [f"{name:.60}" for name in graph.nodes.texts(cycle[:6])]
    return " → ".join([*names, "…"] if len(cycle) > 6 else [*names, names[0]])


class _Strong(NamedTuple):
    """``found``: an id a node; ``level``: by id; ``labels``: a label a node."""

    found: Array
    level: Array
    labels: Array


def _strong(graph: Graph) -> _Strong:
    from mmsb.graph import kernels_components as kernels

    made = _Strong(*(np.empty(a_graph(graph).count, np.uint32) for _ in range(3)))
    out = graph.out
    if graph.size < _MANY:
        kernels.strong(out.starts, out.stops, out.targets, *made)
    else:
        _around_a_core(graph, made)
    frozen(made.labels)
    return made


def _around_a_core(graph: Graph, made: _Strong) -> None:
    """The component of the busiest node first, as what it reaches and is reached by; most edges of
    a graph of many lie there, and are not looked at again. What it reaches and the others then are
    two graphs of their own, one above and one below it."""
    from mmsb.graph import kernels_components as kernels

    out, into, count = graph.out, graph.into, graph.count
    forth, back = ((side.starts, side.stops, side.targets) for side in (out, into))
    node = kernels.busiest(out.starts, out.stops, into.starts, into.stops)
    reached, reaching, above = (np.zeros(count // 64 + 1, np.int64) for _ in range(3))

    def reach(low: int, high: int) -> int:
        for ways, seen in ((forth + back, reached), (back + forth, reaching))[low:high]:
            kernels.reach(node, *ways, seen, np.empty(count, np.uint32))
        return 0

    spread(reach, 2, smallest=1)
    kernels.without(reached, reaching, above)
    found, level, labels = made
    found[:], level[:] = kernels.NONE, 0
    order, everything = np.empty(count, np.uint32), np.empty(0, np.int64)
    core, middle = kernels.find(*forth, above, found, order, count - 1, count)
    kernels.name_core(reached, reaching, found, core)
    _, low = kernels.find(*forth, everything, found, order, core - 1, middle)
    kernels.lift(*forth, found, order, low, middle, level)
    kernels.lift_all(found, order, middle, count, level, int(level[core]) + 1)
    kernels.lift(*forth, found, order, middle, count, level)
    kernels.name(found, level, labels)


def _leveled(out: Side, order: Array, level: Array) -> int:
    from mmsb.graph import kernels_order as kernels

    return kernels.by_level(out.starts, out.stops, out.targets, out.ordered, order, level)


def _no_order(graph: Graph) -> CycleError:
    cycle = shortest_cycle(graph)
    return CycleError(
        f"there is no order of nodes that lead to each other: {way_round(graph, cycle)}; order the "
        "components that structure.condensation(graph) gives",
        cycle,
    )

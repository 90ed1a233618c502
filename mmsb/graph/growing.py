"""A graph that is changed in place, at a cost that follows the edges that change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.errors import EnvironmentProblem, UsageError, quote
from mmsb.graph.adjacency import Graph, Side, a_graph, an_epoch, edge_weights, node_ids
from mmsb.graph.nodes import Nodes
from mmsb.memory.asked import of_type
from mmsb.memory.cells import Array

_NO_WEIGHTS = _NO_EDGES = np.zeros(0, np.uint32)


def _kernels() -> Any:
    from mmsb.graph import kernels_grow

    return kernels_grow


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Sources and targets, u32, and weights or None."""

    sources: Array
    targets: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """What one step changed: ``removed`` went, then ``added`` came. An edge that got another weight
    is in both. ``number`` counts the steps of a graph, from 1."""

    number: int
    removed: Edges
    added: Edges
    epoch: int | None = None


class _Pool:
    """One side with room to grow: an eighth of the pool is unused when it is made."""

    def __init__(self, side: Side) -> None:
        self.starts, self.stops = side.starts.copy(), side.stops.copy()
        self.ends, self.end = side.stops.copy(), np.zeros(1, np.int64)
        self.pool, self.weights = (
            side.targets,
            _NO_WEIGHTS if side.weights is None else side.weights,
        )
        self.weighted = side.weights is not None
        self.count = len(self.starts)
        self._pack(0)

    def side(self) -> Side:
        count = self.count
        weights = self.weights if self.weighted else None
        return Side(self.starts[:count], self.stops[:count], self.pool, weights, ordered=False)

    def reserve(self, nodes: Array, weights: Array | None, count: int) -> None:
        """Makes room for more nodes, ``count`` in all, and an edge more of each of ``nodes``. What
        edges there are stays, also where there is no room: MemoryError."""
        if count > len(self.starts):
            more = np.zeros(max(count, len(self.starts) * 5 // 4 + 16) - len(self.starts), np.int64)
            old = (self.starts, self.stops, self.ends)
            self.starts, self.stops, self.ends = [np.concatenate((each, more)) for each in old]
        if not len(nodes):
            return
        none, done = (nodes[:0], _NO_WEIGHTS if weights is None else weights[:0]), 0
        try:
            while (done := self._put(nodes, *none, done)) < len(nodes):
                node = int(nodes[done])
                self._pack(2 * int(self.stops[node] - self.starts[node]) + 4 * (len(nodes) - done))
        finally:
            _kernels().leave(self.stops, nodes, done)

    def insert(self, nodes: Array, others: Array, weights: Array | None) -> None:
        """Edges for which there is room."""
        done = self._put(nodes, others, _NO_WEIGHTS if weights is None else weights, 0)
        assert done == len(nodes)

    def _put(self, nodes: Array, others: Array, weigh: Array, done: int) -> int:
        held = (self.starts, self.stops, self.ends, self.pool, self.weights, self.end)
        return int(_kernels().insert(*held, nodes, others, weigh, done))

    def remove(self, nodes: Array, others: Array, weights: Array | None) -> int:
        weigh = _NO_WEIGHTS if weights is None else weights
        return int(
            _kernels().remove(
                self.starts, self.stops, self.pool, self.weights, nodes, others, weigh
            )
        )

    def _pack(self, wanted: int) -> None:
        live = int((self.stops - self.starts).sum())
        room = live + live // 8 + wanted + 64
        pool = np.empty(room, np.uint32)
        weights = np.empty(room, self.weights.dtype) if self.weighted else _NO_WEIGHTS
        parts = (self.starts, self.stops, self.ends, self.pool, self.weights, pool, weights)
        self.end[0] = _kernels().pack(*parts)
        self.pool, self.weights = pool, weights

    @property
    def nbytes(self) -> int:
        arrays = (self.starts, self.stops, self.ends, self.pool, self.weights)
        return sum(array.nbytes for array in arrays)


class Growing:
    """A multigraph whose edges come and go in place, both ways. One thread at a time.

    ``graph`` is what it is now: a `Graph` as any other, whose neighbours do not ascend, and whose
    arrays the next change may write to.
    """

    def __init__(self, graph: Graph, nodes: Nodes | None = None) -> None:
        """Begins with a copy of a graph. O(edges + nodes)."""
        self._out, self._into = _Pool(a_graph(graph).out), _Pool(graph.into)
        self.size, self.steps = graph.size, 0
        self._nodes, self._epoch = graph.nodes, graph.epoch
        if nodes is not None:
            self._count(nodes)
            self._nodes = nodes
        self._graph: tuple[int, Graph] | None = None

    @property
    def graph(self) -> Graph:
        """The graph as it is after the last step."""
        if self._graph is None or self._graph[0] != self.steps:
            out, into = self._out.side(), self._into.side()
            made = Graph(out, size=self.size, into=into, nodes=self._nodes, epoch=self._epoch)
            self._graph = (self.steps, made)
        return self._graph[1]

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return self._out.count

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays, room and ids included."""
        return self._out.nbytes + self._into.nbytes

    def change(
        self,
        removed: Edges | None = None,
        added: Edges | None = None,
        *,
        nodes: Nodes | None = None,
        epoch: int | None = None,
    ) -> Changed:
        """Takes edges out, then puts edges in, and says so. ``nodes``: what they are from now on,
        no fewer. O(edges that change, and for each taken out the edges of its two nodes).

        UsageError where an edge is not there or names no node, and for what is no epoch,
        EnvironmentProblem where there is no room, and nothing is changed.
        """
        count, epoch = self._count(nodes), an_epoch(epoch)
        try:
            gone, new = self._ready(removed, added, count)
        except MemoryError as error:
            raise EnvironmentProblem(
                "no memory is free for these edges; the graph is as it was, take in fewer at once"
            ) from error
        if len(gone):  # from here on nothing is allocated
            self._remove(gone)
        self._out.count = self._into.count = count
        if len(new):
            self._out.insert(new.sources, new.targets, new.weights)
            self._into.insert(new.targets, new.sources, new.weights)
        self.size += len(new) - len(gone)
        self.steps += 1
        self._nodes = self._nodes if nodes is None else nodes
        self._epoch = epoch
        return Changed(self.steps, gone, new, epoch)

    def _count(self, nodes: Any) -> int:
        if nodes is None:
            return self.count
        if not isinstance(nodes, Nodes) or nodes.count < self.count:
            raise UsageError(f"nodes are Nodes, {self.count} or more of them, not {quote(nodes)}")
        return nodes.count

    def _ready(self, removed: Edges | None, added: Edges | None, count: int) -> tuple[Edges, Edges]:
        """The edges as they are kept, and room for them. UsageError, MemoryError."""
        both = tuple(self._checked(edges, count) for edges in (removed, added))
        sides, dtype = (self._out, self._into), self._out.weights.dtype
        if any(
            own.weights is not None and own.weights.dtype.itemsize > dtype.itemsize for own in both
        ):
            wide = [np.array(side.weights, np.uint64) for side in sides]
            self._out.weights, self._into.weights = wide
        gone, new = (self._typed(own) for own in both)
        self._out.reserve(new.sources, new.weights, count)
        self._into.reserve(new.targets, new.weights, count)
        return gone, new

    def _checked(self, given: Any, count: int) -> Edges:
        weighted = self._out.weighted
        if given is None:
            return Edges(_NO_EDGES, _NO_EDGES, _NO_WEIGHTS if weighted else None)
        of_type(given, Edges, "edges are Edges(sources, targets, weights)")
        if weighted != (given.weights is not None):
            has, pass_ = ("has", "them") if weighted else ("has no", "none")
            raise UsageError(f"this graph {has} weights; pass {pass_} with the edges")
        sources, targets = node_ids(given.sources, "sources"), node_ids(given.targets, "targets")
        if len(sources) != len(targets):
            raise UsageError(f"{len(sources)} sources and {len(targets)} targets; pass one for one")
        if len(sources) and max(int(sources.max()), int(targets.max())) >= count:
            raise UsageError(f"an edge names a node that is not there; nodes are 0 … {count - 1}")
        weights = None if given.weights is None else edge_weights(given.weights, len(sources))
        return Edges(sources, targets, weights)

    def _typed(self, edges: Edges) -> Edges:
        if edges.weights is None:
            return edges
        weights = edges.weights.astype(self._out.weights.dtype, copy=False)
        return Edges(edges.sources, edges.targets, weights)

    def _remove(self, gone: Edges) -> None:
        done = self._out.remove(gone.sources, gone.targets, gone.weights)
        if done < len(gone):
            back = None if gone.weights is None else gone.weights[:done]
            self._out.insert(gone.sources[:done], gone.targets[:done], back)
            edge = f"{gone.sources[done]} → {gone.targets[done]}"
            weigh = "" if gone.weights is None else f" of weight {gone.weights[done]}"
            raise UsageError(f"edge {edge}{weigh} is not there (so often); nothing was changed")
        self._into.remove(gone.targets, gone.sources, gone.weights)

"""A graph that is changed in place, at a cost that follows the edges that change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.graph.adjacency import Graph, Side
from mmsb.graph.nodes import Nodes
from mmsb.memory.cells import Array

_NO_WEIGHTS = np.zeros(0, np.uint32)


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

    def grow(self, count: int) -> None:
        """More nodes, without edges."""
        if count > len(self.starts):
            room = max(count, len(self.starts) * 5 // 4 + 16)
            for name in ("starts", "stops", "ends"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate((old, np.zeros(room - len(old), np.int64))))
        self.count = max(self.count, count)

    def insert(self, nodes: Array, others: Array, weights: Array | None) -> None:
        weigh, done = _NO_WEIGHTS if weights is None else weights, 0
        while True:
            done = _kernels().insert(
                *(self.starts, self.stops, self.ends, self.pool, self.weights, self.end),
                *(nodes, others, weigh, done),
            )
            if done == len(nodes):
                return
            node = int(nodes[done])
            self._pack(2 * int(self.stops[node] - self.starts[node]) + 4 * (len(nodes) - done))

    def remove(self, nodes: Array, others: Array, weights: Array | None) -> int:
        weigh = _NO_WEIGHTS if weights is None else weights
        return int(
            _kernels().remove(
                self.starts, self.stops, self.pool, self.weights, nodes, others, weigh
            )
        )

    def widen(self) -> None:
        self.weights = self.weights.astype(np.uint64)

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
        self._out, self._into = _Pool(graph.out), _Pool(graph.into)
        self.size, self.steps = graph.size, 0
        self._nodes = graph.nodes if nodes is None else nodes
        self._epoch = graph.epoch
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

        UsageError where an edge is not there or names no node, and nothing is changed.
        """
        self._check(removed, added)
        gone, new = self._typed(removed), self._typed(added)
        count = self.count if nodes is None else nodes.count
        for edges in (gone, new):
            if len(edges) and max(int(edges.sources.max()), int(edges.targets.max())) >= count:
                raise UsageError(
                    f"an edge names a node that is not there; nodes are 0 … {count - 1}"
                )
        if len(gone):
            self._remove(gone)
        self._out.grow(count)
        self._into.grow(count)
        if len(new):
            self._out.insert(new.sources, new.targets, new.weights)
            self._into.insert(new.targets, new.sources, new.weights)
        self.size += len(new) - len(gone)
        self.steps += 1
        self._nodes = self._nodes if nodes is None else nodes
        self._epoch = epoch
        return Changed(self.steps, gone, new, epoch)

    def _check(self, *parts: Edges | None) -> None:
        """UsageError; and makes the weights wide where one asks for it."""
        weighted, wide = self._out.weighted, False
        for edges in parts:
            if edges is None:
                continue
            if weighted != (edges.weights is not None):
                has, pass_ = ("has", "them") if weighted else ("has no", "none")
                raise UsageError(f"this graph {has} weights; pass {pass_} with the edges")
            lengths = {len(edges.sources), len(edges.targets)}
            if edges.weights is not None:
                lengths.add(len(edges.weights))
                wide |= len(edges.weights) > 0 and int(edges.weights.max()) >= 2**32
            if len(lengths) > 1:
                raise UsageError(f"pass as many sources, targets and weights, not {lengths}")
        if wide and self._out.weights.dtype != np.uint64:
            self._out.widen()
            self._into.widen()

    def _typed(self, edges: Edges | None) -> Edges:
        dtype = self._out.weights.dtype
        if edges is None:
            none = np.zeros(0, np.uint32)
            return Edges(none, none, none.astype(dtype) if self._out.weighted else None)
        weights = None if edges.weights is None else edges.weights.astype(dtype, copy=False)
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

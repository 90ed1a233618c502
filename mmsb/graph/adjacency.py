"""A directed multigraph in compressed sparse rows, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any, Literal

import numpy as np

from mmsb.base.errors import MissingExtra, UnknownName, UsageError
from mmsb.graph.nodes import Nodes, Numbers
from mmsb.memory.cells import Array, frozen

#: Along the edges, or against them.
Direction = Literal["forward", "backward"]
MOST_NODES = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Side:
    """Adjacency in one direction: node v's neighbours are ``targets[starts[v]:stops[v]]``.

    ``starts``, ``stops``: i64, a number a node. ``targets``: u32, an edge each, in no more than
    ``stops`` say. ``weights``: u64 or u32, as ``targets``, or None. ``ordered``: neighbours ascend
    within each node and nothing lies between the nodes, so ``stops[v] == starts[v + 1]``.
    """

    starts: Array
    stops: Array
    targets: Array
    weights: Array | None
    ordered: bool = True

    def neighbours(self, node: int) -> Array:
        """Where the node's edges lead, u32; a view."""
        return self.targets[self.starts[node] : self.stops[node]]


class Graph:
    """Nodes 0 … ``count`` - 1 and ``size`` edges as of ``epoch`` (None: of no memory). Immutable.

    Parallel edges and loops count as they are. Threads may share it.
    """

    def __init__(
        self,
        out: Side,
        *,
        size: int,
        into: Side | None = None,
        nodes: Nodes | None = None,
        epoch: int | None = None,
    ) -> None:
        """Use `Graph.from_edges`, or `ShadowPageGraph.at`."""
        self.out, self.size, self.epoch = out, size, epoch
        self.count = len(out.starts)
        self.nodes = Numbers(self.count) if nodes is None else nodes
        self._into, self._making = into, Lock()

    @classmethod
    def from_edges(
        cls,
        sources: Any,
        targets: Any,
        weights: Any = None,
        *,
        count: int | None = None,
        nodes: Nodes | None = None,
        epoch: int | None = None,
    ) -> Graph:
        """The graph of edges sources[i] → targets[i], in any order; O(edges + nodes).

        ``weights``: unsigned integers, kept as u32 where all fit, else u64. ``count``: how many
        nodes; default: of ``nodes``, or one more than the greatest named. UsageError.
        """
        source, target = _ids(sources, "sources"), _ids(targets, "targets")
        if len(source) != len(target):
            raise UsageError(f"{len(source)} sources and {len(target)} targets; pass one for one")
        if count is None:
            named = int(max(source.max(), target.max())) + 1 if len(source) else 0
            count = named if nodes is None else nodes.count
        for name, ids in (("source", source), ("target", target)):
            if len(ids) and int(ids.max()) >= count:
                raise UnknownName(f"{name} {int(ids.max())} is no node; nodes are 0 … {count - 1}")
        weigh = None if weights is None else _weights(weights, len(source))
        out = side(source, target, weigh, count)
        return cls(out, size=len(source), nodes=nodes, epoch=epoch)

    @property
    def into(self) -> Side:
        """Adjacency against the edges; made when first asked for. O(edges + nodes)."""
        with self._making:
            if self._into is None:
                sources, targets, weights = self.edges()
                self._into = side(targets, sources, weights, self.count)
            return self._into

    def side(self, direction: Direction) -> Side:
        """Adjacency along (``"forward"``) or against (``"backward"``) the edges. UsageError."""
        if direction == "forward":
            return self.out
        if direction == "backward":
            return self.into
        raise UsageError(f"there is no direction {direction!r:.40}; use 'forward' or 'backward'")

    def reversed(self) -> Graph:
        """The same with every edge turned round. Shares its arrays."""
        return type(self)(
            self.into, size=self.size, into=self.out, nodes=self.nodes, epoch=self.epoch
        )

    def edges(self) -> tuple[Array, Array, Array | None]:
        """Sources and targets, u32, by source, and weights. O(edges); copies sources."""
        lengths = self.out.stops - self.out.starts
        sources = np.repeat(np.arange(self.count, dtype=np.uint32), lengths)
        if self.out.ordered:
            return sources, self.out.targets, self.out.weights
        first = np.repeat(self.out.starts - (np.cumsum(lengths) - lengths), lengths)
        at = first + np.arange(len(sources))
        weights = self.out.weights
        return sources, self.out.targets[at], None if weights is None else weights[at]

    # Names.

    def node(self, given: int | str) -> int:
        """The number of a node that is given by number or name. UnknownName, UsageError."""
        if isinstance(given, str):
            return self.nodes.number(given)
        if isinstance(given, bool) or not isinstance(given, int | np.integer):
            raise UsageError(f"a node is a number or a name, not {given!r:.60}")
        if not 0 <= given < self.count:
            raise UnknownName(f"there is no node {given}; nodes are 0 … {self.count - 1}")
        return int(given)

    def name(self, node: int) -> str:
        """What people call a node."""
        return self.nodes.text(self.node(node))

    # Leaving.

    def to_networkx(self) -> Any:
        """A networkx.MultiDiGraph, nodes by name; MissingExtra without networkx. O(edges), slow."""
        try:
            networkx: Any = import_module("networkx")
        except ImportError as error:
            raise MissingExtra("networkx is not installed; pip install networkx") from error
        made = networkx.MultiDiGraph()
        texts = self.nodes.texts(range(self.count))
        made.add_nodes_from(texts)
        sources, targets, weights = self.edges()
        named = (
            (texts[s], texts[t]) for s, t in zip(sources.tolist(), targets.tolist(), strict=True)
        )
        if weights is None:
            made.add_edges_from(named)
        else:
            pairs = zip(named, weights.tolist(), strict=True)
            made.add_weighted_edges_from((s, t, weight) for (s, t), weight in pairs)
        return made

    def __repr__(self) -> str:
        epoch = "" if self.epoch is None else f" as of epoch {self.epoch}"
        return f"<graph of {self.count} nodes and {self.size} edges{epoch}>"


def side(sources: Array, targets: Array, weights: Array | None, count: int) -> Side:
    """Adjacency of valid edges; neighbours ascend, equal ones as they came. O(edges + nodes)."""
    order = np.lexsort((targets, sources))
    ends = np.cumsum(np.bincount(sources, minlength=count)).astype(np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if count else ends
    weigh = None if weights is None else frozen(weights[order])
    return Side(frozen(starts), frozen(ends), frozen(targets[order]), weigh)


def _ids(given: Any, what: str) -> Array:
    ids = np.asarray(given if isinstance(given, np.ndarray | Iterable) else [given])
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "ui"):
        raise UsageError(f"{what} must be one list of node numbers, not {ids.dtype} in {ids.shape}")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= MOST_NODES):
        raise UsageError(f"{what} must be in 0 … {MOST_NODES - 1}")
    return ids.astype(np.uint32, copy=False)


def _weights(given: Any, count: int) -> Array:
    weights = np.asarray(given)
    if weights.shape != (count,):
        raise UsageError(f"pass one weight for each of {count} edges, not {weights.shape}")
    if weights.size and (weights.dtype.kind not in "ui" or int(weights.min()) < 0):
        raise UsageError("weights are unsigned integers; scale what is not, and none below 0")
    small = not weights.size or int(weights.max()) < 2**32
    return weights.astype(np.uint32 if small else np.uint64, copy=False)

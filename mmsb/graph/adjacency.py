"""A directed multigraph in compressed sparse rows, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any, Literal

import numpy as np

from mmsb.base.errors import EnvironmentProblem, MissingExtra, UnknownName, UsageError, quote
from mmsb.graph.nodes import Nodes, Numbers
from mmsb.memory.asked import bounded, of_type, one_of
from mmsb.memory.cells import Array, frozen, whole
from mmsb.memory.pool import spread

#: Along the edges, or against them.
Direction = Literal["forward", "backward"]
MOST_NODES = 2**32 - 1
_FEW = 1 << 16  # edges that one thread takes in one go
_BUCKET, _MOST_BUCKETS = 1 << 15, 11  # edges that lie in a cache twice; bits


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
        """Where the node's edges lead, u32; a view. UnknownName."""
        if not 0 <= whole(node, "node") < len(self.starts):
            raise UnknownName(
                f"there is no node {quote(node)}; nodes are 0 … {len(self.starts) - 1}"
            )
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
        nodes; default: of ``nodes``, or one more than the greatest named. ``epoch``: of the memory
        they were read from. UsageError.
        """
        source, target = node_ids(sources, "sources"), node_ids(targets, "targets")
        if len(source) != len(target):
            raise UsageError(f"{len(source)} sources and {len(target)} targets; pass one for one")
        if nodes is not None:
            of_type(nodes, Nodes, "nodes are Nodes, such as Numbers(count)")
        epoch = an_epoch(epoch)
        if count is not None and not 0 <= whole(count, "count") <= MOST_NODES:
            raise UsageError(f"count is {quote(count)}; a graph has 0 … {MOST_NODES} nodes")
        if count is None:
            named = int(max(source.max(), target.max())) + 1 if len(source) else 0
            count = named if nodes is None else nodes.count
        for name, ids in (("source", source), ("target", target)):
            if len(ids) and int(ids.max()) >= count:
                raise UnknownName(f"{name} {int(ids.max())} is no node; nodes are 0 … {count - 1}")
        weigh = None if weights is None else edge_weights(weights, len(source))
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

    @property
    def both_ways(self) -> bool:
        """Is ``into`` made already?"""
        return self._into is not None

    def side(self, direction: Direction) -> Side:
        """Adjacency along (``"forward"``) or against (``"backward"``) the edges. UsageError."""
        one_of(direction, ("forward", "backward"), "direction")
        return self.out if direction == "forward" else self.into

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
            raise UsageError(f"a node is a number or a name, not {quote(given)}")
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


def a_graph(given: Any) -> Graph:
    """What is asked for something as a graph; UsageError for what is none."""
    return of_type(
        given, Graph, "pass a Graph, such as ShadowPageGraph.at and Graph.from_edges give"
    )


def an_epoch(given: Any) -> int | None:
    """What a graph is as of. UsageError for what no memory can have as an epoch."""
    epoch = None if given is None else whole(given, "epoch")
    if epoch is not None and not 0 <= epoch < 2**64:
        raise UsageError(f"epoch is {quote(given)}; pass one of a memory, 0 or more, or None")
    return epoch


def side(sources: Array, targets: Array, weights: Array | None, count: int) -> Side:
    """Adjacency of valid edges; neighbours ascend, equal ones as they came. O(edges + nodes).

    All u32, weights u32 or u64. Needs 12 bytes an edge for a while, 16 or 20 with weights, besides
    what it gives. EnvironmentProblem where that is not free.
    """
    try:
        return _laid(sources, targets, weights, count)
    except MemoryError as error:
        raise EnvironmentProblem(
            f"no memory is free for a graph of {len(sources)} edges and {count} nodes; take fewer "
            "kinds or pages, or a machine with more"
        ) from error


def _laid(sources: Array, targets: Array, weights: Array | None, count: int) -> Side:
    from mmsb.graph import kernels_build as kernels

    size = len(sources)
    source, target = _fixed(sources), _fixed(targets)
    given = _fixed(np.empty(0, np.uint32) if weights is None else weights)
    offsets, out = np.empty(count + 1, np.int64), np.empty(size, np.uint32)
    offsets[0], ends, weigh = 0, offsets[1:], np.empty(len(given), given.dtype)
    if size <= _FEW:
        kernels.build(source, target, given, ends, out, weigh)
    elif spread(lambda low, high: kernels.falls(source, target, low, high), size, smallest=_FEW):
        _parted(source, target, given, ends, out, weigh)
    else:
        out[:], weigh[:] = target, given

        def work(low: int, high: int) -> int:
            kernels.ends_of_sorted(source, low, high, ends)
            return 0

        spread(work, size, smallest=_FEW)
    frozen(offsets), frozen(out), frozen(weigh)
    return Side(offsets[:-1], offsets[1:], out, None if weights is None else weigh)


def _parted(
    sources: Array, targets: Array, given: Array, ends: Array, out: Array, weights: Array
) -> None:
    """Many edges, on all threads: first each part of the edges, then each part of the buckets."""
    from mmsb.graph import kernels_build as kernels

    size, bits = len(sources), (len(ends) - 1).bit_length()
    shift = max(0, bits - min(_MOST_BUCKETS, (size // _BUCKET).bit_length()))
    buckets = (len(ends) - 1 >> shift) + 1
    keys, extra = np.empty(size, np.int64), np.empty(len(given), given.dtype)
    counted: dict[int, Array] = {}

    def count(low: int, high: int) -> int:
        counted[low] = np.zeros(buckets, np.int64)
        kernels.count_buckets(sources, low, high, shift, counted[low])
        return 0

    def scatter(low: int, high: int) -> int:
        kernels.part(sources, targets, given, low, high, shift, counted[low], keys, extra)
        return 0

    spread(count, size, smallest=_FEW)
    parts = [counted[low] for low in sorted(counted)]
    begins = np.zeros(buckets + 1, np.int64)
    np.cumsum(sum(parts), out=begins[1:])
    place = begins[:-1].copy()
    for part in parts:  # from now on: where the part's next edge of each bucket goes
        part[:], place = place, place + part
    spread(scatter, size, smallest=_FEW)

    def lay(low: int, high: int) -> int:
        # Buckets go to the part that holds their first edge; those behind all edges to the last.
        first = int(np.searchsorted(begins[:-1], low)) if low else 0
        last = int(np.searchsorted(begins[:-1], high)) if high < size else buckets
        kernels.lay_buckets(begins, first, last, shift, keys, extra, ends, out, weights)
        return 0

    spread(lay, size, smallest=_FEW)


def _fixed(array: Array) -> Array:
    """A contiguous view that is read-only, so that kernels are compiled for one type of array."""
    view = np.ascontiguousarray(array).view()
    return frozen(view)


def node_ids(given: Any, what: str) -> Array:
    """Numbers of nodes, u32. UsageError."""
    bounded(given, what)
    try:
        ids = np.asarray(given if isinstance(given, np.ndarray | Iterable) else [given])
    except ValueError as error:  # lists of several lengths
        raise UsageError(f"{what} must be one list of node numbers, not {quote(given)}") from error
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "ui"):
        raise UsageError(f"{what} must be one list of node numbers, not {ids.dtype} in {ids.shape}")
    signed = ids.dtype.kind == "i"
    if ids.size and ((signed and int(ids.min()) < 0) or int(ids.max()) >= MOST_NODES):
        raise UsageError(f"{what} must be in 0 … {MOST_NODES - 1}")
    return ids.astype(np.uint32, copy=False)


def edge_weights(given: Any, count: int) -> Array:
    """Weights, u32 where all fit, else u64. UsageError."""
    bounded(given, "weights")
    try:
        weights = np.asarray(given)
    except ValueError as error:
        raise UsageError(
            f"pass one weight for each of {count} edges, not {quote(given)}"
        ) from error
    if weights.shape != (count,):
        raise UsageError(f"pass one weight for each of {count} edges, not {weights.shape}")
    if weights.size and (weights.dtype.kind not in "ui" or int(weights.min()) < 0):
        raise UsageError("weights are unsigned integers; scale what is not, and none below 0")
    small = not weights.size or int(weights.max()) < 2**32
    return weights.astype(np.uint32 if small else np.uint64, copy=False)

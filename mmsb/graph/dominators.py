"""Which node every way from the roots to another leads through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError, quote
from mmsb.graph.adjacency import Graph, a_graph
from mmsb.memory.asked import bounded, listed
from mmsb.memory.cells import Array, frozen

NONE = 2**32 - 1


def dominators(graph: Graph, roots: int | str | Iterable[int | str] | Array) -> Array:
    """The immediate dominator of each node, u32: the last other node on every way from the roots.

    Where no one node lies on all ways (a root, or what several reach apart from each other) it is
    the node itself: the top of a tree. 2^32 - 1 where no root leads. There is one answer, so no
    order of roots or edges shows in it. In practice O(nodes + edges); ``graph.into`` is made.
    UnknownName, UsageError: a root that is not there, or none.
    """
    from mmsb.graph import kernels_dominators as kernels

    if isinstance(roots, str | int | np.integer):
        roots = [roots]
    graph = a_graph(graph)
    numbers = np.array([graph.node(root) for root in listed(roots, "roots")], np.int64)
    if not len(numbers):
        raise UsageError("dominators need at least one root to start from")
    out, into, found = graph.out, graph.into, np.empty(graph.count, np.uint32)
    forth, back = ((side.starts, side.stops, side.targets) for side in (out, into))
    kernels.dominators(*forth, *back, numbers, found)
    return frozen(found)


def dominated_sums(found: Array, values: Array) -> Array:
    """What each node and all that it dominates have together, u64; saturates at 2^64 - 1.

    ``found``: what `dominators` gave; ``values``: an unsigned number a node. A node that is not
    reached keeps its own. O(nodes). UsageError.
    """
    from mmsb.graph import kernels_dominators as kernels

    found, given = _of_dominators(found), _unsigned(values)
    if given.shape != found.shape or (given.size and given.dtype.kind not in "ui"):
        raise UsageError(
            f"pass one unsigned number for each of {len(found)} nodes, not {given.dtype} in "
            f"{given.shape}"
        )
    if given.size and int(given.min()) < 0:
        raise UsageError(f"values are unsigned, and {int(given.min())} is below 0; scale them")
    sums = given.astype(np.uint64)
    kernels.sums(found, sums)
    return frozen(sums)


def _of_dominators(given: Any) -> Array:
    if isinstance(given, np.ndarray) and given.dtype == np.uint32 and given.ndim == 1:
        found: Array = given
        if bool(((found < len(found)) | (found == NONE)).all()):
            return found
    raise UsageError(f"pass the nodes that `dominators` gave, u32, not {quote(given)}")


def _unsigned(values: Any) -> Array:
    bounded(values, "values")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UsageError(f"pass one unsigned number for each node, not {quote(values)}") from error

"""The answer of a propagation: a value a node, and how it came there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.semiring import Semiring
from mmsb.memory.cells import Array

NONE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Wave:
    """What changed in one step: ``nodes`` u32, ascending, and the ``values`` they now have."""

    number: int
    nodes: Array
    values: Array


class Propagation:
    """``values`` of the semiring's dtype, ``hops`` and ``parent`` u32, a cell a node.

    ``hops``: how many edges the witnessed way has, and ``parent`` the node before on it; `NONE`
    where there is none: at seeds, and where nothing came. Both are None without witness. Of many
    seed sets each is a table of two dimensions, a row a set; see `row`. ``steps``: how many steps
    it took until nothing changed. ``device``: "cpu" or "gpu", who answered; ``instead``: why it
    was the CPU though ``device="auto"`` might have had a GPU, "" if it might not.
    """

    __slots__ = (
        *("_values", "device", "direction", "graph", "hops", "instead", "parent", "semiring"),
        *("steps", "trail"),
    )

    def __init__(
        self,
        graph: Graph,
        semiring: Semiring,
        direction: Direction,
        values: Array,
        hops: Array | None,
        parent: Array | None,
        steps: int,
        trail: Any = None,
    ) -> None:
        """``trail``: by wave, nodes ascending that changed in it, and their parents; where a node
        may change more than once and each change counts. Of many seed sets one for each."""
        self.graph, self.semiring, self.direction = graph, semiring, direction
        self.hops, self.parent, self.steps = hops, parent, steps
        self._values, self.trail = values, trail
        self.device, self.instead = "cpu", ""

    @property
    def values(self) -> Array:
        """What each node has."""
        return self._values

    @property
    def reached(self) -> Array:
        """Nodes with a value other than zero, u32, ascending. O(count)."""
        return np.flatnonzero(self._one() != self.semiring.zero).astype(np.uint32)

    def value(self, node: int | str) -> int:
        """The value of one node: the semiring's zero where nothing came. UnknownName."""
        return int(self._one()[self.graph.node(node)])

    def path(self, node: int | str) -> list[int]:
        """The witnessed way, seed … node; [] where nothing came. O(its length). UnknownName.

        With ``direction="backward"`` each edge leads from a node to the one before it in the list.
        """
        self._one()
        at = self.graph.node(node)
        if self.hops is None or self.parent is None:
            raise UsageError("this propagation kept no witness; ask for it with witness=True")
        left = int(self.hops[at])
        if left == NONE:
            return []
        found = [at]
        while left:
            at = self._before(at, left)
            left -= 1
            found.append(at)
        return found[::-1]

    def row(self, number: int) -> Propagation:
        """The propagation of one of many seed sets."""
        if self.values.ndim == 1:
            raise UsageError("this propagation has one seed set, so it has no rows")
        if not 0 <= number < len(self.values):
            raise UsageError(f"there is no row {number}; rows are 0 … {len(self.values) - 1}")
        hops = None if self.hops is None else self.hops[number]
        parent = None if self.parent is None else self.parent[number]
        trail = None if self.trail is None else self.trail[number]
        asked = (self.graph, self.semiring, self.direction)
        return Propagation(*asked, self.values[number], hops, parent, self.steps, trail)

    def _before(self, node: int, left: int) -> int:
        if self.trail is not None:
            nodes, parents = self.trail[left]
            return int(parents[np.searchsorted(nodes, node)])
        assert self.parent is not None
        return int(self.parent[node])

    def _one(self) -> Array:
        if self.values.ndim != 1:
            raise UsageError("this propagation has many seed sets; ask one of its rows: .row(0)")
        return self.values

    def __repr__(self) -> str:
        sets = "" if self.values.ndim == 1 else f"{len(self.values)} seed sets, "
        return (
            f"<{self.semiring.name} {self.direction}, {sets}{self.graph.count} nodes, "
            f"{self.steps} steps>"
        )

"""The answer of a propagation: a value a node, and how it came there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError, quote
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.semiring import MIN_PLUS, Semiring
from mmsb.memory.cells import Array, whole

NONE = 0xFFFFFFFF
_NO_LABELS: Array = np.empty(0, np.uint64)


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
        "_base",
        "_bits",
        "_hops",
        "_labels",
        "_parent",
        "_values",
        "device",
        "direction",
        "graph",
        "instead",
        "semiring",
        "sets",
        "steps",
        "trail",
        "witnessed",
    )

    def __init__(
        self,
        graph: Graph,
        semiring: Semiring,
        direction: Direction,
        values: Array | None,
        hops: Array | None,
        parent: Array | None,
        steps: int,
        trail: Any = None,
    ) -> None:
        """``trail``: by wave, nodes ascending that changed in it, and their parents; where a node
        may change more than once and each change counts. Of many seed sets one for each."""
        self.graph, self.semiring, self.direction = graph, semiring, direction
        self._values, self._hops, self._parent = values, hops, parent
        self.steps, self.trail = steps, trail
        self.device, self.instead = "cpu", ""
        self.witnessed = hops is not None
        self._labels, self._base, self._bits = _NO_LABELS, 0, _NO_LABELS
        #: How many seed sets there are; None: one, and no rows.
        self.sets = len(values) if values is not None and values.ndim == 2 else None

    @classmethod
    def of_labels(
        cls,
        graph: Graph,
        semiring: Semiring,
        direction: Direction,
        labels: Array,
        base: int,
        steps: int,
        witness: bool,
    ) -> Propagation:
        """Of seeds that all have the value ``base``, where all else follows from the hops.

        ``labels`` u64: hops above the parent; taken apart when asked for.
        """
        made = cls(graph, semiring, direction, None, None, None, steps)
        made._labels, made._base, made.witnessed = labels, base, witness
        return made

    @classmethod
    def of_bits(
        cls,
        graph: Graph,
        semiring: Semiring,
        direction: Direction,
        bits: Array,
        sets: int,
        steps: int,
    ) -> Propagation:
        """Of many seed sets of lor_land or any_pair: ``bits`` u64[words, count], a bit a set."""
        made = cls(graph, semiring, direction, None, None, None, steps)
        made._bits, made.sets = bits, sets
        return made

    @property
    def values(self) -> Array:
        """What each node has."""
        if self._values is None and self.sets is not None:
            rows = [self._reached(number) for number in range(self.sets)]
            self._values = np.stack(rows) if rows else np.empty((0, self.graph.count), np.uint8)
        if self._values is None:
            ring, hops = self.semiring, self._halves()[..., 1]
            far = hops == NONE
            if ring.op == MIN_PLUS.op:
                values = hops.astype(ring.dtype)
                values += np.array(self._base, ring.dtype)
                values[far] = ring.zero
            else:
                values = np.where(far, ring.zero, np.array(self._base, ring.dtype))
            self._values = values.astype(ring.dtype, copy=False)
        return self._values

    @property
    def hops(self) -> Array | None:
        """How many edges the way of each node has."""
        if self._hops is None and self.witnessed:
            self._hops = np.ascontiguousarray(self._halves()[..., 1])
        return self._hops

    @property
    def parent(self) -> Array | None:
        """The node before each on its way."""
        if self._parent is None and self.witnessed:
            self._parent = np.ascontiguousarray(self._halves()[..., 0])
        return self._parent

    def _reached(self, number: int) -> Array:
        word, place = divmod(number, 64)
        bits: Array = (self._bits[word] >> np.uint64(place)) & np.uint64(1)
        return bits.astype(self.semiring.dtype)

    def _halves(self) -> Array:
        halves: Array = self._labels.view(np.uint32).reshape(*self._labels.shape, 2)
        return halves

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
            raise UsageError(
                "this propagation kept no witness; ask for it with witness=True, without damping"
            )
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
        if self.sets is None:
            raise UsageError("this propagation has one seed set, so it has no rows")
        number = whole(number, "row")
        if not 0 <= number < self.sets:
            raise UsageError(f"there is no row {quote(number)}; rows are 0 … {self.sets - 1}")
        hops = None if self.hops is None else self.hops[number]
        parent = None if self.parent is None else self.parent[number]
        trail = None if self.trail is None else self.trail[number]
        values = self._reached(number) if self._values is None else self._values[number]
        asked = (self.graph, self.semiring, self.direction)
        return Propagation(*asked, values, hops, parent, self.steps, trail)

    def _before(self, node: int, left: int) -> int:
        if self.trail is not None:
            nodes, parents = self.trail[left]
            return int(parents[np.searchsorted(nodes, node)])
        assert self.parent is not None
        return int(self.parent[node])

    def _one(self) -> Array:
        if self.sets is not None:
            raise UsageError("this propagation has many seed sets; ask one of its rows: .row(0)")
        return self.values

    def __repr__(self) -> str:
        sets = "" if self.sets is None else f"{self.sets} seed sets, "
        return (
            f"<{self.semiring.name} {self.direction}, {sets}{self.graph.count} nodes, "
            f"{self.steps} steps>"
        )

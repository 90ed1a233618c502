"""A propagation that takes changed edges in, at a cost that follows what they reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.errors import EnvironmentProblem, UsageError
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.growing import Changed, Edges, Growing
from mmsb.graph.live import LiveGraph
from mmsb.graph.propagate import propagate
from mmsb.graph.propagation import NONE, Propagation
from mmsb.graph.seeds import Seeds, seeded
from mmsb.graph.semiring import Semiring, semiring
from mmsb.memory.asked import of_type
from mmsb.memory.cells import Array

_semiring = semiring
_COLUMNS = 7  # of the kernels' table
_NO_WEIGHTS = np.zeros(0, np.uint32)


class Kept:
    """What `propagate` would say of a graph that changes, after every step of it.

    Values and witnesses are those of a fresh `propagate`, bit for bit. Its semiring is selective
    and absorptive (lor_land, any_pair, min_plus, max_min, or such a one of a user's own). One
    thread at a time.
    """

    def __init__(
        self,
        graph: LiveGraph | Growing,
        seeds: Seeds,
        semiring: str | Semiring = "min_plus",
        direction: Direction = "forward",
    ) -> None:
        """Propagates once. UsageError for a semiring that has no least label, or as `propagate`."""
        ring = _semiring(semiring)
        if not (ring.selective and ring.absorptive):
            raise UsageError(
                f"{ring.name} is not selective and absorptive, so what hung on an edge that went "
                "is not found again; propagate anew, or use min_plus, max_min or lor_land"
            )
        of_type(graph, (LiveGraph, Growing), "pass a LiveGraph or a Growing")
        self._growing = graph.growing if isinstance(graph, LiveGraph) else graph
        self._ring, self._direction = ring, direction
        self._steps = self._growing.steps
        now = self._growing.graph
        self._seeds = seeded(now, seeds, ring)
        fresh = propagate(now, seeds, ring, direction)
        assert fresh.hops is not None
        assert fresh.parent is not None
        self._values, self._hops, self._parent = fresh.values, fresh.hops, fresh.parent
        self._took = fresh.steps
        self._slot = np.zeros(now.count, np.uint32)
        self._table = np.empty((64, _COLUMNS), np.uint64)
        self._heap = np.empty((64, 2), np.uint64)
        self._at = np.zeros(4, np.int64)
        self._count = now.count
        _kernels().undo(self._labels(now.count), self._work())  # loaded while there is room

    @property
    def answer(self) -> Propagation:
        """The propagation as it is now; holds until the next `update`. Its ``steps`` are those of
        the first one."""
        values, hops, parent = self._labels(self._count)
        graph = self._growing.graph
        return Propagation(graph, self._ring, self._direction, values, hops, parent, self._took)

    @property
    def looked_at(self) -> int:
        """How many edges all updates together looked at: what the cost follows."""
        return int(self._at[2])

    def update(self, changed: Changed) -> Array:
        """Takes the graph's last step in; nodes whose value or witness changed, u32, ascending.

        O((nodes that change + their edges) · log of those): an improvement goes on from where it
        was made, and what hung on an edge that went asks those that still stand. UsageError unless
        ``changed`` is the step after the one that was taken in last, and the graph's last.
        """
        of_type(changed, Changed, "pass what a change of the graph gave")
        if not changed.number == self._steps + 1 == self._growing.steps:
            raise UsageError(
                f"this propagation stands at step {self._steps} of a graph at step "
                f"{self._growing.steps}, and step {changed.number} was passed; take each step in "
                "before the next is made, or make the propagation anew"
            )
        graph = self._growing.graph
        heavy = graph.out.weights is not None and self._ring.name != "any_pair"
        self._check(changed.added, heavy)
        try:
            self._grow(graph.count)
            self._settle(graph, heavy, changed)
            found = np.empty(int(self._at[0]), np.uint32)
        except BaseException as error:
            _kernels().undo(self._labels(graph.count), self._work())
            if isinstance(error, MemoryError):
                raise EnvironmentProblem(
                    f"no memory is free to take step {changed.number} in; the propagation stands "
                    f"at step {self._steps} still, pass it again when there is"
                ) from error
            raise
        held = _kernels().finish(self._labels(graph.count), self._work(), found)
        self._count, self._steps = graph.count, changed.number
        found = found[:held]
        found.sort()
        return found

    def _settle(self, graph: Graph, heavy: bool, changed: Changed) -> None:
        ring, kernels = self._ring, _kernels()
        self._make_room(len(changed.removed) + len(changed.added))
        removed, added = (self._ends(edges, heavy) for edges in (changed.removed, changed.added))
        other: Direction = "backward" if self._direction == "forward" else "forward"
        sides = tuple(_arrays(graph, way, heavy) for way in (self._direction, other))
        labels, numbers = self._labels(graph.count), ring.numbers
        begin, settle = (ring.compiled(each) for each in (kernels.begin, kernels.settle))
        begin(numbers, sides, heavy, labels, self._seeds, self._work(), removed, added)
        while not settle(numbers, sides, heavy, labels, self._seeds, self._work()):
            self._make_room(int(self._at[3]))

    def _labels(self, count: int) -> tuple[Array, Array, Array]:
        return self._values[:count], self._hops[:count], self._parent[:count]

    def _work(self) -> tuple[Array, Array, Array, Array]:
        return self._slot, self._table, self._heap, self._at

    def _ends(self, edges: Edges, heavy: bool) -> tuple[Array, Array, Array]:
        weights = edges.weights if heavy and edges.weights is not None else _NO_WEIGHTS
        if self._direction == "forward":
            return edges.sources, edges.targets, weights
        return edges.targets, edges.sources, weights

    def _check(self, added: Edges, heavy: bool) -> None:
        weights = added.weights
        if heavy and weights is not None and len(weights) and not self._ring.boolean:
            most = int(weights.max())
            if most > self._ring.most:
                raise UsageError(
                    f"a weight of {most} does not fit {self._ring.name} of {self._ring.dtype}, "
                    f"which ends at {self._ring.most}; make it anew with a wider semiring"
                )

    def _grow(self, count: int) -> None:
        """More nodes, which nothing has reached."""
        room = len(self._slot)
        if count <= room:
            return
        more = max(count, room * 5 // 4 + 64) - room
        fill = (self._ring.zero, NONE, NONE, 0)
        old = (self._values, self._hops, self._parent, self._slot)
        new = [
            np.concatenate((each, np.full(more, value, each.dtype)))
            for each, value in zip(old, fill, strict=True)
        ]
        self._values, self._hops, self._parent, self._slot = new

    def _make_room(self, more: int) -> None:
        """For so many more rows of the table and of the heap."""
        touched, waiting = int(self._at[0]), int(self._at[1])
        if touched + more > len(self._table):
            table = np.empty((2 * (touched + more), _COLUMNS), np.uint64)
            table[:touched] = self._table[:touched]
            self._table = table
        if waiting + more > len(self._heap):
            heap = np.empty((2 * (waiting + more), 2), np.uint64)
            heap[:waiting] = self._heap[:waiting]
            self._heap = heap


def _kernels() -> Any:
    from mmsb.graph import kernels_keep

    return kernels_keep


def _arrays(graph: Graph, way: Direction, heavy: bool) -> tuple[Array, Array, Array, Array]:
    side = graph.side(way)
    held = side.weights if heavy and side.weights is not None else _NO_WEIGHTS
    return side.starts, side.stops, side.targets, held

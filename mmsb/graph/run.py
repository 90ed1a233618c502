"""One propagation: what was asked for, checked, and the way to its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmsb.base.errors import CycleError, UsageError, quote
from mmsb.graph.adjacency import Direction, Graph, a_graph
from mmsb.graph.breadth import breadth
from mmsb.graph.cheapest import cheapest
from mmsb.graph.propagation import NONE, Propagation, Wave
from mmsb.graph.seeds import Seeds, seeded
from mmsb.graph.semiring import MAX_MIN, MIN_PLUS, PLUS_TIMES, Semiring
from mmsb.graph.semiring import semiring as named
from mmsb.graph.structure import shortest_cycle, way_round
from mmsb.memory.cells import Array
from mmsb.memory.machine import Device, resolve

_FOREVER = 2**62
_NO_WEIGHTS = np.empty(0, np.uint32)
_ALL = np.uint64(1 << 16)


class Run:
    """One propagation: what was asked for, checked, and the arrays it works on."""

    def __init__(
        self,
        graph: Graph,
        seeds: Seeds,
        semiring: str | Semiring,
        direction: Direction,
        limit: int | None,
        rounds: int | None,
        damping: float | None,
        device: Device,
    ) -> None:
        self.instead = ""
        self.machine = resolve(device, self.note)
        self.insisted = device == "gpu"
        self.graph, self.ring, self.direction = a_graph(graph), named(semiring), direction
        self.side = graph.side(direction)
        self.limit = _bound(limit, rounds, graph.count, self.ring)
        #: Of 2^16 parts of what comes to a node, so many do; None: all.
        self.share = _share(damping, rounds, self.ring)
        self.nodes, self.given = seeded(graph, seeds, self.ring)
        weights = self.side.weights
        self.weights = None if weights is None else _weights(weights, self.ring, graph)
        self.ordered = not self.ring.absorptive and rounds is None

    def note(self, why: str) -> None:
        """Why the CPU answers though a device might have."""
        self.machine, self.instead = None, why

    @property
    def _edges(self) -> tuple[Any, ...]:
        side, weights = self.side, self.weights
        heavy = weights is not None
        held = weights if heavy else _NO_WEIGHTS
        return side.starts, side.stops, side.targets, held, heavy, self.ring.numbers

    @property
    def _came(self) -> tuple[Array, Array, Array]:
        return self.values, self.hops, self.parent

    def answer(self, witness: bool) -> Propagation:
        """The propagation, by the way that is the shortest for it."""
        base = self._level()
        if base is not None:
            about = (self.graph, self.ring, self.direction)
            labels, took = breadth(self.graph, self.side, self.direction, self.nodes, self.limit)
            made = Propagation.of_labels(*about, labels, base, took, witness)
            made.instead = self.instead
            return made
        if self.ring.op == MIN_PLUS.op and self.limit is None:
            held = (self.nodes, self.given)
            found = cheapest(self._edges, self.ring, *held, self.graph.size)
            if found is not None:
                self.values, self.hops, self.parent, took = found
                return self._made(took, witness)
        return self._generic(witness)

    def _generic(self, witness: bool) -> Propagation:
        from mmsb.graph import kernels_waves

        trail = None
        self._begin()
        if self.ordered:
            took = self._in_order()
            if self.limit is None:
                return self._made(took, witness)
            self._reset()
        if self.limit is None:
            took = self._to_the_end()
            if witness:
                own = self.nodes[self._kept()]
                self.hops[:], self.parent[:] = NONE, NONE
                self.hops[own] = 0
                queue = np.empty(self.graph.count, np.uint32)
                queue[: len(own)] = own
                find = self.ring.compiled(kernels_waves.witnesses)
                find(self._edges, self._came, queue, len(own))
        else:
            trail = [(self.nodes, np.full(len(self.nodes), NONE, np.uint32))]
            for wave in self._each():
                trail.append((wave.nodes, self.parent[wave.nodes]))
            took = len(trail) - 1
            trail = trail if self.ring.selective else None
        return self._made(took, witness and self.share is None, trail)

    def waves(self) -> Iterator[Wave]:
        """The seeds, and then what each wave changed. CycleError at once."""
        self._begin()
        if self.ordered:
            self._in_order()
            self._reset()
        first = Wave(0, self.nodes, self.given.astype(self.ring.dtype))
        return self._with(first)

    def _with(self, first: Wave) -> Iterator[Wave]:
        yield first
        yield from self._each()

    def _begin(self) -> None:
        count = self.graph.count
        self.values, self.hops = np.empty(count, np.uint64), np.empty(count, np.uint32)
        self.parent = np.empty(count, np.uint32)
        self._reset()

    def _reset(self) -> None:
        self.values[:], self.hops[:], self.parent[:] = self.ring.zero, NONE, NONE
        self.values[self.nodes], self.hops[self.nodes] = self.given, 0

    def _kept(self) -> Array:
        """Which seeds have their own value as the last."""
        kept: Array = (self.values[self.nodes] == self.given) | (not self.ring.selective)
        return kept

    def _made(
        self, took: int, witness: bool, trail: list[tuple[Array, Array]] | None = None
    ) -> Propagation:
        values = self.values.astype(self.ring.dtype, copy=False)
        hops, parent = (self.hops, self.parent) if witness else (None, None)
        made = Propagation(self.graph, self.ring, self.direction, values, hops, parent, took, trail)
        made.instead = self.instead
        return made

    def _state(self) -> tuple[Any, ...]:
        count, held = self.graph.count, len(self.nodes)
        front, carried = np.empty(count, np.uint32), np.empty(count, np.uint64)
        front[:held], carried[:held] = self.nodes, self.given
        rest = (np.zeros(count, np.uint32), np.empty(count, np.uint64))
        return (front, carried, *rest, np.empty(count, np.uint32), np.empty(count, np.uint32))

    def _to_the_end(self) -> int:
        from mmsb.graph import kernels_waves

        run = self.ring.compiled(kernels_waves.waves)
        _, number = run(self._edges, self._came, self._state(), len(self.nodes), 0, _FOREVER, _ALL)
        return int(number)

    def _each(self) -> Iterator[Wave]:
        from mmsb.graph import kernels_waves

        state = self._state()
        run = self.ring.compiled(kernels_waves.waves)
        held, number = len(self.nodes), 0
        last = _FOREVER if self.limit is None else self.limit
        share = _ALL if self.share is None else np.uint64(self.share)
        while number < last:
            held, _ = run(self._edges, self._came, state, held, number, number + 1, share)
            if not held:
                return
            number += 1
            nodes = np.sort(state[0][:held])
            yield Wave(number, nodes, self.values[nodes].astype(self.ring.dtype))

    def _in_order(self) -> int:
        from mmsb.graph import kernels_waves

        count, held = self.graph.count, len(self.nodes)
        waiting, depth = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
        queue = np.empty(count, np.uint32)
        queue[:held] = self.nodes
        run = self.ring.compiled(kernels_waves.ordered)
        took, stuck = run(self._edges, self._came, waiting, depth, queue, held)
        if stuck:
            raise self.cycle(np.flatnonzero(waiting))
        return int(took)

    def cycle(self, stuck: Array) -> CycleError:
        """The error for a cycle among nodes that all lie on one or behind one."""
        cycle = shortest_cycle(self.graph, stuck)
        return CycleError(
            f"{self.ring.name} has no sum over ways that go round: {way_round(self.graph, cycle)}; "
            "ask for rounds=N, or propagate over structure.condensation(graph)",
            cycle,
        )

    @property
    def plain(self) -> bool:
        """Does every edge count as one?"""
        return self.weights is None or (self.ring.boolean and bool(self.weights.all()))

    def _level(self) -> int | None:
        """The value of all seeds, if what they reach follows from it and the hops alone."""
        ring, given = self.ring, self.given
        if ring.boolean:
            return 1 if self.plain else None
        if self.weights is not None or ring.op not in (MIN_PLUS.op, MAX_MIN.op) or not len(given):
            return None
        base = int(given[0])
        if len(given) > 1 and not bool((given == given[0]).all()):
            return None
        return base if ring.op == MAX_MIN.op or base + self.graph.count <= ring.most else None


def _bound(limit: Any, rounds: Any, count: int, ring: Semiring) -> int | None:
    if limit is None and rounds is None:
        return None
    if limit is not None and rounds is not None:
        raise UsageError("pass limit or rounds, not both")
    for name, given in (("limit", limit), ("rounds", rounds)):
        if given is None:
            continue
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 0:
            raise UsageError(f"{name} is a number of edges, 0 or more, not {quote(given)}")
        if ring.absorptive and given >= count - 1:
            return None  # longer ways add nothing
        return int(given)
    return None


def _share(damping: Any, rounds: Any, ring: Semiring) -> int | None:
    if damping is None:
        return None
    real = isinstance(damping, int | float | np.integer | np.floating)
    if isinstance(damping, bool) or not real or not 0 <= damping <= 1:
        raise UsageError(
            f"damping is what each step hands on, a number in 0 … 1, not {quote(damping)}"
        )
    if ring.op != PLUS_TIMES.op or ring.own is not None:
        raise UsageError(
            f"{ring.name} does not sum numbers up, so nothing of it can be damped; use plus_times, "
            "or leave damping out"
        )
    if rounds is None:
        raise UsageError("damping goes with rounds=N: say after how many steps to stop")
    return round(float(damping) * int(_ALL))


def _weights(weights: Array | None, ring: Semiring, graph: Graph) -> Array | None:
    """The weights that count, of which none is greater than the semiring's greatest."""
    if weights is None or ring.name == "any_pair" or ring.boolean:
        return weights if ring.name == "lor_land" else None
    if weights.dtype.itemsize > np.dtype(ring.dtype).itemsize:
        held = graph.edges()[2]
        if held is not None and len(held) and int(held.max()) > ring.most:
            raise UsageError(
                f"a weight of {int(held.max())} does not fit {ring.name} of {ring.dtype}, which "
                f"ends at {ring.most}; use a wider semiring"
            )
    return weights

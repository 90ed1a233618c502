"""What is copied to a machine for a propagation, launched there, and copied back.

The kernels are ``kernels_traverse.cu``; the answers are the CPU's, bit for bit. A graph's copy is
kept as long as the graph, which never changes; one with room to grow is copied each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from mmsb.graph.adjacency import Direction, Graph, Side
from mmsb.graph.semiring import Semiring
from mmsb.memory.cells import Array
from mmsb.memory.machine import LOCK, Buffer, Machine

NONE, ALL_ONES, FOREVER = 2**32 - 1, 2**64 - 1, 2**62
#: As in the kernels: what a launch is asked to do.
_INIT, _ORDERED, _WAVES, _TRACE, _VIA = 1, 2, 4, 8, 16
#: A graph of no more edges and nodes is one block's work; one of more edges is pulled where the
#: front is wide. Guesses, to be measured on a device.
ALONE, PULLED = 1 << 15, 1 << 20
#: Seeds that a captured graph has room for, and cells of answers that are held at a time.
_SEEDS, _CELLS = 64, 1 << 27


#: Nodes u32, ascending, and their values u64.
SeedSet = tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Found:
    """What a propagation found: ``values`` u64, ``hops`` and ``parent`` u32 or None, a row a set.

    ``stuck``: nodes on a cycle that has no sum, or behind one; the rest says nothing then.
    ``trail``: of each set, by wave, nodes that changed in it and their predecessors.
    """

    values: Array
    hops: Array | None
    parent: Array | None
    steps: int
    stuck: Array | None = None
    trail: list[list[tuple[Array, Array]]] | None = None


@dataclass(eq=False)
class Copy:
    """A side of a graph on a machine."""

    machine: Machine
    side: tuple[Buffer | int, ...]
    into: tuple[Buffer | int, ...]
    count: int
    size: int
    #: By what is asked: how often it was, or how it is launched.
    ready: dict[Any, int | Callable[[SeedSet], Array]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Items that a front may have."""
        return self.count + self.size // self.machine.piece + 1

    @property
    def small(self) -> bool:
        """Is it one block's work?"""
        return self.count + self.size <= ALONE


_copies: WeakKeyDictionary[Graph, dict[Any, Copy]] = WeakKeyDictionary()


def copy_of(machine: Machine, graph: Graph, direction: Direction, heavy: bool, pulls: bool) -> Copy:
    """The side on the machine, with the other one where propagation may pull. MemoryError."""
    key = (id(machine), direction, heavy, pulls)
    held = _copies.setdefault(graph, {})
    if key in held:
        return held[key]
    side = graph.side(direction)
    none: tuple[Buffer | int, ...] = (0, 0, 0, 0)
    into = none
    if pulls:
        other = graph.side("backward" if direction == "forward" else "forward")
        into = _put(machine, other, heavy) if other.ordered else none
    made = Copy(machine, _put(machine, side, heavy), into, graph.count, len(side.targets))
    if side.ordered:
        held[key] = made
    return made


def _put(machine: Machine, side: Side, heavy: bool) -> tuple[Buffer | int, ...]:
    weights = machine.put(side.weights) if heavy and side.weights is not None else 0
    return (*(machine.put(cells) for cells in (side.starts, side.stops, side.targets)), weights)


@dataclass(frozen=True, slots=True)
class Op:
    """A semiring as the kernels know it."""

    name: str
    most: int
    zero: int
    unit: int

    @classmethod
    def of(cls, ring: Semiring) -> Op:
        """A built-in semiring."""
        return cls("lor_land" if ring.boolean else ring.name, ring.most, ring.zero, ring.unit)

    @property
    def boolean(self) -> bool:
        """A witness says it all: there are no values."""
        return self.name == "lor_land"


#: 64 boolean values, a bit each.
_BITS = Op("bits", ALL_ONES, 0, 1)


@dataclass(frozen=True, eq=False)
class Launch:
    """A propagation that is asked of a machine. ``bytes``: of a weight, 0 where none counts."""

    machine: Machine
    copy: Copy
    op: Op
    bytes: int

    @classmethod
    def of(
        cls,
        machine: Machine,
        graph: Graph,
        direction: Direction,
        weights: Array | None,
        ring: Semiring,
    ) -> Launch:
        """``weights``: the side's, or None where they do not count. MemoryError: no room."""
        op = Op.of(ring)
        pulls = op.boolean and graph.size >= PULLED
        with LOCK:
            copy = copy_of(machine, graph, direction, weights is not None, pulls)
        return cls(machine, copy, op, 0 if weights is None else weights.dtype.itemsize)

    # One seed set, or many each on its own.

    def answer(
        self, sets: Sequence[SeedSet], last: int | None, ordered: bool, witness: bool
    ) -> Found:
        """From each seed set: at most ``last`` waves, or in topological order. MemoryError."""
        if not self.copy.count:
            empty = np.empty((len(sets), 0), np.uint64)
            return Found(empty, empty.astype(np.uint32), empty.astype(np.uint32), 0)
        flags = self._flags(ordered, last is not None, witness)
        bound = FOREVER if last is None else last
        at_once = max(1, _CELLS // max(1, self.copy.count))
        with LOCK:
            parts = [
                self._found(sets[at : at + at_once], flags, bound)
                for at in range(0, len(sets), at_once)
            ]
        for part in parts:
            if part.stuck is not None:
                return part
        return stacked(parts)

    def prepared(
        self, seeds: SeedSet, last: int | None = None, ordered: bool = False, witness: bool = True
    ) -> Callable[[], None]:
        """A launch from one seed set that answers nothing, to be timed; its call waits for it."""
        flags = self._flags(ordered, last is not None, witness)
        given, out = self.machine.put(_packed([seeds])), self._room(1, flags)
        work = self.machine.room(self._work, np.uint64)

        def launch() -> None:
            with LOCK:
                bound = FOREVER if last is None else last
                self._launch(given, (1, len(seeds[0])), out, work, flags, bound)
                self.machine.wait()

        return launch

    def _flags(self, ordered: bool, limited: bool, witness: bool) -> int:
        if self.op.boolean:
            return _INIT | _TRACE
        if limited:
            return _INIT | _WAVES | (_VIA if witness else 0)
        return _INIT | (_ORDERED if ordered else _WAVES) | (_TRACE if witness else 0)

    def _found(self, sets: Sequence[SeedSet], flags: int, last: int) -> Found:
        count, rows = self.copy.count, len(sets)
        out, work = self._once(sets, flags, last)
        told = out[: 4 * rows].reshape(rows, 4)
        if told[:, 2].any():
            first = int(np.flatnonzero(told[:, 2])[0])
            return self._stuck(work) if rows == 1 else self._found([sets[first]], flags, last)
        cells = out[4 * rows :].reshape(-1, rows, count)
        keyed = flags & (_TRACE | _VIA)
        values = cells[0]
        if self.op.boolean:
            values = (cells[0] != ALL_ONES).astype(np.uint64)
        steps = int(told[:, 3 if self.op.boolean else 0].max(initial=0))
        if not keyed:
            return Found(values, None, None, steps)
        words = np.ascontiguousarray(cells[-1]).view(np.uint32).reshape(rows, count, 2)
        hops, parent = np.ascontiguousarray(words[..., 1]), np.ascontiguousarray(words[..., 0])
        return Found(values, hops, parent, steps)

    def _once(self, sets: Sequence[SeedSet], flags: int, last: int) -> tuple[Array, Buffer | None]:
        """told, values, keys; and the work of a single launch of one set."""
        copy = self.copy
        fits = len(sets) == 1 and copy.small and len(sets[0][0]) <= _SEEDS
        key = (self.op.name, self.op.most, flags, last)
        if fits:
            held = copy.ready.get(key, 0)
            if not isinstance(held, int):
                out = held(sets[0])
                if not out[2]:
                    return out, None
            elif held:
                copy.ready[key] = self._captured(flags, last)
                return self._once(sets, flags, last)
            else:
                copy.ready[key] = 1
        given = self.machine.put(_packed(sets))
        total = sum(len(nodes) for nodes, _ in sets)
        out = self._room(len(sets), flags)
        teams = min(len(sets), 64) if copy.small else 1
        work = self.machine.room(teams * self._work, np.uint64)
        self._launch(given, (len(sets), total), out, work, flags, last)
        return self.machine.get(out), work

    def _captured(self, flags: int, last: int) -> Callable[[SeedSet], Array]:
        """The launch of one set with its two transfers, as one captured graph."""
        machine = self.machine
        out, work = self._room(1, flags), machine.room(self._work, np.uint64)
        given = machine.room(2 + _SEEDS + _SEEDS // 2, np.uint64)
        sent = machine.pinned(len(given), np.uint64)
        came = machine.pinned(len(out), np.uint64)
        sent[:] = 0

        def launch() -> None:
            machine.send(given, sent)
            self._launch(given, (1, _SEEDS), out, work, flags, last)
            machine.fetch(came, out)

        again = machine.capture(launch)

        def ask(seeds: SeedSet) -> Array:
            nodes, values = seeds
            sent[1] = len(nodes)
            sent[2 : 2 + len(nodes)] = values
            sent[2 + _SEEDS :].view(np.uint32)[: len(nodes)] = nodes
            again()
            found: Array = came.copy()
            return found

        return ask

    @property
    def _work(self) -> int:
        return 2 * self.copy.room + 2 * self.copy.count + 4

    def _room(self, rows: int, flags: int) -> Buffer:
        tables = (not self.op.boolean) + bool(flags & (_TRACE | _VIA))
        return self.machine.room(rows * (4 + tables * self.copy.count), np.uint64)

    def _launch(
        self,
        given: Buffer,
        sizes: tuple[int, int],
        out: Buffer,
        work: Buffer,
        flags: int,
        last: int,
    ) -> None:
        copy, op, (rows, total) = self.copy, self.op, sizes
        valued, keyed = not op.boolean, bool(flags & (_TRACE | _VIA))
        bounds, values = given[: rows + 1], given[rows + 1 : rows + 1 + total]
        cells = rows * copy.count
        first = out[4 * rows : 4 * rows + cells] if cells else 0
        second = out[4 * rows + cells :] if cells and valued and keyed else 0
        tables = (first, second) if valued else (0, first)
        nodes = given[rows + 1 + total :] if total else 0
        numbers = (op.most, op.zero, op.unit)
        degree = copy.size / max(1, copy.count)
        lanes = 1
        while lanes < min(degree, self.machine.lanes):
            lanes *= 2
        args = (
            *(*copy.side, self.bytes, copy.count, *copy.into, *numbers),
            *(nodes, values if total else 0, bounds, rows, *tables),
            *(work, copy.room, flags | lanes << 8, last, out[: 4 * rows]),
        )
        if copy.small:
            teams = len(work) // self._work
            self.machine.teams(f"propagate_{op.name}", teams, *args)
        else:
            self.machine.together(f"propagate_{op.name}", *args)

    def _stuck(self, work: Buffer | None) -> Found:
        """The nodes that waited in vain, of a launch of one set."""
        assert work is not None
        count, place = self.copy.count, 2 * self.copy.room + self.copy.count
        waiting = self.machine.get(work)[place : place + count].view(np.uint32)[count:]
        return Found(waiting, None, None, 0, np.flatnonzero(waiting))

    # Wave by wave.

    def waves(self, seeds: SeedSet, last: int) -> Iterator[tuple[Array, Array, Array]]:
        """Of each wave the nodes that changed, ascending, their values and predecessors."""
        if self.op.boolean:  # of 0 and 1 it is the same
            yield from replace(self, op=replace(self.op, name="max_min")).waves(seeds, last)
            return
        copy = self.copy
        flags, number = _INIT | _WAVES | _VIA, 0
        with LOCK:
            given = self.machine.put(_packed([seeds]))
            out = self.machine.room(4 + 2 * copy.count, np.uint64)
            work = self.machine.room(self._work, np.uint64)
        place = 2 * (2 * copy.room + copy.count)
        while number < last:
            number += 1
            with LOCK:
                self._launch(given, (1, len(seeds[0])), out, work, flags, number)
                cells = self.machine.get(out)
                if not cells[1] or int(cells[0]) < number:
                    return
                fresh = self.machine.get(work.view(np.uint32)[place : place + int(cells[1])])
            flags &= ~_INIT
            nodes = np.sort(fresh)
            keys = cells[4 + copy.count :][nodes]
            yield nodes, cells[4 : 4 + copy.count][nodes], keys.astype(np.uint32)

    def trailed(self, seeds: SeedSet, last: int) -> Found:
        """One set by at most so many waves, each of which is told."""
        count, (nodes, given) = self.copy.count, seeds
        values = np.full(count, self.op.zero, np.uint64)
        hops, parent = (np.full(count, NONE, np.uint32) for _ in range(2))
        values[nodes], hops[nodes] = given, 0
        trail = [(nodes, parent[nodes])]
        for nodes, cells, before in self.waves(seeds, last):
            values[nodes], hops[nodes], parent[nodes] = cells, len(trail), before
            trail.append((nodes, before))
        steps = len(trail) - 1
        return Found(values[None], hops[None], parent[None], steps, trail=[trail])

    # Many seed sets as bits.

    def bits(self, sets: Sequence[Array], last: int | None) -> Found:
        """Which nodes each seed set reaches; 64 sets at once. Boolean semirings."""
        count, rows = self.copy.count, len(sets)
        values = np.empty((rows, count), np.uint64)
        packed = [_as_bits(sets[at : at + 64]) for at in range(0, rows, 64)]
        found = replace(self, op=_BITS).answer(packed, last, ordered=False, witness=False)
        for row in range(rows):
            values[row] = found.values[row // 64] >> np.uint64(row % 64) & np.uint64(1)
        return Found(values, None, None, found.steps)


def _packed(sets: Sequence[SeedSet]) -> Array:
    """Bounds, values and nodes of seed sets in one array, u64."""
    bounds = np.cumsum([0, *(len(nodes) for nodes, _ in sets)]).astype(np.uint64)
    nodes = np.concatenate([each for each, _ in sets]).astype(np.uint32)
    padded = np.append(nodes, np.zeros(len(nodes) % 2, np.uint32)).view(np.uint64)
    return np.concatenate([bounds, *(values for _, values in sets), padded])


def _as_bits(sets: Sequence[Array]) -> SeedSet:
    """Seed sets as one: a node's value has the bits of the sets that it is in."""
    nodes = np.concatenate(sets)
    bits = np.repeat(np.uint64(1) << np.arange(len(sets), dtype=np.uint64), list(map(len, sets)))
    held, at = np.unique(nodes, return_inverse=True)
    values = np.zeros(len(held), np.uint64)
    np.bitwise_or.at(values, at, bits)
    return held.astype(np.uint32), values


def stacked(parts: Sequence[Found]) -> Found:
    if len(parts) == 1:
        return parts[0]

    def table(cells: list[Array | None]) -> Array | None:
        held = [each for each in cells if each is not None]
        return np.concatenate(held) if held else None

    values = np.concatenate([part.values for part in parts])
    hops, parent = table([part.hops for part in parts]), table([part.parent for part in parts])
    trail = [row for part in parts for row in part.trail or ()] or None
    return Found(values, hops, parent, max(part.steps for part in parts), trail=trail)

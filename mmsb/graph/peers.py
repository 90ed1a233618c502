"""One propagation over several GPUs: each holds the edges of some nodes, and all values.

A step is: hand on along one's own edges, put together what came over all devices, take it in. The
sum over devices is the least or the greatest, which is the semiring's own, so nothing depends on
how the edges are parted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.launch import ALL_ONES, FOREVER, NONE, Found, Op, SeedSet
from mmsb.memory.cells import Array
from mmsb.memory.machine import LOCK, Buffer, Machine

#: A graph of fewer edges is one GPU's work. A guess, to be measured where there are several.
SHARED = 1 << 26


@dataclass(frozen=True, eq=False)
class Part:
    """The edges of nodes ``low`` … ``low`` + ``own`` - 1 on a machine.

    ``side``: starts, stops, targets, weights.
    """

    machine: Machine
    side: tuple[Buffer | int, ...]
    low: int
    own: int


_parts: WeakKeyDictionary[Graph, dict[Any, tuple[Part, ...]]] = WeakKeyDictionary()


def shares(machine: Machine, graph: Graph, direction: Direction, op: Op) -> bool:
    """Is it asked of all peers? The sum must be one that they can do."""
    known = op.name in ("lor_land", "min_plus", "max_min")
    enough = graph.count > 0 and graph.size >= SHARED and len(machine.peers) > 1
    return known and enough and graph.side(direction).ordered


def answer(
    machine: Machine,
    graph: Graph,
    direction: Direction,
    weights: Array | None,
    op: Op,
    seeds: SeedSet,
    last: int | None,
    witness: bool,
) -> Found:
    """From one seed set; ``last`` for a boolean semiring alone. MemoryError."""
    with LOCK:
        parts = _parted(machine, graph, direction, weights)
        size = 0 if weights is None else weights.dtype.itemsize
        run = _Run(parts, op, size, graph.count)
        steps, values = 0, None
        if not op.boolean:
            steps, values = run.waves(seeds)
        hops = parent = None
        if op.boolean or witness:
            levels, keys = run.trace(seeds, FOREVER if last is None else last)
            words = keys.view(np.uint32)
            parent, hops = (np.ascontiguousarray(words[at::2])[None] for at in (0, 1))
            if op.boolean:
                steps, values = levels, (keys != ALL_ONES).astype(np.uint64)
        assert values is not None
        return Found(values[None], hops, parent, steps)


def _parted(
    machine: Machine, graph: Graph, direction: Direction, weights: Array | None
) -> tuple[Part, ...]:
    key = (id(machine), direction, weights is not None)
    held = _parts.setdefault(graph, {})
    if key in held:
        return held[key]
    side, peers = graph.side(direction), machine.peers
    wanted = [graph.size * at // len(peers) for at in range(1, len(peers))]
    edges = [0, *np.searchsorted(side.stops, wanted).tolist(), graph.count]
    made = []
    for peer, (low, high) in zip(peers, pairwise(edges), strict=True):
        first, end = (int(side.starts[low]), int(side.stops[high - 1])) if low < high else (0, 0)
        cells = (side.starts[low:high] - first, side.stops[low:high] - first)
        heavy = 0 if weights is None else peer.put(weights[first:end])
        there = (*(peer.put(each) for each in (*cells, side.targets[first:end])), heavy)
        made.append(Part(peer, there, low, high - low))
    held[key] = tuple(made)
    return held[key]


class _Run:
    """One propagation: a copy of all nodes' state on each peer."""

    def __init__(self, parts: tuple[Part, ...], op: Op, size: int, count: int) -> None:
        self.parts, self.op, self.size, self.count = parts, op, size, count
        self.values: list[Buffer | int] = [0 for _ in parts]

    def waves(self, seeds: SeedSet) -> tuple[int, Array]:
        """Until nothing changes: how many waves, and the values."""
        op, (nodes, given) = self.op, seeds
        values = np.full(self.count, op.zero, np.uint64)
        stamp, pending = np.full(self.count, NONE, np.uint32), values.copy()
        values[nodes], stamp[nodes] = given, 0
        self.values = self._each(values)
        stamps, pendings = self._each(stamp), self._each(pending)
        told = self._each(np.zeros(1, np.uint64))
        number = 0
        while number < NONE:
            for at, part in enumerate(self.parts):
                self._hand("hand_on", part, self.values[at], stamps[at], number, pendings[at])
            self.parts[0].machine.reduce(pendings, op.name == "max_min")
            for at, part in enumerate(self.parts):
                state = (self.values[at], stamps[at], number + 1, pendings[at], told[at])
                part.machine.run("take_in", self.count, self.count, op.zero, *state)
            if int(self.parts[0].machine.get(told[0])[0]) == number:
                break
            number += 1
        return number, self.parts[0].machine.get(self.values[0])

    def trace(self, seeds: SeedSet, last: int) -> tuple[int, Array]:
        """After the values: how many levels, and hops << 32 | predecessor of each node."""
        nodes, given = seeds
        keys = np.full(self.count, ALL_ONES, np.uint64)
        kept = nodes
        if not self.op.boolean:
            kept = nodes[self.parts[0].machine.get(self.values[0])[nodes] == given]
        keys[kept] = NONE
        held, told = self._each(keys), self._each(np.zeros(1, np.uint64))
        level = 0
        while level < last:
            for at, part in enumerate(self.parts):
                self._hand("hand_back", part, self.values[at], held[at], level)
            first = self.parts[0].machine
            first.reduce(held, False)
            first.run("any_at", self.count, self.count, held[0], level + 1, told[0])
            if int(first.get(told[0])[0]) == level:
                break
            level += 1
        return level, self.parts[0].machine.get(held[0])

    def _each(self, cells: Array) -> list[Buffer | int]:
        return [part.machine.put(cells) for part in self.parts]

    def _hand(self, kernel: str, part: Part, *state: Buffer | int) -> None:
        op, lanes = self.op, part.machine.lanes
        about = (self.size, part.low, part.own, lanes, op.most, op.zero, op.unit)
        if part.own:
            work = part.own * lanes
            part.machine.run(f"{kernel}_{op.name}", work, *part.side, *about, *state)

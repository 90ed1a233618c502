"""Propagation over a graph: what reaches what, at which cost, in how many ways, and how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.device import on_device, waves_on_device
from mmsb.graph.propagation import Propagation, Wave
from mmsb.graph.reach import reach
from mmsb.graph.run import Run
from mmsb.graph.seeds import Seeds, node_sets
from mmsb.graph.semiring import Semiring, semiring
from mmsb.memory.asked import flag, listed
from mmsb.memory.cells import Array
from mmsb.memory.machine import Device, check_device


def propagate(
    graph: Graph,
    seeds: Seeds,
    semiring: str | Semiring = "min_plus",
    direction: Direction = "forward",
    limit: int | None = None,
    *,
    witness: bool = True,
    rounds: int | None = None,
    damping: float | None = None,
    device: Device = "cpu",
) -> Propagation:
    """The sum, over all ways from the seeds, of the product of their edges' weights.

    ``seeds``: a node, nodes, or {node: value}, by number or name. ``limit``: over ways of at most
    so many edges. ``witness``: keep the least (value, hops, predecessor) of each node, for paths.
    A semiring that is not absorptive has no such sum on a cycle: CycleError names one, unless
    ``rounds`` says after how many steps to stop, each in the order of node numbers. ``damping``,
    0 … 1, with ``rounds`` and plus_times: each step hands on so much of what it brings, in parts
    of 2^16 and rounded down, so that a way of k edges counts damping^k times; then there is no
    witness. The same answer on any number of threads. UnknownName, UsageError. O(reached edges)
    where there are no weights; with weights times how often a value is improved.
    """
    witness = flag(witness, "witness")
    run = Run(graph, seeds, semiring, direction, limit, rounds, damping, device)
    there = None if run.machine is None else on_device([run], witness, many=False)
    return run.answer(witness) if there is None else there


def propagate_many(
    graph: Graph,
    seed_sets: Iterable[Seeds],
    semiring: str | Semiring = "min_plus",
    direction: Direction = "forward",
    limit: int | None = None,
    *,
    witness: bool = False,
    rounds: int | None = None,
    damping: float | None = None,
    device: Device = "cpu",
) -> Propagation:
    """`propagate` from each of many seed sets; one Propagation with a row for each.

    Under lor_land and any_pair, without witness, 64 sets cost about as much as one.
    """
    ring, witness = _semiring(semiring), flag(witness, "witness")
    held = list(listed(seed_sets, "seed sets"))
    check_device(device)
    if held and ring.boolean and not witness and device == "cpu":
        first = Run(graph, held[0], ring, direction, limit, rounds, damping, device)
        if first.plain:
            bits, took = reach(graph, direction, *node_sets(graph, held, ring), first.limit)
            return Propagation.of_bits(graph, ring, direction, bits, len(held), took)
    runs = [Run(graph, seeds, ring, direction, limit, rounds, damping, device) for seeds in held]
    there = on_device(runs, witness, many=True)
    if there is not None:
        return there
    witness = witness and not any(run.share is not None for run in runs)
    rows = [run.answer(witness) for run in runs]
    instead = runs[0].instead if runs else ""
    steps = max((row.steps for row in rows), default=0)
    shape = (len(rows), graph.count)

    def table(cells: list[Array], dtype: str) -> Array:
        return np.stack(cells) if cells else np.empty(shape, dtype)

    values = table([row.values for row in rows], ring.dtype)
    if not witness:
        made = Propagation(graph, ring, direction, values, None, None, steps)
        made.instead = instead
        return made
    hops = table([row.hops for row in rows if row.hops is not None], "u4")
    parent = table([row.parent for row in rows if row.parent is not None], "u4")
    trails = [row.trail for row in rows]
    made = Propagation(graph, ring, direction, values, hops, parent, steps, trails)
    made.instead = instead
    return made


def steps(
    graph: Graph,
    seeds: Seeds,
    semiring: str | Semiring = "min_plus",
    direction: Direction = "forward",
    limit: int | None = None,
    *,
    rounds: int | None = None,
    damping: float | None = None,
    device: Device = "cpu",
) -> Iterator[Wave]:
    """The same propagation one wave after another: wave 0 is the seeds, the last changes nothing
    more. CycleError and UsageError come from the call itself, before the first wave."""
    run = Run(graph, seeds, semiring, direction, limit, rounds, damping, device)
    return waves_on_device(run) or run.waves()


_semiring = semiring

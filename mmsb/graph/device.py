"""Propagation for ``device="gpu"``: what is asked of the machine, and when it is the CPU's turn.

The answers are the CPU's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

from mmsb.base.errors import CycleError, UsageError
from mmsb.graph import peers
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.launch import FOREVER, Found, Launch, Op, stacked
from mmsb.graph.propagation import Propagation, Wave
from mmsb.graph.semiring import Semiring
from mmsb.memory.cells import Array
from mmsb.memory.machine import Machine, exhausted


class Asked(Protocol):
    """What is asked: seeds and their values, at most ``limit`` waves, or ``ordered``.

    ``insisted``: on the GPU; else the CPU answers where it cannot, and ``note`` hears why.
    """

    graph: Graph
    ring: Semiring
    direction: Direction
    weights: Array | None
    nodes: Array
    given: Array
    limit: int | None
    share: int | None
    ordered: bool
    machine: Machine | None
    insisted: bool

    def note(self, why: str) -> None:
        """From now on there is no machine."""

    def cycle(self, stuck: Array) -> CycleError:
        """The error that names one among these nodes."""


def on_device(asked: Sequence[Asked], witness: bool, many: bool) -> Propagation | None:
    """The answer of the machine that is asked, a row each of ``many``; None: the CPU's turn.

    What is asked differs in its seeds alone. UsageError: a user's own semiring. CycleError.
    EnvironmentProblem: no room; the memory and the graph are as they were.
    """
    machine = _usable(asked)
    if machine is None:
        return None
    first = asked[0]
    try:
        found = _answer(machine, asked, witness)
    except MemoryError as error:
        _without_room(asked, error)
        return None
    if found.stuck is not None:
        raise first.cycle(found.stuck)
    values = found.values.astype(first.ring.dtype, copy=False)
    hops, parent = (each if witness else None for each in (found.hops, found.parent))
    tables: tuple[Any, ...] = (values, hops, parent, found.trail)
    if not many:
        tables = tuple(each if each is None else each[0] for each in tables)
    values, hops, parent, trail = tables
    about = (first.graph, first.ring, first.direction)
    answered = Propagation(*about, values, hops, parent, found.steps, trail)
    answered.device = "gpu"
    return answered


def waves_on_device(asked: Asked) -> Iterator[Wave] | None:
    """The seeds, and then what each wave changes; None: the CPU's turn. As `on_device`."""
    machine = _usable([asked])
    if machine is None:
        return None
    dtype = asked.ring.dtype
    try:
        launch = _launch(machine, asked)
        seeds, last = (asked.nodes, asked.given), FOREVER if asked.limit is None else asked.limit
        if asked.ordered:
            found = launch.answer([seeds], None, True, False)
            if found.stuck is not None:
                raise asked.cycle(found.stuck)
    except MemoryError as error:
        _without_room([asked], error)
        return None
    first = Wave(0, asked.nodes, asked.given.astype(dtype))
    later = (
        Wave(number, nodes, values.astype(dtype))
        for number, (nodes, values, _) in enumerate(launch.waves(seeds, last), 1)
    )
    return chain([first], later)


def _launch(machine: Machine, asked: Asked) -> Launch:
    return Launch.of(machine, asked.graph, asked.direction, asked.weights, asked.ring)


def _usable(asked: Sequence[Asked]) -> Machine | None:
    machine = asked[0].machine if asked else None
    why = ""
    if machine is not None and asked[0].ring.own is not None:
        why = f"{asked[0].ring.name} is a user's own semiring, which runs on the CPU alone"
    if machine is not None and asked[0].share is not None:
        why = "a damped propagation runs on the CPU alone"
    if why:
        if asked[0].insisted:
            raise UsageError(f"{why}; use device='cpu'")
        for each in asked:
            each.note(why)
        return None
    return machine


def _without_room(asked: Sequence[Asked], error: MemoryError) -> None:
    problem = exhausted(f"a propagation over {asked[0].graph.count} nodes")
    if asked[0].insisted:
        raise problem from error
    for each in asked:
        each.note(str(problem))


def _answer(machine: Machine, asked: Sequence[Asked], witness: bool) -> Found:
    """Each of some that differ in their seeds alone, a row each. MemoryError: no room."""
    first = asked[0]
    sets = [(each.nodes, each.given) for each in asked]
    op, about = Op.of(first.ring), (first.graph, first.direction)
    if peers.shares(machine, *about, op) and (first.limit is None or op.boolean):
        given = (first.weights, op)
        return stacked(
            [peers.answer(machine, *about, *given, each, first.limit, witness) for each in sets]
        )
    launch = _launch(machine, first)
    if first.ordered:
        found = launch.answer(sets, None, True, witness and first.limit is None)
        if found.stuck is not None or first.limit is None:
            return found
    if launch.op.boolean and not witness and len(sets) > 1:
        return launch.bits([nodes for nodes, _ in sets], first.limit)
    if witness and first.limit is not None and first.ring.selective and not launch.op.boolean:
        return stacked([launch.trailed(each, first.limit) for each in sets])
    return launch.answer(sets, first.limit, False, witness)

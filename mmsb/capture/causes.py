"""What became of each code object, and why: invalidated, superseded, by what, through whom."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mmsb.base.model import OPEN_WORLD, CallKind, CodeState, Stage
from mmsb.capture.scheduler import Schedule
from mmsb.capture.stream import Code, Method, Stream

#: Where no recorded call explains a code object's end, every method of that world may be its cause;
#: of more than this many none is named, and the world alone is kept.
_MOST_CAUSES = 64


@dataclass(frozen=True, slots=True)
class Fate:
    """One code object that stopped being valid. ``causes``: keys of methods, "" where none is
    known. Where recorded calls lead to it, they are the methods of functions it calls.
    """

    code: int  # row of Schedule.codes
    state: CodeState
    world: int  # the first world it is not valid in
    causes: tuple[str, ...]
    via: str  # key of the callee instance it came through; "" if called directly
    depth: int  # calls between it and the replaced method; 0 where not known


def fates(stream: Stream, schedule: Schedule) -> list[Fate]:
    """Every invalidated or superseded code object, by world, then by key."""
    by_world: dict[int, list[Method]] = defaultdict(list)
    for method in stream.methods:
        by_world[method.world].append(method)
    replaced = {(method.key, method.world): method for method in stream.methods}
    capped: dict[int, list[int]] = defaultdict(list)
    found: list[Fate] = []
    for index, code in enumerate(schedule.codes):
        if code.max_world != OPEN_WORLD:
            capped[code.max_world + 1].append(index)
            continue
        instance = stream.instances[code.instance]
        own = replaced.get((instance.method, code.method_world))
        if own is None or own.last_world == OPEN_WORLD:
            continue
        world = own.last_world + 1
        causes = tuple(
            sorted(m.key for m in by_world.get(world, []) if m.signature == own.signature)
        )
        found.append(Fate(index, CodeState.SUPERSEDED, world, causes or ("",), "", 0))
    for world, victims in capped.items():
        defined = by_world.get(world, [])
        chains = _chains(stream, schedule, victims, defined)
        for index in victims:
            chain = chains.get(index)
            if chain is None:
                everything = tuple(sorted({method.key for method in defined}))
                causes = everything if len(everything) <= _MOST_CAUSES else ()
                found.append(Fate(index, CodeState.INVALIDATED, world, causes or ("",), "", 0))
            else:
                causes = tuple(sorted({m.key for m in defined if m.function in chain.functions}))
                found.append(
                    Fate(index, CodeState.INVALIDATED, world, causes, chain.via, chain.depth)
                )
    return sorted(found, key=lambda f: (f.world, f.state, schedule.codes[f.code].instance, f.code))


@dataclass(frozen=True, slots=True)
class _Chain:
    """How a victim reaches a cause: through ``via``, in ``depth`` calls, of these functions."""

    via: str
    depth: int
    functions: frozenset[str]


def _chains(
    stream: Stream, schedule: Schedule, victims: list[int], causes: list[Method]
) -> dict[int, _Chain]:
    """The nearest way from each victim to a cause, through other victims; none where unknown."""
    functions = {method.function for method in causes}
    calls = {index: _calls(stream, schedule.codes[index]) for index in victims}
    reached = {
        index: _Chain("", 1, frozenset(calls[index][1] & functions))
        for index in victims
        if calls[index][1] & functions
    }
    level = sorted(reached)
    depth = 1
    while level:
        depth += 1
        callees: dict[str, list[int]] = defaultdict(list)
        for index in level:
            method = stream.instances[schedule.codes[index].instance].method
            callees[method].append(index)
        following: dict[int, _Chain] = {}
        for index in victims:
            if index in reached:
                continue
            through = [j for key in sorted(calls[index][0] & set(callees)) for j in callees[key]]
            if through:
                nearest = min(through, key=lambda j: schedule.codes[j].instance)
                united = frozenset().union(*(reached[j].functions for j in through))
                following[index] = _Chain(schedule.codes[nearest].instance, depth, united)
        reached.update(following)
        level = sorted(following)
    return reached


def _calls(stream: Stream, code: Code) -> tuple[set[str], set[str]]:
    """Keys of the methods, and types of the functions, that the inferred code calls."""
    body = code.bodies.get(Stage.INFERRED)
    if body is None or not body.call:
        return set(), set()
    s = stream.symbols
    resolved = np.flatnonzero(body.call["kind"] == CallKind.RESOLVED)
    generic = np.flatnonzero(
        (body.call["kind"] == CallKind.RESOLVED) | (body.call["kind"] == CallKind.UNRESOLVED)
    )
    return (
        {s[i] for i in body.call["callee"][resolved].tolist()},
        {s[i] for i in body.call["function"][generic].tolist()},
    )

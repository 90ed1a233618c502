"""What became of each code object, and why: invalidated, superseded, by what, through whom."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mmsb.base.model import OPEN_WORLD, CallKind, CodeState, Stage
from mmsb.capture.scheduler import Schedule
from mmsb.capture.stream import Code, Method, Stream


@dataclass(frozen=True, slots=True)
class Fate:
    """One code object that stopped being valid. ``causes``: keys of methods, "" where none."""

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
        causes = tuple(sorted({method.key for method in by_world.get(world, [])}))
        chains = _chains(stream, schedule, victims, by_world.get(world, []))
        for index in victims:
            via, depth = chains.get(index, ("", 0))
            found.append(Fate(index, CodeState.INVALIDATED, world, causes or ("",), via, depth))
    return sorted(found, key=lambda f: (f.world, f.state, schedule.codes[f.code].instance, f.code))


def _chains(
    stream: Stream, schedule: Schedule, victims: list[int], causes: list[Method]
) -> dict[int, tuple[str, int]]:
    """Victim → (callee instance it came through, depth), nearest first, found among victims."""
    functions = {method.function for method in causes}
    calls = {index: _calls(stream, schedule.codes[index]) for index in victims}
    reached = {i: ("", 1) for i in victims if calls[i][1] & functions}
    level = sorted(reached)
    depth = 1
    while level:
        depth += 1
        following = []
        for index in victims:
            if index in reached:
                continue
            via = [
                schedule.codes[j].instance
                for j in level
                if stream.instances[schedule.codes[j].instance].method in calls[index][0]
            ]
            if via:
                reached[index] = (min(via), depth)
                following.append(index)
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

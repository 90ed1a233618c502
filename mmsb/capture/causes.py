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
    known. Where recorded calls lead to it, they are those methods that a call's types can reach.
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
        if method.deleted:
            by_world[method.last_world + 1].append(method)
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
        everything = tuple(sorted({method.key for method in by_world.get(world, [])}))
        chains = _chains(stream, schedule, victims)
        for index in victims:
            chain = chains.get(index, _Chain("", 0, _several(everything)))
            causes = tuple(sorted(chain.causes)) or ("",)
            found.append(Fate(index, CodeState.INVALIDATED, world, causes, chain.via, chain.depth))
    return sorted(found, key=lambda f: (f.world, f.state, schedule.codes[f.code].instance, f.code))


def _several(methods: tuple[str, ...]) -> frozenset[str]:
    return frozenset(methods if len(methods) <= _MOST_CAUSES else ())


@dataclass(frozen=True, slots=True)
class _Chain:
    """How a victim reaches a cause: through ``via``, in ``depth`` calls."""

    via: str
    depth: int
    causes: frozenset[str]


def _chains(stream: Stream, schedule: Schedule, victims: list[int]) -> dict[int, _Chain]:
    """The nearest way from each victim to a cause, through other victims; none where unknown."""
    reached = {
        index: _Chain("", 1, frozenset(schedule.codes[index].causes))
        for index in victims
        if schedule.codes[index].causes
    }
    calls = {i: _calls(stream, schedule.codes[i]) for i in victims if i not in reached}
    level = sorted(reached)
    depth = 1
    while level:
        depth += 1
        callees: dict[str, list[int]] = defaultdict(list)
        for index in level:
            instance = stream.instances[schedule.codes[index].instance]
            callees[instance.key].append(index)
            callees[instance.method].append(index)
        following: dict[int, _Chain] = {}
        for index in victims:
            if index in reached:
                continue
            exact, methods = calls[index]
            through = _among(callees, exact) or _among(callees, methods)
            if through:
                nearest = min(through, key=lambda j: schedule.codes[j].instance)
                united = frozenset().union(*(reached[j].causes for j in through))
                following[index] = _Chain(schedule.codes[nearest].instance, depth, united)
        reached.update(following)
        level = sorted(following)
    return reached


def _among(callees: dict[str, list[int]], keys: set[str]) -> list[int]:
    return [index for key in sorted(keys & set(callees)) for index in callees[key]]


def _calls(stream: Stream, code: Code) -> tuple[set[str], set[str]]:
    """Keys of the instances that the code calls; and of the methods, where no instance has the
    signature that the call has."""
    s = stream.symbols
    exact: set[str] = set()
    methods: set[str] = set()
    for stage, kind in ((Stage.OPTIMIZED, CallKind.INVOKE), (Stage.INFERRED, CallKind.RESOLVED)):
        body = code.bodies.get(stage)
        if body is None or not body.call:
            continue
        for at in np.flatnonzero(body.call["kind"] == kind).tolist():
            key = s[int(body.call["callee"][at])]
            if kind == CallKind.INVOKE:
                exact.add(key)
                continue
            instance = f"{key} @ {s[stream.types[int(body.call['signature'][at])][0]]}"
            (exact if instance in stream.instances else methods).add(
                instance if instance in stream.instances else key
            )
    return exact, methods

"""What became of each code object, and why: invalidated, superseded, by what, through whom.

The compiler's own invalidation log says so where there is one. What it does not name is worked out
from the worlds of definitions and from recorded calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmsb.base.model import NONE_U32, NONE_U64, OPEN_WORLD, CodeState, TreeNode
from mmsb.capture.calls import called
from mmsb.capture.scheduler import Schedule, Scheduler
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
    node: int = NONE_U32  # row of Stream.log that names it
    lost_ns: int = NONE_U64


def fates(scheduler: Scheduler, candidates: Iterable[int], named: Mapping[int, int]) -> list[Fate]:
    """Every invalidated or superseded code object among the candidates, by world, then by key.

    ``named``: code object → row of the compiler's log that names it.
    """
    stream, schedule = scheduler.stream, scheduler.schedule
    by_world: dict[int, list[Method]] = defaultdict(list)
    for method in scheduler.methods.values():
        by_world[method.world].append(method)
        if method.deleted:
            by_world[method.last_world + 1].append(method)
    capped: dict[int, list[int]] = defaultdict(list)
    found: list[Fate] = []
    for index in candidates:
        code = schedule.codes[index]
        if scheduler.is_past(index):
            continue
        instance = stream.instances[code.instance]
        own = scheduler.methods.get((instance.method, code.method_world))
        if own is None or own.last_world >= code.max_world:
            if code.max_world != OPEN_WORLD:
                capped[code.max_world + 1].append(index)
            continue
        # replaced first; Julia may cap it later, when something that it calls changes
        world = own.last_world + 1
        causes = tuple(
            sorted(
                m.key
                for m in by_world.get(world, [])
                if m.signature == own.signature and m is not own
            )
        )
        found.append(Fate(index, CodeState.SUPERSEDED, world, causes or ("",), "", 0))
    for world, victims in capped.items():
        everything = tuple(sorted({method.key for method in by_world.get(world, [])}))
        logged = {i: _logged(stream, named[i]) for i in victims if i in named}
        chains = _chains(stream, schedule, victims, logged)
        for index in victims:
            chain = chains.get(index, _Chain("", 0, _several(everything)))
            causes = tuple(sorted(chain.causes)) or ("",)
            node = named.get(index, NONE_U32)
            lost = stream.log[node].lost_ns if index in named else NONE_U64
            found.append(
                Fate(
                    index, CodeState.INVALIDATED, world, causes, chain.via, chain.depth, node, lost
                )
            )
    return sorted(found, key=lambda f: (f.world, f.state, schedule.codes[f.code].identity))


def _logged(stream: Stream, row: int) -> _Chain:
    """What the compiler's log says of a victim: its root's subject, and the caller it came by."""
    node = stream.log[row]
    above = stream.log[node.parent] if node.parent != NONE_U32 else node
    via = above.subject if above.node == TreeNode.CALLER and above is not node else ""
    while above.parent != NONE_U32:
        above = stream.log[above.parent]
    causes = frozenset({above.subject} if above.subject and above is not node else ())
    return _Chain(via, node.depth, causes)


def _several(methods: tuple[str, ...]) -> frozenset[str]:
    return frozenset(methods if len(methods) <= _MOST_CAUSES else ())


@dataclass(frozen=True, slots=True)
class _Chain:
    """How a victim reaches a cause: through ``via``, in ``depth`` calls."""

    via: str
    depth: int
    causes: frozenset[str]


def _chains(
    stream: Stream, schedule: Schedule, victims: list[int], logged: Mapping[int, _Chain]
) -> dict[int, _Chain]:
    """The nearest way from each victim to a cause, through other victims; none where unknown.

    Its causes are all that any way leads to: the log names the first alone.
    """
    through = _through(stream, schedule, victims)
    reached = dict(logged)
    for index in victims:
        if index not in reached and schedule.codes[index].causes:
            reached[index] = _Chain("", 1, frozenset(schedule.codes[index].causes))
    level = set(reached)
    while level:
        following: dict[int, _Chain] = {}
        for index in victims:
            near = level.intersection(through[index]) if index not in reached else None
            if near:
                nearest = min(near, key=lambda j: schedule.codes[j].instance)
                following[index] = _Chain(
                    schedule.codes[nearest].instance, reached[nearest].depth + 1, frozenset()
                )
        reached.update(following)
        level = set(following)
    causes = {i: chain.causes.union(schedule.codes[i].causes) for i, chain in reached.items()}
    grown = True
    while grown:
        grown = False
        for index in reached:
            united = causes[index].union(*(causes[j] for j in through[index] if j in causes))
            grown = grown or united != causes[index]
            causes[index] = united
    return {i: _Chain(chain.via, chain.depth, causes[i]) for i, chain in reached.items()}


def _through(stream: Stream, schedule: Schedule, victims: list[int]) -> dict[int, list[int]]:
    """Victim → those that it calls; by method where none of them is the instance it calls."""
    by_key: dict[str, list[int]] = defaultdict(list)
    for index in victims:
        instance = stream.instances[schedule.codes[index].instance]
        by_key[instance.key].append(index)
        by_key[instance.method].append(index)
    found = {}
    for index in victims:
        exact, methods = _calls(stream, schedule.codes[index])
        found[index] = _among(by_key, exact) or _among(by_key, methods)
    return found


def _among(callees: dict[str, list[int]], keys: set[str]) -> list[int]:
    return [index for key in sorted(keys & set(callees)) for index in callees[key]]


def _calls(stream: Stream, code: Code) -> tuple[set[str], set[str]]:
    """Keys of the instances that the code calls; and of the methods, where no instance has the
    signature that the call has."""
    exact, resolved = called(stream, code)
    known = {instance for _, instance in resolved if instance in stream.instances}
    return exact | known, {m for m, instance in resolved if instance not in stream.instances}

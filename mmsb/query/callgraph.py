"""Who calls whom as of an epoch, and what became reachable between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmsb.base import schema
from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import NONE_U32, Stage
from mmsb.graph.adjacency import Graph
from mmsb.graph.propagate import propagate
from mmsb.graph.propagation import Propagation
from mmsb.memory.cells import whole
from mmsb.memory.memory import Memory
from mmsb.query import missing, names, stages
from mmsb.query.answers import Answer, Function
from mmsb.query.document import Block, Document, counted, line, note, table
from mmsb.query.facts import Facts, subject_name
from mmsb.query.ties import Keys, called, graph_of, used_by

_LINES = 40
_NOTHING = "no calls were recorded"


@dataclass(frozen=True, slots=True)
class Called:
    """A function some calls away. ``recorded``: whether the memory has an instance of that key."""

    depth: int
    name: str
    key: str
    how: str  # of the call on the way that is nearest to it: see `mmsb.query.ties`
    through: str | None  # its neighbour on the way to what was asked for; None: that itself
    recorded: bool


@dataclass(frozen=True, slots=True)
class CallsView(Answer):
    """Answer of `callers` and `callees`: the nearest first."""

    asked: str
    names: tuple[str, ...]  # the instances that it fits
    epoch: int
    direction: Literal["callers", "callees"]
    depth: int
    calls: tuple[Called, ...]
    advice: str
    unseen: tuple[str, ...] = ()  # whose code depends on what was asked for; no body was recorded

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        several = f"{self.asked} ({len(self.names)} instances)"
        names_ = self.names[0] if len(self.names) == 1 else several
        if self.advice:
            return (note((names_, "name"), f": {self.advice}"),)
        count = counted(len(self.calls), "function")
        what = f"is called by {count}" if self.direction == "callers" else f"calls {count}"
        far = "" if self.depth == 1 else f", up to {self.depth} calls away"
        blocks: list[Block] = [note((names_, "name"), f" {what} as of epoch {self.epoch}{far}.")]
        if self.calls:
            rows = (
                (str(c.depth), line((c.name, "name")), c.how, c.through or "")
                for c in self.calls[:_LINES]
            )
            heads = ("depth", "function", "how", "through")
            blocks.append(table(heads, rows, right={0}, crop={1, 3}))
        blocks += _more(len(self.calls))
        if self.unseen:
            more = counted(len(self.unseen), "more function")
            told = f"The code of {more}, whose calls are not recorded, depends on it (`mmsb deps`)."
            blocks.append(note((told, "dim")))
        return tuple(blocks)


def _more(count: int) -> list[Block]:
    left = count - _LINES
    return [note((f"… and {left} more (--json has all)", "dim"))] if left > 0 else []


def call_graph(memory: Memory, *, at: int | None = None) -> Graph:
    """Who calls whom as `callers` and `callees` say it, as one graph: each edge once.

    Nodes are keys of the recorded instances, and of methods and functions that calls name and no
    instance is recorded of. Unlike the edges ``"calls"`` of `mmsb.graph.edges`, which are the rows
    as they stand, a call that may reach several instances is an edge to each. O(call sites).
    """
    facts = Facts(memory, at)
    keys = [function.key for function in facts.functions]
    return graph_of(called(facts), keys, facts.epoch)[0]


def callers(memory: Memory, name: str, *, at: int | None = None, depth: int = 1) -> CallsView:
    """Who calls the instances that fit a name, up to ``depth`` calls away; `callees` likewise.

    Inlined calls count; a dispatch, or a call of several types, counts for each recorded instance
    that it may reach; what comes back to the asked itself counts too. UnknownName, UsageError.
    O(call sites).
    """
    return _calls(memory, name, at, depth, "callers")


def callees(memory: Memory, name: str, *, at: int | None = None, depth: int = 1) -> CallsView:
    """Whom the instances that fit a name call; see `callers`."""
    return _calls(memory, name, at, depth, "callees")


def _calls(
    memory: Memory, name: str, at: int | None, depth: int, which: Literal["callers", "callees"]
) -> CallsView:
    if whole(depth, "depth") < 1:
        raise UsageError(f"depth is {depth}; ask for 1 call away or more")
    facts = Facts(memory, at)
    how, back = called(facts), which == "callers"
    asked = names.instances(facts, name, dict.fromkeys(b for _, b in how) if back else ())
    graph, nodes = graph_of(how, [function.key for function in asked])
    reach = propagate(
        graph,
        [function.key for function in asked],
        "min_plus",
        "backward" if back else "forward",
        limit=depth,
    )
    ways = [reach.path(node) for node in reach.reached.tolist() if reach.value(node)]
    ways += _rounds(reach, nodes, [(b, a) for a, b in how] if back else list(how), depth)
    found = [_called(facts, [nodes.keys[step] for step in way], how, back) for way in ways]
    found.sort(key=lambda one: (one.depth, one.name, one.key))
    return CallsView(
        asked=name,
        names=tuple(subject_name(facts, function.key) for function in asked),
        epoch=facts.epoch,
        direction=which,
        depth=depth,
        calls=tuple(found),
        advice=_advice(facts, not how) if back else _without_body(facts, asked, not how),
        unseen=_unseen(facts, asked, {one.key for one in found}) if back else (),
    )


def _without_body(facts: Facts, asked: Sequence[Function], none: bool) -> str:
    """Why it is not known whom any of these calls; "" where of one it is."""
    if any(_calls_known(facts, function.key) for function in asked):
        return _advice(facts, none)
    seen = next((one for one in asked if stages.sights(facts, one.key)), None)
    if seen is None and none:
        return _advice(facts, none)
    one = seen or asked[0]
    return stages.no_inferred(facts, one).removeprefix(f"{one.name} ") + "."


def _calls_known(facts: Facts, key: str) -> bool:
    return any(sight.stage is not Stage.LOWERED for sight in stages.sights(facts, key))


def _unseen(facts: Facts, asked: Sequence[Function], found: set[str]) -> tuple[str, ...]:
    """Names of those that may call one of these: Julia says that their code depends on it."""
    own = {function.key for function in asked}
    users = {user for used, user in used_by(facts) if used in own} - found
    return tuple(sorted(subject_name(facts, key) for key in users if not _calls_known(facts, key)))


def _rounds(
    reach: Propagation, nodes: Keys, pairs: list[tuple[str, str]], depth: int
) -> list[list[int]]:
    """The shortest way to each seed that calls lead to: recursion, and calls among the seeds."""
    found: dict[int, tuple[int, int]] = {}
    seen = set(reach.reached.tolist())
    for before, after in ((nodes.number(a), nodes.number(b)) for a, b in pairs):
        if before in seen and after in seen and not reach.value(after):
            step = (int(reach.value(before)), before)
            found[after] = min(step, found.get(after, step))
    return [[*reach.path(near), seed] for seed, (far, near) in found.items() if far < depth]


def _called(
    facts: Facts, path: list[str], how: Mapping[tuple[str, str], str], back: bool
) -> Called:
    """The last of a way that begins with what was asked for."""
    key, near = path[-1], path[-2]
    return Called(
        depth=len(path) - 1,
        name=subject_name(facts, key),
        key=key,
        how=how[(key, near) if back else (near, key)],
        through=subject_name(facts, near) if len(path) > 2 else None,
        recorded=key in facts.by_key,
    )


def _advice(facts: Facts, none: bool) -> str:
    """Why there are no calls at all, if so."""
    if not none or len(facts.head.snapshot.pages(schema.CALL)):
        return ""
    about = facts.head.recording
    return f"{_NOTHING}: {missing.of_bodies(about)}"


# What became reachable.


@dataclass(frozen=True, slots=True)
class Arrival:
    """A function that can be reached at one of the epochs alone, and a shortest way to it."""

    name: str
    key: str
    depth: int
    way: tuple[str, ...]  # names, from what running code asked for


@dataclass(frozen=True, slots=True)
class ReachedView(Answer):
    """Answer of `reached`: the nearest first. ``lost``: what could be reached before alone."""

    asked: str | None
    old: int
    new: int
    came: tuple[Arrival, ...]
    lost: tuple[Arrival, ...]
    before: int  # how many functions could be reached
    after: int
    advice: str

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        if self.advice:
            return (note((self.advice, "warn")),)
        of = "running code" if self.asked is None else self.asked
        blocks: list[Block] = [
            note(
                f"From {of}, {counted(self.before, 'function')} could be reached as of epoch "
                f"{self.old}, {self.after} as of epoch {self.new}: ",
                (f"{len(self.came)} new", "good"),
                f", {len(self.lost)} no longer.",
            )
        ]
        for mark, found in (("+", self.came), ("−", self.lost)):
            if found:
                rows = (
                    (mark, str(one.depth), line((one.name, "name")), " → ".join(one.way[:-1]))
                    for one in found[:_LINES]
                )
                blocks.append(
                    table(("", "depth", "function", "by way of"), rows, right={1}, crop={3})
                )
                blocks += _more(len(found))
        return tuple(blocks)


def reached(memory: Memory, old: int, new: int, *, start: str | None = None) -> ReachedView:
    """What can be reached by calls as of ``new`` and could not as of ``old``.

    From what running code asked inference for, or from the instances that fit ``start``.
    UnknownName for an epoch, or a function that neither epoch has; UsageError. O(call sites).
    """
    if whole(old, "an epoch") > whole(new, "an epoch"):
        raise UsageError(f"reached goes from an older to a newer epoch; swap {old} and {new}")
    newer = Facts(memory, new)
    before, after = (_reach(facts, start) for facts in (newer.at(old), newer))
    if start is not None and not before and not after:
        names.instances(newer, start)  # says what is near
    return ReachedView(
        asked=start,
        old=old,
        new=new,
        came=_arrivals(newer, after, before),
        lost=_arrivals(newer, before, after),
        before=len(before),
        after=len(after),
        advice=_advice(newer, True),
    )


Ways = dict[str, tuple[str, ...]]


def _arrivals(facts: Facts, found: Ways, other: Ways) -> tuple[Arrival, ...]:
    out = [
        Arrival(way[-1], key, len(way) - 1, way)
        for key, keys in found.items()
        if key not in other
        for way in [tuple(subject_name(facts, step) for step in keys)]
    ]
    return tuple(sorted(out, key=lambda one: (one.depth, one.name, one.key)))


def _reach(facts: Facts, start: str | None) -> Ways:
    """Every key that can be reached, with a shortest way to it."""
    pairs = called(facts)
    if start is None:
        table_ = facts.snapshot.table(schema.INFERENCE)
        asked = table_["instance"][table_["parent"] == NONE_U32].tolist()
        roots = [facts.text(id) for id in asked]
        if not roots:  # no tree was recorded: whatever nobody calls
            below = {callee for caller, callee in pairs if caller != callee}
            roots = [f.key for f in facts.functions if f.in_scope and f.key not in below]
    else:
        try:
            asked = names.instances(facts, start, dict.fromkeys(b for _, b in pairs))
        except UnknownName:  # at this epoch
            asked = ()
        roots = [function.key for function in asked]
    graph, nodes = graph_of(pairs, roots)
    if not roots:
        return {}
    reach = propagate(graph, sorted(set(roots)), "min_plus")
    return {
        nodes.keys[node]: tuple(nodes.keys[step] for step in reach.path(node))
        for node in reach.reached.tolist()
    }

"""The blast radius of a method: what would go stale if it were redefined, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.errors import AmbiguousName, quote
from mmsb.base.model import CodeState
from mmsb.graph.propagate import propagate
from mmsb.memory.memory import Memory
from mmsb.query import missing, names
from mmsb.query.answers import Answer
from mmsb.query.code import duration
from mmsb.query.document import Block, Document, counted, line, note, table
from mmsb.query.facts import Facts, subject_name
from mmsb.query.history import subjects_of
from mmsb.query.spelling import callee_name
from mmsb.query.ties import DYNAMIC, UNRESOLVED, calls, graph_of, used_by

_LINES = 40


@dataclass(frozen=True, slots=True)
class Stale:
    """An instance that would lose its code. Depth 0: it is the method's own, which is replaced."""

    name: str
    key: str
    depth: int  # backedges away, as Julia counts
    through: str | None  # name of the callee that it would lose it through
    versions: tuple[int, ...]  # the valid ones
    again_ns: int | None  # inference to be done again, without that of callees


@dataclass(frozen=True, slots=True)
class ImpactView(Answer):
    """Answer of `impact`: the nearest first. ``basis``: "backedges" are Julia's own; "calls" are
    those that inference resolved, where Julia tells no more."""

    asked: str
    method: str
    name: str
    epoch: int
    basis: str
    own: tuple[Stale, ...]  # superseded
    stale: tuple[Stale, ...]  # invalidated
    again_ns: int | None  # of all; None where no time is known
    advice: str  # where nothing of who depends on whom was recorded

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        head = f" redefined as of epoch {self.epoch}: "
        if self.advice:
            return (note((self.name, "name"), f": {self.advice}"),)
        cost = "" if self.again_ns is None else f", {duration(self.again_ns)} of inference again"
        own = f"{counted(len(self.own), 'version')} of its own code replaced"
        blocks: list[Block] = [
            note(
                (self.name, "name"),
                head,
                (f"{counted(len(self.stale), 'function')} invalidated", "bad"),
                f", {own}{cost}.",
            )
        ]
        rows = [
            (
                str(one.depth),
                line((one.name, "name")),
                one.through or "",
                "" if one.again_ns is None else duration(one.again_ns),
            )
            for one in (*self.own, *self.stale)[:_LINES]
        ]
        if rows:
            blocks.append(
                table(("depth", "function", "through", "inference"), rows, right={0, 3}, crop={1})
            )
        more = len(self.own) + len(self.stale) - _LINES
        if more > 0:
            blocks.append(note((f"… and {more} more (--json has all)", "dim")))
        if self.basis == "calls":
            blocks.append(note((_BY_CALLS, "dim")))
        return tuple(blocks)


_BY_CALLS = (
    "This Julia's backedges are not in the recording: worked out from the calls that inference "
    "resolved to one method."
)


def impact(memory: Memory, name: str, *, at: int | None = None) -> ImpactView:
    """What would go stale if a method were redefined with the signature that it has.

    What is called by dynamic dispatch has no backedge and stays. AmbiguousName where the name fits
    several methods, UnknownName. O(dependencies).
    """
    facts = Facts(memory, at)
    pairs, basis = list(used_by(facts)), "backedges"
    if not pairs and not len(facts.head.snapshot.pages(schema.DEPENDENCY)):
        resolved = (call for call in calls(facts) if call.how not in (DYNAMIC, UNRESOLVED))
        pairs, basis = [(call.callee, call.caller) for call in resolved], "calls"
    known = facts.by_key.keys() | {key for pair in pairs for key in pair}
    method = _method(facts, name, known)
    own = [key for key in known if key.partition(" @ ")[0] == method]
    graph, nodes = graph_of(pairs, own)
    reach = propagate(graph, own, "min_plus")
    found = []
    for node in reach.reached.tolist():
        key = nodes.keys[node]
        codes = [code for code in facts.codes(key) if code.state is CodeState.VALID]
        if not codes and facts.codes(key):
            continue  # it is stale already
        path = reach.path(node)
        took = [code.exclusive_ns for code in codes if code.exclusive_ns is not None]
        found.append(
            Stale(
                name=subject_name(facts, key),
                key=key,
                depth=len(path) - 1,
                through=subject_name(facts, nodes.keys[path[-2]]) if len(path) > 1 else None,
                versions=tuple(code.version for code in codes),
                again_ns=sum(took) if took else None,
            )
        )
    found.sort(key=lambda one: (one.depth, -(one.again_ns or 0), one.name, one.key))
    times = [one.again_ns for one in found if one.again_ns is not None]
    why = missing.of_dependencies(facts.head.recording)
    return ImpactView(
        asked=name,
        method=method,
        name=subject_name(facts, method),
        epoch=facts.epoch,
        basis=basis,
        own=tuple(one for one in found if not one.depth and one.versions),
        stale=tuple(one for one in found if one.depth),
        again_ns=sum(times) if times else None,
        advice=f"no backedges and no calls were recorded: {why}" if why and not pairs else "",
    )


def _method(facts: Facts, name: str, also: Iterable[str]) -> str:
    """The one method that a name, of it or of an instance, stands for."""
    keys = subjects_of(facts, name, also)
    known = [f for f in facts.functions if f.key in keys]
    methods = {function.method for function in known if function.in_scope}
    methods = methods or {function.method for function in known}
    methods = methods or {key.partition(" @ ")[0] for key in keys if " Core.Tuple{" in key}
    exact = {key for key in methods if callee_name(key) == name.strip()}
    methods = exact if len(exact) == 1 else methods
    if len(methods) != 1:
        listed = names.listed(sorted(map(callee_name, methods)))
        raise AmbiguousName(f"{quote(name)} fits {len(methods)} methods: {listed}; say which")
    return methods.pop()

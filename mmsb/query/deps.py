"""What a function's code depends on, and whose code depends on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, Dependency
from mmsb.memory.memory import Memory
from mmsb.query import missing, names
from mmsb.query.answers import Answer, Function
from mmsb.query.document import Block, Document, Listing, counted, line, note
from mmsb.query.facts import Facts
from mmsb.query.history import subject_name
from mmsb.query.juliatext import short

_WORDS = {
    Dependency.CODE: "code of",
    Dependency.INVOKE: "code of, by `invoke`,",
    Dependency.DISPATCH: "the methods that fit",
    Dependency.BINDING: "the global",
}
_LINES = 40
_USED_BY_NONE = "is what no recorded code depends on"


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency of one code object. ``name`` is the other end."""

    kind: Dependency
    name: str
    target: str  # key of an instance, a call's type, "Module.name"
    version: int | None  # of the code that depends
    recorded: bool  # whether the other end is in the memory


@dataclass(frozen=True, slots=True)
class DepsView(Answer):
    """Answer of `deps`. ``function`` is None where a global was asked for."""

    asked: str
    function: Function | None
    epoch: int
    version: int | None
    on: tuple[Edge, ...]  # what the version depends on
    dependents: tuple[Edge, ...]  # whose code depends on it
    advice: str  # where none were recorded

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        name = self.asked if self.function is None else self.function.name
        if self.advice:
            return (note((name, "name"), f": {self.advice}"),)
        blocks: list[Block] = []
        if self.function is not None:
            version = "?" if self.version is None else str(self.version)
            head = f"  version {version} as of epoch {self.epoch} depends on"
            blocks.append(note((name, "name"), head if self.on else f"{head} nothing recorded"))
            blocks += [_listing(self.on)] if self.on else []
        count = counted(len({edge.target for edge in self.dependents}), "function")
        whose = f"is what the code of {count} depends on"
        blocks.append(note((name, "name"), f"  {whose if self.dependents else _USED_BY_NONE}"))
        if self.dependents:
            blocks.append(_listing(self.dependents, by=True))
        return tuple(blocks)


def _listing(edges: tuple[Edge, ...], *, by: bool = False) -> Listing:
    lines = []
    for edge in edges[:_LINES]:
        version = f"  version {edge.version}" if by and edge.version is not None else ""
        word = f"  {'' if by else _WORDS[edge.kind] + ' '}"
        lines.append(line((word, "dim"), edge.name, (version, "dim")))
    if len(edges) > _LINES:
        lines.append(line((f"  … and {len(edges) - _LINES} more (--json has all)", "dim")))
    return Listing(tuple(lines))


def deps(memory: Memory, name: str, *, at: int | None = None) -> DepsView:
    """Forward edges of the newest version that has any, and the edges that lead to the function,
    or to a global. UnknownName, AmbiguousName. Reads one column of all dependencies."""
    facts = Facts(memory, at)
    try:
        function, _ = names.resolve(facts, name)
    except UnknownName:
        found = _dependents(facts, {name, f"Main.{name}"})
        if not found:
            raise
        return DepsView(name, None, facts.epoch, None, (), found, "")
    version, on = _on(facts, function.key)
    found = _dependents(facts, {function.key})
    return DepsView(
        asked=name,
        function=function,
        epoch=facts.epoch,
        version=version,
        on=on,
        dependents=found,
        advice=_advice(facts),
    )


def _advice(facts: Facts) -> str:
    why = missing.of_dependencies(facts.head.recording)
    if not why or len(facts.head.snapshot.pages(schema.DEPENDENCY)):
        return ""
    return f"no dependencies were recorded: {why}."


def _on(facts: Facts, key: str) -> tuple[int | None, tuple[Edge, ...]]:
    page = facts.snapshot.page(schema.DEPENDENCY, key)
    if page is None:
        return None, ()
    columns = facts.snapshot.columns(schema.DEPENDENCY, page)
    versions = columns["version"]
    known = versions[versions != NONE_U32]
    newest = int(known.max()) if len(known) else NONE_U32
    version = None if newest == NONE_U32 else newest + 1
    rows = np.flatnonzero(versions == newest).tolist()
    edges = (
        _edge(facts, int(columns["kind"][row]), facts.text(int(columns["target"][row])), version)
        for row in rows
    )
    return version, tuple(edges)


def _edge(facts: Facts, kind: int, target: str, version: int | None) -> Edge:
    what = Dependency(kind)
    return Edge(what, _name(facts, what, target), target, version, target in facts.by_key)


def _name(facts: Facts, kind: Dependency, target: str) -> str:
    if kind is Dependency.BINDING:
        return target
    return short(target) if kind is Dependency.DISPATCH else subject_name(facts, target)


def _dependents(facts: Facts, targets: set[str]) -> tuple[Edge, ...]:
    """The edges of all code to one of the targets, by who has them."""
    pages = facts.snapshot.pages(schema.DEPENDENCY)
    if not len(pages):
        return ()
    values, offsets = facts.snapshot.gather(schema.DEPENDENCY, "target")
    wanted = [id for id, text in enumerate(facts.texts) if text in targets]
    hits = np.flatnonzero(np.isin(values, np.array(wanted, values.dtype)))
    owners = np.searchsorted(offsets, hits, side="right") - 1
    found = []
    for hit, owner in zip(hits.tolist(), owners.tolist(), strict=True):
        page, row = int(pages[owner]), hit - int(offsets[owner])
        key = facts.snapshot.subject(page)
        columns = facts.snapshot.columns(schema.DEPENDENCY, page, ["kind", "version"])
        kind, version = int(columns["kind"][row]), int(columns["version"][row])
        shown = None if version == NONE_U32 else version + 1
        name = subject_name(facts, key)
        found.append(Edge(Dependency(kind), name, key, shown, key in facts.by_key))
    return tuple(found)

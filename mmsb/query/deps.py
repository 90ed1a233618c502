"""What a function's code depends on, and whose code depends on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, CodeState, Dependency
from mmsb.memory.memory import Memory
from mmsb.query import globals, missing, names
from mmsb.query.answers import Answer, Function
from mmsb.query.document import Block, Document, Listing, counted, line, note
from mmsb.query.facts import Facts, subject_name
from mmsb.query.header import STATE
from mmsb.query.juliatext import short
from mmsb.query.spelling import callee_name

_WORDS = {
    Dependency.CODE: "code of",
    Dependency.INVOKE: "code of, by `invoke`,",
    Dependency.DISPATCH: "the methods that fit",
    Dependency.BINDING: "the global",
}
_LINES = 40
_BY_STATEMENTS = "as its statements say (Julia lists no such dependency)"
_USED_BY_NONE = "is what no recorded code depends on"


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency of one code object. ``name`` is the other end."""

    kind: Dependency
    name: str
    target: str  # key of an instance, a call's type, "Module.name"
    version: int | None  # of the code that depends
    recorded: bool  # whether the other end is in the memory
    state: CodeState | None  # of the code that depends, as of the epoch; None: not known

    @property
    def ended(self) -> bool:
        """Whether the code that depends is known to be valid no longer."""
        return self.state not in (None, CodeState.VALID)


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
    readers: tuple[Edge, ...] = ()  # whose code reads the global, without a recorded dependency
    bindings: tuple[str, ...] = ()  # the globals that fit
    state: CodeState | None = None  # of that version

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        name = ", ".join(self.bindings) or self.asked
        name = name if self.function is None else self.function.name
        if self.advice:
            return (note((name, "name"), f": {self.advice}"),)
        blocks: list[Block] = []
        if self.function is not None:
            blocks.append(note((name, "name"), f"  {self._head()}"))
            blocks += [_listing(self.on)] if self.on else []
        if self.dependents or not self.readers:
            blocks.append(note((name, "name"), f"  {self._whose()}"))
        if self.dependents:
            blocks.append(_listing(self.dependents, by=True))
        if self.readers:
            readers = counted(len({edge.target for edge in self.readers}), "function")
            more = " more" if self.dependents else ""
            told = f"  is read by the code of {readers}{more}, {_BY_STATEMENTS}"
            blocks += [note((name, "name"), told), _listing(self.readers, by=True)]
        return tuple(blocks)

    def _head(self) -> str:
        if self.version is None:
            return f"has no compiled code as of epoch {self.epoch}"
        version = f"version {self.version}{_ended(self.state)}"
        head = f"{version} as of epoch {self.epoch} depends on"
        return head if self.on else f"{head} nothing recorded"

    def _whose(self) -> str:
        if not self.dependents:
            return _USED_BY_NONE
        every = {edge.target for edge in self.dependents}
        over = len(every - {edge.target for edge in self.dependents if not edge.ended})
        told = f"is what the code of {counted(len(every), 'function')} depends on"
        return f"{told}; of {over} it is no longer valid" if over else told


def _ended(state: CodeState | None) -> str:
    return "" if state in (None, CodeState.VALID) else f" ({STATE[state]})"


def _listing(edges: tuple[Edge, ...], *, by: bool = False) -> Listing:
    lines = []
    for edge in edges[:_LINES]:
        version = f"  version {edge.version}" if by and edge.version is not None else ""
        version += _ended(edge.state) if by else ""
        word = f"  {'' if by else _WORDS[edge.kind] + ' '}"
        lines.append(line((word, "dim"), edge.name, (version, "dim")))
    if len(edges) > _LINES:
        lines.append(line((f"  … and {len(edges) - _LINES} more (--json has all)", "dim")))
    return Listing(tuple(lines))


def deps(memory: Memory, name: str, *, at: int | None = None) -> DepsView:
    """Forward edges of a function's newest valid version, else of its newest, and the edges that
    lead to the function, or to a global, also from code that ended, which they say. UnknownName,
    AmbiguousName. Reads one column of all dependencies."""
    facts = Facts(memory, at)
    try:
        function, _ = names.resolve(facts, name)
    except UnknownName:
        return _of_no_function(facts, name)
    version, on = _on(facts, function.key)
    found = _dependents(facts, {function.key})
    return DepsView(
        asked=name,
        function=facts.shown(function),
        epoch=facts.epoch,
        version=version,
        on=on,
        dependents=found,
        advice=_advice(facts),
        state=_state(facts, function.key, version),
    )


def _of_no_function(facts: Facts, name: str) -> DepsView:
    """Of a global, or of a function of which nothing was recorded but who depends on it."""
    fits = globals.of_name(name)
    targets = _targets(facts, name, fits)
    found, read = _dependents(facts, targets), globals.readers(facts, fits)
    depend = {edge.target for edge in found}
    readers = tuple(
        Edge(
            Dependency.BINDING,
            subject_name(facts, function.key),
            function.key,
            None,
            True,
            CodeState.VALID,
        )
        for function in dict.fromkeys(function for _, function in read)
        if function.key not in depend
    )
    if not (found or readers or globals.are_named(facts, fits)):
        try:
            names.instances(facts, name)  # says what is near
        except UnknownName as error:
            if "(" in name or not facts.head.recording:
                raise
            raise UnknownName(f"{error}; no recorded code reads a global so named") from None
    paths = tuple(sorted({path for path, _ in read} | set(filter(fits, targets))))
    return DepsView(name, None, facts.epoch, None, (), found, "", readers, paths)


def _targets(facts: Facts, name: str, fits: Callable[[str], bool]) -> set[str]:
    """The globals, and the functions, that recorded code depends on and that the name fits."""
    pages = facts.snapshot.pages(schema.DEPENDENCY)
    if not len(pages):
        return set()
    columns, _ = facts.snapshot.gather_columns(schema.DEPENDENCY, ("kind", "target"))
    is_global = columns["kind"] == Dependency.BINDING
    paths = {facts.text(int(id)) for id in np.unique(columns["target"][is_global])}
    found = {path for path in paths if fits(path)}
    if not found:
        is_code = np.isin(columns["kind"], (Dependency.CODE, Dependency.INVOKE))
        keys = {facts.text(int(id)) for id in np.unique(columns["target"][is_code])}
        written = names.parse(name)
        same = {key for key in keys if names.fits_key(written, key)}
        found = {key for key in same if callee_name(key) == name.strip()} or same
    return found


def _advice(facts: Facts) -> str:
    why = missing.of_dependencies(facts.head.recording)
    if not why or len(facts.head.snapshot.pages(schema.DEPENDENCY)):
        return ""
    return f"no dependencies were recorded: {why}."


def _on(facts: Facts, key: str) -> tuple[int | None, tuple[Edge, ...]]:
    """The newest version that is valid, else the newest, and what it depends on."""
    codes = facts.codes(key)
    valid = [code.version for code in codes if code.state is CodeState.VALID]
    version = max(valid or [code.version for code in codes], default=None)
    page = facts.snapshot.page(schema.DEPENDENCY, key)
    if page is None or version is None:
        return version, ()
    columns = facts.snapshot.columns(schema.DEPENDENCY, page)
    state = _state(facts, key, version)
    edges = []
    for row in np.flatnonzero(columns["version"] == version - 1).tolist():
        kind, target = (
            Dependency(int(columns["kind"][row])),
            facts.text(int(columns["target"][row])),
        )
        name, known = _name(facts, kind, target), target in facts.by_key
        edges.append(Edge(kind, name, target, version, known, state))
    return version, tuple(edges)


def _state(facts: Facts, key: str, version: int | None) -> CodeState | None:
    return next((code.state for code in facts.codes(key) if code.version == version), None)


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
        name, state = subject_name(facts, key), _state(facts, key, shown)
        found.append(Edge(Dependency(kind), name, key, shown, key in facts.by_key, state))
    return tuple(found)

"""Where a function's types are not known: unstable statements and runtime dispatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmsb.base.model import CallKind, CodeState, Lattice, Stage
from mmsb.memory.memory import Memory
from mmsb.query import missing, names
from mmsb.query.answers import Answer, Function
from mmsb.query.body import Body, read_body
from mmsb.query.document import (
    Block,
    Document,
    Line,
    Listing,
    Role,
    Span,
    counted,
    line,
    note,
    table,
)
from mmsb.query.facts import Facts, TypeText
from mmsb.query.ir import code_of
from mmsb.query.juliatext import parameters, short
from mmsb.query.layout import Layout, is_small_union, lattice, type_role
from mmsb.query.stages import newest, no_inferred, of_version, sights

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Unstable:
    """A statement, variable or return value whose inferred type is not concrete.

    ``small``: a union of a few concrete types, which the compiler splits.
    """

    what: str  # "%5", "s", "return"
    text: str
    type: str
    small: bool


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A call in the optimised code that looks its method up while running."""

    number: int
    text: str
    type: str


@dataclass(frozen=True, slots=True)
class Warnings:
    """One function's, as of its newest version."""

    function: Function
    version: int | None
    return_type: str
    unstable: tuple[Unstable, ...]
    dispatches: tuple[Dispatch, ...]

    @property
    def count(self) -> int:
        return len(self.unstable) + len(self.dispatches)


@dataclass(frozen=True, slots=True)
class WarnView(Answer):
    """Answer of `warn`; functions without a warning are counted only."""

    epoch: int
    checked: int
    detailed: bool
    functions: tuple[Warnings, ...]
    not_checked: int = 0  # those that the question is about, without inferred IR
    advice: str = ""  # why these have none

    @property
    def exit_code(self) -> int:
        return 0 if self.checked else 3

    def document(self) -> Document:
        if not self.checked:
            return (note(("Nothing could be checked", "warn"), f": {self.advice}."),)
        return (*self._found(), *self._left_out())

    def _found(self) -> Document:
        if not self.functions:
            return (
                note((f"{self.checked} checked: every type is concrete, no dispatch.", "good")),
            )
        if not self.detailed:
            return self._overview()
        return tuple(block for found in self.functions for block in _detail(found))

    def _left_out(self) -> Document:
        if not self.not_checked:
            return ()
        return (note((f"{self.not_checked} more could not be checked: {self.advice}.", "dim")),)

    def _overview(self) -> Document:
        rows = (
            (
                line((found.function.name, "name")),
                str(sum(not u.small for u in found.unstable) or ""),
                str(sum(u.small for u in found.unstable) or ""),
                str(len(found.dispatches) or ""),
                short(found.return_type),
            )
            for found in self.functions
        )
        heads = ("function", "unstable", "small unions", "dispatches", "returns")
        every = counted(self.checked, "function")
        total = f"{len(self.functions)} of {every} as of epoch {self.epoch}; "
        more = "`mmsb warn FUNCTION` shows the statements. The unions of loops are not counted."
        return (table(heads, rows, right={1, 2, 3}, crop={0, 4}), note((total + more, "dim")))


def _detail(found: Warnings) -> list[Block]:
    version = "?" if found.version is None else str(found.version)
    blocks: list[Block] = [
        note(
            (found.function.name, "name"),
            f"  version {version}, returns {short(found.return_type)}",
        )
    ]
    if found.unstable:
        blocks.append(note(("Inferred types that are not concrete", "head")))
        blocks.append(Listing(tuple(unstable_lines(found.unstable))))
    if found.dispatches:
        blocks.append(note(("Runtime dispatches in the optimised code", "head")))
        lines = (
            line(f"  %{d.number} = {d.text}", ("::" + d.type, "bad")) for d in found.dispatches
        )
        blocks.append(Listing(tuple(lines)))
    return blocks


def unstable_lines(found: Sequence[Unstable]) -> list[Line]:
    """A line each, the first of them."""
    lines = []
    for item in found[:_SHOWN]:
        role: Role = "warn" if item.small else "bad"
        text = f" = {item.text}" if item.text else ""
        lines.append(line(f"  {item.what}{text}", Span(f"::{item.type}", role)))
    if len(found) > _SHOWN:
        lines.append(line((f"  … and {len(found) - _SHOWN} more", "dim")))
    return lines


def warn(memory: Memory, name: str | None = None, *, at: int | None = None) -> WarnView:
    """Warnings of the functions that fit a name; without one, of all recorded for themselves whose
    code is valid, worst first. UnknownName."""
    facts = Facts(memory, at)
    if name is not None:
        chosen = names.instances(facts, name)
    else:
        chosen = tuple(f for f in facts.functions if f.is_users and _is_valid(facts, f))
    looked = [warnings_of(facts, function) for function in chosen]
    found = [one for one in looked if one is not None]
    told = sorted((w for w in found if w.count), key=_severity)
    bare = [f for f, one in zip(chosen, looked, strict=True) if one is None]
    advice = _advice(facts, bare) if bare or not chosen else ""
    return WarnView(facts.epoch, len(found), name is not None, tuple(told), len(bare), advice)


def _advice(facts: Facts, bare: Sequence[Function]) -> str:
    """Why functions, or all there is, cannot be checked."""
    if bare:
        return no_inferred(facts, bare[0])
    if any(function.is_users for function in facts.functions):
        return f"no function of the program has valid code at epoch {facts.epoch}"
    if not facts.head.recording:
        return missing.recording(facts.head.recording)
    why = missing.incomplete(facts.head.recording)
    if why:
        return f"no code of the program is known at epoch {facts.epoch}, {why}"
    return f"no function of the program was compiled up to epoch {facts.epoch}"


def _severity(found: Warnings) -> tuple[int, int]:
    small = sum(item.small for item in found.unstable)
    return -(found.count - small), -small


def _is_valid(facts: Facts, function: Function) -> bool:
    return any(code.state is CodeState.VALID for code in facts.codes(function.key))


def warnings_of(facts: Facts, function: Function) -> Warnings | None:
    """Of the newest version as of the epoch; None where it was never inferred."""
    inferred = newest(facts, function.key, Stage.INFERRED)
    if inferred is None:
        return None
    code = code_of(facts, inferred)
    # an older version's optimised code says nothing
    same = of_version(sights(facts, function.key), inferred.version)
    optimized = same.get(Stage.OPTIMIZED)
    body = read_body(facts, inferred)
    return Warnings(
        function=facts.shown(function),
        version=inferred.version,
        return_type=code.return_type,
        unstable=tuple(_unstable(body, code.return_type, facts)),
        dispatches=() if optimized is None else _dispatches(read_body(facts, optimized)),
    )


def _unstable(body: Body, return_type: str, facts: Facts) -> list[Unstable]:
    layout = Layout(body)
    found = []
    for statement in body.statements:
        if layout.type_span(statement) is None or not is_unstable(statement.type):
            continue
        if _is_iteration(statement.type):
            continue
        if statement.row not in layout.used and statement.slot is None:
            continue
        assigned = statement.row not in layout.used
        what = layout.slot(statement.slot) if assigned else f"%{statement.position + 1}"
        text = layout.text(statement)
        text = text.partition(" = ")[2] if assigned else text
        small = type_role(statement.type) == "warn"
        found.append(Unstable(what, text, lattice(statement.type), small))
    returned = next((t for t in facts.types if t.text == return_type), None)
    if returned is not None and is_unstable(returned):
        small = is_small_union(return_type)
        found.append(Unstable("return", "", lattice(returned), small))
    return found


def _is_iteration(type_: TypeText) -> bool:
    """What ``iterate`` gives back: ``Union{Nothing, Tuple{T, S}}`` is how loops are meant to be."""
    head, members = parameters(type_.text)
    return (
        head == "Union"
        and members is not None
        and len(members) == 2
        and "Core.Nothing" in members
        and any(member.startswith("Core.Tuple{") for member in members)
        and type_role(type_) == "warn"
    )


def is_unstable(type_: TypeText) -> bool:
    """A union, an abstract type, or a box."""
    if type_.lattice in (Lattice.UNION, Lattice.ABSTRACT):
        return type_role(type_) != "type"
    return type_.text == "Core.Box"


def _dispatches(body: Body) -> tuple[Dispatch, ...]:
    layout = Layout(body)
    by_row = {statement.row: statement for statement in body.statements}
    rows = sorted(
        {c.statement for c in body.calls if c.kind is CallKind.DYNAMIC and c.statement in by_row},
        key=lambda row: by_row[row].position,
    )
    return tuple(
        Dispatch(
            number=by_row[row].position + 1,
            text=layout.text(by_row[row]),
            type=lattice(by_row[row].type),
        )
        for row in rows
    )

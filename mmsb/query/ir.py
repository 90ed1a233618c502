"""The IR of one method instance as of an epoch and a stage, in Julia's own layout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mmsb.base.model import CallKind, CodeState, Compiled, Identity, Provenance, Stage
from mmsb.memory.memory import Memory
from mmsb.query import names
from mmsb.query.answers import Answer, Function
from mmsb.query.body import Body, Statement, read_body
from mmsb.query.code import Code, unknown
from mmsb.query.document import Block, Document, Line, Listing, line, note
from mmsb.query.facts import Facts, subject_name
from mmsb.query.header import STATE, BareView, Header, bare, header
from mmsb.query.juliatext import short
from mmsb.query.layout import Layout, lattice
from mmsb.query.places import Place, Places, SourceLine
from mmsb.query.stages import Sight, seen, title

PROVENANCE = {
    Provenance.NATIVE: "Native: what really ran",
    Provenance.REDERIVED: "Rederived: the compiler was asked again",
    Provenance.SHADOW: "Shadow: our interpreter's run of the compiler",
    Provenance.REFLECTED: "Reflected: Julia was asked after the program ended, at this world",
}
COMPILED = {
    Compiled.NATIVE: "compiled while recording",
    Compiled.INFERRED: "not compiled by its own name (inlined, or compiled with its caller)",
    Compiled.CACHED: "cached before the recording began",
}
COMPILED_SHORT = {
    Compiled.NATIVE: "by name",
    Compiled.INFERRED: "with callers",
    Compiled.CACHED: "before",
}


@dataclass(frozen=True, slots=True)
class StatementView:
    """One statement. ``row`` is its identity over time, ``number`` its place in this stage."""

    row: int
    number: int
    block: int
    opcode: str
    text: str
    operands: tuple[str, ...]
    type: str | None
    lattice: str | None
    identity: Identity
    derived_from: int | None
    place: Place | None
    source: SourceLine | None = None


@dataclass(frozen=True, slots=True)
class Callee:
    """A call one can descend into where ``recorded``."""

    number: int
    kind: CallKind
    name: str
    key: str
    recorded: bool


@dataclass(frozen=True, slots=True)
class IRView(Answer):
    """Answer of `show`."""

    function: Function
    stage: Stage
    epoch: int  # as of which it was asked
    written_epoch: int  # that wrote this version in this stage
    version: int | None
    world: int
    min_world: int
    max_world: int | None  # None: open
    state: CodeState
    compiled: Compiled
    provenance: Provenance  # of this stage
    definition: int
    return_type: str
    header: Header
    statements: tuple[StatementView, ...]
    slots: tuple[tuple[str, str], ...]
    blocks: int
    calls: tuple[Callee, ...]
    identities: dict[str, int]
    also: tuple[Function, ...]
    lines: tuple[Line, ...] = field(metadata={"data": False})
    with_source: bool = field(default=False, metadata={"data": False})

    def document(self) -> Document:
        worlds = f"{self.min_world}…{'' if self.max_world is None else self.max_world}"
        blocks: list[Block] = [
            note((self.function.name, "name"), "  in ", self.function.module or "?"),
            note(
                (title(self.stage), "head"),
                f" as of epoch {self.epoch} (written in epoch {self.written_epoch}; "
                f"version {_number(self.version)}, definition {self.definition}, worlds {worlds}, ",
                (STATE[self.state], "good" if self.state is CodeState.VALID else "bad"),
                ")",
            ),
            Listing((*self._body(), line(") => ", (short(self.return_type), "type")))),
            *self.header.lines(),
            note((f"{PROVENANCE[self.provenance]}; {COMPILED[self.compiled]}.", "dim")),
        ]
        blocks += self._descend()
        if self.also:
            others = ", ".join(other.key.rpartition(" @ ")[0] for other in self.also)
            blocks.append(note((f"Written the same, of another method: {others}", "dim")))
        return tuple(blocks)

    def _body(self) -> list[Line]:
        lines: list[Line] = [line("CodeInfo(")]
        before: str | None = None
        for shown, statement in zip(self.lines, self.statements, strict=True):
            if self.with_source:
                after = _source_text(statement)
                if after != before and after is not None:
                    lines.append(line((f"  ┊ {after}", "dim")))
                before = after
            lines.append(shown)
        return lines

    def _descend(self) -> list[Block]:
        known = list(dict.fromkeys(call.name for call in self.calls if call.recorded))
        if not known:
            return []
        return [note(("Descend into: ", "dim"), ", ".join(known))]


def _number(version: int | None) -> str:
    return "?" if version is None else str(version)


def _source_text(statement: StatementView) -> str | None:
    if statement.source is None or statement.place is None:
        return None
    via = " ← ".join(reversed(statement.place.inlined_into))
    missing = "source not on this machine with the recorded hash"
    text = missing if statement.source.text is None else statement.source.text
    return f"{statement.source.name}{f' (inlined into {via})' if via else ''}  {text}"


def show(
    memory: Memory,
    name: str,
    *,
    at: int | None = None,
    stage: Stage | None = None,
    source: bool = False,
) -> IRView | BareView:
    """The function's IR as of an epoch (default: the last) and stage (default: the latest seen).

    Of a function that has no body in any stage, what is known without one. UnknownName,
    AmbiguousName. Reads the pages of one instance.
    """
    facts = Facts(memory, at)
    function, also = names.resolve(facts, name)
    without = bare(facts, function) if stage is None else None
    if without is not None:
        return without
    return view(facts, function, seen(facts, function, stage), source=source, also=also)


def view(
    facts: Facts,
    function: Function,
    sight: Sight,
    *,
    source: bool = False,
    also: tuple[Function, ...] = (),
) -> IRView:
    """The IR of one version in one stage."""
    event = sight.event
    body = read_body(facts, sight)
    layout = Layout(body)
    places = Places(facts.at(event.epoch), function.method)
    code = code_of(facts, sight)
    statements = tuple(_view_statement(layout, places, s, source) for s in body.statements)
    return IRView(
        function=function,
        stage=body.stage,
        epoch=facts.epoch,
        written_epoch=event.epoch,
        version=event.version,
        world=event.world,
        min_world=code.min_world,
        max_world=code.last_world,
        state=code.state,
        compiled=code.compiled,
        provenance=sight.provenance,
        definition=code.definition,
        return_type=code.return_type,
        header=header(facts, function.key, code),
        statements=statements,
        slots=tuple((layout.slot(at), slot.type.text) for at, slot in enumerate(body.slots)),
        blocks=len(body.blocks),
        calls=_callees(facts, body),
        identities=_identities(body),
        also=also,
        lines=tuple(layout.lines()),
        with_source=source,
    )


def code_of(facts: Facts, sight: Sight) -> Code:
    """The code object that was seen, in the state it has as of the facts' epoch."""
    codes = facts.codes(sight.key)
    if sight.version is not None and sight.version <= len(codes):
        return codes[sight.version - 1]
    return unknown(sight.event.world)


def _view_statement(
    layout: Layout, places: Places, statement: Statement, source: bool
) -> StatementView:
    place = places.place(statement)
    typed = layout.type_span(statement) is not None
    return StatementView(
        row=statement.row,
        number=statement.position + 1,
        block=int(layout.block(statement.row)[1:].replace("?", "0")),
        opcode=statement.opcode,
        text=layout.text(statement),
        operands=tuple(map(layout.operand, statement.operands)),
        type=lattice(statement.type) if typed else None,
        lattice=statement.type.lattice.name.lower() if typed else None,
        identity=statement.identity,
        derived_from=statement.derived_from,
        place=place,
        source=places.source(place) if source and place is not None else None,
    )


def _callees(facts: Facts, body: Body) -> tuple[Callee, ...]:
    positions = body.positions()
    found = []
    for call in body.calls:
        if call.statement not in positions or not call.callee:
            continue
        number, key = positions[call.statement] + 1, call.callee
        known = key in facts.by_key
        found.append(Callee(number, call.kind, subject_name(facts, key), key, known))
    return tuple(sorted(found, key=lambda callee: callee.number))


def _identities(body: Body) -> dict[str, int]:
    counts = Counter(statement.identity for statement in body.statements)
    return {identity.name.lower(): counts[identity] for identity in Identity}

"""One body: an instance's statements, blocks, edges, calls and slots in one stage of one version.

Rows are identities; places (``position``) are what is printed. Nothing is shown here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.model import (
    NONE_U32,
    STAGES,
    UNSET_I32,
    CallKind,
    Identity,
    Stage,
    Tag,
)
from mmsb.base.schema import Kind, staged
from mmsb.query.facts import UNTYPED, Facts, TypeText
from mmsb.query.stages import Sight

#: ``slot``: assigns to none. ``scope``: the method itself.
_SELF = NONE_U32 - 1
_STAGED = tuple(
    column.name.partition("@")[0]
    for column in schema.STATEMENT.columns
    if column.name.endswith("@lowered")
)
_TEXT_TAGS = frozenset(
    {Tag.GLOBAL, Tag.LITERAL, Tag.STRING, Tag.SYMBOL, Tag.LONG, Tag.EXPR, Tag.INSTANCE}
    | {Tag.MODULE, Tag.FUNCTION, Tag.METHOD}
)
_NUMBER_TAGS = frozenset(
    {Tag.SSA, Tag.ARGUMENT, Tag.SLOT, Tag.SPARAM, Tag.TARGET, Tag.EDGE, Tag.LINE}
)


@dataclass(frozen=True, slots=True)
class Operand:
    """``number`` is a statement's row, an argument's or slot's number; ``text`` a symbol's text."""

    tag: Tag
    number: int | None
    text: str
    type: str  # canonical text
    children: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    row: int
    position: int
    opcode: str
    operands: tuple[Operand, ...]
    type: TypeText
    slot: int | None  # assigned to, 0-based
    scope: int | None  # inlined frame; None is the method itself
    line: int | None  # from the method's line; absolute where inlined
    origin: int | None
    flags: int
    derived_from: int | None
    identity: Identity


@dataclass(frozen=True, slots=True)
class Block:
    row: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Call:
    row: int
    statement: int
    kind: CallKind
    callee: str
    signature: str


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    type: TypeText


@dataclass(frozen=True, slots=True)
class Body:
    """Statements and blocks in the stage's order."""

    key: str
    stage: Stage
    statements: tuple[Statement, ...]
    blocks: tuple[Block, ...]
    edges: tuple[tuple[int, int], ...]  # places of blocks in ``blocks``
    calls: tuple[Call, ...]
    slots: tuple[Slot, ...]

    def positions(self) -> dict[int, int]:
        """Row → position."""
        return {statement.row: statement.position for statement in self.statements}


def read_body(facts: Facts, sight: Sight) -> Body:
    """The body as of the epoch that saw it, so that all its stages are of one version."""
    then, key, stage = facts.at(sight.event.epoch), sight.key, sight.stage
    blocks = _blocks(then, key, stage)
    places = {block.row: at for at, block in enumerate(blocks)}
    return Body(
        key=key,
        stage=stage,
        statements=_statements(then, key, stage),
        blocks=blocks,
        edges=_edges(then, key, stage, places),
        calls=_calls(then, key, stage),
        slots=_slots(then, key),
    )


def _columns(facts: Facts, kind: Kind, key: str) -> dict[str, Any]:
    page = facts.snapshot.page(kind, key)
    if page is None:
        return {column.name: np.zeros(0, np.uint32) for column in kind.columns}
    return facts.snapshot.columns(kind, page)


def overlay(kind: Kind, columns: dict[str, Any], name: str, stage: Stage) -> Any:
    """A staged column as of a stage: the latest stage up to it whose cell is set."""
    value = columns[staged(name, Stage.LOWERED)]
    for later in STAGES[1 : STAGES.index(stage) + 1]:
        cells = columns[staged(name, later)]
        unset = kind.column(staged(name, later)).fill
        value = np.where(cells == unset, value, cells)
    return value


def _alive(kind: Kind, columns: dict[str, Any], order: str, stage: Stage) -> list[int]:
    alive = np.flatnonzero(overlay(kind, columns, "alive", stage) == 1)
    keys = overlay(kind, columns, order, stage)[alive]
    return [int(row) for row in alive[np.argsort(keys, kind="stable")]]


def _statements(facts: Facts, key: str, stage: Stage) -> tuple[Statement, ...]:
    kind = schema.STATEMENT
    columns = _columns(facts, kind, key)
    rows = _alive(kind, columns, "position", stage)
    cell = {name: overlay(kind, columns, name, stage)[rows].tolist() for name in _STAGED}
    derived = columns["derived_from"][rows].tolist()
    identity = columns["identity"][rows].tolist()
    operands = _Operands(facts, key)
    return tuple(
        Statement(
            row=row,
            position=cell["position"][at],
            opcode=facts.text(cell["opcode"][at]),
            operands=operands.range(cell["operands"][at], cell["operand_count"][at]),
            type=facts.type(cell["type"][at]) if cell["type"][at] != NONE_U32 else UNTYPED,
            slot=_some(cell["slot"][at]),
            scope=_some(cell["scope"][at]),
            line=None if cell["line"][at] == UNSET_I32 else cell["line"][at],
            origin=_some(cell["origin"][at]),
            flags=0 if cell["flags"][at] == NONE_U32 else cell["flags"][at],
            derived_from=_some(derived[at]),
            identity=Identity(identity[at]),
        )
        for at, row in enumerate(rows)
    )


def _some(value: int) -> int | None:
    return None if value in (NONE_U32, _SELF) else value


class _Operands:
    """Operand trees of one instance, read from its page once."""

    def __init__(self, facts: Facts, key: str) -> None:
        columns = _columns(facts, schema.OPERAND, key)
        self._facts = facts
        self._tag = columns["tag"].tolist()
        self._value = columns["value"].tolist()
        self._type = columns["type"].tolist()
        self._start = columns["start"].tolist()
        self._count = columns["count"].tolist()

    def range(self, start: int, count: int) -> tuple[Operand, ...]:
        if start == NONE_U32 or count == 0xFFFF:
            return ()
        return tuple(self._one(row) for row in range(start, start + count))

    def _one(self, row: int) -> Operand:
        tag, value, type_id = Tag(self._tag[row]), self._value[row], self._type[row]
        type_text = "" if type_id == NONE_U32 or tag is Tag.LINE else self._facts.type(type_id).text
        number = value if tag in _NUMBER_TAGS and value != NONE_U32 else None
        return Operand(
            tag=tag,
            number=number,
            text=self._facts.text(value) if tag in _TEXT_TAGS else "",
            # a type operand's id is in ``type`` on the wire, in ``value`` as stored
            type=type_text or (self._facts.type(value).text if tag is Tag.TYPE else ""),
            children=self.range(self._start[row], self._count[row]),
        )


def _blocks(facts: Facts, key: str, stage: Stage) -> tuple[Block, ...]:
    kind = schema.BLOCK
    columns = _columns(facts, kind, key)
    rows = _alive(kind, columns, "first", stage)
    first = overlay(kind, columns, "first", stage)[rows].tolist()
    last = overlay(kind, columns, "last", stage)[rows].tolist()
    return tuple(Block(*cells) for cells in zip(rows, first, last, strict=True))


def _edges(
    facts: Facts, key: str, stage: Stage, places: dict[int, int]
) -> tuple[tuple[int, int], ...]:
    kind = schema.EDGE
    columns = _columns(facts, kind, key)
    rows = _alive(kind, columns, "source", stage)
    source = overlay(kind, columns, "source", stage)[rows].tolist()
    target = overlay(kind, columns, "target", stage)[rows].tolist()
    return tuple(
        (places[low], places[high])
        for low, high in zip(source, target, strict=True)
        if low in places and high in places
    )


def _calls(facts: Facts, key: str, stage: Stage) -> tuple[Call, ...]:
    columns = _columns(facts, schema.CALL, key)
    rows = np.flatnonzero((columns["alive"] == 1) & (columns["stage"] == stage)).tolist()
    return tuple(
        Call(
            row=row,
            statement=int(columns["statement"][row]),
            kind=CallKind(int(columns["kind"][row])),
            callee=facts.text(int(columns["callee"][row])),
            signature=facts.type(int(columns["signature"][row])).text,
        )
        for row in rows
    )


def _slots(facts: Facts, key: str) -> tuple[Slot, ...]:
    columns = _columns(facts, schema.SLOT, key)
    alive = columns["alive"].tolist()
    return tuple(
        Slot(facts.text(int(name)), facts.type(int(type_id))) if live else Slot("", UNTYPED)
        for name, type_id, live in zip(
            columns["name"].tolist(), columns["type"].tolist(), alive, strict=True
        )
    )

"""A shim by hand: tells facts in frames, as one in Julia would; and what a memory says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.model import (
    NONE_U32,
    NONE_U64,
    OPEN_WORLD,
    STAGES,
    EventKind,
    Kept,
    Provenance,
    Stage,
    Tag,
)
from mmsb.base.schema import DTYPES, staged
from mmsb.base.wire import WIRE_BY_NAME
from mmsb.capture.frames import Frame
from mmsb.capture.stream import Stream
from mmsb.capture.translate import Translator
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

SELF = NONE_U32 - 1


@dataclass(frozen=True)
class Statement:
    """``operands``: ("ssa", position), ("edge", position) or a literal's text; nested in a tuple.
    ``origin``: a lowered statement, in ``scope`` (a number told by ``Shim.scope``)."""

    opcode: str
    type: str = "Core.Any"
    operands: tuple[Any, ...] = ()
    origin: int = 0
    scope: int = SELF
    flags: int = 0


Told = Sequence[Statement]


class Shim:
    """Collects tables; ``frame`` is what was told since the last one."""

    def __init__(self, stream: Stream, **notes: str) -> None:
        self.stream = stream
        self._symbols: dict[str, int] = {}
        self._types: dict[str, int] = {}
        self._heap = self._codes = self._frames = self._nodes = self._scopes = 0
        self._tables: dict[str, dict[str, list[int]]] = {}
        for key, value in {"first_world": "10", "trace_start": "0", **notes}.items():
            self.row("recording", key=self.symbol(key), value=self.symbol(value))

    def row(self, table: str, **cells: int) -> None:
        columns = WIRE_BY_NAME[table].columns
        into = self._tables.setdefault(table, {column.name: [] for column in columns})
        assert cells.keys() == into.keys(), (table, cells.keys() ^ into.keys())
        for name, value in cells.items():
            into[name].append(int(value))

    def send(self) -> None:
        """Gives the stream what was told."""
        tables = {
            name: {
                column.name: np.array(cells[column.name], DTYPES[column.dtype][1])
                for column in WIRE_BY_NAME[name].columns
            }
            for name, cells in self._tables.items()
        }
        self._tables = {}
        self.stream.add(Frame(tables))

    def symbol(self, text: str) -> int:
        if text not in self._symbols:
            data = text.encode()
            self._symbols[text] = len(self._symbols)
            for byte in data:
                self.row("heap", byte=byte)
            self.row("symbol", offset=self._heap, length=len(data))
            self._heap += len(data)
        return self._symbols[text]

    def type(self, text: str) -> int:
        if text not in self._types:
            self._types[text] = len(self._types)
            self.row("type", name=self.symbol(text), lattice=0, widened=self.symbol(text))
        return self._types[text]

    def scope(self, method: str, origin: int) -> int:
        """A frame inlined at a lowered statement of the method itself."""
        self._scopes += 1
        self.row(
            "scope",
            parent=SELF,
            method=self.symbol(method),
            file=NONE_U32,
            line=self._scopes,
            origin=origin,
        )
        return self._scopes - 1

    def method(self, name: str, world: int, *, order: int = 0, last: int = OPEN_WORLD) -> None:
        self.row(
            "method",
            key=self.symbol(f"m.{name}"),
            name=self.symbol(name),
            module=self.symbol("Main"),
            signature=self.type(f"Tuple{{{name}}}"),
            file=NONE_U32,
            line=1,
            world=world,
            last_world=last,
            arguments=1,
            deleted=0,
        )
        self.row(
            "event",
            kind=EventKind.DEFINED,
            subject=self.symbol(f"m.{name}"),
            world=world,
            offset=0,
            order=order,
        )

    def instance(self, name: str, depth: int = 0) -> None:
        self.row(
            "instance",
            key=self.symbol(name),
            method=self.symbol(f"m.{name}"),
            signature=self.type(f"Tuple{{{name}}}"),
            name=self.symbol(f"{name}()"),
            depth=depth,
            module=self.symbol("Main"),
            trace=self.symbol(""),
        )

    def code(
        self,
        name: str,
        world: int = 11,
        bodies: dict[Stage, Told] | None = None,
        *,
        order: int = NONE_U64,
        low: int | None = None,
        high: int = OPEN_WORLD,
        provenance: int = Provenance.NATIVE,
        **cells: int,
    ) -> int:
        """A code object of an instance; ``world``: of its method's definition."""
        given = {
            "return_type": self.type("Core.Any"),
            "cached": 0,
            "provenance": Provenance.NATIVE,
            "exception_type": NONE_U32,
            "return_lattice": NONE_U32,
            "effects": 0,
            "kept": Kept.UNKNOWN,
            "rederived": 0,
            "inclusive_ns": NONE_U64,
            "exclusive_ns": NONE_U64,
            "compile_ns": NONE_U64,
        }
        self.row(
            "code",
            instance=self.symbol(name),
            method_world=world,
            min_world=world if low is None else low,
            max_world=high,
            asked_world=min(high, 999),
            order=order,
            **{**given, **cells},
        )
        self._codes += 1
        for stage, told in (bodies or {}).items():
            self._body(self._codes - 1, stage, told, provenance)
        return self._codes - 1

    def _body(self, code: int, stage: Stage, told: Told, provenance: int) -> None:
        for statement in told:
            start = len(self._tables.get("operand", {"tag": []})["tag"])
            self._operands(statement.operands)
            self.row(
                "statement",
                opcode=self.symbol(statement.opcode),
                type=self.type(statement.type),
                operands=start,
                operand_count=len(statement.operands),
                slot=SELF,
                scope=statement.scope,
                line=0,
                origin=statement.origin,
                flags=statement.flags,
            )
        self.row("block", first=0, last=len(told))
        self.row("edge", source=0, target=0)
        self.row(
            "body",
            code=code,
            stage=stage,
            provenance=provenance,
            statements=len(told),
            blocks=1,
            edges=1,
            calls=0,
            slots=0,
        )

    def _operands(self, operands: Sequence[Any]) -> None:
        """A list, and behind it the lists nested in it."""
        at = len(self._tables.get("operand", {"tag": []})["tag"])
        nested = []
        for operand in operands:
            cells = {"type": NONE_U32, "start": 0, "count": 0}
            if isinstance(operand, str):
                self.row("operand", tag=Tag.LITERAL, value=self.symbol(operand), **cells)
            elif operand[0] in ("ssa", "edge"):
                tag = Tag.SSA if operand[0] == "ssa" else Tag.EDGE
                self.row("operand", tag=tag, value=operand[1], **cells)
            else:
                nested.append((at, operand))
                cells["count"] = len(operand)
                self.row("operand", tag=Tag.STRUCT, value=NONE_U32, **cells)
            at += 1
        for row, inner in nested:
            self._tables["operand"]["start"][row] = len(self._tables["operand"]["tag"])
            self._operands(inner)

    def depends(self, code: int, kind: int, target: str) -> None:
        self.row("dependency", code=code, kind=kind, target=self.symbol(target))

    def inferred(
        self, name: str, code: int = NONE_U32, parent: int = NONE_U32, *, order: int = 0
    ) -> int:
        """A frame of the inference tree."""
        self.row(
            "inference",
            parent=parent,
            instance=self.symbol(name),
            code=code,
            kind=0,
            order=order,
            inclusive_ns=5,
            exclusive_ns=3,
        )
        self._frames += 1
        return self._frames - 1

    def logged(
        self,
        node: int,
        cause: int,
        subject: str,
        parent: int = NONE_U32,
        *,
        depth: int = 0,
        code: int = NONE_U32,
        world: int,
    ) -> int:
        """A node of the invalidation log."""
        self.row(
            "invalidation_tree",
            parent=parent,
            node=node,
            cause=cause,
            subject=self.symbol(subject) if subject else NONE_U32,
            depth=depth,
            code=code,
            world=world,
            lost_ns=7,
        )
        self._nodes += 1
        return self._nodes - 1

    def decided(self, code: int, kind: int, origin: int, scope: int = SELF, **cells: int) -> None:
        given = dict.fromkeys(
            ("callee", "outcome", "cost", "threshold", "reason", "type"), NONE_U32
        )
        fields = {"kind": kind, "origin": origin, "scope": scope, "effects": 0, **given, **cells}
        self.row("decision", code=code, **fields)


class Recording:
    """A shim, its translator, and the memory that the commits go to."""

    def __init__(self, folder: Path, **notes: str) -> None:
        self.stream = Stream()
        self.shim = Shim(self.stream, **notes)
        self.memory = Memory.create(folder, durability="none", segment_bytes=1 << 16)
        self.translator = Translator(self.stream)

    def drain(self, *, send: bool = True) -> Iterable[int]:
        """Sends what was told and commits what it brings; the epochs, each when it is committed."""
        if send:
            self.shim.send()
        for step in self.translator.steps():
            changes = self.memory.changes()
            step(changes)
            yield self.memory.commit(changes)

    def all(self) -> list[int]:
        return list(self.drain())

    def end(self) -> str:
        """Finishes, and gives the digest."""
        changes = self.memory.changes()
        self.translator.finish({"state": "complete"})(changes)
        self.memory.commit(changes)
        digest = self.memory.digest()
        self.memory.close()
        return digest

    def table(self, kind: schema.Kind) -> list[dict[str, Any]]:
        """Rows of an append-only table; ids of symbols as texts."""
        now = self.memory.at()
        return _rows(now, kind, now.table(kind))

    def page(self, kind: schema.Kind, subject: str) -> list[dict[str, Any]]:
        """Rows of a subject's page; none where there is no page."""
        now = self.memory.at()
        page = now.page(kind, subject)
        return [] if page is None else _rows(now, kind, now.columns(kind, page))


def _rows(now: Snapshot, kind: schema.Kind, columns: dict[str, Any]) -> list[dict[str, Any]]:
    shown: dict[str, list[Any]] = {}
    for column in kind.columns:
        values = columns[column.name].tolist()
        if column.ref == "symbol":
            shown[column.name] = [None if v == NONE_U32 else now.symbol(v) for v in values]
        else:
            shown[column.name] = values
    return [dict(zip(shown, row, strict=True)) for row in zip(*shown.values(), strict=True)]


def read(now: Snapshot, subject: str, stage: Stage) -> list[Statement]:
    """An instance's statements as they read at a stage, without ``origin``, which is no column
    that a later stage may leave out."""
    page = now.page(schema.STATEMENT, subject)
    if page is None:
        return []
    columns = now.columns(schema.STATEMENT, page)

    def overlaid(name: str) -> Any:
        seen = columns[staged(name, Stage.LOWERED)]
        for later in STAGES[1 : STAGES.index(stage) + 1]:
            own = columns[staged(name, later)]
            unset = schema.STATEMENT.column(staged(name, later)).fill
            seen = np.where(own == unset, seen, own)
        return seen

    live = np.flatnonzero(overlaid("alive") == 1)
    order = live[np.argsort(overlaid("position")[live])].tolist()
    place = {row: at for at, row in enumerate(order)}
    cells = {n: overlaid(n).tolist() for n in ("opcode", "type", "operands", "operand_count")}
    flags = overlaid("flags").tolist()
    scopes = overlaid("scope").tolist()
    operand_page = now.page(schema.OPERAND, subject)
    operands: dict[str, Any] = defaultdict(list)
    if operand_page is not None:
        found = now.columns(schema.OPERAND, operand_page)
        operands = {name: values.tolist() for name, values in found.items()}

    def listed(start: int, count: int) -> tuple[Any, ...]:
        return tuple(shown(row) for row in range(start, start + count))

    def shown(row: int) -> Any:
        tag, value = operands["tag"][row], operands["value"][row]
        if tag == Tag.LITERAL:
            return now.symbol(value)
        if tag == Tag.STRUCT:
            return listed(operands["start"][row], operands["count"][row])
        return ("ssa" if tag == Tag.SSA else "edge", place.get(value, NONE_U32))

    types = now.table(schema.TYPE)["name"].tolist()
    return [
        Statement(
            now.symbol(cells["opcode"][row]),
            now.symbol(types[cells["type"][row]]),
            listed(cells["operands"][row], cells["operand_count"][row]),
            scope=SELF if scopes[row] == SELF else 0,
            flags=flags[row],
        )
        for row in order
    ]


def seen(told: Told) -> list[Statement]:
    """What ``read`` has to give for a body."""
    return [
        Statement(
            s.opcode,
            s.type,
            s.operands,
            scope=SELF if s.scope == SELF else 0,
            flags=s.flags,
        )
        for s in told
    ]

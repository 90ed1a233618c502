"""One method instance's pages: a compiled body at a stage becomes patches of what is known."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mmsb.base import schema
from mmsb.base.model import NONE_U32, STAGES, Stage, Tag
from mmsb.capture.identity import SELF, Origins, Rows
from mmsb.capture.intern import Intern, Sink
from mmsb.capture.staged import PlainPage, StagedPage, Values
from mmsb.capture.stream import U32, Body, Stream

_OPERAND = np.dtype(
    [("tag", "<u1"), ("value", "<u4"), ("type", "<u4"), ("start", "<u4"), ("count", "<u4")]
)
Operands = NDArray[np.void]

# operands whose value is the id of a symbol
_SYMBOLIC = [
    Tag.GLOBAL, Tag.LITERAL, Tag.STRING, Tag.SYMBOL, Tag.LONG, Tag.EXPR, Tag.INSTANCE,
    Tag.MODULE, Tag.FUNCTION, Tag.METHOD,
]  # fmt: skip
_POSITIONAL = [Tag.SSA, Tag.TARGET, Tag.EDGE]
_PHI_LIKE = ("phi", "phic", "upsilon", "pi", "nothing")


class InstancePages:
    """The pages of one method instance, as last written."""

    def __init__(self, sink: Sink, key: str, stream: Stream, intern: Intern) -> None:
        self.key, self.stream, self.intern = key, stream, intern
        self.rows = Rows()
        self.versions = 0
        self.version_of: dict[int, int] = {}  # row of Schedule.codes → row of the code page

        def plain(kind: schema.Kind) -> PlainPage:
            return PlainPage(kind, sink.page(kind, key), [c.name for c in kind.columns])

        self.instance, self.code = plain(schema.INSTANCE), plain(schema.CODE)
        self.slots, self.calls = plain(schema.SLOT), plain(schema.CALL)
        self.identity = PlainPage(
            schema.STATEMENT, sink.page(schema.STATEMENT, key), ["derived_from", "identity"]
        )
        self.statements = StagedPage(schema.STATEMENT, sink.page(schema.STATEMENT, key))
        self.blocks = StagedPage(schema.BLOCK, sink.page(schema.BLOCK, key))
        self.edges = StagedPage(schema.EDGE, sink.page(schema.EDGE, key))
        self._operand_page = sink.page(schema.OPERAND, key)
        self._operand_rows = 0
        self._lists: dict[Stage, dict[int, bytes]] = {stage: {} for stage in STAGES}
        self._call_rows: dict[tuple[int, int], int] = {}
        self._lowered_opcodes: list[int] = []
        self._lowered_lines: list[tuple[int, int]] = []

    def commit(self, sink: Sink, stage: Stage, body: Body, definition: int, exact: bool) -> None:
        """Make ``stage`` read as ``body``. ``exact``: its origins are statements, not lines."""
        statement = body.statement
        opcodes = self.intern.symbols(sink, statement["opcode"])
        scopes = self.intern.scopes(sink, statement["scope"])
        operands = self._operands(sink, body.operand)
        cuts = [*statement["operands"].tolist(), len(operands)]
        if stage == Stage.LOWERED:
            rows = self._place_lowered(body, opcodes, operands, cuts, definition)
        else:
            rows = self._place(body, stage, opcodes, exact)
        at = np.asarray(rows, np.int64)
        self._grow(sink)
        lists = _lists(operands, cuts, at)
        starts, inherit = self._write_lists(sink, stage, rows, lists)
        values: Values = {
            "position": np.arange(len(rows), dtype=np.uint32),
            "opcode": opcodes,
            "type": self.intern.types(sink, statement["type"]),
            "operands": starts,
            "operand_count": statement["operand_count"].astype(np.uint16),
            "slot": statement["slot"],
            "scope": scopes,
            "line": statement["line"],
            "origin": statement["origin"],
            "flags": statement["flags"],
        }
        self.statements.set_stage(sink, stage, at, values, {"operands": inherit})
        self._commit_flow(sink, stage, body)
        if stage != Stage.LOWERED:
            self._commit_calls(sink, stage, body, at)
        if stage in (Stage.LOWERED, Stage.INFERRED):
            self._commit_slots(sink, stage, body)

    # Rows.

    def _place_lowered(
        self, body: Body, opcodes: U32, operands: Operands, cuts: list[int], definition: int
    ) -> list[int]:
        tokens = _tokens(opcodes, body.statement["slot"], operands, cuts)
        self._lowered_opcodes = opcodes.tolist()
        self._lowered_lines = [(SELF, line) for line in body.statement["line"].tolist()]
        return self.rows.set_lowered(tokens, definition)

    def _place(self, body: Body, stage: Stage, opcodes: U32, exact: bool) -> list[int]:
        lowered = self.rows.lowered
        origins = body.statement["origin"].tolist()
        if stage == Stage.INFERRED and len(opcodes) == len(lowered):
            return list(lowered)
        ops = opcodes.tolist()
        scopes = body.statement["scope"].tolist()
        inlined = [self.intern.anchor(scope) for scope in scopes]
        if not exact:
            lines = list(zip(inlined, body.statement["line"].tolist(), strict=True))
            own = self.rows.by_line(lines, ops, self._lowered_lines, self._lowered_opcodes)
            origins = [
                o if scope == SELF else origin
                for o, scope, origin in zip(own, inlined, origins, strict=True)
            ]
        roots = [
            origin if scope == SELF else self._root(wire)
            for origin, scope, wire in zip(origins, inlined, scopes, strict=True)
        ]
        symbols = self.stream.symbols
        names = body.statement["opcode"].tolist()
        inserted = frozenset(
            op for op, name in zip(ops, names, strict=True) if symbols[name] in _PHI_LIKE
        )
        found = Origins(inlined, origins, ops, roots, inserted)
        return self.rows.place(found, self._lowered_opcodes)

    def _root(self, scope: int) -> int:
        while True:
            parent, _method, _file, _line, origin = self.stream.scopes[scope]
            if parent >= SELF:
                return origin
            scope = parent

    def _grow(self, sink: Sink) -> None:
        self.statements.grow(self.rows.count)
        self.identity.update(
            sink, {"derived_from": self.rows.derived_from, "identity": self.rows.identity}
        )

    # Operands.

    def _operands(self, sink: Sink, wire: dict[str, NDArray[Any]]) -> Operands:
        out = np.zeros(len(wire["tag"]) if wire else 0, _OPERAND)
        if not len(out):
            return out
        for name in ("tag", "value", "start", "count"):
            out[name] = wire[name]
        lines = out["tag"] == Tag.LINE
        types = wire["type"].astype(np.uint32)
        types[~lines] = self.intern.types(sink, types[~lines])
        for at in np.flatnonzero(lines).tolist():
            types[at] = self.intern.file(sink, int(types[at]))
        out["type"] = types
        symbolic = np.isin(out["tag"], _SYMBOLIC)
        out["value"][symbolic] = self.intern.symbols(sink, out["value"][symbolic])
        return out

    def _write_lists(
        self, sink: Sink, stage: Stage, rows: list[int], lists: list[tuple[bytes, Operands]]
    ) -> tuple[U32, NDArray[np.bool_]]:
        """Appends the operand lists that are new; (start of each list, which are inherited)."""
        own = self._lists[stage]
        known = self.statements.own("operands", stage)
        starts = np.zeros(len(rows), np.uint32)
        inherit = np.zeros(len(rows), bool)
        fresh: list[Operands] = []
        for at, (row, (key, block)) in enumerate(zip(rows, lists, strict=True)):
            if stage != Stage.LOWERED and key == self._list_before(row, stage):
                inherit[at] = True
                own.pop(row, None)
            elif own.get(row) == key:
                starts[at] = known[row]
            else:
                own[row] = key
                starts[at] = self._operand_rows
                moved = block.copy()
                moved["start"][moved["count"] > 0] += np.uint32(self._operand_rows)
                fresh.append(moved)
                self._operand_rows += len(block)
        if fresh:
            table = np.concatenate(fresh)
            names = cast(tuple[str, ...], _OPERAND.names)
            columns = {name: np.ascontiguousarray(table[name]) for name in names}
            first = self._operand_rows - len(table)
            if len(table):
                sink.patch(schema.OPERAND, self._operand_page, columns, first)
        return starts, inherit

    def _list_before(self, row: int, stage: Stage) -> bytes | None:
        for earlier in reversed(STAGES[: STAGES.index(stage)]):
            if row in self._lists[earlier]:
                return self._lists[earlier][row]
        return None

    # Control flow, calls, slots.

    def _commit_flow(self, sink: Sink, stage: Stage, body: Body) -> None:
        for page, table in ((self.blocks, body.block), (self.edges, body.edge)):
            count = len(next(iter(table.values()))) if table else 0
            page.grow(count)
            page.set_stage(sink, stage, np.arange(count), dict(table) if count else _nothing(page))

    def _commit_calls(self, sink: Sink, stage: Stage, body: Body, rows: NDArray[np.int64]) -> None:
        gone = {row for (at, _), row in self._call_rows.items() if at == stage}
        table = {c.name: self.calls.get(c.name).tolist() for c in schema.CALL.columns}
        for call in self._calls(sink, stage, body, rows):
            row = self._call_rows.setdefault((stage, call["statement"]), len(self._call_rows))
            gone.discard(row)
            for name, value in call.items():
                if row == len(table[name]):
                    table[name].append(value)
                else:
                    table[name][row] = value
        for row in gone:
            table["alive"][row] = 0
        if table["alive"]:
            self.calls.update(sink, table)

    def _calls(
        self, sink: Sink, stage: Stage, body: Body, rows: NDArray[np.int64]
    ) -> list[dict[str, int]]:
        if not body.call or not len(body.call["statement"]):
            return []
        columns = {
            "statement": rows[body.call["statement"]].tolist(),
            "kind": body.call["kind"].tolist(),
            "callee": self.intern.symbols(sink, body.call["callee"]).tolist(),
            "signature": self.intern.types(sink, body.call["signature"]).tolist(),
        }
        return [
            {"alive": 1, "stage": int(stage), **dict(zip(columns, values, strict=True))}
            for values in zip(*columns.values(), strict=True)
        ]

    def _commit_slots(self, sink: Sink, stage: Stage, body: Body) -> None:
        count = len(body.slot["name"]) if body.slot else 0
        columns: dict[str, object] = {}
        if count:
            columns = {"alive": np.ones(count, np.uint8)}
            columns["name"] = self.intern.symbols(sink, body.slot["name"])
            if stage != Stage.LOWERED:
                columns["type"] = self.intern.types(sink, body.slot["type"])
            self.slots.update(sink, columns)
        if self.slots.size > count:
            self.slots.update(sink, {"alive": np.zeros(self.slots.size - count)}, count)


def _nothing(page: StagedPage) -> Values:
    return {name: np.empty(0, np.uint32) for name in ("first", "last", "source", "target")}


def _tokens(opcodes: U32, slots: NDArray[Any], operands: Operands, cuts: list[int]) -> list[object]:
    """What each lowered statement is, without the positions it refers to."""
    plain = operands.copy()
    plain["value"][np.isin(plain["tag"], _POSITIONAL)] = 0
    tokens: list[object] = []
    for at, (opcode, slot) in enumerate(zip(opcodes.tolist(), slots.tolist(), strict=True)):
        block = plain[cuts[at] : cuts[at + 1]].copy()
        block["start"] = 0
        tokens.append((opcode, slot, block.tobytes()))
    return tokens


def _lists(
    operands: Operands, cuts: list[int], rows: NDArray[np.int64]
) -> list[tuple[bytes, Operands]]:
    """The operand list of each statement: positions are rows, starts count from the list."""
    out = operands.copy()
    places = np.isin(out["tag"], _POSITIONAL) & (out["value"] != NONE_U32)
    targets = out["value"][places].astype(np.int64)
    # a jump past the last statement (dead code) has no row
    known = targets < len(rows)
    out["value"][places] = np.where(
        known, rows[np.where(known, targets, 0)] if len(rows) else 0, NONE_U32
    ).astype(np.uint32)
    lists = []
    for at in range(len(rows)):
        block = out[cuts[at] : cuts[at + 1]].copy()
        nested = block["count"] > 0
        block["start"][nested] -= np.uint32(cuts[at])
        block["start"][~nested] = 0
        lists.append((block.tobytes(), block))
    return lists

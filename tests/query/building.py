"""Writes a small memory by hand, as the translator would: for questions whose answer is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmsb.base import schema
from mmsb.base.model import NONE_U32, CallKind, EventKind, Lattice, Provenance, Stage, Tag
from mmsb.base.schema import staged
from mmsb.memory.changes import Changes
from mmsb.query.reader import Reader

SELF = NONE_U32 - 1
#: (tag, what): a row or number, or a text.
Operand = tuple[Tag, Any]
ABSTRACT = {"Core.Any": Lattice.ABSTRACT, "Core.Real": Lattice.ABSTRACT}


def method_key(name: str, *types: str) -> str:
    return f"Main.{name} Core.Tuple{{{', '.join([f'typeof(Main.{name})', *types])}}}"


def instance_key(name: str, *types: str, method: tuple[str, ...] = ("Core.Any",)) -> str:
    signature = ", ".join([f"typeof(Main.{name})", *types])
    return f"{method_key(name, *method)} @ Core.Tuple{{{signature}}}"


class Builder:
    """``with builder.epoch():`` is one commit; everything in between writes into it."""

    def __init__(self, path: Path, kinds: Sequence[schema.Kind] = schema.KINDS) -> None:
        Reader.create(path, kinds=kinds).close()
        self._memory = Reader.open(path, write=True, kinds=kinds)
        self._types: dict[str, int] = {}
        self._operands: dict[str, int] = {}
        self._changes: Changes | None = None

    @contextmanager
    def epoch(self) -> Iterator[None]:
        self._changes = self._memory.changes()
        yield
        self._memory.commit(self._changes)
        self._changes = None

    def done(self) -> Reader:
        memory = self._memory
        assert isinstance(memory, Reader)
        return memory

    @property
    def now(self) -> Changes:
        assert self._changes is not None, "write inside `with builder.epoch()`"
        return self._changes

    def type(self, text: str) -> int:
        if text not in self._types:
            lattice = ABSTRACT.get(text, Lattice.CONCRETE)
            lattice = Lattice.UNION if text.startswith("Core.Union{") else lattice
            text = text.replace("Core.Union{", "Union{")
            self._types[text.replace("Union{", "Core.Union{")] = self._types[text] = (
                self.now.append(
                    schema.TYPE,
                    {
                        "name": [self.now.symbol(text)],
                        "lattice": [lattice],
                        "widened": [self.now.symbol(text)],
                    },
                )
            )
        return self._types[text]

    def event(
        self,
        kind: EventKind,
        subject: str,
        world: int,
        version: int = NONE_U32,
        *,
        window: int = 0,
        detail: str = "",
    ) -> None:
        cells = {"window": window, "kind": kind, "world": world, "version": version}
        columns = {name: [value] for name, value in cells.items()}
        columns |= {"detail": [self.now.symbol(detail)]} if detail else {}
        self.now.append(schema.EVENT, {**columns, "subject": [self.now.symbol(subject)]})

    def method(self, name: str, *types: str, world: int, definition: int = 1, line: int = 1) -> str:
        key = method_key(name, *types)
        cells = {
            "name": self.now.symbol(name),
            "module": self.now.symbol("Main"),
            "line": line,
            "world": world,
            "definition": definition,
        }
        self._patch(schema.METHOD, key, cells)
        self.event(EventKind.DEFINED, key, world)
        return key

    def instance(self, key: str, name: str, *, depth: int = 0) -> None:
        cells = {
            "method": self.now.symbol(key.partition(" @ ")[0]),
            "name": self.now.symbol(name),
            "depth": depth,
            "module": self.now.symbol("Main"),
        }
        self._patch(schema.INSTANCE, key, cells)

    def code(self, key: str, version: int, **cells: Any) -> None:
        for name in ("return_type", "return_lattice", "exception_type"):
            if name in cells:
                cells[name] = self.type(cells[name])
        self._patch(schema.CODE, key, cells, version)

    def _patch(self, kind: schema.Kind, key: str, cells: dict[str, Any], row: int = 0) -> None:
        columns = {name: [value] for name, value in cells.items()}
        self.now.patch(kind, self.now.page(kind, key), columns, row)

    def body(
        self,
        key: str,
        stage: Stage,
        statements: Sequence[dict[str, Any]],
        *,
        blocks: Sequence[tuple[int, int]] = (),
        edges: Sequence[tuple[int, int]] = (),
        world: int = 1,
        version: int = 0,
        said: Provenance | None = None,
    ) -> None:
        """Statements as ``{"row": 0, "opcode": "call", "operands": […], "type": "Core.Int64"}``.

        Only the keys given are written, so that a later stage is a patch. ``said``: who; written
        into the code row, as recordings do since they have passes.
        """
        page = self.now.page(schema.STATEMENT, key)
        for statement in statements:
            cells = dict(statement)
            row = cells.pop("row")
            if "opcode" in cells:
                cells["opcode"] = self.now.symbol(cells["opcode"])
            if "type" in cells:
                cells["type"] = self.type(cells["type"])
            if "operands" in cells:
                given = cells["operands"]
                cells["operands"] = self.operands(key, given)
                cells["operand_count"] = len(given)
            columns = {staged(name, stage): [value] for name, value in cells.items()}
            self.now.patch(schema.STATEMENT, page, columns, row)
        self._block_rows(key, stage, blocks, edges)
        kinds = {
            Stage.LOWERED: EventKind.LOWERED,
            Stage.INFERRED: EventKind.INFERRED,
            Stage.OPTIMIZED: EventKind.OPTIMIZED,
            Stage.REDERIVED: EventKind.OPTIMIZED,
        }
        if said is not None:
            self._patch(schema.CODE, key, {staged("provenance", stage): said}, version)
        detail = stage.name.lower() if said is Provenance.REDERIVED else ""
        self.event(kinds.get(stage, EventKind.PASSES), key, world, version, detail=detail)

    def _block_rows(
        self,
        key: str,
        stage: Stage,
        blocks: Sequence[tuple[int, int]],
        edges: Sequence[tuple[int, int]],
    ) -> None:
        for kind, names, rows in (
            (schema.BLOCK, ("first", "last"), blocks),
            (schema.EDGE, ("source", "target"), edges),
        ):
            for row, pair in enumerate(rows):
                cells = {staged("alive", stage): 1}
                cells |= {staged(name, stage): cell for name, cell in zip(names, pair, strict=True)}
                self._patch(kind, key, cells, row)

    def operands(self, key: str, values: Sequence[Operand]) -> int:
        start = self._operands.get(key, 0)
        self._operands[key] = start + len(values)
        for row, (tag, value) in enumerate(values, start):
            cells: dict[str, Any] = {"tag": tag}
            if tag is Tag.LITERAL:
                text, type_ = value
                cells |= {"value": self.now.symbol(text), "type": self.type(type_)}
            elif tag is Tag.TYPE:
                cells["type"] = self.type(value)
            elif isinstance(value, str):
                cells["value"] = self.now.symbol(value)
            else:
                cells["value"] = value
            self._patch(schema.OPERAND, key, cells, row)
        return start

    def call(self, key: str, row: int, statement: int, kind: CallKind, stage: Stage) -> None:
        cells = {"alive": 1, "statement": statement, "kind": kind, "stage": stage}
        self._patch(schema.CALL, key, cells, row)

    def slots(self, key: str, *names: str) -> None:
        for row, name in enumerate(names):
            cells = {"name": self.now.symbol(name), "alive": 1}
            self._patch(schema.SLOT, key, cells, row)

    def note(self, **facts: str) -> None:
        """What is known of the recording as a whole."""
        for key, value in facts.items():
            row = {"key": [self.now.symbol(key)], "value": [self.now.symbol(value)]}
            self.now.append(schema.RECORDING, row)

    def add(self, kind: schema.Kind, /, **cells: Any) -> int:
        """A row of an append-only kind; texts of symbol columns are given as texts."""
        columns = {name: [self._cell(kind, name, cell)] for name, cell in cells.items()}
        return self.now.append(kind, columns)

    def row(self, kind: schema.Kind, key: str, row: int, /, **cells: Any) -> None:
        """A row of a page, likewise."""
        self._patch(kind, key, {n: self._cell(kind, n, c) for n, c in cells.items()}, row)

    def _cell(self, kind: schema.Kind, name: str, cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        return self.type(cell) if kind.column(name).ref == "type" else self.now.symbol(cell)

    def ended(self, victim: str, cause: str, *, state: int, world: int, **cells: Any) -> None:
        via = cells.pop("via", None)
        row = {
            "victim": self.now.symbol(victim),
            "cause": self.now.symbol(cause),
            "via": NONE_U32 if via is None else self.now.symbol(via),
            "state": state,
            "world": world,
            "version": 0,
            **cells,
        }
        self.now.append(schema.INVALIDATION, {name: [value] for name, value in row.items()})


def integer(number: int) -> Operand:
    return (Tag.LITERAL, (str(number), "Core.Int64"))

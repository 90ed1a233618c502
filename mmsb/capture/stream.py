"""Frames of one recording put together: everything a shim said, with its ids resolved.

Nothing is decided here; ``scheduler.py`` finds the order and ``translate.py`` the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.base.errors import CorruptData
from mmsb.base.model import NONE_U32, NONE_U64, Kept, Stage
from mmsb.capture.frames import Columns, Frame

U32 = NDArray[np.uint32]


@dataclass(slots=True)
class Body:
    """One code object at one stage: slices of a frame's tables. ``operands`` starts at row 0."""

    stage: Stage
    provenance: int
    statement: Columns
    operand: Columns
    block: Columns
    edge: Columns
    call: Columns
    slot: Columns


@dataclass(slots=True)
class Code:
    """One version of one method instance."""

    instance: str
    method_world: int
    min_world: int
    max_world: int
    asked_world: int
    return_type: int
    cached: bool
    provenance: int
    exception_type: int = NONE_U32
    return_lattice: int = NONE_U32
    effects: int = 0
    kept: int = Kept.UNKNOWN
    rederived: int = 0
    order: int = NONE_U64
    inclusive_ns: int = NONE_U64
    exclusive_ns: int = NONE_U64
    compile_ns: int = NONE_U64
    causes: list[str] = field(default_factory=list)  # methods that its calls can reach
    bodies: dict[Stage, Body] = field(default_factory=dict)


@dataclass(slots=True)
class Method:
    """One definition of a method."""

    key: str
    name: str
    module: str
    signature: int
    file: int
    line: int
    world: int
    last_world: int
    arguments: int
    deleted: bool


@dataclass(slots=True)
class Instance:
    """One method instance."""

    key: str
    method: str
    signature: int
    name: str
    depth: int
    module: str
    trace: str


@dataclass(slots=True)
class Event:
    """A definition as the method tracer saw it; ``offset`` in bytes of the trace file."""

    kind: int
    subject: str
    world: int
    offset: int
    order: int = NONE_U64


@dataclass(slots=True)
class Stream:
    """The whole recording. Type, file and scope ids are rows of the lists here."""

    symbols: list[str] = field(default_factory=list)
    types: list[tuple[int, int, int]] = field(default_factory=list)  # name, lattice, widened
    files: list[tuple[int, int, int, int]] = field(default_factory=list)  # .., path
    scopes: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    questions: int = 0
    events: list[Event] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    codes: list[Code] = field(default_factory=list)
    _heap: bytearray = field(default_factory=bytearray)

    def add(self, frame: Frame) -> None:
        """Take one frame in, in the order of the stream. Raises CorruptData."""
        try:
            for name in ("heap", "symbol", "type", "file", "scope", "recording"):
                if name in frame.tables:
                    getattr(self, f"_add_{name}")(frame.tables[name])
            for name in ("method", "instance", "event", "code"):
                if name in frame.tables:
                    getattr(self, f"_add_{name}")(frame.tables[name])
            if "body" in frame.tables:
                self._add_bodies(frame)
            if "cause" in frame.tables:
                for code, method in _rows(frame.tables["cause"], "code", "method"):
                    self.codes[code].causes.append(self.symbols[method])
        except (IndexError, UnicodeDecodeError) as problem:
            raise CorruptData(
                f"the recorder's stream refers to what it never sent ({problem}): record again"
            ) from problem

    def _add_heap(self, t: Columns) -> None:
        self._heap += t["byte"].tobytes()

    def _add_symbol(self, t: Columns) -> None:
        for offset, length in zip(t["offset"].tolist(), t["length"].tolist(), strict=True):
            self.symbols.append(self._heap[offset : offset + length].decode())

    def _add_type(self, t: Columns) -> None:
        self.types.extend(_rows(t, "name", "lattice", "widened"))

    def _add_file(self, t: Columns) -> None:
        self.files.extend(_rows(t, "content", "name", "lines", "path"))

    def _add_scope(self, t: Columns) -> None:
        self.scopes.extend(_rows(t, "parent", "method", "file", "line", "origin"))

    def _add_recording(self, t: Columns) -> None:
        for key, value in _rows(t, "key", "value"):
            if self.symbols[key] == "questions":
                self.questions += int(self.symbols[value])
            else:
                self.notes[self.symbols[key]] = self.symbols[value]

    def _add_event(self, t: Columns) -> None:
        for kind, subject, *where in _rows(t, "kind", "subject", "world", "offset", "order"):
            self.events.append(Event(kind, self.symbols[subject], *where))

    def _add_method(self, t: Columns) -> None:
        for row in self._records(t, "key", "name", "module"):
            self.methods.append(Method(**{**row, "deleted": bool(row["deleted"])}))

    def _add_instance(self, t: Columns) -> None:
        for row in self._records(t, "key", "method", "name", "module", "trace"):
            self.instances.setdefault(row["key"], Instance(**row))

    def _add_code(self, t: Columns) -> None:
        for row in self._records(t, "instance"):
            self.codes.append(Code(**{**row, "cached": bool(row["cached"])}))

    def _records(self, t: Columns, *symbolic: str) -> Iterator[dict[str, Any]]:
        """Rows by column name; those of the symbolic columns as text."""
        for values in _rows(t, *t):
            row = dict(zip(t, values, strict=True))
            for name in symbolic:
                row[name] = self.symbols[row[name]]
            yield row

    def _add_bodies(self, frame: Frame) -> None:
        bodies = frame.tables["body"]
        starts = dict.fromkeys(("statement", "block", "edge", "call", "slot"), 0)
        counts = {name: bodies[f"{name}s"].tolist() for name in starts}
        operands = frame.tables.get("operand", {})
        first = frame.tables["statement"]["operands"] if "statement" in frame.tables else None
        total = len(operands["tag"]) if operands else 0
        for index, (code, stage, provenance) in enumerate(
            _rows(bodies, "code", "stage", "provenance")
        ):
            parts: dict[str, Columns] = {}
            low = starts["statement"]
            for name in starts:
                stop = starts[name] + counts[name][index]
                parts[name] = _slice(frame.tables.get(name, {}), starts[name], stop)
                starts[name] = stop
            high = starts["statement"]
            lo, hi = total, total
            if first is not None and low < high:
                lo = int(first[low])
                hi = int(first[high]) if high < len(first) else total
            body = Body(Stage(stage), provenance, operand=_slice(operands, lo, hi), **parts)
            if low < high:
                body.statement["operands"] = body.statement["operands"] - np.uint32(lo)
                body.operand["start"] = np.where(
                    body.operand["count"] > 0, body.operand["start"] - np.uint32(lo), 0
                ).astype(np.uint32)
            self.codes[code].bodies[body.stage] = body


def _rows(table: Columns, *names: str) -> list[Any]:
    """Rows as tuples of the named columns' integers."""
    return list(zip(*(table[name].tolist() for name in names), strict=True))


def _slice(table: Columns, start: int, stop: int) -> Columns:
    return {name: values[start:stop] for name, values in table.items()}

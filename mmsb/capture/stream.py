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
#: The tables whose rows belong to bodies.
_PARTS = ("statement", "operand", "block", "edge", "call", "slot")


@dataclass(slots=True)
class Body:
    """One code object at one stage: which rows of a frame's tables it is."""

    stage: Stage
    provenance: int
    tables: dict[str, Columns]
    spans: dict[str, tuple[int, int]]

    def count(self, name: str) -> int:
        """Rows of one of its tables."""
        start, stop = self.spans[name]
        return stop - start

    def column(self, name: str, column: str) -> NDArray[Any]:
        """One column; ``statement.operands`` and ``operand.start`` count rows of the frame."""
        start, stop = self.spans[name]
        return self.tables[name][column][start:stop]


@dataclass(slots=True)
class Decided:
    """One decision of the shadow compiler; the fields of the wire's table."""

    kind: int
    origin: int
    scope: int
    callee: int
    outcome: int
    cost: int
    threshold: int
    reason: int
    effects: int
    type: int


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
    dependencies: list[tuple[int, str]] = field(default_factory=list)  # model.Dependency, target
    decisions: list[Decided] = field(default_factory=list)
    bodies: dict[Stage, Body] = field(default_factory=dict)
    calls: list[tuple[int, int, int]] | None = None  # kept when the bodies go; see calls.py

    @property
    def identity(self) -> tuple[str, int, int]:
        """What makes it the same code object when it comes again; the order inside a window."""
        return (self.instance, self.method_world, self.min_world)


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
    """A definition as the method tracer saw it; ``offset`` in bytes of the trace file, ``order``
    in code objects inferred before it."""

    kind: int
    subject: str
    world: int
    offset: int
    order: int = NONE_U64


@dataclass(slots=True)
class InferenceFrame:
    """A frame of the inference tree. ``parent``: row of ``Stream.inference``, ``code`` of
    ``Stream.codes``, or NONE."""

    parent: int
    instance: str
    code: int
    kind: int
    order: int
    inclusive_ns: int
    exclusive_ns: int


@dataclass(slots=True)
class LogNode:
    """A node of the compiler's invalidation log. ``parent``: row of ``Stream.log``, or NONE;
    ``subject``: "" where the log names none."""

    parent: int
    node: int
    cause: int
    subject: str
    depth: int
    code: int
    world: int
    lost_ns: int


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
    inference: list[InferenceFrame] = field(default_factory=list)
    log: list[LogNode] = field(default_factory=list)
    _heap: bytearray = field(default_factory=bytearray)

    def add(self, frame: Frame) -> None:
        """Take one frame in, in the order of the stream. Raises CorruptData."""
        try:
            for name in _ORDER:
                if name in frame.tables:
                    getattr(self, f"_add_{name}")(frame.tables[name])
            if "body" in frame.tables:
                self._add_bodies(frame)
        except (IndexError, KeyError, UnicodeDecodeError) as problem:
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

    def _add_cause(self, t: Columns) -> None:
        for code, method in _rows(t, "code", "method"):
            self.codes[code].causes.append(self.symbols[method])

    def _add_dependency(self, t: Columns) -> None:
        for code, kind, target in _rows(t, "code", "kind", "target"):
            self.codes[code].dependencies.append((kind, self.symbols[target]))

    def _add_inference(self, t: Columns) -> None:
        for row in self._records(t, "instance"):
            self._known(row["parent"], len(self.inference))
            self._known(row["code"], len(self.codes))
            self.inference.append(InferenceFrame(**row))

    def _add_invalidation_tree(self, t: Columns) -> None:
        for row in self._records(t, "subject"):
            self._known(row["parent"], len(self.log))
            self._known(row["code"], len(self.codes))
            self.log.append(LogNode(**row))

    def _add_decision(self, t: Columns) -> None:
        names = [name for name in t if name != "code"]
        for code, *values in _rows(t, "code", *names):
            decided = Decided(**dict(zip(names, values, strict=True)))
            self.codes[code].decisions.append(decided)

    def _known(self, row: int, count: int) -> None:
        if row != NONE_U32 and row >= count:
            raise IndexError(f"row {row} of {count}")

    def _records(self, t: Columns, *symbolic: str) -> Iterator[dict[str, Any]]:
        """Rows by column name; those of the symbolic columns as text, "" for none."""
        for values in _rows(t, *t):
            row = dict(zip(t, values, strict=True))
            for name in symbolic:
                row[name] = self.symbols[row[name]] if row[name] != NONE_U32 else ""
            yield row

    def _add_bodies(self, frame: Frame) -> None:
        tables = {name: frame.tables[name] for name in _PARTS if name in frame.tables}
        counted = [name for name in _PARTS if name != "operand"]
        bodies = frame.tables["body"]
        stops = {name: np.cumsum(bodies[f"{name}s"], dtype=np.int64) for name in counted}
        starts = {name: (stops[name] - bodies[f"{name}s"]).tolist() for name in counted}
        ends = {name: stop.tolist() for name, stop in stops.items()}
        for name in counted:
            held = len(next(iter(tables[name].values()))) if name in tables else 0
            if ends[name] and ends[name][-1] > held:
                raise IndexError(f"{ends[name][-1]} rows of {name} of {held}")
        total = len(tables["operand"]["tag"]) if "operand" in tables else 0
        # a list begins where its statement says; those of a body end where the next one's begin
        first = tables["statement"]["operands"].tolist() if "statement" in tables else []
        first.append(total)
        for at, (code, stage, provenance) in enumerate(
            _rows(bodies, "code", "stage", "provenance")
        ):
            spans = {name: (starts[name][at], ends[name][at]) for name in counted}
            low, high = spans["statement"]
            spans["operand"] = (first[low], first[high]) if low < high else (total, total)
            body = Body(Stage(stage), provenance, tables, spans)
            self.codes[code].bodies[body.stage] = body


#: Tables in the order in which they refer to each other.
_ORDER = (
    *("heap", "symbol", "type", "file", "scope", "recording", "method", "instance", "event"),
    *("code", "cause", "dependency", "inference", "invalidation_tree", "decision"),
)


def _rows(table: Columns, *names: str) -> list[Any]:
    """Rows as tuples of the named columns' integers."""
    return list(zip(*(table[name].tolist() for name in names), strict=True))

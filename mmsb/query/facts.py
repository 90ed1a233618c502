"""What every question reads first: events with their epochs, types, methods, instances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.model import NONE_U32, EventKind, Lattice
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot
from mmsb.query.answers import Function
from mmsb.query.code import Code, codes
from mmsb.query.spelling import callee_name, instance_name, signature

#: Events that say a body was seen.
_SEEN = frozenset({EventKind.LOWERED, EventKind.INFERRED, EventKind.OPTIMIZED, EventKind.PASSES})


@dataclass(frozen=True, slots=True)
class Event:
    """A row of ``event``, with the epoch that wrote it."""

    row: int
    epoch: int
    window: int
    kind: EventKind
    subject: str
    world: int
    version: int | None  # counted from 1
    detail: str


@dataclass(frozen=True, slots=True)
class TypeText:
    """A row of ``type``: canonical text, and Julia's own type where the text is a constant."""

    text: str
    lattice: Lattice
    widened: str


@dataclass(frozen=True, slots=True)
class Method:
    """Row 0 of a method's page."""

    key: str
    name: str
    module: str
    signature: str
    file: int | None
    line: int
    world: int
    definition: int


UNTYPED = TypeText("", Lattice.OTHER, "")


class Facts:
    """Reads of one memory as of one epoch; each table is read once, when first asked for."""

    def __init__(
        self, memory: Memory, epoch: int | None = None, family: dict[int, Facts] | None = None
    ) -> None:
        """UnknownName if the epoch does not exist."""
        self.memory = memory
        self.snapshot: Snapshot = memory.at(epoch)
        self.epoch = self.snapshot.epoch
        # Facts of other epochs of this memory; ids mean the same in all of them
        self._family = {} if family is None else family
        self._family[self.epoch] = self
        self._codes: dict[str, tuple[Code, ...]] = {}

    def at(self, epoch: int) -> Facts:
        """The same memory as of another epoch; made once."""
        return self._family.get(epoch) or Facts(self.memory, epoch, self._family)

    @property
    def head(self) -> Facts:
        """The memory as of its last epoch."""
        return self.at(self.memory.head)

    # Append-only tables.

    @cached_property
    def texts(self) -> list[str]:
        """Every symbol; ids never change, so the head's serve every epoch."""
        if self is not self.head:
            return self.head.texts
        return self.snapshot.symbols(np.arange(len(self.snapshot.table(schema.SYMBOL)["length"])))

    def text(self, id: int) -> str:
        """A symbol's text, "" for none."""
        return "" if id == NONE_U32 else self.texts[id]

    @cached_property
    def types(self) -> list[TypeText]:
        """Every type, in order of id."""
        if self is not self.head:
            return self.head.types
        table = self.snapshot.table(schema.TYPE)
        return [
            TypeText(self.text(name), Lattice(lattice), self.text(widened))
            for name, lattice, widened in zip(
                table["name"].tolist(),
                table["lattice"].tolist(),
                table["widened"].tolist(),
                strict=True,
            )
        ]

    def type(self, id: int) -> TypeText:
        return self.types[id] if id < len(self.types) else UNTYPED

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """All events as of the epoch, in their order."""
        table, epochs = self.table_with_epochs(schema.EVENT)
        return tuple(
            Event(row, epoch, window, EventKind(kind), self.text(subject), world, version, text)
            for row, (epoch, window, kind, subject, world, version, text) in enumerate(
                zip(
                    epochs,
                    table["window"].tolist(),
                    table["kind"].tolist(),
                    table["subject"].tolist(),
                    table["world"].tolist(),
                    [_version(value) for value in table["version"].tolist()],
                    [self.text(value) for value in table["detail"].tolist()],
                    strict=True,
                )
            )
        )

    @cached_property
    def stage_events(self) -> dict[str, list[Event]]:
        """The events in which each instance was seen in a stage, oldest first."""
        found: dict[str, list[Event]] = {}
        for event in self.events:
            if event.kind in _SEEN:
                found.setdefault(event.subject, []).append(event)
        return found

    @cached_property
    def invalidations(self) -> list[tuple[int, dict[str, Any]]]:
        """Rows of ``invalidation`` as (epoch, cells by column name)."""
        table, epochs = self.table_with_epochs(schema.INVALIDATION)
        names = list(table)
        rows = zip(*(table[name].tolist() for name in names), strict=True)
        return [
            (epoch, dict(zip(names, row, strict=True)))
            for epoch, row in zip(epochs, rows, strict=True)
        ]

    @cached_property
    def recording(self) -> dict[str, str]:
        """What is known of the recording as a whole; of a key said twice, the later value."""
        table = self.snapshot.table(schema.RECORDING)
        keys, values = table["key"].tolist(), table["value"].tolist()
        return {self.text(key): self.text(value) for key, value in zip(keys, values, strict=True)}

    def table_with_epochs(self, kind: schema.Kind) -> tuple[dict[str, Any], list[int]]:
        """Columns of an append-only kind, and the epoch that wrote each row."""
        table = self.snapshot.table(kind)
        pages = self.snapshot.pages(kind)
        names = [column.name for column in kind.columns]
        epochs = self.snapshot.blame(kind, int(pages[0]), names).tolist() if len(pages) else []
        return table, epochs

    # Pages.

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """Every method instance known as of the epoch, in order of first mention."""
        pages = self.snapshot.pages(schema.INSTANCE)
        names = ("name", "method", "module", "depth")
        cells = [self._first_cells(schema.INSTANCE, name) for name in names]
        subjects = self.snapshot.subjects(pages)
        return tuple(
            Function(
                name=instance_name(self.text(name), key),
                key=key,
                method=self.text(method),
                module=self.text(module),
                depth=_optional(depth),
            )
            for key, name, method, module, depth in zip(subjects, *cells, strict=True)
        )

    @cached_property
    def by_key(self) -> dict[str, Function]:
        return {function.key: function for function in self.functions}

    @cached_property
    def named(self) -> dict[str, list[str]]:
        """Keys of instances by name: mostly one each."""
        found: dict[str, list[str]] = {}
        for function in self.functions:
            found.setdefault(function.name, []).append(function.key)
        return found

    def shown(self, function: Function) -> Function:
        """The function by a name that is no other instance's."""
        return replace(function, name=subject_name(self, function.key))

    def _first_cells(self, kind: schema.Kind, name: str) -> list[int]:
        """A column's cell in row 0 of every page of the kind."""
        values, offsets = self.snapshot.gather(kind, name)
        fill = kind.column(name).fill
        starts, stops = offsets[:-1].tolist(), offsets[1:].tolist()
        return [
            int(values[start]) if stop > start else fill
            for start, stop in zip(starts, stops, strict=True)
        ]

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Keys of the methods known as of the epoch."""
        return tuple(self.snapshot.subjects(self.snapshot.pages(schema.METHOD)))

    def method(self, key: str) -> Method | None:
        """A method's newest definition as of the epoch."""
        page = self.snapshot.page(schema.METHOD, key)
        if page is None or not self.snapshot.row_count(schema.METHOD, page):
            return None
        cell = {name: int(cells[0]) for name, cells in self._columns(schema.METHOD, page).items()}
        return Method(
            key=key,
            name=self.text(cell["name"]),
            module=self.text(cell["module"]),
            signature=self.type(cell["signature"]).text,
            file=_optional(cell["file"]),
            line=cell["line"],
            world=cell["world"],
            definition=cell["definition"],
        )

    def codes(self, key: str) -> tuple[Code, ...]:
        """Every compiled version of an instance known as of the epoch."""
        if key not in self._codes:
            page = self.snapshot.page(schema.CODE, key)
            columns = {} if page is None else self._columns(schema.CODE, page)
            self._codes[key] = tuple(codes(columns, lambda id: self.type(id).text))
        return self._codes[key]

    def _columns(self, kind: schema.Kind, page: int) -> dict[str, Any]:
        return self.snapshot.columns(kind, page)


def subject_name(facts: Facts, subject: str) -> str:
    """A method, an instance, or another subject as people write it.

    Where an instance of the memory is written the same, a name that tells them apart: with types
    and functions in full, or with its method (``f(::Int64) of f(::Any)``).
    """
    known = facts.by_key.get(subject)
    name = callee_name(subject) if known is None else known.name
    own, types = subject.partition(" @ ")[0], signature(subject)
    others = [key for key in facts.named.get(name, ()) if key != subject]
    same = [key for key in others if signature(key) == types]
    if known is None or not same:  # a method goes by the name of an instance of its very types
        return types if types and len(same) < len(others) else name
    of = callee_name(own)
    several = any(callee_name(key.partition(" @ ")[0]) == of for key in same)
    return subject if several else f"{name} of {of}"


def _version(row: int) -> int | None:
    """The first version of an instance is version 1."""
    return None if row == NONE_U32 else row + 1


def _optional(value: int) -> int | None:
    return None if value == NONE_U32 else value

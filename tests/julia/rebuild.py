"""IR rebuilt from a memory alone, in the text that ``canonical.jl`` writes of Julia's own answer.

::

    stage     "lowered" | "inferred" | "optimized" | "native"
    B 3 7 -> 2 9        a block: first and last statement, the blocks it may continue in
    $4 = call g:Base.+ %1 bits:Core.Int64:0000000000000001 :: Core.Int64
    │    │    │                                               └ type, " ~ " what it widens to
    │    │    └ operands                                        "-" where the stage has none
    │    └ opcode
    └ the slot assigned to

    %3 statement 3   _2 argument   $4 slot   $4::T typed slot   ->9 jump   <-7 φ predecessor
    g: global   t: type   m: module   M: method   I: instance   f: function   bits:T:hex
    str: sym: text, "#length:sha256" where it is long     {T fields…} struct or tuple
    svec(…)   (head …) expression   'x quote   line:7   opaque:T   #undef   nothing

Statements and blocks count from 1, as in Julia. Bytes outside ASCII are written ``%XX``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from mmsb.base.model import (
    NONE_U32,
    OPEN_WORLD,
    STAGES,
    UNSET_U8,
    Kept,
    Provenance,
    Rederived,
    Stage,
    Tag,
)
from mmsb.base.schema import BY_NAME, staged
from mmsb.memory.cells import Array
from mmsb.memory.snapshot import Snapshot

Ints = NDArray[np.int64]
Body = list[str]

_FLOATS = {"Core.Float16": "<e", "Core.Float32": "<f", "Core.Float64": "<d"}
_SIZES = {"Core.Bool": 1, "Core.Char": 4} | {
    f"Core.{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64, 128)
}
NO_SLOT = NONE_U32 - 1


def escape(text: str) -> str:
    """Printable ASCII but ``%`` stays as it is."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x25 else f"%{b:02x}" for b in raw)


def bits(type_name: str, text: str) -> str:
    """The bits of a primitive value, high byte first, from the text the memory keeps."""
    text = text.removeprefix(f"{type_name}(").removesuffix(")").strip("'")
    if text.startswith("0x"):
        return text[2:]
    if type_name in _FLOATS:
        return struct.pack(_FLOATS[type_name], float(text))[::-1].hex()
    size = _SIZES[type_name]
    number = {"true": 1, "false": 0}.get(text)
    value = int(text) if number is None else number
    return value.to_bytes(size, "big", signed=value < 0).hex()


@dataclass
class Count:
    """Operands seen, and those of them whose inside is not kept."""

    operands: int = 0
    opaque: int = 0


@dataclass
class Names:
    """What ids stand for, as of one epoch."""

    snapshot: Snapshot
    count: Count = field(default_factory=Count)

    @cached_property
    def _types(self) -> list[tuple[str, str]]:
        table = self.snapshot.table("type")
        names = self.snapshot.symbols(table["name"])
        widened = self.snapshot.symbols(table["widened"])
        return list(zip(names, widened, strict=True))

    @cached_property
    def _symbols(self) -> list[str]:
        return self.snapshot.symbols(range(len(self.snapshot.table("symbol")["length"])))

    def symbol(self, id: int) -> str:
        return self._symbols[id]

    def type(self, id: int) -> str:
        return escape(self._types[id][0])

    def annotation(self, id: int) -> str:
        name, widened = self._types[id]
        return escape(name if name == widened else f"{name} ~ {widened}")


@dataclass
class Stages:
    """The staged columns of one page as they read at one stage: own cells over earlier ones."""

    snapshot: Snapshot
    kind: str
    page: int
    stage: Stage

    def column(self, name: str) -> Ints:
        return _reads(self.snapshot, self.kind, self.page, self.stage, name)

    def living(self) -> Ints:
        """The rows that are there at this stage."""
        return np.flatnonzero(self.column("alive") == 1)


@lru_cache(maxsize=16)
def _page(snapshot: Snapshot, kind: str, page: int) -> dict[str, Array]:
    return snapshot.columns(kind, page)


@lru_cache(maxsize=1 << 10)  # a stage is read over all those before it
def _reads(snapshot: Snapshot, kind: str, page: int, stage: Stage, name: str) -> Ints:
    own = BY_NAME[kind].column(staged(name, stage))
    read = _page(snapshot, kind, page)[own.name].astype(np.int64)
    if stage == Stage.LOWERED or not (read == own.fill).any():
        return read
    before = _reads(snapshot, kind, page, STAGES[STAGES.index(stage) - 1], name)
    return np.where(read == own.fill, before, read)


@lru_cache(maxsize=2)
def _operand_cells(snapshot: Snapshot, page: int) -> dict[str, list[int]]:
    return {name: cells.tolist() for name, cells in snapshot.columns("operand", page).items()}


class Operands:
    """The operand rows of one instance, written as text."""

    def __init__(self, names: Names, columns: dict[str, list[int]], position: dict[int, int]):
        self._names = names
        self._columns = columns
        self._position = position  # statement row → place, from 1

    def text(self, row: int) -> str:
        """One operand and all below it."""
        tag = Tag(self._columns["tag"][row])
        count = self._names.count
        count.operands += 1
        count.opaque += tag in (Tag.OPAQUE, Tag.REDACTED)
        return _WRITE[tag](self, row)

    def texts(self, start: int, count: int) -> list[str]:
        """A list of operands."""
        return [self.text(row) for row in range(start, start + count)]

    def value(self, row: int) -> int:
        return self._columns["value"][row]

    def symbol(self, row: int) -> str:
        return self._names.symbol(self.value(row))

    def type(self, row: int) -> str:
        return self._names.type(self._columns["type"][row])

    def annotation(self, row: int) -> str:
        return self._names.annotation(self._columns["type"][row])

    def has_type(self, row: int) -> bool:
        return self._columns["type"][row] != NONE_U32

    def children(self, row: int) -> str:
        found = self.texts(self._columns["start"][row], self._columns["count"][row])
        return " ".join(found)

    def place(self, row: int) -> int:
        """A statement's place at this stage; 0 for none. KeyError if it is not there."""
        value = self.value(row)
        return 0 if value == NONE_U32 else self._position[value]


def _literal(o: Operands, row: int) -> str:
    text, type_name = o.symbol(row), o.type(row)
    return text if text == "nothing" else f"bits:{type_name}:{bits(type_name, text)}"


def _function(o: Operands, row: int) -> str:
    type_name = o.type(row)
    return f"f:{o.symbol(row) if type_name == 'Core.IntrinsicFunction' else type_name}"


def _long(o: Operands, row: int) -> str:
    kind, _, digest = o.symbol(row).partition(":")
    return {"String": "str#", "Symbol": "sym#"}[kind] + digest


def _slot(o: Operands, row: int) -> str:
    return f"${o.value(row) + 1}" + (f"::{o.type(row)}" if o.has_type(row) else "")


def _struct(o: Operands, row: int) -> str:
    return "{" + " ".join(filter(None, (o.type(row), o.children(row)))) + "}"


_WRITE: dict[Tag, Callable[[Operands, int], str]] = {
    Tag.NONE: lambda o, row: "#undef",
    Tag.SSA: lambda o, row: f"%{o.place(row)}",
    Tag.ARGUMENT: lambda o, row: f"_{o.value(row)}",
    Tag.SLOT: _slot,
    Tag.GLOBAL: lambda o, row: "g:" + escape(o.symbol(row)),
    Tag.LITERAL: _literal,
    Tag.TYPE: lambda o, row: "t:" + o.annotation(row),
    Tag.STRING: lambda o, row: "str:" + escape(o.symbol(row)),
    Tag.SYMBOL: lambda o, row: "sym:" + escape(o.symbol(row)),
    Tag.LONG: _long,
    Tag.STRUCT: _struct,
    Tag.SVEC: lambda o, row: f"svec({o.children(row)})",
    Tag.EXPR: lambda o, row: f"({o.symbol(row)} {o.children(row)})",
    Tag.TARGET: lambda o, row: f"->{o.place(row)}",
    Tag.EDGE: lambda o, row: f"<-{o.place(row)}",
    Tag.INSTANCE: lambda o, row: "I:" + escape(o.symbol(row)),
    Tag.MODULE: lambda o, row: "m:" + o.symbol(row),
    Tag.QUOTE: lambda o, row: "'" + o.children(row),
    Tag.OPAQUE: lambda o, row: "opaque:" + o.type(row),
    Tag.FUNCTION: _function,
    Tag.LINE: lambda o, row: f"line:{o.value(row)}",
    Tag.METHOD: lambda o, row: "M:" + escape(o.symbol(row)),
}


def ordered_rows(snapshot: Snapshot, page: int, stage: Stage) -> list[int]:
    """The statement rows of a page at a stage, in the stage's order."""
    read = Stages(snapshot, "statement", page, stage)
    living = read.living()
    places = read.column("position")[living]
    if sorted(places.tolist()) != list(range(len(living))):
        raise AssertionError(f"positions are not 0 … {len(living) - 1}: {places.tolist()}")
    return [int(row) for row in living[np.argsort(places)]]


def _blocks(snapshot: Snapshot, key: str, stage: Stage) -> Iterator[str]:
    page, edges = snapshot.page("block", key), snapshot.page("edge", key)
    follow: dict[int, list[int]] = {}
    if edges is not None:
        read = Stages(snapshot, "edge", edges, stage)
        source, target = read.column("source"), read.column("target")
        for row in read.living():
            follow.setdefault(int(source[row]), []).append(int(target[row]) + 1)
    if page is None:
        return
    read = Stages(snapshot, "block", page, stage)
    first, last = read.column("first"), read.column("last")
    for row in read.living().tolist():
        after = " ".join(map(str, sorted(follow.get(row, []))))
        yield f"B {first[row] + 1} {last[row] + 1} -> {after}"


def body(names: Names, key: str, stage: Stage) -> Body:
    """One instance at one stage; [] where the memory holds none.

    KeyError, ValueError, AssertionError where what is held makes no sense.
    """
    snapshot = names.snapshot
    page, held = snapshot.page("statement", key), snapshot.page("operand", key)
    if page is None:
        return []
    rows = ordered_rows(snapshot, page, stage)
    cells: dict[str, list[int]] = {}
    if held is not None:
        cells = _operand_cells(snapshot, held)
    operands = Operands(names, cells, {row: k + 1 for k, row in enumerate(rows)})
    read = Stages(snapshot, "statement", page, stage)
    columns = {
        name: read.column(name)[rows].tolist()
        for name in ("opcode", "type", "operands", "operand_count", "slot")
    }
    lines = list(_blocks(snapshot, key, stage)) if rows else []
    for opcode, type_, start, count, slot in zip(*columns.values(), strict=True):
        target = f"${slot + 1} = " if slot < NO_SLOT else ""
        words = [names.symbol(opcode), *operands.texts(start, count)]
        note = "-" if type_ == NONE_U32 else names.annotation(type_)
        lines.append(f"{target}{' '.join(words)} :: {note}")
    return lines


@dataclass(frozen=True)
class Version:
    """The newest code object of an instance, as its row says."""

    names: Names
    cells: dict[str, int]

    def sayer(self, stage: Stage) -> Provenance | None:
        """Who said a stage; None where it has none."""
        said = self.cells[staged("provenance", stage)]
        return None if said == UNSET_U8 else Provenance(said)

    @property
    def whole(self) -> bool:
        """Were all of its stages recorded?"""
        stages = (Stage.LOWERED, Stage.INFERRED, Stage.OPTIMIZED)
        return all(self.sayer(stage) is not None for stage in stages)

    @property
    def ended(self) -> bool:
        """Is it code that something ended?"""
        return self.cells["max_world"] != OPEN_WORLD

    @property
    def rederived(self) -> Rederived:
        return Rederived(self.cells["rederived"])

    @property
    def returns(self) -> str:
        return self._type("return_type")

    def header(self) -> Body:
        """What the compiler itself says of the code, as ``canonical.jl`` writes it."""
        kept = Kept(self.cells["kept"]).name.lower()
        lines = [kept, f"returns {self.returns}", f"effects {self.cells['effects']}"]
        if self.cells["exception_type"] != NONE_U32:
            lines.append(f"throws {self._type('exception_type')}")
        return lines

    def _type(self, column: str) -> str:
        return self.names.annotation(self.cells[column])


def newest(names: Names, key: str) -> Version:
    """The last version of an instance."""
    page = names.snapshot.page("code", key)
    assert page is not None
    columns = names.snapshot.columns("code", page)
    return Version(names, {name: int(column[-1]) for name, column in columns.items()})

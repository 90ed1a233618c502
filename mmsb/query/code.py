"""Code objects: what the compiler said of each compiled version of an instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmsb.base import schema
from mmsb.base.model import (
    NONE_U64,
    OPEN_WORLD,
    STAGES,
    UNSET_U8,
    CodeState,
    Compiled,
    Kept,
    Provenance,
    Rederived,
    Stage,
)
from mmsb.base.schema import staged

_STAGE_COLUMNS = tuple((stage, staged("provenance", stage)) for stage in STAGES)


@dataclass(frozen=True, slots=True)
class Code:
    """A row of an instance's ``code`` page. Times are of this code object; None: not known."""

    version: int  # counted from 1
    min_world: int
    max_world: int
    return_type: str
    return_lattice: str  # what callers see where it says more than the type; "" if not known
    exception_type: str  # "" if not known
    effects: int  # raw; 0 if not known
    state: CodeState
    compiled: Compiled
    provenance: Provenance
    kept: Kept
    rederived: Rederived
    definition: int
    asked_world: int
    inclusive_ns: int | None
    exclusive_ns: int | None
    compile_ns: int | None
    stages: Mapping[Stage, Provenance]  # empty where the recording did not say

    @property
    def last_world(self) -> int | None:
        """None: still open."""
        return None if self.max_world == OPEN_WORLD else self.max_world


def codes(columns: Mapping[str, Any], text: Callable[[int], str]) -> Iterator[Code]:
    """The rows of a ``code`` page; ``text`` gives the canonical text of a type's id."""
    cells = {name: values.tolist() for name, values in columns.items()}
    for at in range(len(cells.get("min_world", ()))):
        yield _code(at, {name: values[at] for name, values in cells.items()}, text)


def _code(at: int, cell: Mapping[str, int], text: Callable[[int], str]) -> Code:
    return Code(
        version=at + 1,
        min_world=cell["min_world"],
        max_world=cell["max_world"],
        return_type=text(cell["return_type"]),
        return_lattice=text(cell["return_lattice"]),
        exception_type=text(cell["exception_type"]),
        effects=cell["effects"],
        state=CodeState(cell["state"]),
        compiled=Compiled(cell["compiled"]),
        provenance=Provenance(cell["provenance"]),
        kept=Kept(cell["kept"]),
        rederived=Rederived(cell["rederived"]),
        definition=cell["definition"],
        asked_world=cell["asked_world"],
        inclusive_ns=known_ns(cell["inclusive_ns"]),
        exclusive_ns=known_ns(cell["exclusive_ns"]),
        compile_ns=known_ns(cell["compile_ns"]),
        stages={
            stage: Provenance(cell[name])
            for stage, name in _STAGE_COLUMNS
            if cell[name] != UNSET_U8
        },
    )


def unknown(world: int) -> Code:
    """What is known of code whose row is not in the memory: that it was seen in a world."""
    fills = {column.name: column.fill for column in schema.CODE.columns}
    fills |= {"min_world": world, "asked_world": world, "provenance": Provenance.REFLECTED}
    return _code(-1, fills, lambda id: "")


def known_ns(value: int) -> int | None:
    return None if value == NONE_U64 else value


def duration(nanoseconds: int) -> str:
    """``1.25 ms``: three digits that mean something."""
    value, unit = float(nanoseconds), "ns"
    for larger in ("µs", "ms", "s"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{nanoseconds} ns" if unit == "ns" else f"{value:.3g} {unit}"

"""Bodies of one stage side by side, with a memory's ids: what is worked out for all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.base.model import NONE_U32, Stage, Tag
from mmsb.capture import identity
from mmsb.capture.hashing import U64, combined, of_lists
from mmsb.capture.identity import SELF, Origins, Places, Rows
from mmsb.capture.intern import Intern, Sink
from mmsb.capture.staged import from_i32
from mmsb.capture.stream import U32, Body, Stream

Table = dict[str, NDArray[Any]]

# operands whose value is the id of a symbol
_SYMBOLIC = [
    Tag.GLOBAL, Tag.LITERAL, Tag.STRING, Tag.SYMBOL, Tag.LONG, Tag.EXPR, Tag.INSTANCE,
    Tag.MODULE, Tag.FUNCTION, Tag.METHOD,
]  # fmt: skip
_POSITIONAL = [Tag.SSA, Tag.TARGET, Tag.EDGE]
_PHI_LIKE = ("phi", "phic", "upsilon", "pi", "nothing")
_HALF = np.uint64(0x7FFF_FFFF)  # of a hash, so that none is the unset value


def _flags(tags: Sequence[int]) -> NDArray[np.bool_]:
    out = np.zeros(256, bool)
    out[list(tags)] = True
    return out


_IS_SYMBOLIC, _IS_POSITIONAL = _flags(_SYMBOLIC), _flags(_POSITIONAL)


@dataclass(slots=True)
class Part:
    """One body's own rows of the batch. Operands' ``start`` counts from their list."""

    rows: Places  # of its statements
    cells: U32  # attributes × statements
    lengths: Places  # operands of each statement, with all that is nested
    operand: Table
    block: U32
    edge: U32
    call: Table
    slot: Table


class Batch:
    """Bodies of one stage, of as many instances."""

    def __init__(
        self, sink: Sink, stream: Stream, intern: Intern, stage: Stage, bodies: Sequence[Body]
    ) -> None:
        self._sink, self._stream, self._intern = sink, stream, intern
        self.stage, self.bodies = stage, bodies
        self._counts = {
            name: np.array([body.count(name) for body in bodies], np.int64)
            for name in ("statement", "operand", "block", "edge", "call", "slot")
        }
        self._stops = {name: np.cumsum(counts) for name, counts in self._counts.items()}
        count = self._counts["statement"]
        self._body = np.repeat(np.arange(len(bodies)), count)
        self._first = (self._stops["statement"] - count)[self._body]
        self._opcode = intern.symbols(sink, self._column("statement", "opcode"))
        self._scope = self._column("statement", "scope")
        self._lists()

    def parts(self, pages: Sequence[Rows], exact: bool) -> list[Part]:
        """Gives every statement its row, and cuts the batch. ``exact``: origins are statements."""
        lowered = self.stage is Stage.LOWERED
        rows = self._lowered(pages, exact) if lowered else self._placed(pages, exact)
        cells = self._cells(rows)
        operand = self._operands(rows, cells)
        tables = {name: self._flow(name) for name in ("block", "edge")}
        call, slot = self._calls(rows), self._slots()
        cuts = {n: list(zip(s - c, s, strict=True)) for n, s, c in self._spans()}
        made = []
        for at in range(len(self.bodies)):
            low, high = cuts["statement"][at]
            part = {name: slice(*cuts[name][at]) for name in cuts}
            made.append(
                Part(
                    rows[low:high],
                    cells[:, low:high],
                    self._lengths[low:high],
                    {name: values[part["operand"]] for name, values in operand.items()},
                    tables["block"][:, part["block"]],
                    tables["edge"][:, part["edge"]],
                    {name: values[part["call"]] for name, values in call.items()},
                    {name: values[part["slot"]] for name, values in slot.items()},
                )
            )
        return made

    def _spans(self) -> list[tuple[str, Places, Places]]:
        return [(name, self._stops[name], self._counts[name]) for name in self._counts]

    def _column(self, name: str, column: str) -> NDArray[Any]:
        parts = [body.column(name, column) for body in self.bodies if body.count(name)]
        if not parts:
            return np.empty(0, np.uint32)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    # Operand lists.

    def _lists(self) -> None:
        """Where each statement's list lies in the batch, and the place of operands in theirs."""
        count, operands = self._counts["statement"], self._counts["operand"]
        low = np.array([body.spans["operand"][0] for body in self.bodies], np.int64)
        self._shift = self._stops["operand"] - operands - low  # frame's row → batch's
        starts = self._column("statement", "operands") + np.repeat(self._shift, count)
        self._starts: Places = starts
        total = int(self._stops["operand"][-1]) if len(operands) else 0
        self._lengths: Places = np.diff(np.append(starts, total))
        self._list = np.repeat(np.arange(len(starts)), self._lengths)
        self._tag = self._column("operand", "tag")
        self._positional = _IS_POSITIONAL[self._tag]
        value = self._column("operand", "value").astype(np.uint32)
        symbolic = _IS_SYMBOLIC[self._tag]
        value[symbolic] = self._intern.symbols(self._sink, value[symbolic])
        type_ = self._column("operand", "type").astype(np.uint32)
        lines = self._tag == Tag.LINE
        type_[~lines] = self._intern.types(self._sink, type_[~lines])
        for at in np.flatnonzero(lines).tolist():
            type_[at] = self._intern.file(self._sink, int(type_[at]))
        nested = self._column("operand", "count")
        start = self._column("operand", "start") + np.repeat(self._shift, operands)
        self._value, self._type, self._nested = value, type_, nested
        self._start = np.where(nested > 0, start - starts[self._list], 0).astype(np.uint32)

    def _hashes(self, value: U32, start: U32) -> U64:
        """One hash for each list of operands with these values."""
        within = np.arange(len(self._list)) - self._starts[self._list]
        head = self._tag.astype(np.uint64) | (value.astype(np.uint64) << np.uint64(8))
        rows = combined(
            head,
            self._type.astype(np.uint64) | (start.astype(np.uint64) << np.uint64(32)),
            self._nested.astype(np.uint64) | (within.astype(np.uint64) << np.uint64(32)),
        )
        return of_lists(rows, self._starts, self._lengths)

    def _operands(self, rows: Places, cells: U32) -> Table:
        """The operands as they are stored, positions as rows; their hashes go into the cells."""
        value = self._value.copy()
        at = np.flatnonzero(self._positional & (value != NONE_U32))
        of = self._list[at]
        target = value[at].astype(np.int64)
        # a jump past the last statement (dead code) has no row
        known = target < self._counts["statement"][self._body[of]]
        place = np.where(known, self._first[of] + target, 0)
        value[at] = np.where(known, rows[place], NONE_U32) if len(rows) else NONE_U32
        hashes = self._hashes(value, self._start)
        cells[11] = hashes & _HALF
        cells[12] = (hashes >> np.uint64(31)) & _HALF
        return {
            "tag": self._tag,
            "value": value,
            "type": self._type,
            "start": self._start,
            "count": self._nested,
        }

    # Rows.

    def _lowered(self, pages: Sequence[Rows], exact: bool) -> Places:
        plain = np.where(self._positional, 0, self._value).astype(np.uint32)
        lists = self._hashes(plain, np.zeros_like(self._start))
        tokens = combined(lists, self._opcode, self._column("statement", "slot"))
        # lines are the last resort of later stages
        line = self._column("statement", "line")[: None if not exact else 0]
        out = []
        stop = 0
        for page, count in zip(pages, self._counts["statement"].tolist(), strict=True):
            start, stop = stop, stop + count
            opcodes, own = self._opcode[start:stop], line[start:stop].tolist()
            out.append(page.set_lowered(tokens[start:stop].tolist(), opcodes, own))
        return np.concatenate(out) if out else np.empty(0, np.int64)

    def _placed(self, pages: Sequence[Rows], exact: bool) -> Places:
        counts = self._counts["statement"].tolist()
        # inference types lowered statements; it moves none
        direct = [
            self.stage is Stage.INFERRED and count == len(page.lowered)
            for page, count in zip(pages, counts, strict=True)
        ]
        if all(direct):
            return np.concatenate([page.lowered for page in pages])
        scopes = self._intern.anchors(self._scope)
        origins = self._column("statement", "origin").copy()
        if not exact:
            self._origins_by_line(pages, scopes, origins, direct)
        roots = np.where(scopes == SELF, origins, self._intern.roots(self._scope))
        names = self._column("statement", "opcode")
        merges = {i for i in np.unique(names).tolist() if self._stream.symbols[i] in _PHI_LIKE}
        inserted = np.isin(names, np.array(sorted(merges), np.uint32))
        found = Origins(self._body, scopes, origins, self._opcode, roots, inserted)
        if not any(direct):
            return identity.place(pages, found)
        rows = np.empty(len(self._body), np.int64)
        is_direct = np.array(direct)
        apart = ~is_direct[self._body]
        renumbered = np.cumsum(~is_direct) - 1
        rows[apart] = identity.place(
            [page for page, yes in zip(pages, direct, strict=True) if not yes],
            Origins(
                renumbered[self._body[apart]],
                scopes[apart],
                origins[apart],
                self._opcode[apart],
                roots[apart],
                inserted[apart],
            ),
        )
        rows[~apart] = np.concatenate(
            [page.lowered for page, yes in zip(pages, direct, strict=True) if yes]
        )
        return rows

    def _origins_by_line(
        self, pages: Sequence[Rows], scopes: U32, origins: U32, direct: list[bool]
    ) -> None:
        line = self._column("statement", "line").tolist()
        opcodes = self._opcode.tolist()
        stop = 0
        for at, page in enumerate(pages):
            start, stop = stop, stop + int(self._counts["statement"][at])
            if not direct[at]:
                lines = list(zip(scopes[start:stop].tolist(), line[start:stop], strict=True))
                own = np.array(page.by_line(lines, opcodes[start:stop]), np.uint32)
                mine = scopes[start:stop] == SELF
                origins[start:stop][mine] = own[mine]

    # Cells.

    def _cells(self, rows: Places) -> U32:
        """Attributes × statements, in the order of ``bodies.STATEMENT``."""
        cells = np.empty((13, len(rows)), np.uint32)
        column = self._column
        cells[0] = 1
        cells[1] = np.arange(len(rows)) - self._first
        cells[2] = self._opcode
        cells[3] = self._intern.types(self._sink, column("statement", "type"))
        cells[4] = 0  # given when the list is written
        cells[5] = column("statement", "operand_count").astype(np.uint16)
        cells[6] = column("statement", "slot")
        cells[7] = self._intern.scopes(self._sink, self._scope)
        cells[8] = from_i32(column("statement", "line").astype(np.int32))
        cells[9] = column("statement", "origin")
        cells[10] = column("statement", "flags")
        return cells

    def _flow(self, name: str) -> U32:
        """Blocks or edges: alive and two more attributes."""
        names = ("first", "last") if name == "block" else ("source", "target")
        cells = np.ones((3, int(self._counts[name].sum())), np.uint32)
        cells[1], cells[2] = (self._column(name, column) for column in names)
        return cells

    def _calls(self, rows: Places) -> Table:
        counts = self._counts["call"]
        first = self._stops["statement"] - self._counts["statement"]
        statement = self._column("call", "statement") + np.repeat(first, counts)
        return {
            "statement": rows[statement].astype(np.uint32),
            "kind": self._column("call", "kind").astype(np.uint8),
            "callee": self._intern.symbols(self._sink, self._column("call", "callee")),
            "signature": self._intern.types(self._sink, self._column("call", "signature")),
        }

    def _slots(self) -> Table:
        return {
            "name": self._intern.symbols(self._sink, self._column("slot", "name")),
            "type": self._intern.types(self._sink, self._column("slot", "type")),
        }

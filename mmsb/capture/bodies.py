"""One method instance's pages: a compiled body at a stage becomes patches of what is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.model import NONE_U32, STAGES, Stage
from mmsb.capture.batch import Batch, Part, Table
from mmsb.capture.identity import SELF, Rows
from mmsb.capture.intern import Intern, Sink
from mmsb.capture.staged import Layout, PlainPage, StagedPage
from mmsb.capture.stream import U32, Body, Decided, Stream

#: A statement's attributes; a list of operands is compared by its hash, not by where it lies.
STATEMENT = Layout(schema.STATEMENT, hidden=("list_low", "list_high"), tied="operands")
BLOCK, EDGE = Layout(schema.BLOCK), Layout(schema.EDGE)
_OPERANDS = STATEMENT.tied
_LIST = slice(STATEMENT.visible, STATEMENT.size)


class InstancePages:
    """The pages of one method instance, as last written. One exists once something is written."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.rows = Rows()
        self.version_of: dict[int, int] = {}  # row of Schedule.codes → row of the code page
        self.instance = PlainPage(schema.INSTANCE, key)
        self.code = PlainPage(schema.CODE, key)
        self._dependencies = PlainPage(schema.DEPENDENCY, key)
        self._decisions = PlainPage(schema.DECISION, key)
        self._slots, self._calls = PlainPage(schema.SLOT, key), PlainPage(schema.CALL, key)
        self._identity = PlainPage(schema.STATEMENT, key)
        self._statements = StagedPage(STATEMENT, key)
        self._blocks, self._edges = StagedPage(BLOCK, key), StagedPage(EDGE, key)
        self._operands = PlainPage(schema.OPERAND, key, remembers=False)
        self._written: set[Stage] = set()  # of the newest version
        self._begun = True

    def open_version(self, index: int) -> int:
        """A new row of the code page; what is written next is this version's."""
        version = self.version_of[index] = len(self.version_of)
        self._written = set()
        self._begun = False
        return version

    def depend(self, sink: Sink, dependencies: Sequence[tuple[int, str]], version: int) -> None:
        """Append what a version depends on, in an order of its own."""
        rows = sorted(set(dependencies))
        if rows:
            columns = {
                "version": [version] * len(rows),
                "kind": [kind for kind, _ in rows],
                "target": [sink.symbol(target) for _, target in rows],
            }
            self._dependencies.update(sink, columns, self._dependencies.size)

    def decide(self, sink: Sink, intern: Intern, decided: Sequence[Decided], version: int) -> None:
        """Append what the shadow compiler decided."""
        columns = {
            "kind": [d.kind for d in decided],
            "statement": [self._statement_at(intern, d) for d in decided],
            "callee": [intern.symbol(sink, d.callee) for d in decided],
            "outcome": [d.outcome for d in decided],
            "cost": [d.cost for d in decided],
            "threshold": [d.threshold for d in decided],
            "reason": [intern.symbol(sink, d.reason) for d in decided],
            "effects": [d.effects for d in decided],
            "type": [intern.type(sink, d.type) for d in decided],
            "version": [version] * len(decided),
        }
        self._decisions.update(sink, columns, self._decisions.size)

    def _statement_at(self, intern: Intern, decided: Decided) -> int:
        """The row of a lowered statement; of an inlined one, or else of the call it came by."""
        origin, lowered = decided.origin, self.rows.lowered
        if decided.scope < SELF:
            found = self.rows.inserted_at(intern.anchor(decided.scope), origin)
            if found is not None:
                return found
            origin = intern.root(decided.scope)
        return int(lowered[origin]) if origin < len(lowered) else NONE_U32

    def begin(self, sink: Sink, has: set[Stage]) -> None:
        """Of the stages that this version lacks none may show an earlier version's cells."""
        if self._begun:
            return
        self._begun = True
        for page in (self._statements, self._blocks, self._edges):
            for stage in page.stages:
                if stage not in has:
                    page.clear(sink, stage)
        if self._calls.size:
            stages = np.array(sorted(has), np.uint8)
            alive = np.where(np.isin(self._calls.get("stage"), stages), self._calls.get("alive"), 0)
            self._calls.update(sink, {"alive": alive})

    def write(self, sink: Sink, stage: Stage, part: Part) -> None:
        """Make ``stage`` read as the body. Later stages of this version read on as they did."""
        keep = tuple(s for s in STAGES[STAGES.index(stage) + 1 :] if s in self._written)
        self._written.add(stage)
        self._write_identity(sink)
        self._statements.grow(self.rows.count)
        cells = self._write_lists(sink, stage, part)
        self._statements.set_stage(sink, stage, part.rows, cells, keep)
        for page, flow in ((self._blocks, part.block), (self._edges, part.edge)):
            page.grow(flow.shape[1])
            page.set_stage(sink, stage, np.arange(flow.shape[1]), flow, keep)
        if stage is not Stage.LOWERED:
            self._write_calls(sink, stage, part.call)
        if stage in (Stage.LOWERED, Stage.INFERRED):
            self._write_slots(sink, stage, part.slot)

    def _write_identity(self, sink: Sink) -> None:
        rows, start = self.rows, self.rows.changed_from
        if start < rows.count:
            columns = {"derived_from": rows.derived_from[start:], "identity": rows.identity[start:]}
            self._identity.update(sink, columns, start)
            rows.changed_from = rows.count

    def _write_lists(self, sink: Sink, stage: Stage, part: Part) -> U32:
        """Appends the operand lists that are new; the cells, with where each list begins."""
        cells, lengths = part.cells, part.lengths
        own = self._statements.own(stage)[:, part.rows]
        known = (own[_LIST] == cells[_LIST]).all(axis=0)
        if stage is not Stage.LOWERED:
            before = self._statements.before(stage)[_LIST, part.rows]
            known |= (before == cells[_LIST]).all(axis=0)
        base = self._operands.size
        moved = np.where(known, 0, lengths)
        starts = base + np.cumsum(moved) - moved
        cells[_OPERANDS] = np.where(known, own[_OPERANDS], starts)
        table = part.operand
        if known.any():
            fresh = np.repeat(~known, lengths)
            table = {name: values[fresh] for name, values in table.items()}
        if len(table["tag"]):
            start = np.where(table["count"] > 0, table["start"] + np.repeat(starts, moved), 0)
            self._operands.append(sink, {**table, "start": start.astype(np.uint32)})
        return cells

    def _write_calls(self, sink: Sink, stage: Stage, calls: Table) -> None:
        page = self._calls
        mine = np.flatnonzero(page.get("stage") == stage) if page.size else np.empty(0, np.int64)
        statement = calls["statement"]
        count = len(statement)
        if not len(mine):
            if count and len(np.unique(statement)) == count:
                stages = np.full(count, stage, np.uint8)
                alive = np.ones(count, np.uint8)
                page.append(sink, {"alive": alive, "stage": stages, **calls})
                return
            if not count:
                return
        row_of = dict(zip(page.get("statement")[mine].tolist(), mine.tolist(), strict=True))
        alive = page.get("alive").copy()
        alive[mine] = 0
        size = page.size
        rows = []
        for row in statement.tolist():
            known = row_of.get(row)
            if known is None:
                known = row_of[row] = size
                size += 1
            rows.append(known)
        table: dict[str, Any] = {"alive": np.append(alive, np.ones(size - page.size, np.uint8))}
        table["stage"] = np.append(page.get("stage"), np.full(size - page.size, stage, np.uint8))
        table["alive"][rows] = 1
        for name, values in calls.items():
            column = page.get(name)
            table[name] = np.append(column, np.zeros(size - page.size, column.dtype))
            table[name][rows] = values
        page.update(sink, table)

    def _write_slots(self, sink: Sink, stage: Stage, slots: Table) -> None:
        count = len(slots["name"])
        if count:
            columns: dict[str, Any] = {"alive": np.ones(count, np.uint8), "name": slots["name"]}
            if stage is not Stage.LOWERED:
                columns["type"] = slots["type"]
            self._slots.update(sink, columns)
        if self._slots.size > count:
            self._slots.update(sink, {"alive": np.zeros(self._slots.size - count)}, count)


def write_bodies(
    sink: Sink,
    stream: Stream,
    intern: Intern,
    stage: Stage,
    items: Sequence[tuple[InstancePages, Body, set[Stage]]],
) -> None:
    """Bodies of one stage, each of an instance of its own, with the stages its version has."""
    exact = stream.notes.get("origin") in ("tagged", "debuginfo")
    for pages, _, has in items:
        pages.begin(sink, has)
    batch = Batch(sink, stream, intern, stage, [body for _, body, _ in items])
    parts = batch.parts([pages.rows for pages, *_ in items], exact)
    for (pages, *_), part in zip(items, parts, strict=True):
        pages.write(sink, stage, part)

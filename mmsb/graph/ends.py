"""From cells to ends: what the rows of an edge kind say, as arrays with an entry a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mmsb.base.errors import CorruptData, UnknownName, UsageError, quote
from mmsb.base.model import NONE_U32, STAGES, Stage, Tag
from mmsb.base.schema import Column, staged
from mmsb.graph.edges import ROW, SUBJECT, EdgeKind
from mmsb.memory.cells import Array
from mmsb.memory.snapshot import Snapshot

#: A stored column's cells, by its name with the stage.
Fetch = Callable[[str], Array]
_NONE = np.uint32(NONE_U32)


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """Edges, one a row where ``valid``: sources and targets u32, weights as stored or None."""

    sources: Array
    targets: Array
    weights: Array | None
    valid: Array

    def edges(self) -> tuple[Array, Array, Array | None]:
        """Those that are edges."""
        keep, weights = self.valid, self.weights
        own = None if weights is None else weights[keep]
        return self.sources[keep], self.targets[keep], own


class Reading:
    """How an edge kind is read from a memory: its columns at a stage, checked. UnknownName,
    UsageError."""

    def __init__(
        self, snapshot: Snapshot, edge: EdgeKind, stage: Stage | None, weight: str | None
    ) -> None:
        self.edge, self.kind = edge, snapshot.kind(edge.kind)
        self.stage, self.weight = stage, weight
        of_stage = Stage.OPTIMIZED if stage is None else stage
        also = (
            weight or "",
            "operand_count" if edge.operands else "",
            edge.stage if stage is not None else "",
        )
        names = (*edge.columns, *(name for name in also if name))
        #: Column → those that are stored of it, oldest stage first.
        self.stored = {name: self._stored(name, of_stage) for name in names}
        self._where = list(edge.where)
        if edge.stage and stage is not None:
            self._where.append((edge.stage, int(stage)))
        self._unless = edge.unless if stage is None else ()
        self._check()

    @property
    def has_stages(self) -> bool:
        """Would it read otherwise at another stage?"""
        return bool(self.edge.stage) or any("@" in name for name in self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """All stored columns that are read, each once."""
        return tuple(dict.fromkeys(c.name for own in self.stored.values() for c in own))

    def _stored(self, name: str, stage: Stage) -> tuple[Column, ...]:
        known = {column.name: column for column in self.kind.columns}
        if name in known:
            return (known[name],)
        if staged(name, Stage.LOWERED) not in known:
            listed = ", ".join(dict.fromkeys(column.split("@")[0] for column in known))
            raise UnknownName(
                f"kind {quote(self.kind.name)} has no column {quote(name)}; it has {listed}"
            )
        upto = STAGES[: STAGES.index(stage) + 1]
        return tuple(known[staged(name, each)] for each in upto)

    def _check(self) -> None:
        edge = self.edge
        for name in (edge.source, edge.via, edge.target, edge.parent):
            if name in ("", SUBJECT, ROW):
                continue
            column = self.stored[name][0]
            if column.dtype != "u32" or (
                not edge.rows and name != edge.parent and column.ref != "symbol"
            ):
                what = "rows (u32)" if edge.rows or name == edge.parent else "symbols"
                raise UsageError(
                    f"edges {quote(edge.name)}: column {self.kind.name}.{name} holds no {what}; "
                    "name one that does"
                )
        if self.weight is not None and self.stored[self.weight][0].dtype[0] != "u":
            raise UsageError(
                f"edges {quote(edge.name)}: weights are unsigned integers, and {self.kind.name}."
                f"{self.weight} is {self.stored[self.weight][0].dtype}"
            )
        fills = {name: np.full(1, own[0].fill) for name, own in self.stored.items()}
        if not edge.operands and self._never_written_is_one(fills):
            raise UsageError(
                f"edges {quote(edge.name)}: a row of kind {quote(self.kind.name)} that nothing was "
                "written to would be an edge; filter it with where=, or give the column the fill "
                f"{NONE_U32}"
            )

    def _never_written_is_one(self, fills: Mapping[str, Array]) -> bool:
        if not self.fits(fills, 1)[0]:
            return False
        edge = self.edge
        if edge.parent and fills[edge.source][0] != NONE_U32:
            return True
        ends = (edge.parent or edge.source, edge.via, edge.target)
        there = [
            name for name in ends if name and (name not in fills or fills[name][0] != NONE_U32)
        ]
        return len(there) > 1

    # Cells.

    def cells(self, fetch: Fetch, *, also: tuple[str, ...] = ()) -> dict[str, Array]:
        """Each column as of the stage: the latest stage's cell that is set."""
        found: dict[str, Array] = {}
        for name in dict.fromkeys((*self.stored, *also)):
            own = self.stored[name]
            values = fetch(own[0].name)
            for later in own[1:]:
                patch = fetch(later.name)
                values = np.where(patch == later.fill, values, patch)
            found[name] = values
        return found

    def early(self, cells: Mapping[str, Array], most: int, source: Array | None = None) -> Array:
        """Rows with an end that is not there yet: a symbol that ``most`` do not include.

        ``source``: where it is not the row's own.
        """
        edge, found = self.edge, np.zeros(0, bool)
        names = (*((edge.source,) if source is None else ()), edge.via, edge.target)
        ends = [cells[name] for name in names if name in cells]
        for each in (*ends, *(() if source is None else (source,))):
            waits = (each >= most) & (each != NONE_U32)
            found = found | waits if len(found) else waits
        return found

    def fits(self, cells: Mapping[str, Array], count: int) -> Array:
        """Which rows have the cells that an edge's must have."""
        found = np.ones(count, bool)
        for name, cell in self._where:
            found &= cells[name] == cell
        for name, cell in self._unless:
            found &= cells[name] != cell
        return found

    def legs(
        self,
        cells: Mapping[str, Array],
        *,
        subjects: Array,
        rows: Array,
        most: int,
        up: Callable[[Array], Array],
    ) -> list[Leg]:
        """The edges of rows: ``subjects`` and ``rows`` (u32) are theirs, ends are below ``most``,
        ``up(parents)`` gives the source column's cells in other rows of the same pages."""
        edge = self.edge
        fits = self.fits(cells, len(rows))
        own = {**cells, SUBJECT: subjects, ROW: rows}
        source, target = own[edge.source], own[edge.target]
        weights = None if self.weight is None else cells[self.weight]
        if edge.parent:
            source = up(np.where(fits, cells[edge.parent], _NONE))
        to, of = fits & (target < most), source < most
        if not edge.via:
            return [Leg(source, target, weights, to & of)]
        via = own[edge.via]
        through = via < most
        return [
            Leg(source, via, weights, fits & of & through),
            Leg(via, target, weights, to & through),
            Leg(source, target, weights, to & of & ~through),
        ]


def uses(
    reading: Reading, cells: Mapping[str, Array], operands: Mapping[str, Array], most: int
) -> Leg:
    """The edges to statements from those below row ``most`` whose value they use, from columns of
    one page of each kind. O(operands). CorruptData where operands contain themselves.
    """
    count = len(cells[reading.edge.source])
    alive = reading.fits(cells, count)
    starts, lengths = cells[reading.edge.source], cells["operand_count"].astype(np.int64)
    alive &= (starts != NONE_U32) & (lengths != 0xFFFF)
    users = np.flatnonzero(alive)
    starts, lengths = starts[users].astype(np.int64), lengths[users]
    sources, targets, total = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)], 0
    there = len(operands["tag"])
    while len(users):
        users = np.repeat(users, lengths)
        first = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        at = first + np.arange(len(users))
        inside = at < there
        users, at = users[inside], at[inside]
        total += len(users)
        if total > 64 * (there + count) + 4096:
            raise CorruptData("operands of a page contain themselves; run `mmsb check`")
        values = operands["value"][at]
        named = (operands["tag"][at] == Tag.SSA) & (values < most)
        sources.append(values[named])
        targets.append(users[named].astype(np.uint32))
        lengths = operands["count"][at].astype(np.int64)
        nested = lengths > 0
        users, starts, lengths = users[nested], operands["start"][at][nested], lengths[nested]
        starts = starts.astype(np.int64)
    of, to = np.concatenate(sources), np.concatenate(targets)
    weights = None if reading.weight is None else cells[reading.weight][to]
    return Leg(of, to, weights, np.ones(len(of), bool))

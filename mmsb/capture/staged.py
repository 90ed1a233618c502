"""The rows of one page as last written, and the cells that a new state changes.

Staged columns overlay: a stage's own cell that is unset reads as the stage before it. A new state
of a stage therefore becomes the fewest own cells that make it read right. Cells are kept as one
matrix of u32 for each stage that has any, attributes × rows: a state is compared in one go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.base.model import STAGES, Stage
from mmsb.base.schema import DTYPES, Kind, staged
from mmsb.capture.intern import Sink

U32 = NDArray[np.uint32]
Cells = NDArray[Any]
UNSET = np.uint32(0xFFFF_FFFF)
#: The attribute in row 0 of every matrix.
ALIVE = 0
_PLACE = {stage: at for at, stage in enumerate(STAGES)}
# the unset value of an i32, -2^31, becomes that of a u32
_SIGN = np.uint32(0x7FFF_FFFF)


def from_i32(values: NDArray[np.int32]) -> U32:
    """Cells of an i32 attribute as they are kept in a matrix."""
    bits: U32 = values.view(np.uint32) ^ _SIGN
    return bits


class Layout:
    """The attributes of a staged kind in the order of a matrix; some may be kept and not written.

    ``hidden``: attributes that are no columns. ``tied``: visible attribute → hidden ones that say
    whether it changed; its own value is not compared (a list that moved is the same list).
    """

    def __init__(self, kind: Kind, hidden: tuple[str, ...] = (), tied: str = "") -> None:
        suffix = staged("", Stage.LOWERED)
        columns = [c for c in kind.columns if c.name.endswith(suffix)]
        self.kind = kind
        self.names = tuple(c.name.removesuffix(suffix) for c in columns)
        self.dtypes = tuple(DTYPES[c.dtype][1] for c in columns)
        self.visible = len(columns)
        self.size = self.visible + len(hidden)
        self.tied = self.names.index(tied) if tied else -1
        self.written = {stage: tuple(staged(n, stage) for n in self.names) for stage in STAGES}

    def cells(self, attribute: int, values: U32) -> NDArray[Any]:
        """Kept cells as the column's own."""
        dtype = self.dtypes[attribute]
        if dtype == "<u4":
            return values
        if dtype == "<i4":
            signed: NDArray[Any] = (values ^ _SIGN).view(np.int32)
            return signed
        return values.astype(dtype)


class PlainPage:
    """A page without stages: ``update`` writes the cells that differ. It exists once written."""

    def __init__(self, kind: Kind, key: str, *, remembers: bool = True) -> None:
        self.kind, self.key, self.remembers = kind, key, remembers
        self.size = 0
        self._page: int | None = None
        self._now: dict[str, NDArray[Any]] = {}  # no longer than size; what is missing is fill

    def page(self, sink: Sink) -> int:
        """Its number; made where there is none."""
        if self._page is None:
            self._page = sink.page(self.kind, self.key)
        return self._page

    def get(self, name: str) -> NDArray[Any]:
        """A column as last written."""
        known = self._now.get(name)
        if known is not None and len(known) == self.size:
            return known
        column = self.kind.column(name)
        out = np.full(self.size, column.fill, DTYPES[column.dtype][1])
        if known is not None:
            out[: len(known)] = known
        self._now[name] = out
        return out

    def update(
        self, sink: Sink, values: Mapping[str, Sequence[int] | Cells], start: int = 0
    ) -> None:
        """Rows from ``start`` become ``values`` (equally long); the rest stays."""
        kind = self.kind
        count = len(next(iter(values.values())))
        fresh = start >= self.size
        self.size = max(self.size, start + count)
        changed: dict[bytes, dict[str, Cells]] = {}
        for name, given in values.items():
            column = kind.column(name)
            if fresh and count == 1 and given[0] == column.fill:
                continue
            new = np.asarray(given, DTYPES[column.dtype][1])
            old = self.get(name)
            differs = old[start : start + count] != new
            if differs.any():
                mask = b"" if differs.all() else differs.tobytes()
                changed.setdefault(mask, {})[name] = new
                self._now[name] = old.copy()
                self._now[name][start : start + count] = new
        for mask, columns in changed.items():
            if not mask:
                sink.patch(kind, self.page(sink), columns, start)
                continue
            rows = np.flatnonzero(np.frombuffer(mask, bool))
            own = {name: new[rows] for name, new in columns.items()}
            patch(sink, kind, self.page(sink), rows + start, own)

    def append(self, sink: Sink, values: Mapping[str, Cells]) -> None:
        """Rows after the last, of which only how many they are is remembered where nobody asks."""
        count = len(next(iter(values.values())))
        if self.remembers:
            for name, new in values.items():
                self._now[name] = np.concatenate([self.get(name), new])
        sink.patch(self.kind, self.page(sink), values, self.size)
        self.size += count


def patch(
    sink: Sink, kind: Kind, page: int, rows: NDArray[np.int64], columns: dict[str, NDArray[Any]]
) -> None:
    """Writes the listed rows, as a range where they are one."""
    start, stop = int(rows[0]), int(rows[-1]) + 1
    if stop - start == len(rows):
        sink.patch(kind, page, columns, start)
    else:
        sink.patch_rows(kind, page, rows.astype(np.uint32), columns)


class StagedPage:
    """A page of staged columns; ``set_stage`` makes a stage read as given."""

    def __init__(self, layout: Layout, key: str) -> None:
        self.layout, self.key = layout, key
        self.size = 0
        self._page: int | None = None
        self._own: dict[Stage, U32] = {}  # of the stages that have cells of their own

    @property
    def stages(self) -> list[Stage]:
        """Those that have cells of their own, in order."""
        return [stage for stage in STAGES if stage in self._own]

    def grow(self, size: int) -> None:
        """Make room for ``size`` rows; new cells are unset."""
        self.size = max(self.size, size)

    def own(self, stage: Stage) -> U32:
        """A stage's own cells, (attributes, rows); unset where it reads as the stage before."""
        known = self._own.get(stage)
        have = 0 if known is None else known.shape[1]
        if known is not None and have == self.size:
            return known
        out = np.full((self.layout.size, self.size), UNSET, np.uint32)
        if known is not None:
            out[:, :have] = known
            self._own[stage] = out
        return out

    def reads(self, stage: Stage) -> U32:
        """Every attribute of every row as it reads at a stage."""
        return self._reads_before(_PLACE[stage] + 1)

    def before(self, stage: Stage) -> U32:
        """The same at the stage before."""
        return self._reads_before(_PLACE[stage])

    def _reads_before(self, place: int) -> U32:
        seen: U32 | None = None
        for stage in STAGES[:place]:
            if stage in self._own:
                own = self.own(stage)
                seen = own if seen is None else np.where(own == UNSET, seen, own)
        if seen is None:
            return np.full((self.layout.size, self.size), UNSET, np.uint32)
        return seen

    def set_stage(
        self,
        sink: Sink,
        stage: Stage,
        rows: NDArray[np.int64],
        cells: U32,
        keep: tuple[Stage, ...] = (),
    ) -> None:
        """At ``stage`` exactly ``rows`` live, with ``cells`` (attributes × rows, alive left out of
        account). Of the later stages, those in ``keep`` go on to read as they did.
        """
        kept = [(later, self.reads(later)) for later in keep]
        if stage is Stage.LOWERED:
            self._write(sink, stage, self._first_stage(rows, cells))
        else:
            wanted = np.full((self.layout.size, self.size), UNSET, np.uint32)
            wanted[:, rows] = cells
            wanted[ALIVE, rows] = 1
            self._write(sink, stage, self._patch_of(stage, wanted))
        for later, read in kept:
            self._write(sink, later, self._patch_of(later, read))

    def clear(self, sink: Sink, stage: Stage) -> None:
        """Make a stage read as the one before it."""
        if stage in self._own:
            self._write(sink, stage, np.full((self.layout.size, self.size), UNSET, np.uint32))
            del self._own[stage]

    def _first_stage(self, rows: NDArray[np.int64], cells: U32) -> U32:
        new: U32
        if Stage.LOWERED not in self._own and len(rows) == self.size:
            new = np.empty_like(cells)
            new[:, rows] = cells
            new[ALIVE] = 1
            return new
        new = self.own(Stage.LOWERED).copy()
        new[ALIVE] = np.where(new[ALIVE] == UNSET, UNSET, 0)
        new[:, rows] = cells
        new[ALIVE, rows] = 1
        return new

    def _patch_of(self, stage: Stage, wanted: U32) -> U32:
        """The own cells that make a stage read as wanted. Rows that do not live keep what they
        have: nobody reads it."""
        before = self._reads_before(_PLACE[stage])
        new = np.where(wanted == before, UNSET, wanted)
        tied = self.layout.tied
        if tied >= 0:
            hidden = slice(self.layout.visible, self.layout.size)
            same = (wanted[hidden] == before[hidden]).all(axis=0)
            new[tied] = np.where(same, UNSET, wanted[tied])
            new[hidden] = np.where(same, UNSET, wanted[hidden])
        lives = wanted[ALIVE] == 1
        if not lives.all():
            dead = ~lives
            new[:, dead] = self.own(stage)[:, dead]
        new[ALIVE] = np.where(lives == (before[ALIVE] == 1), UNSET, lives)
        return new

    def _write(self, sink: Sink, stage: Stage, new: U32) -> None:
        """Writes what differs from what is known, columns with the same rows together."""
        whole = stage is Stage.LOWERED and stage not in self._own
        differs = new != (UNSET if stage not in self._own else self.own(stage))
        changed = differs.any(axis=1)
        if not changed.any():
            return
        self._own[stage] = new
        attributes = np.flatnonzero(changed[: self.layout.visible]).tolist()
        groups: dict[bytes, list[int]] = {}
        if whole:  # where all is new, cells that are unset cost less than rows listed apart
            groups[b""] = attributes
        else:
            for attribute in attributes:
                groups.setdefault(differs[attribute].tobytes(), []).append(attribute)
        if self._page is None:
            self._page = sink.page(self.layout.kind, self.key)
        names = self.layout.written[stage]
        for mask, members in groups.items():
            if mask:
                rows = np.flatnonzero(differs[members[0]])
                columns = {names[a]: self.layout.cells(a, new[a][rows]) for a in members}
                patch(sink, self.layout.kind, self._page, rows, columns)
            else:
                columns = {names[a]: self.layout.cells(a, new[a]) for a in members}
                sink.patch(self.layout.kind, self._page, columns)

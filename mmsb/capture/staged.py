"""The rows of one page as last written, and the cells that a new state changes.

Staged columns overlay: a stage's own cell that is unset reads as the stage before it. A new state
of a stage therefore becomes the fewest own cells that make it read right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.base.model import STAGES, Stage
from mmsb.base.schema import DTYPES, Kind, staged
from mmsb.capture.intern import Sink

Values = dict[str, NDArray[Any]]


def _attributes(kind: Kind) -> dict[str, tuple[str, int]]:
    """Staged attribute → (numpy dtype, unset value)."""
    suffix = staged("", Stage.LOWERED)
    return {
        column.name.removesuffix(suffix): (DTYPES[column.dtype][1], column.fill)
        for column in kind.columns
        if column.name.endswith(suffix)
    }


def write(
    sink: Sink, kind: Kind, page: int, changed: dict[str, NDArray[np.bool_]], values: Values
) -> None:
    """Patches the changed cells: columns whose changed rows agree share one delta."""
    groups: dict[bytes, tuple[NDArray[np.int64], list[str]]] = {}
    for name, mask in changed.items():
        rows = np.flatnonzero(mask)
        if len(rows):
            groups.setdefault(rows.tobytes(), (rows, []))[1].append(name)
    for rows, names in groups.values():
        start, stop = int(rows[0]), int(rows[-1]) + 1
        if stop - start == len(rows):
            sink.patch(kind, page, {n: values[n][start:stop] for n in names}, start)
        else:
            sink.patch_rows(kind, page, rows.astype(np.uint32), {n: values[n][rows] for n in names})


class PlainPage:
    """A page without stages: ``update`` writes the cells that differ."""

    def __init__(self, kind: Kind, page: int, names: Sequence[str]) -> None:
        self.kind, self.page = kind, page
        self.size = 0
        self._fill = {name: kind.column(name) for name in names}
        self._now: Values = {n: np.empty(0, DTYPES[c.dtype][1]) for n, c in self._fill.items()}

    def get(self, name: str) -> NDArray[Any]:
        return self._now[name]

    def update(self, sink: Sink, values: dict[str, object], start: int = 0) -> None:
        """Rows from ``start`` become ``values`` (equally long); the rest stays."""
        arrays = {
            name: np.atleast_1d(np.asarray(v)).astype(DTYPES[self._fill[name].dtype][1])
            for name, v in values.items()
        }
        stop = start + len(next(iter(arrays.values())))
        fresh = max(0, stop - self.size)
        self._grow(stop)
        changed = {}
        for name, new in arrays.items():
            mask = np.zeros(self.size, bool)
            mask[start:stop] = self._now[name][start:stop] != new
            if fresh:
                mask[self.size - fresh :] = True
            self._now[name][start:stop] = new
            changed[name] = mask
        write(sink, self.kind, self.page, changed, self._now)

    def _grow(self, size: int) -> None:
        if size > self.size:
            for name, column in self._fill.items():
                more = np.full(size - self.size, column.fill, self._now[name].dtype)
                self._now[name] = np.concatenate([self._now[name], more])
            self.size = size


class StagedPage:
    """A page of staged columns; ``set_stage`` makes a stage read as given."""

    def __init__(self, kind: Kind, page: int) -> None:
        self.kind, self.page = kind, page
        self.size = 0
        self._attributes = _attributes(kind)
        self._own: dict[Stage, Values] = {
            stage: {n: np.empty(0, d) for n, (d, _) in self._attributes.items()} for stage in STAGES
        }

    def grow(self, size: int) -> None:
        """Make room for ``size`` rows; new cells are unset."""
        if size <= self.size:
            return
        for own in self._own.values():
            for name, (dtype, unset) in self._attributes.items():
                own[name] = np.concatenate([own[name], np.full(size - self.size, unset, dtype)])
        self.size = size

    def reads(self, name: str, stage: Stage) -> NDArray[Any]:
        """One attribute of every row as it reads at a stage."""
        _, unset = self._attributes[name]
        seen: NDArray[Any] = self._own[Stage.LOWERED][name].copy()
        for later in STAGES[1 : STAGES.index(stage) + 1]:
            own = self._own[later][name]
            seen = np.where(own == unset, seen, own)
        return seen

    def own(self, name: str, stage: Stage) -> NDArray[Any]:
        """One attribute's own cells at a stage; unset where it reads as the stage before."""
        return self._own[stage][name]

    def set_stage(
        self,
        sink: Sink,
        stage: Stage,
        rows: NDArray[np.int64],
        values: Values,
        inherit: dict[str, NDArray[np.bool_]] | None = None,
    ) -> None:
        """At ``stage`` exactly ``rows`` live, with ``values`` (one for each of ``rows``).

        ``inherit``: for an attribute, which of the rows are said to read as the stage before; of
        all others that is found by comparison.
        """
        changed: dict[str, NDArray[np.bool_]] = {}
        wanted: Values = {}
        at = STAGES.index(stage)
        before_stage = STAGES[at - 1] if at else None
        alive = np.zeros(self.size, np.uint8)
        alive[rows] = 1
        for name, (_dtype, unset) in self._attributes.items():
            own = self._own[stage][name]
            new = own.copy()
            before = self.reads(name, before_stage) if before_stage is not None else None
            if name == "alive":
                was = np.where(before == 1, 1, 0) if before is not None else np.zeros(self.size)
                new[:] = np.where(alive == was, unset, alive)
                if before is None:
                    new[:] = np.where((alive == 0) & (own == unset), unset, alive)
            else:
                new[rows] = values[name]
                if before is not None:
                    said = (inherit or {}).get(name)
                    same = new[rows] == before[rows] if said is None else said
                    new[rows] = np.where(same, unset, new[rows])
            changed[f"{name}@{stage.name.lower()}"] = new != own
            wanted[f"{name}@{stage.name.lower()}"] = new
            self._own[stage][name] = new
        write(sink, self.kind, self.page, changed, wanted)

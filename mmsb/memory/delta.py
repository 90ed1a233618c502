"""A delta: a patch in rows × columns × time. Merging and applying obey the laws.

A merge of deltas may touch different rows in different columns, which no single delta can say.
So ⊕ works on `Patch`: for each column the sorted rows it touches and their values. A delta is a
patch whose columns share one set of rows; `Patch.deltas` splits a patch into as few as it takes.

Laws, property-tested in ``tests/memory/test_delta.py``: ⊕ is associative and idempotent, the empty
patch is its identity, and ``apply(apply(p, a), b) == apply(p, merge(a, b))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mmsb.base.errors import UsageError, quote
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, dtype_of, filled, frozen, sorted_rows, whole
from mmsb.memory.page import Page


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """Cells of one page that one commit wrote: every named column, in every touched row.

    ``sparse`` (u32, strictly increasing, inside ``rows``) lists the touched rows; None means all
    of ``rows``. ``buffers[name][i]`` belongs to the i-th touched row and has the column's dtype.
    ``epoch`` is 0 until the delta is committed; ``source`` says who wrote it.
    """

    id: int
    page: int
    kind: Kind
    columns: tuple[str, ...]
    rows: Rows
    sparse: Array | None
    epoch: int
    source: int
    buffers: Mapping[str, Array]

    def __post_init__(self) -> None:
        self._check_types()
        if self.sparse is not None and len(self.sparse):
            first, last = int(self.sparse[0]), int(self.sparse[-1])
            if first not in self.rows or last not in self.rows:
                raise UsageError(
                    f"sparse rows {first} … {last} lie outside {self.rows}; pass these too"
                )
        for name in self.columns:
            buffer = self.buffers.get(name)
            if (
                buffer is None
                or buffer.dtype != dtype_of(self.kind.column(name))
                or buffer.shape != (len(self),)
            ):
                raise UsageError(
                    f"{self.kind.name}.{name}: the buffer does not fit the rows; pass "
                    f"{len(self)} cells of the column's dtype"
                )

    def _check_types(self) -> None:
        columns, buffers, rows = (
            _untyped(each) for each in (self.columns, self.buffers, self.rows)
        )
        whole(self.page, "page")
        if not (isinstance(_untyped(self.kind), Kind) and isinstance(rows, Rows)):
            raise UsageError(
                f"a delta has a Kind and Rows, not {quote(self.kind)} and {quote(rows)}"
            )
        if not isinstance(columns, tuple) or not all(isinstance(name, str) for name in columns):
            raise UsageError(f"the columns of a delta are a tuple of names, not {quote(columns)}")
        if not isinstance(buffers, Mapping) or not all(
            isinstance(each, np.ndarray) for each in buffers.values()
        ):
            raise UsageError(f"the buffers of a delta are arrays by name, not {quote(buffers)}")
        if self.sparse is not None and not _are_rows(self.sparse):
            raise UsageError(f"sparse rows are a u32 array, increasing, not {quote(self.sparse)}")

    def __len__(self) -> int:
        """How many rows are touched."""
        return len(self.rows) if self.sparse is None else len(self.sparse)

    def touched(self) -> Array:
        """The touched rows, u32, increasing. O(rows) where dense."""
        if self.sparse is not None:
            return self.sparse
        return np.arange(self.rows.start, self.rows.stop, dtype=U32)


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Cells of one page: for each column (rows u32, increasing; values). ⊕ is closed here."""

    page: int
    kind: Kind
    cells: Mapping[str, tuple[Array, Array]]

    @classmethod
    def of(cls, delta: Delta) -> Patch:
        """The delta's cells; columns share one array of rows."""
        rows = delta.touched()
        named = delta.columns if len(rows) else ()
        return cls(delta.page, delta.kind, {name: (rows, delta.buffers[name]) for name in named})

    def __eq__(self, other: object) -> bool:
        """Same page, same cells, values compared by bits."""
        if not isinstance(other, Patch):
            return NotImplemented
        if (self.page, self.kind.id) != (other.page, other.kind.id):
            return False
        return self.cells.keys() == other.cells.keys() and all(
            np.array_equal(rows, other.cells[name][0])
            and values.tobytes() == other.cells[name][1].tobytes()
            for name, (rows, values) in self.cells.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def deltas(self) -> tuple[Delta, ...]:
        """The same cells as deltas, one for each distinct set of rows, columns in schema order."""
        groups: dict[bytes, list[str]] = {}
        for column in self.kind.columns:
            if column.name in self.cells:
                groups.setdefault(self.cells[column.name][0].tobytes(), []).append(column.name)
        return tuple(
            new_delta(
                self.page,
                self.kind,
                self.cells[names[0]][0],
                {name: self.cells[name][1] for name in names},
            )
            for names in groups.values()
        )


def new_delta(page: int, kind: Kind, rows: Rows | Array, buffers: Mapping[str, Array]) -> Delta:
    """An uncommitted delta. Rows without a gap become a range. UsageError."""
    sparse: Array | None = None
    if not isinstance(rows, Rows):
        rows = rows if _are_rows(rows) else sorted_rows(rows)
        first, stop = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
        sparse = rows if stop - first != len(rows) else None
        rows = Rows(first, stop)
    if not isinstance(_untyped(buffers), Mapping):
        raise UsageError(f"the buffers of a delta are arrays by name, not {quote(buffers)}")
    held = MappingProxyType(dict(buffers))
    return Delta(0, page, kind, tuple(buffers), rows, sparse, 0, 0, held)


def _are_rows(given: Any) -> bool:
    return isinstance(given, np.ndarray) and given.dtype == U32 and given.ndim == 1


def _untyped(value: Any) -> Any:
    return value


def merge(*patches: Delta | Patch) -> Patch:
    """a ⊕ b ⊕ …: of two cells at one place the later argument's wins.

    UsageError unless all belong to one page. O(n log n) in the cells of the longest column.
    """
    for patch in patches:
        if not isinstance(_untyped(patch), Delta | Patch):
            raise UsageError(f"deltas and patches merge, not {quote(patch)}")
    if not patches:
        raise UsageError("pass at least one delta to merge")
    parts = [Patch.of(patch) if isinstance(patch, Delta) else patch for patch in patches]
    page, kind = parts[0].page, parts[0].kind
    if any((part.page, part.kind.id) != (page, kind.id) for part in parts):
        of = sorted({part.page for part in parts})
        raise UsageError(f"only deltas of one page merge, and these are of pages {of[:8]}")
    names = dict.fromkeys(name for part in parts for name in part.cells)
    return Patch(page, kind, {name: _later(_of_column(parts, name)) for name in names})


def _of_column(parts: Sequence[Patch], name: str) -> list[tuple[Array, Array]]:
    return [part.cells[name] for part in parts if name in part.cells]


def _later(runs: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    if len(runs) == 1:
        return runs[0]
    rows = np.concatenate([run[0] for run in runs])
    values = np.concatenate([run[1] for run in runs])
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    # A stable sort keeps the order of arguments inside a run of equal rows: the last one wins.
    last = np.append(rows[1:] != rows[:-1], True) if len(rows) else np.zeros(0, bool)
    return frozen(rows[last]), frozen(values[last])


def apply(page: Page, patch: Delta | Patch) -> Page:
    """page ⊗ patch: a new page; untouched cells are the page's, fill in new rows. O(page)."""
    cells = Patch.of(patch).cells if isinstance(patch, Delta) else patch.cells
    stops = [int(rows[-1]) + 1 for rows, _ in cells.values() if len(rows)]
    count = max([page.rows, *stops])
    columns: dict[str, Array] = {}
    for column in page.kind.columns:
        values = filled(column, count)
        values[: page.rows] = page.columns[column.name]
        if column.name in cells:
            rows, new = cells[column.name]
            values[rows] = new
        columns[column.name] = frozen(values)
    return Page(page.id, page.kind, count, MappingProxyType(columns))

"""One delta as one commit, the short way: the same bytes as `mmsb.memory.encode` would give.

A commit of its own for a delta is what a session does most; all that does not depend on its cells
is worked out once for each set of columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any

import numpy as np

from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory.batch import PAGE_ROWS
from mmsb.memory.cells import Array, cells, dtype_of, no_room, sorted_rows
from mmsb.memory.frame import COUNTS, SPARSE, UNIFORM, Draft, padded
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import ROW
from mmsb.memory.rows import meta_of
from mmsb.memory.run import Run

_EIGHT = bytes(8)


class Shape:
    """The table of a delta that writes these columns of a kind, but for what changes each time."""

    __slots__ = ("columns", "dense", "ids", "kind", "sparse")

    def __init__(self, kind: Kind, names: tuple[str, ...]) -> None:
        self.kind = kind
        chosen = sorted((kind.column(name) for name in names), key=lambda column: column.id)
        self.columns = tuple((column, column.name, dtype_of(column)) for column in chosen)
        ids = tuple(column.id for column in chosen)
        self.ids = ids
        count = len(ids)
        words = f"<{COUNTS.size // 4 + 5}I"
        self.dense = Struct(f"{words}{2 + count}H{-(COUNTS.size + 24 + 2 * count) % 8}x")
        words = f"<{COUNTS.size // 4 + 7}I"
        self.sparse = Struct(f"{words}{2 + count}H{-(COUNTS.size + 32 + 2 * count) % 8}x")

    def draft(
        self,
        columns: Mapping[str, Any],
        page: int,
        rows: Rows | Array,
        epoch: int,
        source: int,
        first_page: int,
    ) -> Draft | None:
        """The frame; None if columns and rows are not of one length."""
        raw: list[Any] = []
        total, count = 0, len(rows)
        for column, name, dtype in self.columns:
            given = columns[name]
            if type(given) is not np.ndarray or given.dtype != dtype or given.ndim != 1:
                given = cells(self.kind, column, given)
            if len(given) != count:
                return None
            raw.append(given if given.flags.c_contiguous else given.tobytes())
            bytes_ = count * dtype.itemsize
            total += bytes_
            if bytes_ & 7:
                raw.append(_EIGHT[bytes_ & 7 :])
                total += -bytes_ & 7
        size, head = len(self.ids), (0, 0, 1, len(self.ids), 1)
        if isinstance(rows, Rows):
            table = self.dense.pack(
                *head, 0, 0, 0, 1, count, size, page, rows.start, self.kind.id, UNIFORM, *self.ids
            )
        else:
            first, stop = int(rows[0]), int(rows[-1]) + 1
            table = self.sparse.pack(
                *(*head, 1, 0, 0, 1, count, size, page, first, stop, 0),
                *(self.kind.id, SPARSE),
                *self.ids,
            )
            listed = rows.tobytes()
            raw.insert(0, listed + _EIGHT[len(listed) & 7 or 8 :])
            total += len(raw[0])
        return Draft(epoch, source, first_page, table, raw, total)


class Single:
    """The shapes of one memory, and what its commits of one delta ask of the index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._shapes: dict[tuple[int, tuple[str, ...]], Shape] = {}

    def draft(
        self, page: int, rows: Any, columns: Mapping[str, Any], source: int
    ) -> tuple[Draft, Shape, Rows | Array] | None:
        """The next frame, if this is the plain case; None for whatever needs a closer look.

        Plain: a live page of a kind that is no table, known columns, sorted rows, no new schema.
        """
        index = self._index
        catalog = index.catalog
        if type(page) is not int or not 0 <= page < catalog.count or not index.complete:
            return None
        if catalog.deleted and page in catalog.deleted:
            return None
        key = (int(catalog.kinds.held[page]), tuple(columns))
        shape = self._shapes.get(key) or self._shape(key)
        try:
            touched = _rows(rows)
            if shape is None or touched is None:
                return None
            made = shape.draft(columns, page, touched, index.head + 1, source, catalog.count)
        except MemoryError as error:
            raise no_room() from error
        return None if made is None else (made, shape, touched)

    def add(self, draft: Draft, run: Run, shape: Shape, rows: Rows | Array, offset: int) -> None:
        """Takes the frame in that was just written at that place of the run's segment."""
        at, count = offset + draft.at, len(rows)
        buffers, end = at + draft.table, offset + draft.end
        page, start = at + COUNTS.size + 12, at + COUNTS.size + 16
        if isinstance(rows, Rows):
            flags, ids, spans, cells = UNIFORM, start + 8, (-1, -1, -1), buffers
        else:
            flags, ids, cells = SPARSE, start + 16, buffers + padded(4 * count, 8)
            spans = (start + 4, start + 8, buffers)
        meta = meta_of(shape.kind.id, flags, len(shape.ids), draft.source)
        row = ROW.pack(
            *(draft.epoch, run.deltas, 1, count, meta, ids, page, start),
            *(*spans, cells, buffers, run.blocks, offset, end),
        )
        run.add_rows(row, 1, draft.blocks, offset)
        self._index.catalog.seal()

    def _shape(self, key: tuple[int, tuple[str, ...]]) -> Shape | None:
        kind, names = self._index.kinds[key[0]], key[1]
        known = {column.name for column in kind.columns}
        if kind.append_only or not names or not known.issuperset(names):
            return None
        made = self._shapes[key] = Shape(kind, names)
        return made


def _rows(rows: Any) -> Rows | Array | None:
    if isinstance(rows, Rows):
        return rows if len(rows) > 0 and rows.stop <= PAGE_ROWS else None
    if type(rows) is range:
        plain = rows.step == 1 and 0 <= rows.start < rows.stop <= PAGE_ROWS
        return Rows(rows.start, rows.stop) if plain else None
    touched = sorted_rows(rows)
    if not len(touched) or touched[-1] >= PAGE_ROWS:
        return None
    first, stop = int(touched[0]), int(touched[-1]) + 1
    return Rows(first, stop) if stop - first == len(touched) else touched

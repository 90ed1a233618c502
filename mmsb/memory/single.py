"""One batch of patches as one commit, the short way: the bytes that `mmsb.memory.encode` gives.

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
from mmsb.memory.many import Many
from mmsb.memory.rows import meta_of
from mmsb.memory.run import Run

_EIGHT = bytes(8)
#: Of a batch: how many deltas.
_ONE = Struct("<I").pack(1)
#: Of a batch its deltas, rows and columns.
_MANY = Struct("<3I")
#: Its rows and columns; of its delta the page and the first row; of a sparse one the span too.
_DENSE, _SPARSE = Struct("<4I"), Struct("<6I")
#: The first row, one past the last, and all between that are written, unless all are.
_RANGES = (Rows, range)
_PAGE = COUNTS.size + 12  # where its page, or its pages, stand in its table
Touched = tuple[int, int, Array | None]


class Shape:
    """The table of a delta that writes these columns of a kind, but for what changes each time."""

    __slots__ = ("columns", "dense", "kind", "listed", "metas", "sparse")

    def __init__(self, kind: Kind, names: tuple[str, ...]) -> None:
        self.kind = kind
        chosen = sorted((kind.column(name) for name in names), key=lambda column: column.id)
        self.columns = tuple((column, column.name, dtype_of(column)) for column in chosen)
        ids = [column.id for column in chosen]
        self.metas = tuple(meta_of(kind.id, flags, len(ids), 0) for flags in (UNIFORM, SPARSE))
        self.dense, self.sparse = (_ends(kind, ids, flags) for flags in (UNIFORM, SPARSE))
        self.listed = _listed(kind, ids, UNIFORM)

    def draft(
        self,
        columns: Mapping[str, Any],
        page: int,
        rows: Touched,
        epoch: int,
        source: int,
        first_page: int,
    ) -> Draft | None:
        """The frame; None if columns and rows are not of one length."""
        first, stop, listed = rows
        raw: list[Any] = []
        total, count = 0, stop - first if listed is None else len(listed)
        if listed is not None:
            raw.append(listed)
            total = 4 * count
            if total & 7:
                raw.append(_EIGHT[4:])
                total += 4
        bytes_ = self._lay(columns, count, raw)
        if bytes_ is None:
            return None
        if listed is None:
            head, tail = self.dense
            table = head + _DENSE.pack(count, len(self.columns), page, first) + tail
        else:
            head, tail = self.sparse
            table = head + _SPARSE.pack(count, len(self.columns), page, first, stop, 0) + tail
        return Draft(epoch, source, first_page, table, raw, total + bytes_)

    def draft_many(self, made: Many, each: int, epoch: int, source: int, first_page: int) -> Draft:
        """The frame of dense deltas that have ``each`` rows."""
        raw: list[Any] = []
        deltas, width = len(made.pages), len(self.columns)
        bytes_ = self._lay(made.buffers, deltas * each, raw)
        assert bytes_ is not None  # as `Many` was checked
        table = COUNTS.pack(0, 0, 1, width, deltas, 0, 0, 0)
        table += _MANY.pack(deltas, deltas * each, width)
        table += made.pages.tobytes() + made.starts.tobytes() + self.listed
        table += bytes(-len(table) % 8)
        return Draft(epoch, source, first_page, table, raw, bytes_)

    def _lay(self, columns: Mapping[str, Any], count: int, raw: list[Any]) -> int | None:
        """Puts buffers of ``count`` cells behind ``raw``; their bytes, or None if one differs."""
        total = 0
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
        return total


def _ends(kind: Kind, ids: list[int], flags: int) -> tuple[bytes, bytes]:
    """What stands before and behind the numbers of a delta in its table, all padded."""
    own = _SPARSE if flags & SPARSE else _DENSE
    head = COUNTS.pack(0, 0, 1, len(ids), 1, own is _SPARSE, 0, 0) + _ONE
    tail = _listed(kind, ids, flags)
    return head, tail + bytes(-(len(head) + own.size + len(tail)) % 8)


def _listed(kind: Kind, ids: list[int], flags: int) -> bytes:
    return Struct(f"<{2 + len(ids)}H").pack(kind.id, flags, *ids)


class Single:
    """The shapes of one memory, and what its commits of one delta ask of the index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._shapes: dict[tuple[int, tuple[str, ...]], Shape] = {}

    def draft(
        self, page: int, rows: Any, columns: Any, source: int
    ) -> tuple[Draft, Shape, Touched] | None:
        """The next frame, if this is the plain case; None for whatever needs a closer look.

        Plain: a live page of a kind that is no table, known columns by name, sorted rows, no new
        schema.
        """
        index = self._index
        catalog = index.catalog
        if type(columns) is not dict and not isinstance(columns, Mapping):
            return None
        if type(page) is not int or not 0 <= page < catalog.count or not index.complete:
            return None
        if catalog.deleted and page in catalog.deleted:
            return None
        try:
            key = (catalog.kinds.items[page], tuple(columns))
            shape = self._shapes.get(key) or self._shape(key)
        except TypeError:  # no names
            return None
        try:
            touched = _rows(rows)
            if shape is None or touched is None:
                return None
            made = shape.draft(columns, page, touched, index.head + 1, source, catalog.count)
        except MemoryError as error:
            raise no_room() from error
        return None if made is None else (made, shape, touched)

    def add(self, draft: Draft, run: Run, offset: int, shape: Shape, rows: Touched) -> None:
        """Takes the frame in that was just written at that place of the run's segment."""
        first, stop, listed = rows
        at, (dense, sparse) = offset + draft.at, shape.metas
        buffers, page = at + draft.table, at + _PAGE
        about, behind = draft.source << 48, (buffers, run.blocks, offset, offset + draft.end)
        if listed is None:
            row = ROW.pack(
                *(draft.epoch, run.deltas, 1, stop - first, dense | about),
                *(page + 12, page, page + 4, -1, -1, -1, buffers, *behind),
            )
        else:
            count = len(listed)
            row = ROW.pack(
                *(draft.epoch, run.deltas, 1, count, sparse | about, page + 20, page, page + 4),
                *(page + 8, page + 12, buffers, buffers + padded(4 * count, 8), *behind),
            )
        run.add_rows(row, 1, draft.blocks, offset)
        self._index.catalog.seal()

    def draft_many(self, made: Many, source: int) -> tuple[Draft, Shape, int, int] | None:
        """The next frame of checked patches, and what `add_many` is to be told of it; None for
        whatever needs a closer look: sparse ones, or not equally long."""
        index, each = self._index, made.each
        if each is None or made.rows is not None or not index.complete:
            return None
        key = (made.kind.id, tuple(made.buffers))
        shape = self._shapes.get(key) or self._shape(key)
        if shape is None:
            return None
        draft = shape.draft_many(made, each, index.head + 1, source, index.catalog.count)
        return draft, shape, len(made.pages), each

    def add_many(
        self, draft: Draft, run: Run, offset: int, shape: Shape, deltas: int, each: int
    ) -> None:
        """As `add`, for what `draft_many` gave."""
        at, pages = offset + draft.at, offset + draft.at + _PAGE
        starts, buffers = pages + 4 * deltas, at + draft.table
        meta = shape.metas[0] | draft.source << 48
        row = ROW.pack(
            *(draft.epoch, run.deltas, deltas, deltas * each, meta),
            *(starts + 4 * deltas + 4, pages, starts, -1, -1, -1),
            *(buffers, buffers, run.blocks, offset, offset + draft.end),
        )
        run.add_rows(row, deltas, draft.blocks, offset)
        self._index.catalog.seal()

    def _shape(self, key: tuple[int, tuple[str, ...]]) -> Shape | None:
        kind, names = self._index.kinds[key[0]], key[1]
        known = {column.name for column in kind.columns}
        if kind.append_only or not names or not known.issuperset(names):
            return None
        made = self._shapes[key] = Shape(kind, names)
        return made


def _rows(rows: Any) -> Touched | None:
    if type(rows) is Rows or (type(rows) is range and rows.step == 1):
        start, stop = rows.start, rows.stop
        return (start, stop, None) if 0 <= start < stop <= PAGE_ROWS else None
    if isinstance(rows, _RANGES):
        return None
    touched = sorted_rows(rows)
    if not len(touched):
        return None
    first, stop = touched.item(0), touched.item(-1) + 1
    if stop > PAGE_ROWS:
        return None
    return first, stop, None if stop - first == len(touched) else touched

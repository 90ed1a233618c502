"""A commit's content → the bytes of a frame: grouped into batches, cells side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mmsb.memory import kinds
from mmsb.memory.cells import Array
from mmsb.memory.changes import Sealed
from mmsb.memory.delta import Delta
from mmsb.memory.frame import PLAIN, SHAPED, SPARSE, TOMBSTONE, UNIFORM, VERSION, Draft, Table
from mmsb.memory.many import Many
from mmsb.memory.shapes import narrowed, row_bytes, row_flags, shape_of

#: kind id, flags, column ids (and their shapes)
_Key = tuple[int, int, tuple[int, ...]]


def draft(
    content: Sealed, epoch: int, source: int, first_page: int, *, narrow: bool = False
) -> Draft:
    """The frame of one commit. Equal content gives equal bytes. O(bytes).

    ``narrow``: each batch is SHAPED where that is smaller.
    """
    groups = [_Group.of(key, deltas) for key, deltas in _groups(content)]
    groups += [_Group.of_many(made) for made in content.many]
    groups += [_Group(key, _u4(pages), _u4([0] * len(pages)), 0) for key, pages in _dead(content)]
    groups = [group.narrowed() for group in groups] if narrow else groups
    keys = [group.key for group in groups]
    table = Table(
        page_subject=_u4(content.page_subjects),
        batch_deltas=_u4([len(group.pages) for group in groups]),
        batch_rows=_u4([group.rows for group in groups]),
        batch_columns=_u4([len(columns) // _listed(flags) for _, flags, columns in keys]),
        delta_page=_joined([group.pages for group in groups]),
        delta_start=_joined([group.starts for group in groups]),
        span_stop=_joined([group.stops for group in groups]),
        span_offset=_joined([group.offsets for group in groups]),
        page_kind=np.asarray(content.page_kinds, "<u2"),
        batch_kind=np.array([kind for kind, _, _ in keys], "<u2"),
        batch_flags=np.array([flags for _, flags, _ in keys], "<u2"),
        column_id=np.array([id for _, _, columns in keys for id in columns], "<u2"),
        schema=kinds.encode(content.kinds),
    )
    buffers: list[memoryview | bytes] = []
    for group in groups:
        _put(buffers, group.buffers, shaped=bool(group.key[1] & SHAPED))
    version = VERSION if any(flags & SHAPED for _, flags, _ in keys) else PLAIN
    return Draft(epoch, source, first_page, table.encode(), buffers, version=version)


#: So many pieces of a buffer are copied one by one.
_FEW = 16
_NONE: Array = np.zeros(0, "<u4")


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """One batch: its deltas' entries in the table, and the parts of each of its buffers."""

    key: _Key
    pages: Array
    starts: Array
    rows: int
    stops: Array = field(default_factory=lambda: _NONE)
    offsets: Array = field(default_factory=lambda: _NONE)
    buffers: list[list[Array]] = field(default_factory=list)

    @classmethod
    def of(cls, key: _Key, deltas: list[Delta]) -> _Group:
        """Of deltas that have an object each."""
        counts = [len(delta) for delta in deltas]
        flags, stops, offsets = key[1], _NONE, _NONE
        if not flags & UNIFORM:
            stops = _u4([delta.rows.stop for delta in deltas])
            offsets = _u4(np.cumsum([0, *counts])[:-1])
        buffers = [[delta.touched() for delta in deltas]] if flags & SPARSE else []
        buffers += [[delta.buffers[name] for delta in deltas] for name in deltas[0].columns]
        pages, starts = _u4([d.page for d in deltas]), _u4([d.rows.start for d in deltas])
        return cls(key, pages, starts, sum(counts), stops, offsets, buffers)

    @classmethod
    def of_many(cls, made: Many) -> _Group:
        """Of deltas that have none."""
        columns = tuple(made.kind.column(name).id for name in made.buffers)
        flags, stops, offsets = UNIFORM, _NONE, _NONE
        buffers = [[values] for values in made.buffers.values()]
        if made.each is None:
            counts = made.stops - made.starts
            firsts = np.cumsum(counts) - counts if made.firsts is None else made.firsts
            flags, stops, offsets = 0, _u4(made.stops), _u4(firsts)
        if made.rows is not None:
            flags, buffers = SPARSE, [[made.rows], *buffers]
        total = len(next(iter(made.buffers.values())))
        return cls(
            (made.kind.id, flags, columns), made.pages, made.starts, total, stops, offsets, buffers
        )

    def narrowed(self) -> _Group:
        """The same, SHAPED if that is smaller."""
        kind, flags, columns = self.key
        if not columns:
            return self
        edges = np.append(self.offsets, self.rows).astype(np.int64)
        if flags & UNIFORM:
            each = self.rows // len(self.pages)
            edges = np.arange(len(self.pages) + 1, dtype=np.int64) * each
        buffers = [np.concatenate(parts) for parts in self.buffers]
        sparse, buffers = buffers[: len(buffers) - len(columns)], buffers[-len(columns) :]
        shapes = [shape_of(values, edges) for values in buffers]
        made = [
            narrowed(values, shape, edges) for values, shape in zip(buffers, shapes, strict=True)
        ]
        marked = flags | SHAPED
        for rows in sparse:
            marked |= row_flags(rows)
            made.insert(0, rows.astype(f"<u{row_bytes(marked)}"))
        wanted = _size(self.buffers, shaped=False)
        if _size([[values] for values in made], shaped=True) + 2 * len(columns) >= wanted:
            return self
        key = kind, marked, (*columns, *shapes)
        own = [[values] for values in made]
        return replace(self, key=key, buffers=own)


def _listed(flags: int) -> int:
    """How many entries the table has for a column."""
    return 2 if flags & SHAPED else 1


def _size(buffers: list[list[Array]], *, shaped: bool) -> int:
    """Bytes they will take."""
    parts: list[memoryview | bytes] = []
    _put(parts, buffers, shaped=shaped)
    return sum(map(len, parts))


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate([_NONE, *parts])


def _u4(values: object) -> Array:
    return np.asarray(values, "<u4")


def _groups(content: Sealed) -> list[tuple[_Key, list[Delta]]]:
    """Deltas by kind, shape and columns; UNIFORM where all of a group have as many rows."""
    groups: dict[_Key, list[Delta]] = {}
    for delta in content.deltas:
        columns = tuple(delta.kind.column(name).id for name in delta.columns)
        flags = 0 if delta.sparse is None else SPARSE
        groups.setdefault((delta.kind.id, flags, columns), []).append(delta)
    marked = [
        ((kind, UNIFORM if not flags and len(set(map(len, members))) == 1 else flags, ids), members)
        for (kind, flags, ids), members in groups.items()
    ]
    return sorted(marked, key=lambda item: item[0])


def _dead(content: Sealed) -> list[tuple[_Key, list[int]]]:
    groups: dict[_Key, list[int]] = {}
    for kind, page in content.deleted:
        groups.setdefault((kind, TOMBSTONE | UNIFORM, ()), []).append(page)
    return sorted(groups.items())


def _put(buffers: list[memoryview | bytes], held: list[list[Array]], *, shaped: bool) -> None:
    """A batch's buffers: the arrays of each end to end, and zeros before the next: up to a multiple
    of 8, or, if shaped, of its own cells' bytes and in the end of 8."""
    at = 0
    for arrays in held:
        parts: list[memoryview | bytes] = [array.data.cast("B") for array in arrays if len(array)]
        if len(parts) > _FEW:
            parts = [b"".join(parts)]
        gap = -at % arrays[0].itemsize if shaped and arrays else 0
        at += gap + sum(map(len, parts))
        buffers += [bytes(gap), *parts]
        if not shaped:
            buffers.append(bytes(-at % 8))
            at += -at % 8
    buffers.append(bytes(-at % 8))

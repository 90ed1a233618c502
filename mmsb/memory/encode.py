"""A commit's content → the bytes of a frame: grouped into batches, cells side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmsb.memory import kinds
from mmsb.memory.cells import Array
from mmsb.memory.changes import Sealed
from mmsb.memory.delta import Delta
from mmsb.memory.frame import SPARSE, TOMBSTONE, UNIFORM, Draft, Table, padded
from mmsb.memory.many import Many

#: kind id, flags, column ids
_Key = tuple[int, int, tuple[int, ...]]


def draft(content: Sealed, epoch: int, source: int, first_page: int) -> Draft:
    """The frame of one commit. Equal content gives equal bytes. O(bytes)."""
    groups = [_Group.of(key, deltas) for key, deltas in _groups(content)]
    groups += [_Group.of_many(made) for made in content.many]
    groups += [_Group(key, _u4(pages), _u4([0] * len(pages)), 0) for key, pages in _dead(content)]
    keys = [group.key for group in groups]
    table = Table(
        page_subject=_u4(content.page_subjects),
        batch_deltas=_u4([len(group.pages) for group in groups]),
        batch_rows=_u4([group.rows for group in groups]),
        batch_columns=_u4([len(columns) for _, _, columns in keys]),
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
        for parts in group.buffers:
            _put(buffers, parts)
    return Draft(epoch, source, first_page, table.encode(), buffers)


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


def _put(buffers: list[memoryview | bytes], arrays: list[Array]) -> None:
    """One buffer: the arrays end to end, and zeros up to a multiple of 8."""
    parts: list[memoryview | bytes] = [array.data.cast("B") for array in arrays if len(array)]
    if len(parts) > _FEW:
        parts = [b"".join(parts)]
    size = sum(map(len, parts))
    buffers += [*parts, bytes(padded(size, 8) - size)]

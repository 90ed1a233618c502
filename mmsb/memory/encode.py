"""A commit's content → the bytes of a frame: grouped into batches, cells side by side."""

from __future__ import annotations

import numpy as np

from mmsb.memory import kinds
from mmsb.memory.cells import Array
from mmsb.memory.changes import Sealed
from mmsb.memory.delta import Delta
from mmsb.memory.frame import SPARSE, TOMBSTONE, UNIFORM, Draft, Table, padded

#: kind id, flags, column ids
_Key = tuple[int, int, tuple[int, ...]]


def draft(content: Sealed, epoch: int, source: int, first_page: int) -> Draft:
    """The frame of one commit. Equal content gives equal bytes. O(bytes)."""
    groups = _groups(content)
    deltas = [delta for _, members in groups for delta in members]
    loose = [members for (_, flags, _), members in groups if not flags & UNIFORM]
    spans = [delta for members in loose for delta in members]
    rows = [np.cumsum([0, *map(len, members)]) for members in loose]
    dead = _tombstones(content)
    batches = [key for key, _ in groups] + [key for key, _ in dead]
    sizes = [len(members) for _, members in groups] + [len(pages) for _, pages in dead]
    gone = [page for _, pages in dead for page in pages]
    table = Table(
        page_subject=_u4(content.page_subjects),
        batch_deltas=_u4(sizes),
        batch_rows=_u4([sum(map(len, members)) for _, members in groups] + [0] * len(dead)),
        batch_columns=_u4([len(columns) for _, _, columns in batches]),
        delta_page=_u4([d.page for d in deltas] + gone),
        delta_start=_u4([d.rows.start for d in deltas] + [0] * len(gone)),
        span_stop=_u4([d.rows.stop for d in spans]),
        span_offset=_u4(np.concatenate([_NONE, *(edges[:-1] for edges in rows)])),
        page_kind=np.array(content.page_kinds, "<u2"),
        batch_kind=np.array([kind for kind, _, _ in batches], "<u2"),
        batch_flags=np.array([flags for _, flags, _ in batches], "<u2"),
        column_id=np.array([id for _, _, columns in batches for id in columns], "<u2"),
        schema=kinds.encode(content.kinds),
    )
    buffers: list[memoryview | bytes] = []
    for (_, flags, _), members in groups:
        if flags & SPARSE:
            _put(buffers, [delta.touched() for delta in members])
        for name in members[0].columns:
            _put(buffers, [delta.buffers[name] for delta in members])
    return Draft(epoch, source, first_page, table.encode(), buffers)


_NONE = np.zeros(0, np.int64)


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


def _tombstones(content: Sealed) -> list[tuple[_Key, list[int]]]:
    groups: dict[_Key, list[int]] = {}
    for kind, page in content.deleted:
        groups.setdefault((kind, TOMBSTONE | UNIFORM, ()), []).append(page)
    return sorted(groups.items())


def _put(buffers: list[memoryview | bytes], arrays: list[Array]) -> None:
    """One buffer: the arrays end to end, and zeros up to a multiple of 8."""
    parts = [array.data.cast("B") for array in arrays if len(array)]
    size = sum(map(len, parts))
    buffers += [*parts, bytes(padded(size, 8) - size)]

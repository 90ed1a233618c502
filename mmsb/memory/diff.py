"""What was written between two epochs. Its cost follows the cells written, not the memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, frozen
from mmsb.memory.index import Index


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Cells of one page: the columns (schema order) that were written in exactly these rows.

    ``rows`` is u32, increasing. ``deleted``: the page was deleted; no columns, no rows.
    """

    kind: Kind
    page: int
    columns: tuple[str, ...]
    rows: Array
    deleted: bool = False


def diff(index: Index, old: int, new: int) -> tuple[Written, ...]:
    """Cells written in epochs (old, new], sorted by kind id and page. CorruptData."""
    rows: dict[tuple[int, int], dict[int, list[Array]]] = {}
    dead: set[tuple[int, int]] = set()
    for number in index.numbers(old, new):
        batch, begin, end, page = index.batch(number)
        key = (batch.kind, page)
        if batch.tombstone:
            dead.add(key)
            continue
        touched = _range(index, number) if batch.sparse is None else batch.row_numbers(begin, end)
        columns = rows.setdefault(key, {})
        for column in batch.columns:
            columns.setdefault(column, []).append(touched)
    out: list[Written] = []
    for kind, page in sorted(rows.keys() | dead):
        shown = index.kind(kind)
        out += _grouped(shown, page, rows.get((kind, page), {}))
        if (kind, page) in dead:
            out.append(Written(shown, page, (), frozen(np.zeros(0, U32)), deleted=True))
    return tuple(out)


def _range(index: Index, number: int) -> Array:
    starts, stops = index.span(np.array([number]))
    return np.arange(int(starts[0]), int(stops[0]), dtype=U32)


def _grouped(kind: Kind, page: int, columns: dict[int, list[Array]]) -> list[Written]:
    groups: dict[bytes, list[str]] = {}
    unions: dict[bytes, Array] = {}
    for column in kind.columns:
        if column.id in columns:
            parts = columns[column.id]
            union = parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
            groups.setdefault(union.tobytes(), []).append(column.name)
            unions[union.tobytes()] = union
    return [
        Written(kind, page, tuple(names), frozen(unions[rows].copy()))
        for rows, names in groups.items()
    ]

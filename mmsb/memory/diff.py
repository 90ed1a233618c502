"""What was written between two epochs. Its cost follows the cells written, not the memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, frozen
from mmsb.memory.frame import TOMBSTONE
from mmsb.memory.index import Index
from mmsb.memory.rows import META


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
    for run in index.runs:
        for at in run.batches(old, new):
            row = run.table[at]
            kind, tombstone = int(row[META]) & 0xFFFF, int(row[META]) >> 16 & TOMBSTONE
            pages = run.pages(run.members(np.array([at]))).tolist()
            if tombstone:
                dead |= {(kind, page) for page in pages}
                continue
            ids = run.columns(at).tolist()
            each, touched = run.touched(at)
            parts = np.split(touched.astype(U32), np.cumsum(each)[:-1])
            for page, part in zip(pages, parts, strict=True):
                columns = rows.setdefault((kind, page), {})
                for column in ids:
                    columns.setdefault(column, []).append(part)
    out: list[Written] = []
    for kind, page in sorted(rows.keys() | dead):
        shown = index.kind(kind)
        out += _grouped(shown, page, rows.get((kind, page), {}))
        if (kind, page) in dead:
            out.append(Written(shown, page, (), frozen(np.zeros(0, U32)), deleted=True))
    return tuple(out)


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

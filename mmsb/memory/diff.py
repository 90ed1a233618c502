"""What was written between two epochs. Its cost follows the cells written, not the memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, frozen
from mmsb.memory.frame import TOMBSTONE
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import DELTAS, IDS, META, PAGES
from mmsb.memory.run import Run

_NONE = frozen(np.zeros(0, U32))
_PAGE = np.uint64(32)
#: (kind, ids of the columns as stored) → cells as page << 32 | row, batch by batch.
_Cells = dict[tuple[int, bytes], list[Array]]


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


def diff(
    index: Index, old: int, new: int, only: frozenset[int] | None = None
) -> tuple[Written, ...]:
    """Cells written in epochs (old, new], sorted by kind id and page. CorruptData.

    ``only``: of the kinds with these ids.
    """
    cells: _Cells = {}
    dead: dict[int, set[int]] = {}
    for run in index.runs_between(old, new):
        chosen = run.batches(old, new)
        if len(chosen):
            run.check_tables(np.arange(chosen.start, chosen.stop))
            for at in chosen:
                if only is None or int(run.table[at, META]) & 0xFFFF in only:
                    _take(run, at, cells, dead)
    out: list[Written] = []
    for kind in sorted({kind for kind, _ in cells} | dead.keys()):
        shown = index.kind(kind)
        named = {ids: _once(parts) for (of, ids), parts in cells.items() if of == kind}
        out += _of_kind(shown, named, dead.get(kind, set()))
    return tuple(out)


def _take(run: Run, at: int, cells: _Cells, dead: dict[int, set[int]]) -> None:
    """A batch's cells, each as one number."""
    row = run.table[at].tolist()
    kind, flags, count = row[META] & 0xFFFF, row[META] >> 16 & 0xFFFF, row[META] >> 32 & 0xFFFF
    words, deltas, place = run.segment.words, row[DELTAS], row[PAGES] >> 2
    pages = words[place : place + deltas].astype(np.uint64)
    if flags & TOMBSTONE:
        dead.setdefault(kind, set()).update(pages.tolist())
        return
    ids = run.segment.bytes[row[IDS] : row[IDS] + 2 * count].tobytes()
    each, touched = run.touched(at)
    if deltas == 1:
        keys = touched.astype(np.uint64) | pages[0] << _PAGE
    else:
        keys = np.repeat(pages << _PAGE, each) | touched.astype(np.uint64)
    if len(keys):
        cells.setdefault((kind, ids), []).append(keys)


def _once(parts: list[Array]) -> Array:
    """The cells of several batches, increasing, each once."""
    keys = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if (keys[1:] > keys[:-1]).all():
        return keys
    keys = np.sort(keys)
    found: Array = keys[np.append(True, keys[1:] != keys[:-1])]
    return found


def _of_kind(kind: Kind, named: dict[bytes, Array], dead: set[int]) -> list[Written]:
    """One kind's pages. Most pages were written in one set of columns: their rows are slices."""
    parts: list[tuple[Array, Array, Array, tuple[str, ...]]] = []
    for ids, keys in named.items():
        wanted = set(np.frombuffer(ids, "<u2").tolist())
        names = tuple(column.name for column in kind.columns if column.id in wanted)
        pages = (keys >> _PAGE).astype(U32)
        edges = np.flatnonzero(np.append(True, pages[1:] != pages[:-1]))
        parts.append((pages[edges], np.append(edges, len(keys)), frozen(keys.astype(U32)), names))
    several: set[int] = set()
    if len(parts) > 1:
        all_, counts = np.unique(np.concatenate([part[0] for part in parts]), return_counts=True)
        several = set(all_[counts > 1].tolist())
    found: list[Written] = []
    mixed: dict[int, list[tuple[Array, tuple[str, ...]]]] = {}
    for pages, edges, rows, names in parts:
        begins = edges.tolist()
        for at, page in enumerate(pages.tolist()):
            own = rows[begins[at] : begins[at + 1]]
            if page in several:
                mixed.setdefault(page, []).append((own, names))
            else:
                found.append(Written(kind, page, names, own))
    for page, written in mixed.items():
        found += _grouped(kind, page, written)
    found += [Written(kind, page, (), _NONE, deleted=True) for page in dead]
    if mixed or dead or len(parts) > 1:
        found.sort(key=lambda each: each.page)  # stable: a page's groups stay in their order
    return found


def _grouped(kind: Kind, page: int, written: list[tuple[Array, tuple[str, ...]]]) -> list[Written]:
    """A page that was written in several sets of columns: these by the rows they have in common."""
    groups: dict[bytes, tuple[Array, list[str]]] = {}
    for column in kind.columns:
        parts = [rows for rows, names in written if column.name in names]
        if parts:
            union = parts[0] if len(parts) == 1 else frozen(np.unique(np.concatenate(parts)))
            groups.setdefault(union.tobytes(), (union, []))[1].append(column.name)
    return [Written(kind, page, tuple(names), rows) for rows, names in groups.values()]

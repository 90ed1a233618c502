"""What a commit says that the head says already: such cells need not be stored again.

Cells are compared by their bits, and each that differs is written, no other. What is left of the
deltas of one kind and the same columns is stored together where the same rows of them changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory import gather, replay
from mmsb.memory.cells import U32, Array, dtype_of, frozen
from mmsb.memory.changes import Sealed
from mmsb.memory.delta import Delta
from mmsb.memory.index import Index
from mmsb.memory.many import Many


def changed(content: Sealed, index: Index) -> Sealed:
    """The content less the cells that equal, bit for bit, what the head holds.

    Rows beyond a page's last are all written. Left as they are: pages that the commit makes, and
    those that it writes several times, where an earlier write may differ. Vectorised: O(cells ×
    log deltas). CorruptData.
    """
    often = _often(content)
    kept: list[Delta] = []
    groups: dict[tuple[int, tuple[str, ...]], list[Delta]] = {}
    for delta in content.deltas:
        if delta.kind.append_only or delta.page >= index.page_count or delta.page in often:
            kept.append(delta)
        else:
            groups.setdefault((delta.kind.id, delta.columns), []).append(delta)
    many = [made for group in groups.values() for made in _differing(_Cells.of(group), index)]
    for given in content.many:
        new = (given.pages >= index.page_count) | np.isin(given.pages, list(often))
        if new.any():
            many.append(given.only(new))
        if not new.all():
            many += _differing(_Cells.of_many(given.only(~new)), index)
    return replace(content, deltas=tuple(kept), many=tuple(many))


def _often(content: Sealed) -> set[int]:
    """Pages that are written by several calls; the deltas of one page do not overlap."""
    patched = np.unique(np.array([delta.page for delta in content.deltas], np.int64))
    pages, times = np.unique(
        np.concatenate([patched, *(made.pages for made in content.many)]), return_counts=True
    )
    return set(pages[times > 1].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Deltas of one kind and the same columns, cells end to end; ``rows`` has that of each cell."""

    kind: Kind
    pages: Array
    counts: Array
    rows: Array
    buffers: dict[str, Array]

    @classmethod
    def of(cls, deltas: list[Delta]) -> _Cells:
        first = deltas[0]
        return cls(
            first.kind,
            np.array([delta.page for delta in deltas], U32),
            np.array([len(delta) for delta in deltas], np.int64),
            np.concatenate([delta.touched() for delta in deltas]),
            {n: np.concatenate([d.buffers[n] for d in deltas]) for n in first.columns},
        )

    @classmethod
    def of_many(cls, made: Many) -> _Cells:
        counts = made.stops - made.starts
        shift = made.starts - (np.cumsum(counts) - counts)
        rows = (np.arange(int(counts.sum())) + np.repeat(shift, counts)).astype(U32)
        return cls(made.kind, made.pages, counts, rows, dict(made.buffers))

    def only(self, names: Iterable[str], mask: Array) -> Many:
        """The masked cells of some columns: dense where no delta has a gap."""
        counts = np.bincount(np.repeat(np.arange(len(self.counts)), self.counts)[mask])
        counts = np.pad(counts, (0, len(self.counts) - len(counts)))
        found = counts > 0
        pages, counts, rows = self.pages[found], counts[found], self.rows[mask]
        ends = np.cumsum(counts)
        starts, stops = rows[ends - counts], rows[ends - 1].astype(np.int64) + 1
        dense = bool((stops - starts == counts).all())
        each = int(counts[0]) if dense and (counts == counts[0]).all() else None
        buffers = {name: frozen(self.buffers[name][mask]) for name in names}
        if dense:
            return Many(self.kind, pages, starts, stops, each, buffers)
        firsts = ends - counts
        return Many(self.kind, pages, starts, stops, None, buffers, frozen(rows), firsts)


def _differing(cells: _Cells, index: Index) -> list[Many]:
    """What of them differs from the head."""
    of, kind = np.repeat(cells.pages, cells.counts), cells.kind
    beyond = cells.rows >= gather.row_counts(index, kind, index.head)[of]
    masks: dict[str, Array] = {}
    for name, values in cells.buffers.items():
        column, bits = kind.column(name), f"u{values.itemsize}"
        held = replay.cells(index, kind, column, pages=of, rows=cells.rows, epoch=index.head)
        assert held.dtype == dtype_of(column)
        masks[name] = (values.view(bits) != held.view(bits)) | beyond
    alike: dict[bytes, list[str]] = {}
    for name, mask in masks.items():
        alike.setdefault(mask.tobytes(), []).append(name)
    split = [(names, masks[names[0]]) for names in alike.values()]
    return [cells.only(names, mask) for names, mask in split if mask.any()]

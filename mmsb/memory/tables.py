"""How many rows the append-only kinds have, as of any epoch."""

from __future__ import annotations

import numpy as np

from mmsb.memory.cells import Array
from mmsb.memory.grow import Grow
from mmsb.memory.sidecar import Opening


class Tables:
    """By kind the epochs that appended to it, and its rows as of each."""

    def __init__(self) -> None:
        self._grown: dict[int, tuple[Grow, Grow]] = {}

    def add(self, kind: int, epoch: int, rows: int) -> None:
        """The epoch appended rows: now there are so many. Epochs come in order."""
        held = self._grown.get(kind)
        if held is None:
            held = self._grown[kind] = (Grow("<i8"), Grow("<i8"))
        held[1].append(rows)
        held[0].append(epoch)

    def rows(self, kind: int, epoch: int) -> int:
        """Rows of the kind as of the epoch. O(log epochs)."""
        held = self._grown.get(kind)
        if held is None:
            return 0
        epochs, counts = held
        at = epochs.count
        if epochs.items[at - 1] > epoch:
            at = int(np.searchsorted(epochs.values, epoch, side="right"))
        return counts.items[at - 1] if at else 0

    def recall(self, held: Opening) -> None:
        """Several epochs' rows at once, as an index file has them."""
        entries = (held.grown_kind, held.grown_epoch, held.grown_rows)
        for entry in zip(*(array.tolist() for array in entries), strict=True):
            self.add(*entry)

    def during(self, first: int, last: int) -> dict[str, Array]:
        """What an index file holds of the epochs first … last, kind by kind."""
        kinds, epochs, rows = [np.zeros(0, "<u2")], [np.zeros(0, "<i8")], [np.zeros(0, "<i8")]
        for kind, (grown, counts) in sorted(self._grown.items()):
            low, high = np.searchsorted(grown.values, [first, last + 1]).tolist()
            epochs.append(grown.values[low:high])
            rows.append(counts.values[low:high])
            kinds.append(np.full(len(epochs[-1]), kind, "<u2"))
        found = (np.concatenate(parts) for parts in (kinds, epochs, rows))
        return dict(zip(("grown_kind", "grown_epoch", "grown_rows"), found, strict=True))

"""How many rows the append-only kinds have, as of any epoch."""

from __future__ import annotations

import numpy as np

from mmsb.memory.grow import Grow


class Tables:
    """By kind the epochs that appended to it, and its rows as of each."""

    def __init__(self) -> None:
        self._grown: dict[int, tuple[Grow, Grow]] = {}

    def add(self, kind: int, epoch: int, rows: int) -> None:
        """The epoch appended rows: now there are so many. Epochs come in order."""
        epochs, counts = self._grown.setdefault(kind, (Grow("<i8"), Grow("<i8")))
        counts.append(rows)
        epochs.append(epoch)

    def rows(self, kind: int, epoch: int) -> int:
        """Rows of the kind as of the epoch. O(log epochs)."""
        held = self._grown.get(kind)
        if held is None:
            return 0
        epochs, counts = held
        known = epochs.values
        at = len(known) if len(known) and known[-1] <= epoch else 0
        at = at or int(np.searchsorted(known, epoch, side="right"))
        return int(counts.held[at - 1]) if at else 0

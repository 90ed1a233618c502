"""Arrays with room to grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsb.memory.cells import Array


class Grow:
    """An array with room to grow. ``values``, a view, is swapped at once: read it once and use it.

    Views handed out stay valid.
    """

    __slots__ = ("_held", "values")

    def __init__(self, dtype: str) -> None:
        self._held: Array = np.zeros(64, dtype)
        self.values = self._held[:0]

    def extend(self, values: Array | Sequence[int]) -> None:
        """Appends. Amortised O(values)."""
        count = len(self.values)
        end = count + len(values)
        held = self._room(end)
        held[count:end] = values
        self.values = held[:end]

    def append(self, value: int) -> None:
        """Appends one value."""
        count = len(self.values)
        held = self._room(count + 1)
        held[count] = value
        self.values = held[: count + 1]

    def grow(self, count: int) -> None:
        """Appends zeros: what lies behind the values was never written."""
        end = len(self.values) + count
        self.values = self._room(end)[:end]

    def _room(self, end: int) -> Array:
        held = self._held
        if end > len(held):
            grown = np.zeros(max(end, 2 * len(held)), held.dtype)
            grown[: len(self.values)] = self.values
            self._held = held = grown
        return held

    @property
    def address(self) -> int:
        """Where the values lie, as long as ``held`` is."""
        return int(self._held.ctypes.data)

    @property
    def held(self) -> Array:
        """The array behind the values."""
        return self._held

    @property
    def last(self) -> int:
        """The last value appended; 0 before there is one."""
        values = self.values
        return int(values[-1]) if len(values) else 0

"""Arrays with room to grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsb.memory.cells import Array


class Grow:
    """An array with room to grow. ``values`` is a view of what there is; views stay valid.

    One thread appends while others read: what is new is in its place before it is counted.
    """

    __slots__ = ("count", "held", "size")

    def __init__(self, dtype: str) -> None:
        self.count = 0
        #: The array behind the values, and how many it has room for.
        self.held: Array = np.zeros(64, dtype)
        self.size = 64

    @classmethod
    def of(cls, values: Array) -> Grow:
        """Begins with values that are held as they are, until it grows."""
        made = cls.__new__(cls)
        made.count, made.held = len(values), values
        return made

    @property
    def values(self) -> Array:
        """What was appended."""
        count = self.count
        return self.held[:count]

    def extend(self, values: Array | Sequence[int]) -> None:
        """Appends. Amortised O(values)."""
        count = self.count
        end = count + len(values)
        self.room(end)[count:end] = values
        self.count = end

    def append(self, value: int) -> None:
        """Appends one value."""
        count = self.count
        if count == self.size:
            self.room(count + 1)
        self.held[count] = value
        self.count = count + 1

    def repeat(self, value: int, count: int) -> None:
        """Appends one value several times."""
        start = self.count
        end = start + count
        self.room(end)[start:end] = value
        self.count = end

    def grow(self, count: int) -> None:
        """Appends zeros: what lies behind the values was never written."""
        end = self.count + count
        if end > self.size:
            self.room(end)
        self.count = end

    def room(self, end: int) -> Array:
        """The array, with room for ``end`` values."""
        held = self.held
        if end > self.size:
            grown = np.zeros(max(end, 2 * self.size), held.dtype)
            grown[: self.count] = held[: self.count]
            self.held, self.size = grown, len(grown)
            return grown
        return held

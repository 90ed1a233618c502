"""Arrays with room to grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsb.memory.cells import Array


class Grow:
    """An array with room to grow. ``values`` is a view of what there is; views stay valid.

    One thread appends while others read: what is new is in its place before it is counted.
    """

    __slots__ = ("blank", "count", "held", "items", "size")

    def __init__(self, dtype: str, blank: int = 0) -> None:
        """``blank`` is what `grow` appends."""
        self.count, self.blank = 0, blank
        #: The array behind the values, the same as plain numbers, and how many it has room for.
        self.held: Array = np.full(64, blank, dtype)
        self.items = self.held.data
        self.size = 64

    @classmethod
    def of(cls, values: Array) -> Grow:
        """Values that are held as they are; nothing is appended to them."""
        made = cls.__new__(cls)
        made.count, made.held, made.items = len(values), values, values.data
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

    def extend_bytes(self, data: bytes | bytearray) -> None:
        """Appends values by their bytes."""
        width, count = self.items.itemsize, self.count
        end = count + len(data) // width
        if end > self.size:
            self.room(end)
        self.items.cast("B")[width * count : width * end] = data
        self.count = end

    def append(self, value: int) -> None:
        """Appends one value."""
        count = self.count
        if count == self.size:
            self.room(count + 1)
        self.items[count] = value
        self.count = count + 1

    def grow(self, count: int) -> None:
        """Appends blanks: what lies behind the values was never written."""
        end = self.count + count
        if end > self.size:
            self.room(end)
        self.count = end

    def room(self, end: int) -> Array:
        """The array, with room for ``end`` values."""
        held = self.held
        if end > self.size:
            size = max(end, 2 * self.size)
            grown = np.zeros(size, held.dtype)  # which take no memory before they are used
            if self.blank:
                grown[self.count :] = self.blank
            grown[: self.count] = held[: self.count]
            self.held, self.items, self.size = grown, grown.data, size
            return grown
        return held

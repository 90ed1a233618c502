"""What the log takes in: a frame before it has a place."""

from __future__ import annotations

from typing import Protocol

from mmsb.memory.disk import File


class Placed(Protocol):
    """A frame before it has a place in the log."""

    @property
    def epoch(self) -> int:
        """One more than that of the frame before it."""

    @property
    def size(self) -> int:
        """Bytes it will take, a multiple of 64."""

    def render(self, segment: int, offset: int) -> bytes | bytearray | memoryview:
        """Its ``size`` bytes at that place."""

    def write(self, file: File, segment: int, offset: int) -> None:
        """Writes these bytes there; OSError."""

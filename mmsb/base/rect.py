"""Row ranges, half-open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows ``[start, stop)``; ``0 <= start <= stop < 2**32``, checked once, here."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop < 2**32:
            raise ValueError(f"rows [{self.start}, {self.stop}) are not a range below 2**32")

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, row: int) -> bool:
        return self.start <= row < self.stop

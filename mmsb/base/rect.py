"""Row ranges, half-open."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from mmsb.base.errors import UsageError, quote


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows ``[start, stop)``; ``0 <= start <= stop < 2**32``, checked once, here."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not (type(self.start) is type(self.stop) is int):
            self._settle()
        if not 0 <= self.start <= self.stop < 2**32:
            raise UsageError(
                f"rows [{quote(self.start)}, {quote(self.stop)}) are not a range below 2**32; "
                "pass the first row and one past the last"
            )

    def _settle(self) -> None:
        """Numbers of another type (numpy's) as ints."""
        for name in ("start", "stop"):
            value = getattr(self, name)
            try:
                if isinstance(value, bool):
                    raise TypeError
                object.__setattr__(self, name, operator.index(value))
            except TypeError as error:
                raise UsageError(
                    f"Rows: {name} is a whole number, not {quote(value)}; pass the first row and "
                    "one past the last"
                ) from error

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, row: int) -> bool:
        return self.start <= row < self.stop

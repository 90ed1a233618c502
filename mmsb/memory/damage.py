"""How damage is named: segment, offset, epochs, pages, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsb.base.errors import CorruptData


@dataclass(frozen=True, slots=True)
class Problem:
    """One place that does not hold. ``file`` is a file name in the memory's folder."""

    file: str
    offset: int
    epochs: tuple[int, ...]
    pages: tuple[int, ...]
    what: str

    def __str__(self) -> str:
        concerned = _named("epoch", self.epochs) + _named("page", self.pages)
        return f"{self.file} at offset {self.offset}: {self.what}" + concerned


def _named(word: str, numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    shown = ", ".join(str(number) for number in numbers[:8])
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return f"; {word}{'s' if len(numbers) > 1 else ''} {shown}{more}"


def corrupt(folder: Path, problem: Problem) -> CorruptData:
    """The error for a problem that a reader has met."""
    return CorruptData(
        f"{folder}/{problem}; restore that file from a copy, or list all damage with "
        f"`mmsb check -m {shlex.quote(str(folder))}`"
    )

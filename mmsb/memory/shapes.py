"""How the cells of a buffer are stored: plainly, in fewer bytes, or once for each delta.

A cell is stored in fewer bytes than its dtype has where all of a buffer fit. Its value is then a
small number, or one of the two highest of its width, which mean "none" and "the method itself":
these stay the two highest of the fewer bytes. Cells are taken as unsigned numbers, so every
dtype may be stored so, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsb.memory.cells import Array, frozen
from mmsb.memory.frame import SHAPED, padded

#: A shape is log2 of a stored cell's bytes, and perhaps this: one cell for all rows of a delta.
EACH = 4
#: The highest numbers of every width that keep their meaning.
_SENTINELS = 2


@dataclass(frozen=True, slots=True)
class Buffer:
    """Where a batch's cells of a column begin, bytes of a stored one, is it one for each delta?"""

    place: int
    size: int
    each: bool


def buffers_at(
    place: int, widths: Sequence[int], shapes: Sequence[int] | None, rows: int, deltas: int
) -> tuple[list[Buffer], int]:
    """A batch's buffers, of which the first may begin at ``place``, and where the last ends.

    Without ``shapes`` they are plain.
    """
    found = []
    if shapes is None:
        for width in widths:
            found.append(Buffer(place, width, False))
            place += padded(width * rows, 8)
        return found, place
    for shape in shapes:
        size, each = 1 << (shape & 3), bool(shape & EACH)
        place = padded(place, size)
        found.append(Buffer(place, size, each))
        place += size * (deltas if each else rows)
    return found, padded(place, 8)


def row_bytes(flags: int) -> int:
    """Bytes of a row number of a sparse batch."""
    return 4 >> (flags >> 4 & 3)


def row_flags(rows: Array) -> int:
    """The flags of a SHAPED batch that say how its row numbers are stored."""
    most = int(rows.max(initial=0))
    return SHAPED | (2 if most < 1 << 8 else 1 if most < 1 << 16 else 0) << 4


def shape_of(values: Array, edges: Array) -> int:
    """The smallest shape that holds a buffer; delta d has its cells [edges[d], edges[d + 1])."""
    width = values.dtype.itemsize
    bits = values.view(f"<u{width}")
    most = int((bits + bits.dtype.type(_SENTINELS)).max(initial=0))  # sentinels become 0 and 1
    code = next(c for c in range(4) if 1 << c == width or most < 1 << (8 << c))
    counts = np.diff(edges)
    if len(counts) < len(values) and counts.all():
        same = np.append(bits[1:] == bits[:-1], True)
        same[edges[1:] - 1] = True
        code |= EACH if same.all() else 0
    return code


def narrowed(values: Array, shape: int, edges: Array) -> Array:
    """The stored cells of a buffer that has that shape."""
    bits = values.view(f"<u{values.dtype.itemsize}")
    return (bits[edges[:-1]] if shape & EACH else bits).astype(f"<u{1 << (shape & 3)}", copy=False)


def widened(stored: Array, dtype: np.dtype[Any]) -> Array:
    """Cells of the dtype as they were before `narrowed`; the same array where it is no wider."""
    if stored.dtype.itemsize == dtype.itemsize:
        return stored.view(dtype)
    wide = stored.astype(f"<u{dtype.itemsize}")
    wide += wide.dtype.type(_SENTINELS)
    wide &= wide.dtype.type((1 << 8 * stored.dtype.itemsize) - 1)
    wide -= wide.dtype.type(_SENTINELS)
    return frozen(wide.view(dtype))

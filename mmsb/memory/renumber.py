"""Moving ids: what a transaction called 17 is 19 once another commit took 17 and 18."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mmsb.base.model import VALUE_OF, Tag
from mmsb.base.schema import Kind
from mmsb.memory.cells import Array, cast, frozen

#: Columns that hold rows of an append-only kind and have no ``ref``: the digest takes them for the
#: numbers that they are.
_ROWS_OF: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("invalidation", "tree"): "invalidation_tree",
        ("invalidation_tree", "parent"): "invalidation_tree",
        ("inference", "parent"): "inference",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Ids ``first``, ``first + 1``, … are now ``ids[0]``, ``ids[1]``, …; all others stay."""

    first: int
    ids: Array

    def of(self, values: Array) -> Array:
        """The values with moved ids in them, in their dtype; the same array if none moved."""
        own = (values >= self.first) & (values < self.first + len(self.ids))
        if not own.any():
            return values
        out = values.copy()
        at = values[own].astype(np.int64) - self.first
        out[own] = cast(self.ids[at], out.dtype, "ids that moved")
        return frozen(out)


def renumbered(
    kind: Kind, columns: Mapping[str, Array], moved: Mapping[str, Moved], tags: Array | None
) -> dict[str, Array]:
    """Columns whose references name moved rows as they are called now.

    What a column refers to is said by the schema (``ref``) or `_ROWS_OF`, and for operands by
    ``tags``, one a row: their value and a line's "type". A number in any other column is a number.
    """
    out = {}
    for name, values in columns.items():
        ref = kind.column(name).ref or _ROWS_OF.get((kind.name, name), "")
        new = moved[ref].of(values) if ref in moved else values
        if tags is not None:
            new = _by_tag(name, values, new, moved, tags)
        out[name] = new
    return out


def refers_by_tag(kind: Kind, columns: Mapping[str, Array]) -> bool:
    """Does what these columns refer to depend on a tag?"""
    return kind.name == "operand" and not {"value", "type"}.isdisjoint(columns)


def _by_tag(name: str, values: Array, new: Array, moved: Mapping[str, Moved], tags: Array) -> Array:
    refers: Mapping[Tag, str] = {"value": VALUE_OF, "type": {Tag.LINE: "file"}}.get(name, {})
    for tag, kind in refers.items():
        at = tags == tag
        if at.any():
            # (what was moved as another reference is moved from where it was)
            source = moved[kind].of(values) if kind in moved else values
            new = frozen(np.where(at, source, new))
    return new

"""A page as a value: the rows of one kind that belong to one subject, as of one epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mmsb.base.schema import Kind
from mmsb.memory.cells import Array, filled, frozen


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """All columns of a page, each of ``rows`` cells, read-only. A row count never shrinks."""

    id: int
    kind: Kind
    rows: int
    columns: Mapping[str, Array]

    @classmethod
    def empty(cls, id: int, kind: Kind) -> Page:
        """A page as it is created: no rows."""
        columns = {column.name: frozen(filled(column, 0)) for column in kind.columns}
        return cls(id, kind, 0, MappingProxyType(columns))

    def __eq__(self, other: object) -> bool:
        """Same page, same row count, same cells by bits."""
        if not isinstance(other, Page):
            return NotImplemented
        return (self.id, self.kind.id, self.rows) == (other.id, other.kind.id, other.rows) and all(
            np.array_equal(values.view(np.uint8), other.columns[name].view(np.uint8))
            for name, values in self.columns.items()
        )

    __hash__ = None  # type: ignore[assignment]

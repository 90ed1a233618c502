"""What a peer is: a table of two columns over time, in its best use of it; and mmsb as one.

A peer holds rows 0 … n - 1 of columns ``a`` (i64) and ``b`` (f64). ``patch`` is one commit of
consecutive rows; epoch k is the state after the k-th commit, and every epoch stays readable.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.memory import ours
from benchmarks.memory.ours import SERIES
from mmsb import __version__
from mmsb.base.rect import Rows

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]

DTYPES = {"a": np.dtype("<i8"), "b": np.dtype("<f8")}
WIDTH = sum(dtype.itemsize for dtype in DTYPES.values())


class Peer(ABC):
    """A table of ``rows`` rows in a folder of its own. ``synced``: a commit is durable."""

    name: ClassVar[str]
    package: ClassVar[str]
    #: Which answers to "is a commit durable?" it can give.
    modes: ClassVar[tuple[bool, ...]] = (False, True)

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        """``patch``: the rows of a patch, which all begin at a multiple of it."""
        self.folder, self.rows, self.size, self.synced = folder, rows, patch, synced
        self.epoch = -1

    @classmethod
    def version(cls) -> str:
        return version(cls.package)

    @classmethod
    def here(cls) -> bool:
        return importlib.util.find_spec(cls.package) is not None

    @abstractmethod
    def patch(self, start: int, columns: Columns) -> None:
        """One commit of rows ``start``, ``start + 1``, …; the first one writes all rows."""

    @abstractmethod
    def column(self, name: str, epoch: int) -> Array:
        """All rows of a column as of an epoch."""

    @abstractmethod
    def cell(self, name: str, row: int, epoch: int) -> float:
        """One cell as of an epoch."""

    def close(self) -> None:  # noqa: B027 - most peers hold nothing open
        """Lets go of files."""

    def stacked(self, parts: Iterable[tuple[int, Array]]) -> Array:
        """Later patches over earlier ones."""
        out: Array | None = None
        for start, values in parts:
            if out is None:
                out = values.copy()
            else:
                out[start : start + len(values)] = values
        assert out is not None
        return out


class Ours(Peer):
    """mmsb."""

    name, package = "mmsb", "mmsb"

    def __init__(
        self, folder: Path, rows: int, patch: int, synced: bool, durability: Any = None
    ) -> None:
        super().__init__(folder, rows, patch, synced)
        chosen = durability or ("every" if synced else "none")
        self.memory = ours.create(folder, chosen)
        self.page = self.memory.create_page(SERIES, "series")
        self._base = self.memory.head + 1

    @classmethod
    def version(cls) -> str:
        return __version__

    def patch(self, start: int, columns: Columns) -> None:
        self.memory.update_page(self.page, Rows(start, start + len(columns["a"])), columns)
        self.epoch += 1

    def at(self, epoch: int) -> int:
        """The memory's own number of an epoch."""
        return self._base + epoch

    def column(self, name: str, epoch: int) -> Array:
        return self.memory.at(self._base + epoch).column(SERIES, self.page, name)

    def cell(self, name: str, row: int, epoch: int) -> float:
        snapshot = self.memory.at(self._base + epoch)
        return snapshot.cell(SERIES, self.page, name, row)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.memory.close()


class Appended(Peer):
    """A table of (epoch, row, a, b) to which each patch is appended."""

    def table(self, start: int, columns: Columns) -> Any:
        import pyarrow as pa

        self.epoch += 1
        count = len(columns["a"])
        rows = np.arange(start, start + count, dtype=np.int64)
        epochs = np.full(count, self.epoch, np.int64)
        return pa.table({"epoch": epochs, "row": rows, **columns})

    def latest(self, found: Any, name: str) -> Array:
        """The column of a table of patches, in whatever order."""
        epochs, rows = found["epoch"].to_numpy(), found["row"].to_numpy()
        values = found[name].to_numpy()
        if (epochs[1:] < epochs[:-1]).any():
            order = np.argsort(epochs, kind="stable")
            rows, values = rows[order], values[order]
        out = np.zeros(self.rows, DTYPES[name])
        out[rows] = values  # in order: the last one stays
        return out

    def last(self, found: Any, name: str) -> float:
        last = int(np.argmax(found["epoch"].to_numpy()))
        return found[name][last].as_py()  # type: ignore[no-any-return]

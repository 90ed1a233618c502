"""Peers that take a batch of small patches in one commit: (page, first row) and cells each."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Batch(ABC):
    """``prepared`` lays a batch out as the peer wants it; ``commit`` writes that, durably.

    The patch of ``pages[i]`` is ``values[i * count : (i + 1) * count]`` from row ``starts[i]`` on.
    """

    name: ClassVar[str]
    package: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.epoch = folder, 0

    @classmethod
    def here(cls) -> bool:
        found = importlib.util.find_spec(cls.package) is not None
        if not found:
            print(f"without {cls.name}: pip install 'mmsb[bench]'", file=sys.stderr)
        return found

    @abstractmethod
    def prepared(self, pages: Array, starts: Array, values: Array, count: int) -> Any: ...

    @abstractmethod
    def commit(self, given: Any) -> None: ...

    @abstractmethod
    def page(self, page: int, rows: int) -> Array:
        """The page's cells now, 0 where none was written."""

    def close(self) -> None:  # noqa: B027 - most peers hold nothing open
        """Lets go of files."""


class TimedBatch(Batch):
    """One that knows which commit wrote a cell, without reading all of them."""

    @abstractmethod
    def written(self, after: int, upto: int) -> Array:
        """The cells written in commits (after, upto], as numbers page × 2^32 + row, increasing."""


class LMDB(Batch):
    """A key (page, commit) for each patch, put in order; its value the first row and the cells."""

    name, package = "LMDB", "lmdb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import lmdb

        self._db = lmdb.open(str(folder), map_size=32 * 1024**3)

    def prepared(self, pages: Array, starts: Array, values: Array, count: int) -> Any:
        cells = np.empty((len(starts), count + 1), np.uint32)
        cells[:, 0], cells[:, 1:] = starts, values.reshape(-1, count)
        step, data = 4 * (count + 1), cells.tobytes()
        keys = pages.astype(">u4").tobytes()
        return [
            (keys[4 * at : 4 * at + 4], data[step * at : step * at + step])
            for at in range(len(pages))
        ]

    def commit(self, given: Any) -> None:
        self.epoch += 1
        after = self.epoch.to_bytes(4, "big")
        items = ((page + after, cells) for page, cells in given)
        with self._db.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(items)

    def page(self, page: int, rows: int) -> Array:
        out, prefix = np.zeros(rows, np.uint32), page.to_bytes(4, "big")
        with self._db.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(prefix)
            for key, value in cursor:
                if key[:4] != prefix:
                    break
                cells = np.frombuffer(value, np.uint32)
                out[cells[0] : cells[0] + len(cells) - 1] = cells[1:]
        return out

    def close(self) -> None:
        self._db.close()


class SQLite(Batch):
    """A row for each patch, appended; an index would cost more than the rows."""

    name, package = "SQLite", "sqlite3"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._db = sqlite3.connect(folder / "table.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE patch (page INT, first INT, cells BLOB)")

    def prepared(self, pages: Array, starts: Array, values: Array, count: int) -> Any:
        step, data = 4 * count, values.tobytes()
        return [
            (page, start, data[at * step : (at + 1) * step])
            for at, (page, start) in enumerate(zip(pages.tolist(), starts.tolist(), strict=True))
        ]

    def commit(self, given: Any) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO patch VALUES (?, ?, ?)", given)
        self._db.execute("COMMIT")

    def page(self, page: int, rows: int) -> Array:
        out = np.zeros(rows, np.uint32)
        found = self._db.execute(
            "SELECT first, cells FROM patch WHERE page = ? ORDER BY rowid", (page,)
        )
        for start, value in found:
            cells = np.frombuffer(value, np.uint32)
            out[start : start + len(cells)] = cells
        return out

    def close(self) -> None:
        self._db.close()


class DuckDB(TimedBatch):
    """A row for each cell, appended from Arrow."""

    name, package = "DuckDB", "duckdb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import duckdb

        self._db = duckdb.connect(str(folder / "table.duckdb"))
        self._db.execute(
            'CREATE TABLE patch (epoch INTEGER, page UINTEGER, "row" UINTEGER, cell UINTEGER)'
        )

    def prepared(self, pages: Array, starts: Array, values: Array, count: int) -> Any:
        import pyarrow as pa

        named, rows = _places(pages, starts, count)
        return pa.table({"page": named, "row": rows, "cell": values})

    def commit(self, given: Any) -> None:
        self.epoch += 1
        self._db.register("given", given)
        self._db.execute(f'INSERT INTO patch SELECT {self.epoch}, page, "row", cell FROM given')

    def page(self, page: int, rows: int) -> Array:
        out = np.zeros(rows, np.uint32)
        found = self._db.execute(
            f'SELECT "row", cell FROM patch WHERE page = {page} ORDER BY epoch'
        ).fetchall()
        for row, cell in found:
            out[row] = cell
        return out

    def written(self, after: int, upto: int) -> Array:
        found = self._db.execute(
            f'SELECT page, "row" FROM patch WHERE epoch > {after} AND epoch <= {upto}'
        ).fetchnumpy()
        return _once(found["page"], found["row"])

    def close(self) -> None:
        self._db.close()


class TileDB(TimedBatch):
    """A sparse array (page, row); a batch is one fragment, with its timestamp."""

    name, package = "TileDB", "tiledb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import tiledb

        self._db = tiledb
        dimensions = [
            tiledb.Dim("page", domain=(0, 2**31), tile=1024, dtype=np.uint32),
            tiledb.Dim("row", domain=(0, 2**20), tile=1024, dtype=np.uint32),
        ]
        described = tiledb.ArraySchema(
            tiledb.Domain(*dimensions), [tiledb.Attr("cell", dtype=np.uint32)], sparse=True
        )
        tiledb.Array.create(str(folder), described)

    def prepared(self, pages: Array, starts: Array, values: Array, count: int) -> Any:
        return *_places(pages, starts, count), values

    def commit(self, given: Any) -> None:
        self.epoch += 1
        pages, rows, values = given
        with self._db.open(str(self.folder), "w", timestamp=self.epoch) as array:
            array[pages, rows] = {"cell": values}

    def page(self, page: int, rows: int) -> Array:
        out = np.zeros(rows, np.uint32)
        with self._db.open(str(self.folder)) as array:
            found = array[page, 0:rows]
        out[found["row"]] = found["cell"]
        return out

    def written(self, after: int, upto: int) -> Array:
        with self._db.open(str(self.folder), timestamp=(after + 1, upto)) as array:
            found = array.query(attrs=[])[:]
        return _once(found["page"], found["row"])


class Lance(Batch):
    """A row for each cell, in a fragment and version for each batch."""

    name, package = "Lance", "lance"

    def prepared(self, pages: Array, starts: Array, values: Array, count: int) -> Any:
        import pyarrow as pa

        named, rows = _places(pages, starts, count)
        return pa.table({"page": named, "row": rows, "cell": values})

    def commit(self, given: Any) -> None:
        import lance

        self.epoch += 1
        mode = "create" if self.epoch == 1 else "append"
        lance.write_dataset(given, str(self.folder / "table"), mode=mode)

    def page(self, page: int, rows: int) -> Array:
        import lance

        out = np.zeros(rows, np.uint32)
        table = lance.dataset(str(self.folder / "table")).to_table(filter=f"page = {page}")
        out[table["row"].to_numpy()] = table["cell"].to_numpy()
        return out


def _places(pages: Array, starts: Array, count: int) -> tuple[Array, Array]:
    """Page and row of every cell."""
    rows = np.repeat(starts, count) + np.tile(np.arange(count, dtype=np.uint32), len(starts))
    return np.repeat(pages.astype(np.uint32), count), rows.astype(np.uint32)


def _once(pages: Array, rows: Array) -> Array:
    """Cells as one number each, increasing, none twice."""
    found: Array = np.unique(pages.astype(np.uint64) << np.uint64(32) | rows)
    return found


TIMED: tuple[type[TimedBatch], ...] = (DuckDB, TileDB)
BATCHES: tuple[type[Batch], ...] = (LMDB, SQLite, DuckDB, TileDB, Lance)

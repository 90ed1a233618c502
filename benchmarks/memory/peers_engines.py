"""Databases: they hold the patches themselves, and a read lays the later over the earlier."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.memory.peer import DTYPES, WIDTH, Appended, Array, Columns, Peer

MAP_BYTES = 16 * 1024**3  # of LMDB: address space, no more


class LMDB(Peer):
    """A value of bytes for each patch, its epoch the key."""

    name, package = "LMDB", "lmdb"
    writemap: ClassVar[bool] = True  # bytes go through a writable map: fastest where nothing syncs

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        super().__init__(folder, rows, patch, synced)
        import lmdb

        self._db = lmdb.open(
            str(folder), map_size=MAP_BYTES, sync=synced, writemap=self.writemap and not synced
        )

    def patch(self, start: int, columns: Columns) -> None:
        self.epoch += 1
        value = start.to_bytes(8, "little") + columns["a"].tobytes() + columns["b"].tobytes()
        with self._db.begin(write=True) as transaction:
            transaction.put(self.epoch.to_bytes(8, "big"), value, append=True)

    def column(self, name: str, epoch: int) -> Array:
        with self._db.begin(buffers=True) as transaction:
            return self.stacked(
                _part(value, name)
                for key, value in transaction.cursor().iternext()
                if int.from_bytes(key, "big") <= epoch
            )

    def cell(self, name: str, row: int, epoch: int) -> float:
        with self._db.begin(buffers=True) as transaction:
            cursor = transaction.cursor()
            cursor.set_key(epoch.to_bytes(8, "big"))
            for value in cursor.iterprev(keys=False):
                start, values = _part(value, name)
                if start <= row < start + len(values):
                    return values[row - start]  # type: ignore[no-any-return]
        raise KeyError(row)

    def close(self) -> None:
        self._db.close()


class PlainLMDB(LMDB):
    """The same through pwrite: no stray pointer and no full disk can hurt it, as ours."""

    name, modes, writemap = "LMDB by pwrite", (False,), False


def _part(value: Any, name: str) -> tuple[int, Array]:
    """Where a patch's bytes begin in the table, and their cells of one column."""
    count = (len(value) - 8) // WIDTH
    at = 8 if name == "a" else 8 + count * DTYPES["a"].itemsize
    start = int.from_bytes(value[:8], "little")
    return start, np.frombuffer(value, DTYPES[name], count, at)


class SQLite(Peer):
    """A row for each patch, its cells as two blobs; write-ahead log."""

    name, package = "SQLite", "sqlite3"

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        super().__init__(folder, rows, patch, synced)
        self._db = sqlite3.connect(folder / "table.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'FULL' if synced else 'OFF'}")
        self._db.execute(
            "CREATE TABLE patch (epoch INTEGER PRIMARY KEY, first INT, stop INT, a BLOB, b BLOB)"
        )

    @classmethod
    def version(cls) -> str:
        return sqlite3.sqlite_version

    def patch(self, start: int, columns: Columns) -> None:
        self.epoch += 1
        a, b = columns["a"], columns["b"]
        self._db.execute(
            "INSERT INTO patch VALUES (?, ?, ?, ?, ?)",
            (self.epoch, start, start + len(a), a.tobytes(), b.tobytes()),
        )

    def column(self, name: str, epoch: int) -> Array:
        found = self._db.execute(
            f"SELECT first, {name} FROM patch WHERE epoch <= ? ORDER BY epoch", (epoch,)
        )
        return self.stacked((start, np.frombuffer(cells, DTYPES[name])) for start, cells in found)

    def cell(self, name: str, row: int, epoch: int) -> float:
        start, cells = self._db.execute(
            f"SELECT first, {name} FROM patch WHERE epoch <= ? AND first <= ? AND stop > ? "
            "ORDER BY epoch DESC LIMIT 1",
            (epoch, row, row),
        ).fetchone()
        return np.frombuffer(cells, DTYPES[name])[row - start]  # type: ignore[no-any-return]

    def close(self) -> None:
        self._db.close()


class DuckDB(Appended):
    """The patches in a table of its own; a commit is always synced."""

    name, package, modes = "DuckDB", "duckdb", (True,)

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        super().__init__(folder, rows, patch, synced)
        import duckdb

        self._db = duckdb.connect(str(folder / "table.duckdb"))
        self._db.execute('CREATE TABLE patch (epoch BIGINT, "row" BIGINT, a BIGINT, b DOUBLE)')

    def patch(self, start: int, columns: Columns) -> None:
        self._db.register("given", self.table(start, columns))
        self._db.execute("INSERT INTO patch SELECT * FROM given")

    def column(self, name: str, epoch: int) -> Array:
        found = self._db.execute(
            f'SELECT epoch, "row", {name} FROM patch WHERE epoch <= {epoch}'
        ).fetchnumpy()
        order = np.argsort(found["epoch"], kind="stable")
        out = np.zeros(self.rows, DTYPES[name])
        out[found["row"][order]] = found[name][order]
        return out

    def cell(self, name: str, row: int, epoch: int) -> float:
        found = self._db.execute(
            f'SELECT arg_max({name}, epoch) FROM patch WHERE "row" = {row} AND epoch <= {epoch}'
        ).fetchone()
        return found[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        self._db.close()

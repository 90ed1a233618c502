"""The peers, and mmsb beside them: each a table of two columns over time, in its best use of it.

A peer holds rows 0 … n - 1 of columns ``a`` (i64) and ``b`` (f64). ``patch`` is one commit of
consecutive rows; epoch k is the state after the k-th commit, and every epoch stays readable.
TileDB and Icechunk are arrays and patch in place, with tiles and chunks of one patch; the others
have no patch that keeps the past, so they hold the patches themselves, and a read lays the later
over the earlier.
"""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import sys
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
MAP_BYTES = 16 * 1024**3  # of LMDB: address space, no more


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

    def _stacked(self, parts: Iterable[tuple[int, Array]]) -> Array:
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
        return ours.cell(snapshot, SERIES, self.page, name, row)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.memory.close()


class TileDB(Peer):
    """A dense array; each patch is a fragment with the epoch as its timestamp."""

    name, package, modes = "TileDB", "tiledb", (False,)

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        super().__init__(folder, rows, patch, synced)
        import tiledb

        self._db = tiledb
        domain = tiledb.Domain(
            tiledb.Dim("row", domain=(0, rows - 1), tile=min(rows, patch), dtype=np.uint64)
        )
        attributes = [tiledb.Attr(name, dtype=dtype) for name, dtype in DTYPES.items()]
        tiledb.Array.create(str(folder), tiledb.ArraySchema(domain=domain, attrs=attributes))

    def patch(self, start: int, columns: Columns) -> None:
        self.epoch += 1
        with self._db.open(str(self.folder), "w", timestamp=self.epoch + 1) as array:
            array[start : start + len(columns["a"])] = dict(columns)

    def column(self, name: str, epoch: int) -> Array:
        with self._db.open(str(self.folder), "r", timestamp=epoch + 1) as array:
            found: Array = array.query(attrs=[name])[:][name]
        return found

    def cell(self, name: str, row: int, epoch: int) -> float:
        with self._db.open(str(self.folder), "r", timestamp=epoch + 1) as array:
            return array.query(attrs=[name])[row : row + 1][name][0]  # type: ignore[no-any-return]


class Icechunk(Peer):
    """Two zarr arrays; each patch rewrites its chunk and commits a snapshot."""

    name, package, modes = "Icechunk", "icechunk", (False,)

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        super().__init__(folder, rows, patch, synced)
        import icechunk
        import zarr

        icechunk.set_logs_filter("error")
        self._zarr = zarr
        self._repository = icechunk.Repository.create(
            icechunk.local_filesystem_storage(str(folder))
        )
        session = self._repository.writable_session("main")
        group = zarr.create_group(session.store)
        for name, dtype in DTYPES.items():
            group.create_array(
                name, shape=(rows,), chunks=(min(rows, patch),), dtype=dtype, compressors=None
            )
        session.commit("empty")
        self._snapshots: list[str] = []

    def patch(self, start: int, columns: Columns) -> None:
        session = self._repository.writable_session("main")
        group = self._zarr.open_group(session.store, mode="r+")
        for name, values in columns.items():
            group[name][start : start + len(values)] = values
        self._snapshots.append(session.commit("patch"))
        self.epoch += 1

    def _array(self, name: str, epoch: int) -> Any:
        session = self._repository.readonly_session(snapshot_id=self._snapshots[epoch])
        return self._zarr.open_array(session.store, path=name, mode="r")

    def column(self, name: str, epoch: int) -> Array:
        found: Array = self._array(name, epoch)[:]
        return found

    def cell(self, name: str, row: int, epoch: int) -> float:
        found: float = self._array(name, epoch)[row]
        return found


class _Appended(Peer):
    """A table of (epoch, row, a, b) to which each patch is appended."""

    def _table(self, start: int, columns: Columns) -> Any:
        import pyarrow as pa

        self.epoch += 1
        count = len(columns["a"])
        rows = np.arange(start, start + count, dtype=np.int64)
        epochs = np.full(count, self.epoch, np.int64)
        return pa.table({"epoch": epochs, "row": rows, **columns})

    def _latest(self, found: Any, name: str) -> Array:
        """The column of a table of patches, in whatever order."""
        epochs, rows = found["epoch"].to_numpy(), found["row"].to_numpy()
        values = found[name].to_numpy()
        if (epochs[1:] < epochs[:-1]).any():
            order = np.argsort(epochs, kind="stable")
            rows, values = rows[order], values[order]
        out = np.zeros(self.rows, DTYPES[name])
        out[rows] = values  # in order: the last one stays
        return out

    def _last(self, found: Any, name: str) -> float:
        last = int(np.argmax(found["epoch"].to_numpy()))
        return found[name][last].as_py()  # type: ignore[no-any-return]


class Lance(_Appended):
    """An appended fragment and a version for each patch."""

    name, package, modes = "Lance", "lance", (False,)

    @classmethod
    def version(cls) -> str:
        return version("pylance")

    def patch(self, start: int, columns: Columns) -> None:
        import lance

        table = self._table(start, columns)
        mode = "append" if self.epoch else "create"
        lance.write_dataset(table, str(self.folder / "table"), mode=mode)

    def _open(self, epoch: int) -> Any:
        import lance

        return lance.dataset(str(self.folder / "table"), version=epoch + 1)

    def column(self, name: str, epoch: int) -> Array:
        return self._latest(self._open(epoch).to_table(columns=["epoch", "row", name]), name)

    def cell(self, name: str, row: int, epoch: int) -> float:
        wanted = {"columns": ["epoch", name], "filter": f"row = {row}"}
        return self._last(self._open(epoch).to_table(**wanted), name)


class DeltaLake(_Appended):
    """An appended Parquet file and a version for each patch."""

    name, package, modes = "Delta Lake", "deltalake", (False,)

    def patch(self, start: int, columns: Columns) -> None:
        import deltalake

        deltalake.write_deltalake(str(self.folder), self._table(start, columns), mode="append")

    def _read(self, epoch: int, name: str, filters: Any = None) -> Any:
        import deltalake

        table = deltalake.DeltaTable(str(self.folder), version=epoch)
        return table.to_pyarrow_table(columns=["epoch", "row", name], filters=filters)

    def column(self, name: str, epoch: int) -> Array:
        return self._latest(self._read(epoch, name), name)

    def cell(self, name: str, row: int, epoch: int) -> float:
        return self._last(self._read(epoch, name, [("row", "=", row)]), name)


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
            return self._stacked(
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
        return self._stacked((start, np.frombuffer(cells, DTYPES[name])) for start, cells in found)

    def cell(self, name: str, row: int, epoch: int) -> float:
        start, cells = self._db.execute(
            f"SELECT first, {name} FROM patch WHERE epoch <= ? AND first <= ? AND stop > ? "
            "ORDER BY epoch DESC LIMIT 1",
            (epoch, row, row),
        ).fetchone()
        return np.frombuffer(cells, DTYPES[name])[row - start]  # type: ignore[no-any-return]

    def close(self) -> None:
        self._db.close()


class DuckDB(_Appended):
    """The patches in a table of its own; a commit is always synced."""

    name, package, modes = "DuckDB", "duckdb", (True,)

    def __init__(self, folder: Path, rows: int, patch: int, synced: bool) -> None:
        super().__init__(folder, rows, patch, synced)
        import duckdb

        self._db = duckdb.connect(str(folder / "table.duckdb"))
        self._db.execute('CREATE TABLE patch (epoch BIGINT, "row" BIGINT, a BIGINT, b DOUBLE)')

    def patch(self, start: int, columns: Columns) -> None:
        self._db.register("given", self._table(start, columns))
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


PEERS: tuple[type[Peer], ...] = (
    TileDB,
    Icechunk,
    Lance,
    DeltaLake,
    LMDB,
    PlainLMDB,
    SQLite,
    DuckDB,
)


def chosen(wanted: bool) -> tuple[type[Peer], ...]:
    """The peers that are installed; none if they are not wanted."""
    if not wanted:
        return ()
    for kind in PEERS:
        if not kind.here():
            print(f"without {kind.name}: pip install 'mmsb[bench]'", file=sys.stderr)
    return tuple(kind for kind in PEERS if kind.here())


def make(kind: type[Peer], folder: Path, rows: int, patch: int, synced: bool = False) -> Peer:
    """A new, empty table in ``folder``."""
    remove(folder)
    if kind is not Ours:
        folder.mkdir(parents=True)
    return kind(folder, rows, patch, synced)


def remove(folder: Path) -> None:
    """Gives a table's disk space back."""
    shutil.rmtree(folder, ignore_errors=True)

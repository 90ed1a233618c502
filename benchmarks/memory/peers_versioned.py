"""Stores that keep versions of themselves.

TileDB and Icechunk are arrays and patch in place, with tiles and chunks of one patch. Lance and
Delta Lake have no patch that keeps the past, so they hold the patches themselves, and a read lays
the later over the earlier.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory.peer import DTYPES, Appended, Array, Columns, Peer


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


class Lance(Appended):
    """An appended fragment and a version for each patch."""

    name, package, modes = "Lance", "lance", (False,)

    @classmethod
    def version(cls) -> str:
        return version("pylance")

    def patch(self, start: int, columns: Columns) -> None:
        import lance

        table = self.table(start, columns)
        mode = "append" if self.epoch else "create"
        lance.write_dataset(table, str(self.folder / "table"), mode=mode)

    def _open(self, epoch: int) -> Any:
        import lance

        return lance.dataset(str(self.folder / "table"), version=epoch + 1)

    def column(self, name: str, epoch: int) -> Array:
        return self.latest(self._open(epoch).to_table(columns=["epoch", "row", name]), name)

    def cell(self, name: str, row: int, epoch: int) -> float:
        wanted = {"columns": ["epoch", name], "filter": f"row = {row}"}
        return self.last(self._open(epoch).to_table(**wanted), name)


class DeltaLake(Appended):
    """An appended Parquet file and a version for each patch."""

    name, package, modes = "Delta Lake", "deltalake", (False,)

    def patch(self, start: int, columns: Columns) -> None:
        import deltalake

        deltalake.write_deltalake(str(self.folder), self.table(start, columns), mode="append")

    def _read(self, epoch: int, name: str, filters: Any = None) -> Any:
        import deltalake

        table = deltalake.DeltaTable(str(self.folder), version=epoch)
        return table.to_pyarrow_table(columns=["epoch", "row", name], filters=filters)

    def column(self, name: str, epoch: int) -> Array:
        return self.latest(self._read(epoch, name), name)

    def cell(self, name: str, row: int, epoch: int) -> float:
        return self.last(self._read(epoch, name, [("row", "=", row)]), name)

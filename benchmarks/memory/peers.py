"""Which peers there are, and how one is made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.memory.peer import Ours, Peer
from benchmarks.memory.peers_engines import LMDB, DuckDB, PlainLMDB, SQLite
from benchmarks.memory.peers_versioned import DeltaLake, Icechunk, Lance, TileDB

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

"""The digest of a memory's content: the same for the same facts, however they came to be stored.

Ids are replaced by the digest of what they name, so neither the order in which symbols, types,
files or scopes were met nor the history or layout of a page shows. Trailing fill does not count.
"""

from __future__ import annotations

import hashlib

import numpy as np
from xxhash import xxh3_128_digest

from mmsb.base.errors import CorruptData
from mmsb.base.schema import Column, Kind
from mmsb.memory.cells import Array, filled
from mmsb.memory.snapshot import Snapshot

_WIDTH = 16
#: Kinds that count only where something refers to them, and what is known of the recording.
_NOT_HASHED = {"heap", "symbol", "type", "file", "scope", "recording"}


def digest(snapshot: Snapshot) -> str:
    """SHA-256 in hex over the content as of the snapshot's epoch. O(cells + referred rows)."""
    names = _Names(snapshot)
    total = hashlib.sha256()
    for kind in snapshot.kinds:
        if kind.name in _NOT_HASHED:
            continue
        for subject, page in _by_subject(snapshot, kind):
            content = _page(snapshot, names, kind, page)
            if content or not kind.append_only:
                _put(total, b"page", str(kind.id).encode(), subject, content)
    return total.hexdigest()


def _put(total: hashlib._Hash, *parts: bytes) -> None:
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)


def _by_subject(snapshot: Snapshot, kind: Kind) -> list[tuple[bytes, int]]:
    pages = snapshot.pages(kind).tolist()
    return sorted((snapshot.subject(p).encode("utf-8", "surrogateescape"), p) for p in pages)


def _page(snapshot: Snapshot, names: _Names, kind: Kind, page: int) -> bytes:
    parts: list[bytes] = []
    for column in sorted(kind.columns, key=lambda column: column.id):
        if column.digest:
            values = _trimmed(column, snapshot.column(kind, page, column.name))
            if len(values):
                content = names.resolve(column, values).tobytes()
                parts += [column.id.to_bytes(8, "little"), len(values).to_bytes(8, "little")]
                parts.append(content)
    return b"".join(parts)


def _trimmed(column: Column, values: Array) -> Array:
    """Without trailing cells that hold the fill value, bit for bit."""
    width = values.dtype.itemsize
    bits = np.ascontiguousarray(values).view(f"<u{width}")
    kept = np.flatnonzero(bits != filled(column, 1).view(f"<u{width}")[0])
    return values[: int(kept[-1]) + 1] if len(kept) else values[:0]


class _Names:
    """For each row of a referred kind, 16 bytes that stand for what it says. Lazy."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._tables: dict[str, Array] = {}
        self._open: list[str] = []

    def resolve(self, column: Column, values: Array) -> Array:
        """The values, or for a reference column (n, 16) bytes that name them."""
        if not column.ref:
            return values
        return _named(self._table(column.ref), values)

    def _table(self, kind: str) -> Array:
        if kind not in self._tables:
            if kind in self._open:
                raise CorruptData(f"kinds {self._open} refer to each other in a circle")
            self._open.append(kind)
            self._tables[kind] = self._symbols() if kind == "symbol" else self._rows(kind)
            self._open.pop()
        return self._tables[kind]

    def _symbols(self) -> Array:
        joined = b"".join(map(xxh3_128_digest, self._snapshot.symbol_bytes()))
        return np.frombuffer(joined, np.uint8).reshape(-1, _WIDTH)

    def _rows(self, name: str) -> Array:
        kind = self._snapshot.kind(name)
        held = self._snapshot.table(kind)
        columns = [c for c in sorted(kind.columns, key=lambda c: c.id) if c.digest]
        count = len(held[columns[0].name])
        plain = [_bytes_of(self.resolve(c, held[c.name]), count) for c in columns if c.ref != name]
        own = [held[c.name] for c in columns if c.ref == name]
        return _levels(np.concatenate(plain, axis=1), own)


def _bytes_of(cells: Array, count: int) -> Array:
    """(count, width) bytes of contiguous cells."""
    width = cells.nbytes // count if count else 0
    return np.ascontiguousarray(cells).view(np.uint8).reshape(count, width)


def _named(table: Array, ids: Array) -> Array:
    """(n, 16) bytes: the table's row, or for ids outside it (sentinels) the id itself, marked."""
    out = np.full((len(ids), _WIDTH), 0xFF, np.uint8)
    out[:, :4] = np.ascontiguousarray(ids.astype("<u4")).view(np.uint8).reshape(-1, 4)
    inside = ids < len(table)
    out[inside] = table[ids[inside]]
    return out


def _levels(plain: Array, own: list[Array]) -> Array:
    """Hashes rows that refer to rows of their own kind: those first whose referents are hashed."""
    count = len(plain)
    table = np.zeros((count, _WIDTH), np.uint8)
    waiting = np.ones(count, bool)
    while waiting.any():
        ready = waiting.copy()
        for ids in own:
            inside = ids < count
            ready[inside] &= ~waiting[ids[inside]]
        rows = np.flatnonzero(ready)
        if not len(rows):
            raise CorruptData(f"row {int(np.flatnonzero(waiting)[0])} refers to itself in a circle")
        parts = [plain[rows], *(_named(table, ids[rows]) for ids in own)]
        joined = np.ascontiguousarray(np.concatenate(parts, axis=1))
        width = joined.shape[1]
        data = joined.data.cast("B")
        hashed = [xxh3_128_digest(data[at : at + width]) for at in range(0, len(data), width)]
        table[rows] = np.frombuffer(b"".join(hashed), np.uint8).reshape(-1, _WIDTH)
        waiting[rows] = False
    return table

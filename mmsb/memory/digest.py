"""The digest of a memory's content: the same for the same facts, however they came to be stored.

Ids are replaced by the digest of what they name, so neither the order in which symbols, types,
files or scopes were met nor the history or layout of a page shows. Trailing fill does not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xxhash import xxh3_128_digest

from mmsb.base.errors import CorruptData
from mmsb.base.model import VALUE_OF, Tag
from mmsb.base.schema import Column, Kind
from mmsb.memory.cells import Array, filled
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.symbols import to_bytes

_WIDTH = 16
_NOTHING: Array = np.zeros((0, _WIDTH), np.uint8)
#: Kinds that count only where something refers to them, and what is known of the recording.
_NOT_HASHED = {"heap", "symbol", "type", "file", "scope", "recording"}


def digest(snapshot: Snapshot) -> str:
    """SHA-256 in hex over the content as of the snapshot's epoch. O(cells + referred rows)."""
    total = hashlib.sha256()
    for kind, subject, content in contents(snapshot):
        for part in (str(kind.id).encode(), subject, content):
            total.update(_u64(len(part)))
            total.update(part)
    return total.hexdigest()


def contents(snapshot: Snapshot) -> Iterator[tuple[Kind, bytes, bytes]]:
    """Of each page its kind, its subject and what the digest takes of it, in the digest's order."""
    names = _Names(snapshot)
    for kind in snapshot.kinds:
        if kind.name in _NOT_HASHED:
            continue
        columns = _columns(snapshot, names, kind)
        for subject, at in _by_subject(snapshot, kind):
            content = b"".join(column.of_page(at) for column in columns)
            if content or not kind.append_only:
                yield kind, subject, content


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _by_subject(snapshot: Snapshot, kind: Kind) -> list[tuple[bytes, int]]:
    """Subjects as bytes, sorted, each with the place of its page among the live ones."""
    subjects = snapshot.subjects(snapshot.pages(kind))
    return sorted((to_bytes(subject), at) for at, subject in enumerate(subjects))


@dataclass(frozen=True, slots=True)
class _Content:
    """One column over all live pages: page i's cells [starts[i], stops[i]), no trailing fill."""

    id: int
    cells: Array
    starts: list[int]
    stops: list[int]

    def of_page(self, at: int) -> bytes:
        """What the digest takes of a page: column id, number of cells, cells; b"" for none."""
        start, stop = self.starts[at], self.stops[at]
        if start == stop:
            return b""
        return _u64(self.id) + _u64(stop - start) + self.cells[start:stop].tobytes()


def _columns(snapshot: Snapshot, names: _Names, kind: Kind) -> list[_Content]:
    found = []
    for column in sorted(kind.columns, key=lambda column: column.id):
        if column.digest:
            values, offsets = snapshot.gather(kind, column.name)
            kept = _not_fill(column, values)
            if len(kept):
                last = np.append(-1, kept)[np.searchsorted(kept, offsets[1:])]
                stops = np.maximum(last + 1, offsets[:-1]).tolist()
                if kind.name == "operand" and column.name in ("value", "type"):
                    cells = names.of_operands(column, values, snapshot.gather(kind, "tag")[0])
                else:
                    cells = names.resolve(column, values)
                found.append(_Content(column.id, cells, offsets[:-1].tolist(), stops))
    return found


def _not_fill(column: Column, values: Array) -> Array:
    """Where the cells differ from the fill value, bit for bit."""
    bits = f"<u{values.dtype.itemsize}"
    return np.flatnonzero(values.view(bits) != filled(column, 1).view(bits)[0])


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

    def of_operands(self, column: Column, values: Array, tags: Array) -> Array:
        """An operand's tag says what its value, and a line's "type", is an id of."""
        refers = VALUE_OF if column.name == "value" else {Tag.LINE: "file"}
        out = _named(self._table(column.ref) if column.ref else _NOTHING, values)
        for tag, kind in refers.items():
            at = np.flatnonzero(tags == tag)
            if len(at):
                out[at] = _named(self._table(kind), values[at])
        return out

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

"""Ids of a stream to ids of a memory, each looked up once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmsb.base import schema
from mmsb.base.model import NONE_U32
from mmsb.base.schema import Kind
from mmsb.capture.stream import U32, Stream

#: Ids at or above this are sentinels (NONE, "the method itself") and stay as they are.
FIRST_SENTINEL = NONE_U32 - 1
_UNKNOWN = NONE_U32


class Sink(Protocol):
    """What one commit collects; ``mmsb.memory.changes.Changes`` is one."""

    def symbol(self, text: str) -> int: ...
    def page(self, kind: Kind, subject: str) -> int: ...
    def append(self, kind: Kind, columns: Mapping[str, Any]) -> int: ...
    def patch(self, kind: Kind, page: int, columns: Mapping[str, Any], start: int = 0) -> None: ...
    def patch_rows(
        self, kind: Kind, page: int, rows: ArrayLike, columns: Mapping[str, Any]
    ) -> None: ...


class _Map:
    """A function of ids, worked out once for each and kept as an array."""

    def __init__(self) -> None:
        self._known: U32 = np.empty(0, np.uint32)

    def __call__(self, ids: NDArray[Any], count: int, work_out: Callable[[int], int]) -> U32:
        """The values of ``ids``, all below ``count``; sentinels stay. In order of appearance."""
        if count > len(self._known):
            more = np.full(max(count, 2 * len(self._known)), _UNKNOWN, np.uint32)
            more[: len(self._known)] = self._known
            self._known = more
        plain = ids < FIRST_SENTINEL
        every = bool(plain.all())
        wanted = ids if every else ids[plain]
        values: U32 = self._known[wanted]
        missing = wanted[values == _UNKNOWN]
        if len(missing):
            unique, first = np.unique(missing, return_index=True)
            for id_ in unique[np.argsort(first)].tolist():
                self._known[id_] = work_out(id_)
            values = self._known[wanted]
        if every:
            return values
        out = ids.astype(np.uint32)
        out[plain] = values
        return out


class Intern:
    """Stream ids → memory ids of a new memory. Only what a stored fact refers to is ever written,
    a commit's rows at once: call ``flush`` at its end."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._symbols: dict[int, int] = {}
        self._anchors: dict[int, int] = {}
        self._first_anchor: dict[tuple[int, int, int, int, int], int] = {}
        self._tables = {kind.id: _Table(kind) for kind in (schema.TYPE, schema.FILE, schema.SCOPE)}
        self._maps = {name: _Map() for name in ("symbol", "type", "scope", "anchor", "root")}

    def flush(self, sink: Sink) -> None:
        """Write the rows that this commit refers to first."""
        for table in self._tables.values():
            table.flush(sink)

    def symbols(self, sink: Sink, ids: NDArray[Any]) -> U32:
        count = len(self._stream.symbols)
        return self._maps["symbol"](ids, count, lambda i: self._symbol(sink, i))

    def types(self, sink: Sink, ids: NDArray[Any]) -> U32:
        return self._maps["type"](ids, len(self._stream.types), lambda i: self.type(sink, i))

    def scopes(self, sink: Sink, ids: NDArray[Any]) -> U32:
        return self._maps["scope"](ids, len(self._stream.scopes), lambda i: self._scope(sink, i))

    def anchors(self, ids: NDArray[Any]) -> U32:
        """``anchor`` of each."""
        return self._maps["anchor"](ids, len(self._stream.scopes), self.anchor)

    def roots(self, ids: NDArray[Any]) -> U32:
        """The lowered statement of the method itself that an inlined frame goes back to."""
        return self._maps["root"](ids, len(self._stream.scopes), self.root)

    def root(self, scope: int) -> int:
        """See ``roots``."""
        while True:
            parent, _method, _file, _line, origin = self._stream.scopes[scope]
            if parent >= FIRST_SENTINEL:
                return origin
            scope = parent

    def anchor(self, scope: int) -> int:
        """One stream id for all inlined frames that differ in lines alone, where their origins are
        known: a method that moves within its file keeps its rows."""
        if scope >= FIRST_SENTINEL:
            return scope
        if scope not in self._anchors:
            parent, method, file, line, origin = self._stream.scopes[scope]
            exact = origin < FIRST_SENTINEL
            key = (self.anchor(parent), method, file, 0 if exact else line, origin)
            self._anchors[scope] = self._first_anchor.setdefault(key, scope)
        return self._anchors[scope]

    def symbol(self, sink: Sink, id_: int) -> int:
        """One symbol."""
        return id_ if id_ >= FIRST_SENTINEL else self._symbol(sink, id_)

    def _symbol(self, sink: Sink, id_: int) -> int:
        if id_ not in self._symbols:
            self._symbols[id_] = sink.symbol(self._stream.symbols[id_])
        return self._symbols[id_]

    def type(self, sink: Sink, id_: int) -> int:
        def row() -> tuple[int, ...]:
            name, lattice, widened = self._stream.types[id_]
            return self._symbol(sink, name), lattice, self._symbol(sink, widened)

        return self._tables[schema.TYPE.id].id(id_, row)

    def file(self, sink: Sink, id_: int) -> int:
        def row() -> tuple[int, ...]:
            content, name, lines, _path = self._stream.files[id_]
            return self._symbol(sink, content), self._symbol(sink, name), lines

        return self._tables[schema.FILE.id].id(id_, row)

    def _scope(self, sink: Sink, id_: int) -> int:
        def row() -> tuple[int, ...]:
            parent, method, file, line, origin = self._stream.scopes[id_]
            return (
                self._scope(sink, parent),
                self._symbol(sink, method),
                self.file(sink, file),
                line,
                origin,
            )

        return self._tables[schema.SCOPE.id].id(id_, row)


class _Table:
    """Rows of one append-only kind: known ids, and those of this commit not yet written."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._ids: dict[int, int] = {}
        self._rows: list[tuple[int, ...]] = []
        self._written = 0

    def id(self, stream_id: int, row: Callable[[], tuple[int, ...]]) -> int:
        if stream_id >= FIRST_SENTINEL:
            return stream_id
        if stream_id not in self._ids:
            values = row()  # first: a scope's parent comes before it
            self._ids[stream_id] = self._written + len(self._rows)
            self._rows.append(values)
        return self._ids[stream_id]

    def flush(self, sink: Sink) -> None:
        if not self._rows:
            return
        names = [column.name for column in self._kind.columns]
        columns = dict(zip(names, map(list, zip(*self._rows, strict=True)), strict=True))
        first = sink.append(self._kind, columns)
        assert first == self._written, "a recording is written to a memory of its own"
        self._written += len(self._rows)
        self._rows = []

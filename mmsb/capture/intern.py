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
_FIRST_SENTINEL = NONE_U32 - 1


class Sink(Protocol):
    """What one commit collects; ``mmsb.memory.changes.Changes`` is one."""

    def symbol(self, text: str) -> int: ...
    def page(self, kind: Kind, subject: str) -> int: ...
    def append(self, kind: Kind, columns: Mapping[str, Any]) -> int: ...
    def patch(self, kind: Kind, page: int, columns: Mapping[str, Any], start: int = 0) -> None: ...
    def patch_rows(
        self, kind: Kind, page: int, rows: ArrayLike, columns: Mapping[str, Any]
    ) -> None: ...


class Intern:
    """Stream ids → memory ids. Only what a stored fact refers to is ever written."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._symbols: dict[int, int] = {}
        self._types: dict[int, int] = {}
        self._files: dict[int, int] = {}
        self._scopes: dict[int, int] = {}

    def symbols(self, sink: Sink, ids: NDArray[Any]) -> U32:
        return _each(ids, lambda i: self._symbol(sink, i))

    def types(self, sink: Sink, ids: NDArray[Any]) -> U32:
        return _each(ids, lambda i: self.type(sink, i))

    def scopes(self, sink: Sink, ids: NDArray[Any]) -> U32:
        return _each(ids, lambda i: self._scope(sink, i))

    def _symbol(self, sink: Sink, id_: int) -> int:
        if id_ not in self._symbols:
            self._symbols[id_] = sink.symbol(self._stream.symbols[id_])
        return self._symbols[id_]

    def type(self, sink: Sink, id_: int) -> int:
        if id_ >= _FIRST_SENTINEL:
            return id_
        if id_ not in self._types:
            name, lattice, widened = self._stream.types[id_]
            self._types[id_] = sink.append(
                schema.TYPE,
                {
                    "name": [self._symbol(sink, name)],
                    "lattice": [lattice],
                    "widened": [self._symbol(sink, widened)],
                },
            )
        return self._types[id_]

    def file(self, sink: Sink, id_: int) -> int:
        if id_ >= _FIRST_SENTINEL:
            return id_
        if id_ not in self._files:
            content, name, lines, _path = self._stream.files[id_]
            self._files[id_] = sink.append(
                schema.FILE,
                {
                    "content": [self._symbol(sink, content)],
                    "name": [self._symbol(sink, name)],
                    "lines": [lines],
                },
            )
        return self._files[id_]

    def _scope(self, sink: Sink, id_: int) -> int:
        if id_ not in self._scopes:
            parent, method, file, line, origin = self._stream.scopes[id_]
            self._scopes[id_] = sink.append(
                schema.SCOPE,
                {
                    "parent": [parent if parent >= _FIRST_SENTINEL else self._scope(sink, parent)],
                    "method": [self._symbol(sink, method)],
                    "file": [self.file(sink, file)],
                    "line": [line],
                    "origin": [origin],
                },
            )
        return self._scopes[id_]


def _each(ids: NDArray[Any], lookup: Callable[[int], int]) -> U32:
    """``lookup`` of every id, in order of first appearance; sentinels stay."""
    out = ids.astype(np.uint32)
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    values = unique.copy()
    for at in np.argsort(first, kind="stable").tolist():
        if unique[at] < _FIRST_SENTINEL:
            values[at] = lookup(int(unique[at]))
    out[:] = values[inverse]
    return out

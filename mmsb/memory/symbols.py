"""Symbols: text behind ids. Append-only, so one cache serves every epoch of a memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import CorruptData, UnknownName, UsageError, quote
from mmsb.base.rect import Rows
from mmsb.memory import replay
from mmsb.memory.asked import listed
from mmsb.memory.cells import Array, no_room, whole
from mmsb.memory.forked import locks
from mmsb.memory.index import Index


def to_bytes(text: str) -> bytes:
    """UTF-8; bytes that are no UTF-8 travel as lone surrogates (surrogateescape)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except MemoryError as error:
        raise no_room() from error


def normal(text: Any) -> str:
    """The text as it will be read; UsageError if it is none, or cannot be written."""
    if not isinstance(text, str):
        raise UsageError(f"a symbol is a text, not {quote(text)}")
    if text.isascii():
        return text
    try:
        return to_bytes(text).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{quote(text)} cannot be written as UTF-8; leave out its lone surrogates"
        ) from error


class Symbols:
    """Text of ids and ids of text, read from kinds ``symbol`` and ``heap`` when first asked for."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._texts: dict[int, str] = {}
        self._ids: dict[str, int] = {}  # of all symbols below its length
        self._lock: threading.Lock
        locks(self, "_lock")

    def count(self, epoch: int) -> int:
        """Symbols there are as of the epoch."""
        return self.index.tables.rows(schema.SYMBOL.id, epoch)

    def heap_bytes(self, epoch: int) -> int:
        """Bytes of text there are as of the epoch."""
        return self.index.tables.rows(schema.HEAP.id, epoch)

    def texts(self, ids: Iterable[int] | Array, count: int) -> list[str]:
        """The text of each id; UnknownName for an id that is not below ``count``."""
        wanted = (
            ids.tolist()
            if type(ids) is np.ndarray and ids.ndim == 1 and ids.dtype.kind in "iu"
            else [whole(id, "symbol") for id in listed(ids, "symbols")]
        )
        outside = [id for id in wanted if not 0 <= id < count]
        if outside:
            raise UnknownName(f"symbol {outside[0]} does not exist; symbols are 0 … {count - 1}")
        missing = sorted({id for id in wanted if id not in self._texts})
        if missing:
            self._load(missing)
        return [self._texts[id] for id in wanted]

    def id(self, text: str, count: int) -> int | None:
        """The id of a text among the first ``count`` symbols. Reads those at first use."""
        known = self._ids
        if len(known) < count:
            with self._lock:
                new = range(len(known), count)
                known.update(zip(self.texts(new, count), new, strict=True))
        found = known.get(text)
        return found if found is not None and found < count else None

    def ids(self, texts: Iterable[str], count: int) -> list[int | None]:
        """`id` for many texts."""
        self.id("", count)  # reads what was not read
        known = self._ids
        found = [known.get(text) for text in texts]
        return [id if id is not None and id < count else None for id in found]

    def learn(self, first: int, texts: Sequence[str]) -> None:
        """Symbols ``first`` on, just committed: they need not be read where those before them are.

        To be called by the one thread that commits.
        """
        with self._lock:
            if len(self._ids) == first:
                for id, text in enumerate(texts, first):
                    self._texts[id], self._ids[text] = text, id

    def raw(self, start: int, stop: int) -> list[bytes]:
        """The stored bytes of symbols [start, stop). CorruptData."""
        if start >= stop:
            return []
        rows, head = Rows(start, stop), self.index.head
        offsets = self._read(schema.SYMBOL.id, "offset", rows, head).tolist()
        lengths = self._read(schema.SYMBOL.id, "length", rows, head).tolist()
        low, end = offsets[0], offsets[-1] + lengths[-1]
        ends = [at + length for at, length in zip(offsets, lengths, strict=True)]
        if ends[:-1] != offsets[1:] or end > self.heap_bytes(head):
            raise CorruptData(
                f"{self.index.folder}: the texts of symbols {start} … {stop - 1} do not follow "
                "one another in kind 'heap'; restore the memory from a copy"
            )
        heap = self._read(schema.HEAP.id, "byte", Rows(low, end), head)
        held = heap.tobytes()
        self.index.meter.read_else()
        return [held[at - low : at - low + n] for at, n in zip(offsets, lengths, strict=True)]

    def _load(self, missing: list[int]) -> None:
        # Runs of ids that lie close together are read at once; gaps of up to 64 are read along.
        ids = np.array(missing, np.int64)
        runs = np.split(ids, np.flatnonzero(np.diff(ids) > 64) + 1)
        for run in runs:
            first = int(run[0])
            texts = self.raw(first, int(run[-1]) + 1)
            for id in run.tolist():
                self._texts[id] = texts[id - first].decode("utf-8", "surrogateescape")

    def _read(self, kind: int, name: str, rows: Rows, epoch: int) -> Array:
        shown = self.index.kind(kind)
        page = self.index.catalog.table_page(shown)
        assert page is not None
        return replay.read(
            self.index, shown, page, self.index.column(shown, name), rows=rows, epoch=epoch
        )

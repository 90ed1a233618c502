"""A new page of a new subject as one commit, the short way: the bytes `mmsb.memory.encode` gives.

Its frame has two batches, the text's bytes and the symbol, and one page.
"""

from __future__ import annotations

from struct import Struct

from mmsb.base.schema import HEAP, SYMBOL, Kind
from mmsb.memory.frame import COUNTS, UNIFORM, Draft
from mmsb.memory.index import Index
from mmsb.memory.kernels_fields import ROW
from mmsb.memory.rows import meta_of
from mmsb.memory.run import Run
from mmsb.memory.symbols import Symbols

#: The table: counts; subject, deltas, rows, columns, pages, first rows; kinds, flags, columns.
_TABLE = Struct(f"<{COUNTS.size // 4 + 11}I8H4x")
_PAGES, _STARTS, _IDS = COUNTS.size + 28, COUNTS.size + 36, COUNTS.size + 54
_META_HEAP, _META_SYMBOL = meta_of(HEAP.id, UNIFORM, 1, 0), meta_of(SYMBOL.id, UNIFORM, 2, 0)
#: Where it is in a heap of texts, and its length.
_CELLS = Struct("<QI4x")
_EIGHT = bytes(8)
#: The two highest numbers are sentinels.
_LAST = 2**32 - 2


class NewPage:
    """The shape of such a commit in one memory."""

    def __init__(self, index: Index, symbols: Symbols) -> None:
        self._index, self._symbols = index, symbols

    def draft(self, kind: Kind, subject: str) -> tuple[Draft, Kind, str, int, int] | None:
        """The next frame, if this is the plain case, and what `add` is to be told of it.

        None for whatever needs a closer look. Plain: an ASCII text that is no symbol yet, a kind
        that is no table, no new schema.
        """
        index, symbols = self._index, self._symbols
        if type(subject) is not str or not subject.isascii() or not index.complete:
            return None
        epoch, count = index.head, len(subject)
        symbol, heap = symbols.count(epoch), symbols.heap_bytes(epoch)
        page, tables = index.catalog.count, index.catalog.text_pages
        known = kind.append_only or symbols.id(subject, symbol) is not None
        full = max(symbol + 1, heap + count, page + 1) > _LAST
        if known or full or not count or tables is None:
            return None
        table = _TABLE.pack(
            *(0, 1, 2, 3, 2, 0, 0, 0),
            symbol,
            *(1, 1, count, 1, 1, 2),
            *tables,
            heap,
            symbol,
            kind.id,
            *(HEAP.id, SYMBOL.id, UNIFORM, UNIFORM),
            *(0, 0, 1),
        )
        text = subject.encode()
        buffers = [text, _EIGHT[count & 7 or 8 :], _CELLS.pack(heap, count)]
        total = count + (-count & 7) + _CELLS.size
        return Draft(epoch + 1, 0, page, table, buffers, total), kind, subject, symbol, heap

    def add(
        self, draft: Draft, run: Run, offset: int, kind: Kind, subject: str, symbol: int, heap: int
    ) -> None:
        """Takes the frame in that was just written at that place of the run's segment: the page of
        a subject that is this symbol now, its text at that byte of the heap."""
        index, count, epoch = self._index, len(subject), draft.epoch
        at = offset + draft.at
        buffers = at + draft.table
        behind = (buffers, run.blocks, offset, offset + draft.end)
        rows = ROW.pack(
            *(epoch, run.deltas, 1, count, _META_HEAP, at + _IDS, at + _PAGES, at + _STARTS),
            *(-1, -1, -1, buffers, *behind),
        ) + ROW.pack(
            *(epoch, run.deltas + 1, 1, 1, _META_SYMBOL, at + _IDS + 2),
            *(at + _PAGES + 4, at + _STARTS + 4, -1, -1, -1, buffers + count + (-count & 7)),
            *behind,
        )
        run.add_rows(rows, 2, draft.blocks, offset)
        index.tables.add(HEAP.id, epoch, heap + count)
        index.tables.add(SYMBOL.id, epoch, symbol + 1)
        index.catalog.add_one(kind.id, symbol)
        self._symbols.learn(symbol, (subject,))

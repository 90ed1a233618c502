"""Arrow out, by the PyCapsule interface: what pandas, polars, DuckDB and Parquet take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory.cells import U32, Array, dtype_of
from mmsb.memory.symbols import to_bytes

if TYPE_CHECKING:
    import pyarrow as pa

#: What says where a row lies. An append-only kind has one page, so there its number says it all.
PLACE = ("page", "subject", "row")
#: Pages are put together into batches of about so many rows. A page of many has batches of its own.
BATCH_ROWS, MANY_ROWS = 1024 * 1024, 64 * 1024


class Readable(Protocol):
    """What is asked of a snapshot."""

    @property
    def symbol_count(self) -> int: ...
    def symbols(self, ids: Array) -> list[str]: ...
    def subjects(self, pages: Array) -> list[str]: ...
    def column(self, kind: Kind, page: int, name: str, rows: Rows) -> Array: ...
    def gather_columns(
        self, kind: Kind, names: Sequence[str], pages: Array
    ) -> tuple[dict[str, Array], Array]: ...


def place_names(kind: Kind) -> tuple[str, ...]:
    """Those of `PLACE` that rows of the kind have; a column of its own of that name hides one."""
    own = {column.name for column in kind.columns}
    return tuple(n for n in (("row",) if kind.append_only else PLACE) if n not in own)


class ArrowStream:
    """A kind's rows as of an epoch, as a stream of Arrow record batches.

    Hand it to anything that takes ``__arrow_c_stream__``; each time it is read anew. A column that
    one patch of a large page covers is a view of the memory's own map; all others are gathered, a
    batch of about `BATCH_ROWS` rows at a time. Where nothing was written a column holds its fill
    value; a text is null where its symbol is none. (Bytes of a text that are no UTF-8 show as
    ``\\xff``.) Damage ends the stream with an error that carries the words of CorruptData.
    """

    def __init__(
        self, snapshot: Readable, kind: Kind, names: Sequence[str], pages: Array, texts: bool
    ) -> None:
        """Get one from ``snapshot.arrow(kind)``."""
        self._snapshot, self._kind, self._pages = snapshot, kind, pages
        self._names = tuple(names)
        place = place_names(kind)
        self._columns = [kind.column(name) for name in self._names if name not in place]
        self._texts = {c.name for c in self._columns if c.ref == "symbol" and texts}
        if "subject" in place:
            self._texts.add("subject")

    @property
    def schema(self) -> pa.Schema:
        """The columns in their order."""
        import pyarrow as pa

        types = {name: pa.uint32() for name in PLACE}
        types |= {c.name: pa.from_numpy_dtype(dtype_of(c)) for c in self._columns}
        types |= {name: pa.dictionary(pa.int32(), pa.string()) for name in self._texts}
        return pa.schema([(name, types[name]) for name in self._names])

    def __arrow_c_schema__(self) -> object:
        """The schema as a PyCapsule."""
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The batches as a PyCapsule."""
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(self.schema, self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The record batches, one after another. CorruptData."""
        _, offsets = self._snapshot.gather_columns(self._kind, (), self._pages)
        for first, stop in _groups(offsets):
            pages, rows = self._pages[first:stop], int(offsets[stop] - offsets[first])
            if stop == first + 1 and rows >= MANY_ROWS:
                for low in range(0, rows, BATCH_ROWS):
                    yield self._of_one(int(pages[0]), Rows(low, min(low + BATCH_ROWS, rows)))
            elif rows:
                yield self._of_many(pages)

    # Inside.

    def _of_one(self, page: int, rows: Rows) -> pa.RecordBatch:
        numbers = np.arange(rows.start, rows.stop, dtype=U32)
        values = {
            c.name: self._snapshot.column(self._kind, page, c.name, rows) for c in self._columns
        }
        return self._batch(np.array([page], U32), np.zeros(len(rows), np.int32), numbers, values)

    def _of_many(self, pages: Array) -> pa.RecordBatch:
        names = [column.name for column in self._columns]
        values, offsets = self._snapshot.gather_columns(self._kind, names, pages)
        counts = np.diff(offsets)
        which = np.repeat(np.arange(len(pages), dtype=np.int32), counts)
        numbers = (np.arange(len(which)) - offsets[:-1][which]).astype(U32)
        return self._batch(pages, which, numbers, values)

    def _batch(
        self, pages: Array, which: Array, numbers: Array, values: dict[str, Array]
    ) -> pa.RecordBatch:
        """Row i is row ``numbers[i]`` of page ``pages[which[i]]``."""
        import pyarrow as pa

        schema, columns = self.schema, []
        for field in schema:
            if field.name in values and field.name in self._texts:
                columns.append(_texts(self._snapshot, values[field.name]))
            elif field.name in values:
                columns.append(_view(values[field.name], field.type))
            elif field.name == "subject":
                columns.append(_encoded(which, self._snapshot.subjects(pages)))
            else:
                columns.append(_view(pages[which] if field.name == "page" else numbers, field.type))
        return pa.record_batch(columns, schema=schema)


def _groups(offsets: Array) -> Iterator[tuple[int, int]]:
    """Runs of pages [first, stop) that make a batch: one of many rows, or several of few."""
    count = len(offsets) - 1
    large = np.flatnonzero(np.diff(offsets) >= MANY_ROWS)
    first = 0
    while first < count:
        at = int(np.searchsorted(large, first))
        next_large = int(large[at]) if at < len(large) else count
        full = int(np.searchsorted(offsets, offsets[first] + BATCH_ROWS, side="right")) - 1
        stop = first + 1 if next_large == first else min(next_large, max(full, first + 1))
        yield first, stop
        first = stop


def _view(values: Array, type: Any) -> pa.Array:
    """The same bytes as an Arrow array without nulls; keeps what they lie in alive."""
    import pyarrow as pa

    return pa.Array.from_buffers(type, len(values), [None, pa.py_buffer(values)])


def _texts(snapshot: Readable, ids: Array) -> pa.Array:
    """The texts of symbols, null for what is none."""
    distinct, at = np.unique(ids, return_inverse=True)
    known = distinct[distinct < snapshot.symbol_count]
    return _encoded(at.astype(np.int32), snapshot.symbols(known))


def _encoded(at: Array, texts: list[str]) -> pa.Array:
    """``texts[at[i]]``, null beyond their end."""
    import pyarrow as pa

    shown = [to_bytes(text).decode("utf-8", "backslashreplace") for text in texts]
    beyond = at >= len(texts)
    codes = pa.array(at, pa.int32(), mask=beyond if beyond.any() else None)
    return pa.DictionaryArray.from_arrays(codes, pa.array(shown, pa.string()))

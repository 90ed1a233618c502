"""Arrow in, by the PyCapsule interface: rows of a table become one commit's appends or patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.base.schema import Column, Kind
from mmsb.memory.arrow import place_names
from mmsb.memory.cells import U32, Array, cast, dtype_of

if TYPE_CHECKING:
    import pyarrow as pa


class Collects(Protocol):
    """What rows are put into: a `Changes` or a `Transaction`."""

    def append(self, kind: Kind, columns: Mapping[str, Any]) -> int: ...
    def pages(self, kind: Kind, subjects: Sequence[str]) -> Array: ...
    def symbols(self, texts: Sequence[str]) -> Array: ...
    def patch(self, kind: Kind, page: int, columns: Mapping[str, Any], start: int = 0) -> None: ...
    def patch_rows(self, kind: Kind, page: int, rows: Any, columns: Mapping[str, Any]) -> None: ...
    def patch_many(
        self, kind: Kind, pages: Any, columns: Mapping[str, Any], starts: Any, counts: Any
    ) -> None: ...


def read(data: Any) -> list[pa.RecordBatch]:
    """All batches of what has ``__arrow_c_stream__`` or ``__arrow_c_array__``. UsageError."""
    import pyarrow as pa

    try:
        if hasattr(data, "__arrow_c_stream__"):
            return list(pa.RecordBatchReader.from_stream(data))
        if hasattr(data, "__arrow_c_array__"):
            return [pa.record_batch(data)]
    except pa.ArrowException as error:
        raise UsageError(f"this stream cannot be read as record batches ({error})") from error
    raise UsageError(
        f"pass what has __arrow_c_stream__ (a table, a data frame, a reader), not {type(data)}"
    )


def put(changes: Collects, kind: Kind, batches: list[pa.RecordBatch]) -> int:
    """Puts the rows into ``changes`` in their order; returns how many. UsageError, UnknownName.

    Columns go by name. Of an append-only kind all rows are appended. Of another kind ``row``, and
    either ``page`` or ``subject``, say which row is written: of two that are the same the later
    wins. A null is the fill value. Texts may stand in columns that refer to symbols.
    """
    import pyarrow as pa

    if not batches:
        return 0
    table = pa.Table.from_batches(batches).unify_dictionaries()
    names = table.column_names
    if len(set(names)) != len(names):
        raise UsageError(f"a column's name stands twice among {names}; rename one")
    given = {name: table.column(name).combine_chunks() for name in names}
    for name, column in given.items():
        if isinstance(column, pa.ChunkedArray):
            raise UsageError(f"{name}: more text than fits one commit; pass the rows in parts")
    if kind.append_only:
        _append(changes, kind, given)
    else:
        _patch(changes, kind, given)
    return int(table.num_rows)


def _append(changes: Collects, kind: Kind, given: dict[str, pa.Array]) -> None:
    if "row" in set(place_names(kind)) & given.keys():
        raise UsageError(f"rows of {kind.name!r} are numbered as they come; leave out 'row'")
    changes.append(kind, _buffers(changes, kind, given))


def _patch(changes: Collects, kind: Kind, given: dict[str, pa.Array]) -> None:
    place = {name: given.pop(name) for name in place_names(kind) if name in given}
    if "row" not in place or len(place) != 2:
        raise UsageError(
            f"rows of {kind.name!r} go by 'row' and either 'page' or 'subject', "
            f"not by {sorted(place) or 'none of them'}"
        )
    rows = _numbers(place["row"], U32, "row")
    if "page" in place:
        pages = _numbers(place["page"], U32, "page")
    else:
        pages = _by_text(
            place["subject"], lambda texts: changes.pages(kind, texts), None, "subject"
        )
    buffers = _buffers(changes, kind, given)
    order = np.lexsort((rows, pages))
    pages, rows = pages[order], rows[order]
    # Sorting is stable: of equal places the last came last.
    last = np.append((pages[1:] != pages[:-1]) | (rows[1:] != rows[:-1]), True)[: len(rows)]
    pages, rows, order = pages[last], rows[last], order[last]
    starts = np.flatnonzero(np.append(True, pages[1:] != pages[:-1]))[: len(pages)]
    stops = np.append(starts[1:], len(pages))[: len(starts)]
    dense = rows[stops - 1] - rows[starts] == stops - starts - 1
    for low, high in zip(starts[~dense].tolist(), stops[~dense].tolist(), strict=True):
        own = {name: values[order[low:high]] for name, values in buffers.items()}
        changes.patch_rows(kind, int(pages[low]), rows[low:high], own)
    counts = (stops - starts)[dense]
    at = order[np.repeat(dense, stops - starts)]
    own = {name: values[at] for name, values in buffers.items()}
    changes.patch_many(kind, pages[starts[dense]], own, rows[starts[dense]], counts)


def _buffers(changes: Collects, kind: Kind, given: dict[str, pa.Array]) -> dict[str, Array]:
    known = {column.name: column for column in kind.columns}
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        what = f"no column {unknown[0]!r}" if unknown else "nothing to write here"
        raise UsageError(f"kind {kind.name!r} has {what}; it has {', '.join(known)}")
    return {name: _cells(changes, kind, known[name], array) for name, array in given.items()}


def _cells(changes: Collects, kind: Kind, column: Column, array: pa.Array) -> Array:
    where = f"{kind.name}.{column.name}"
    if _is_text(array):
        if column.ref != "symbol":
            raise UsageError(f"{where} holds numbers, not texts; leave it out or pass numbers")
        ids = _by_text(array, changes.symbols, column.fill, where)
        return cast(ids, dtype_of(column), where)
    return _numbers(array, dtype_of(column), where, column.fill)


def _is_text(array: pa.Array) -> bool:
    import pyarrow as pa

    type = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(type) for is_kind in kinds)


def _by_text(
    array: pa.Array, ids_of: Callable[[list[str]], Array], none: int | None, where: str
) -> Array:
    """An id for each text, i64; each distinct text is asked for once, in the order they come."""
    import pyarrow as pa

    if not _is_text(array):
        raise UsageError(f"{where}: pass texts, not {array.type}")
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    encoded = plain.cast(pa.large_string()).dictionary_encode()
    if encoded.null_count and none is None:
        raise UsageError(f"{where}: a row has none; each must say where it belongs")
    ids = ids_of(encoded.dictionary.to_pylist()).astype(np.int64)
    codes = encoded.indices.fill_null(len(ids)).to_numpy(zero_copy_only=False)
    found: Array = np.append(ids, 0 if none is None else none)[codes]
    return found


def _numbers(array: pa.Array, dtype: np.dtype[Any], where: str, fill: int | None = None) -> Array:
    """Numbers in the dtype, or UsageError if one does not fit; nulls as ``fill``."""
    import pyarrow as pa

    types = pa.types
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    if not any(is_kind(array.type) for is_kind in plain):
        raise UsageError(f"{where}: pass numbers, not {array.type}")
    try:
        cells = array.cast(pa.from_numpy_dtype(dtype))
    except pa.ArrowInvalid as error:
        raise UsageError(f"{where}: some values do not fit {dtype.name} ({error})") from error
    if cells.null_count:
        if fill is None:
            raise UsageError(f"{where}: a row has none; each must say where it belongs")
        cells = cells.fill_null(pa.scalar(fill, cells.type))
    found: Array = cells.to_numpy(zero_copy_only=False)
    return found

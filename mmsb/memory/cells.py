"""Cells as numpy arrays: dtypes, fills, checked copies, read-only results."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import addressof, c_char
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsb.base.errors import EnvironmentProblem, UsageError, quote
from mmsb.base.schema import DTYPES, Column, Kind

Array = npt.NDArray[Any]
U32 = np.dtype("<u4")
#: So few are quicker looked at one by one.
_FEW = 64
#: No number that is asked for is so large, and Python writes none of thousands of digits.
_MOST = 2**1024
_COMPLEX = (complex, np.complexfloating)
_DTYPES = {name: np.dtype(character) for name, (_, character) in DTYPES.items()}


def dtype_of(column: Column) -> np.dtype[Any]:
    """The little-endian numpy dtype the column is stored in."""
    return _DTYPES[column.dtype]


def filled(column: Column, count: int) -> Array:
    """``count`` fresh, writeable cells that hold the column's fill value."""
    found = unset(column, count)
    found[:] = column.fill
    return found


def unset(column: Column, count: int) -> Array:
    """``count`` fresh cells that hold anything; EnvironmentProblem if there is no room for them."""
    try:
        return np.empty(count, dtype_of(column))
    except MemoryError as error:
        raise EnvironmentProblem(
            f"{count} cells of column {column.name!r} do not fit into the memory that is free; "
            "read or write fewer rows at once"
        ) from error


def no_room() -> EnvironmentProblem:
    """The error for a commit for which no memory is free, while nothing of it is written."""
    return EnvironmentProblem(
        "no memory is free for this commit; nothing of it was kept, so commit less at once, or "
        "free some and commit again"
    )


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """What runs out of memory inside is an EnvironmentProblem; it must change nothing."""
    try:
        yield
    except MemoryError as error:
        raise EnvironmentProblem(
            f"{what} does not fit into the memory that is free; nothing was changed, so free some "
            "and ask again"
        ) from error


def whole(value: Any, what: str) -> int:
    """The value as an int; UsageError unless it is a whole number."""
    if value is True or value is False:
        raise UsageError(f"{what}: pass a whole number, not {value}")
    try:
        found = operator.index(value)
        if -_MOST < found < _MOST:
            return found
        raise UsageError(f"{what}: pass a whole number of fewer digits")
    except TypeError as error:
        raise UsageError(f"{what}: pass a whole number, not {quote(value)}") from error


def address_of(array: Array) -> int:
    """Where its first cell lies, as long as the array is held."""
    try:
        return addressof(c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # it is read-only, or has no cell: the same, four times slower
        return int(array.__array_interface__["data"][0])


def frozen(array: Array) -> Array:
    """The array itself, marked read-only."""
    array.setflags(write=False)
    return array


def cast(values: Any, dtype: np.dtype[Any], what: str, like: str = "biufO") -> Array:
    """An own, contiguous, read-only 1-D copy; UsageError if a value does not fit the dtype.

    O(values). ``what`` names the values in the error; ``like``: numpy's kinds that may be passed.
    """
    try:
        if type(values) is np.ndarray and values.dtype == dtype and values.ndim == 1:
            return frozen(values.copy())  # nothing can fail to fit
        given = _given(values, dtype)
        reason = _no_numbers(values, given, like)
        if reason:
            raise UsageError(f"{what}: pass numbers that fit {dtype.name}, not {reason}")
        with np.errstate(invalid="ignore"):  # what does not fit is looked for below
            stored = np.array(given, dtype=dtype, order="C", copy=True)
    except (OverflowError, TypeError, ValueError) as error:
        raise UsageError(f"{what}: these values do not fit {dtype.name} ({error})") from error
    except MemoryError as error:
        raise EnvironmentProblem(
            f"{what}: a copy of these values does not fit into the memory that is free; commit "
            "fewer at once"
        ) from error
    if given.ndim != 1:
        raise UsageError(f"{what}: pass a one-dimensional array, not one of shape {given.shape}")
    if given.dtype != dtype and not _same(given, stored):
        raise UsageError(f"{what}: some values of dtype {given.dtype} do not fit {dtype.name}")
    return frozen(stored)


def _given(values: Any, dtype: np.dtype[Any]) -> Array:
    if not np.size(values):
        return np.zeros(np.shape(values), dtype)
    given = np.asarray(values)
    if given.dtype.kind == "f" and dtype.kind in "iu" and given is not values:
        # numpy makes floats of a list that mixes integers below and above 2**63: keep them exact.
        given = np.array(values, dtype=object)
    return given


def _no_numbers(values: Any, given: Array, like: str) -> str:
    """What of them is no number that a cell can hold, if something is."""
    if given.dtype.kind not in like:  # complex, dates and texts would be cast to something
        return "True and False" if given.dtype.kind == "b" else f"{given.dtype}"
    if given.dtype.kind == "O" and any(isinstance(v, _COMPLEX) for v in given.flat):
        return "complex numbers"
    masked = isinstance(values, np.ma.MaskedArray) and bool(np.any(values.mask))
    return "masked ones" if masked else ""


def _same(given: Array, stored: Array) -> bool:
    # A sign that changed is the one loss that == does not see between 64-bit integers.
    if given.dtype.kind in "iu" and stored.dtype.kind in "iu" and given.size:
        info = np.iinfo(stored.dtype)
        return int(given.min()) >= info.min and int(given.max()) <= info.max
    return np.array_equal(given, stored, equal_nan=given.dtype.kind == "f")


def numbers(values: Any, what: str) -> Array:
    """Numbers of pages, rows or symbols, u32 (see `cast`); a mask is none."""
    return cast(values, U32, what, "iufO")


def cells(kind: Kind, column: Column, values: Any) -> Array:
    """``values`` as cells of the column (see `cast`)."""
    return cast(values, dtype_of(column), f"{kind.name}.{column.name}")


def sorted_rows(rows: Any) -> Array:
    """Row numbers as a strictly increasing u32 copy; UsageError if they are not."""
    given = cast(rows, U32, "rows", "iufO")
    if len(given) <= _FEW:
        numbers = given.tolist()
        rising = all(map(operator.lt, numbers, numbers[1:]))
    else:
        rising = bool((given[1:] > given[:-1]).all())
    if not rising:
        raise UsageError("rows: pass them sorted, each once")
    if len(given) and int(given[-1]) == 2**32 - 1:
        raise UsageError("rows: row 4294967295 means 'none' and cannot be written")
    return given


def common_length(kind: Kind, buffers: dict[str, Array]) -> int:
    """The one length of all buffers; UsageError if there is none or several."""
    found = set(map(len, buffers.values()))
    if len(found) != 1:
        lengths = {name: len(buffer) for name, buffer in buffers.items()}
        raise UsageError(f"{kind.name}: pass columns of one length, not {lengths}")
    return found.pop()

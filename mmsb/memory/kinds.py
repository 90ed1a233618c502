"""Schemas in the log: how kinds are written there, and how stored and known kinds join."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import cast

from mmsb.base.errors import UsageError, quote
from mmsb.base.schema import HEAP, SYMBOL, Column, Kind

_TEXT = {HEAP.id: HEAP, SYMBOL.id: SYMBOL}


def encode(kinds: Iterable[Kind]) -> bytes:
    """Canonical JSON, a list of ``[id, name, append_only, [[id, name, dtype, fill, …], …]]``."""
    rows = [
        [kind.id, kind.name, kind.append_only, [_column(column) for column in kind.columns]]
        for kind in sorted(kinds, key=lambda kind: kind.id)
    ]
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=True).encode() if rows else b""


def _column(column: Column) -> list[object]:
    return [column.id, column.name, column.dtype, column.fill, column.ref, column.digest]


def decode(stored: bytes) -> tuple[Kind, ...]:
    """The kinds of one frame; ValueError, TypeError, UsageError, RecursionError: no schema."""
    rows = json.loads(stored) if stored else []
    return tuple(_kind(*row) for row in rows)


def _kind(id: object, name: object, append_only: object, columns: list[list[object]]) -> Kind:
    own = tuple(_stored_column(*column) for column in columns)
    if type(id) is not int or not 0 <= id < 2**16 or type(name) is not str:
        raise ValueError(f"kind {quote(id)} is none")
    return Kind(id, name, own, append_only is True)


def _stored_column(
    id: object, name: object, dtype: object, fill: object, ref: object, digest: object
) -> Column:
    if type(id) is not int or not {str} == {type(name), type(dtype), type(ref)}:
        raise ValueError(f"column {quote(id)} is none")
    return Column(id, str(name), str(dtype), cast(int, fill), str(ref), digest is True)


def check(kind: Kind) -> None:
    """UsageError for a kind that would not be read as it is written."""
    try:
        "".join((kind.name, *(column.name for column in kind.columns))).encode()
        same = decode(encode([kind])) == (kind,)
    except (TypeError, ValueError, UsageError) as error:
        raise UsageError(f"{quote(kind)} cannot be stored: {error}") from error
    if not same:
        raise UsageError(
            f"{quote(kind)} cannot be stored as it is: ids are ints, names texts, append_only and "
            "digest True or False"
        )


def replaced(stored: Mapping[int, Kind], new: Iterable[Kind]) -> dict[int, Kind]:
    """The stored kinds after a frame that lists ``new``; ValueError if one does more than grow.

    Cells are found by the widths of columns: what was said of them holds for good.
    """
    after = dict(stored)
    for kind in new:
        for before in (after.get(kind.id), _TEXT.get(kind.id)):
            same = before is None or (
                (kind.name, kind.append_only) == (before.name, before.append_only)
                and kind.columns[: len(before.columns)] == before.columns
            )
            if not same:
                raise ValueError(f"kind {quote(kind.name)} is not what it was with columns added")
        after[kind.id] = kind
    return after


def joined(known: Mapping[int, Kind], stored: Mapping[int, Kind]) -> dict[int, Kind]:
    """The kinds a memory shows: what is stored, plus what is only known here; by id.

    A column stored and known is read as stored. UsageError where both say different things about
    one id: ids are never reused.
    """
    both = {id: _join(known[id], stored[id]) for id in known.keys() & stored.keys()}
    shown = {**known, **stored, **both}
    names = [kind.name for kind in shown.values()]
    if len(set(names)) != len(names):
        raise UsageError("two kinds have one name; open the memory with the kinds it was made with")
    return dict(sorted(shown.items()))


def _join(known: Kind, stored: Kind) -> Kind:
    by_id = {column.id: column for column in stored.columns}
    for column in known.columns:
        other = by_id.get(column.id, column)
        if (column.name, column.dtype) != (other.name, other.dtype):
            raise _reused(known, f"column {column.id} is {other.name!r} ({other.dtype})")
    if (known.name, known.append_only) != (stored.name, stored.append_only):
        raise _reused(known, f"kind {stored.id} is {stored.name!r}")
    new = tuple(column for column in known.columns if column.id not in by_id)
    try:
        return Kind(stored.id, stored.name, stored.columns + new, stored.append_only)
    except UsageError as error:
        raise _reused(known, str(error)) from error


def _reused(kind: Kind, what: str) -> UsageError:
    return UsageError(
        f"kind {kind.name!r} differs from the stored one: in the memory {what}; "
        "ids are never reused, open the memory with the kinds it was made with"
    )

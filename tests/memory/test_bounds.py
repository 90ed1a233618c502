"""Frames whose checksums hold and whose numbers make no sense: refused before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.base.schema import Column, Kind
from mmsb.memory import encode, kinds
from mmsb.memory.check import check
from mmsb.memory.frame import SPARSE, TOMBSTONE, UNIFORM, Draft, Table
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING


def append(path: Path, change: Callable[[Table], Table], **changed: int) -> None:
    """Commits epoch 2 with a table that was tampered with, all checksums right."""
    with Memory.open(path, write=True, kinds=KINDS) as memory:
        changes = memory.changes()
        for name, values in (("a", [1, 2, 3]), ("b", [1, 2])):
            changes.patch(SMALL, changes.page(SMALL, name), {"value": values})
        changes.patch_rows(THING, changes.page(THING, "f"), [1, 4], {"byte": [1, 2]})
        sound = encode.draft(changes.seal(), 2, 0, memory._index.page_count)
        raw = np.frombuffer(bytes(sound.render(1, 64)), np.uint8)
        split = sound.at + sound.table
        table = change(Table.decode(raw[sound.at : split])).encode()
        fields = {"epoch": 2, "first_page": sound.first_page} | changed
        buffers = [raw[split : sound.end].tobytes()]
        draft = Draft(source=0, table=table, buffers=buffers, **fields)
        assert memory._writer is not None
        memory._log.position = memory._log.position._replace(epoch=draft.epoch - 1)
        memory._writer.append(draft)


def with_(field: str, at: int, value: int) -> Callable[[Table], Table]:
    def change(table: Table) -> Table:
        array = getattr(table, field).copy()
        array[at] = value
        return replace(table, **{field: array})

    return change


def schema_of(kind: Kind) -> Callable[[Table], Table]:
    return lambda table: replace(table, schema=kinds.encode((kind,)))


@pytest.fixture
def memory(path: Path) -> Path:
    with Memory.create(path, KINDS) as made:
        changes = made.changes()
        changes.page(SMALL, "first")
        made.commit(changes)
    return path


def test_the_frame_as_it_should_be(memory: Path) -> None:
    append(memory, lambda table: table)
    assert check(memory).sound
    with Memory.open(memory, kinds=KINDS) as after:
        assert after.at().gather(SMALL, "value")[0].tolist() == [1, 2, 3, 1, 2]


# Batches in order: heap, symbol, thing (sparse), small (pages a and b).
TAMPERED = {
    "a page that does not exist": with_("delta_page", -1, 99),
    "a page of another kind": with_("delta_page", -1, 2),
    "a kind that no schema names": with_("batch_kind", -1, 77),
    "a new page of a kind that no schema names": with_("page_kind", 0, 77),
    "a column that no schema names": with_("column_id", -1, 77),
    "more cells than there are": with_("batch_rows", -1, 7),
    "far more cells than there are": with_("batch_rows", -1, 700),
    "more rows than cells": with_("span_stop", -1, 4),
    "rows that end before they start": with_("delta_start", -1, 9),
    "offsets that do not start at zero": with_("span_offset", -2, 1),
    "sparse offsets that do not start at zero": with_("span_offset", 0, 1),
    "offsets that go back": with_("span_offset", -1, 2**32 - 1),
    "cells that its deltas cannot share": with_("batch_flags", -1, UNIFORM),
    "one delta's rows beyond all numbers": with_("delta_start", 0, 2**32 - 1),
    "a sparse batch without row numbers for each": with_("batch_flags", 2, SPARSE | UNIFORM),
    "fewer deltas than the table holds": with_("batch_deltas", -1, 1),
    "more deltas than the table holds": with_("batch_deltas", -1, 3),
    "fewer columns than the table holds": with_("batch_columns", -1, 0),
    "a schema that is none": lambda table: replace(table, schema=b'[[1,"x"]]'),
    "a schema that is no JSON": lambda table: replace(table, schema=b"\xff"),
    "a schema without an end": lambda table: replace(table, schema=b"[" * 100_000),
    "a column that becomes wider": schema_of(Kind(41, "small", (Column(0, "value", "u64", 0),))),
    "a column that goes": schema_of(Kind(41, "small", (Column(1, "other", "u8", 0),))),
    "a kind that becomes append-only": schema_of(replace(SMALL, append_only=True)),
    "texts of another shape": schema_of(Kind(1, "symbol", (Column(0, "offset", "f64", 0),), True)),
    "a fill that does not fit": lambda table: replace(
        table, schema=b'[[50,"new",false,[[0,"value","u8",256,"",true]]]]'
    ),
    "flags that mean nothing": with_("batch_flags", -1, 8),
    "a tombstone with cells": with_("batch_flags", -1, TOMBSTONE),
    "a page longer than pages are": with_("span_stop", 0, 2**27 + 1),
    "a table that does not go on where it ended": with_("delta_start", 0, 6),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED.keys())
def test_numbers_out_of_bounds_are_damage(memory: Path, change: Callable[[Table], Table]) -> None:
    append(memory, change)
    with pytest.raises(errors.CorruptData, match="segment-000001 at offset"):
        Memory.open(memory, kinds=KINDS)
    assert not check(memory).sound


@pytest.mark.parametrize("changed", [{"epoch": 3}, {"epoch": 1}, {"first_page": 3}])
def test_a_frame_out_of_order_is_damage(memory: Path, changed: dict[str, int]) -> None:
    append(memory, lambda table: table, **changed)
    with pytest.raises(errors.CorruptData, match="segment-000001"):
        Memory.open(memory, kinds=KINDS)
    assert not check(memory).sound


@pytest.mark.parametrize("stop", [4, 2])
def test_sparse_rows_outside_their_range_are_found_by_check(memory: Path, stop: int) -> None:
    # Rows 1 and 4: the table says less. Two rows still fit into [0, 4), and not into [0, 1).
    append(memory, lambda t: with_("span_stop", 0, stop)(with_("delta_start", 2, 0)(t)))
    (problem,) = check(memory).problems
    assert "rows" in problem.what


@pytest.mark.parametrize("compiled", [True, False])
def test_sparse_rows_outside_their_range_are_never_followed(memory: Path, compiled: bool) -> None:
    append(memory, lambda t: with_("span_stop", 0, 4)(with_("delta_start", 2, 0)(t)))
    with Memory.open(memory, kinds=KINDS) as after:
        after._index.compiled = compiled
        snapshot = after.at()
        page = snapshot.page(THING, "f")
        assert page is not None
        for read in (
            lambda: snapshot.column(THING, page, "byte"),
            lambda: snapshot.gather(THING, "byte")[0],
            lambda: snapshot.blame(THING, page, "byte"),
        ):
            with suppress(errors.CorruptData):
                assert len(read()) == 4

"""What every memory must do, said once; `Memory` and the oracle run it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.rect import Rows
from mmsb.memory.memory import Memory
from mmsb.memory.transaction import Transaction
from mmsb.testing.oracle import Oracle
from mmsb.testing.oracle_transaction import OracleTransaction
from mmsb.testing.strategies import KINDS, SMALL, THING


def same(left: Any, right: Any) -> bool:
    """Equal dtype, shape and bits."""
    return bool(
        left.dtype == right.dtype
        and left.shape == right.shape
        and np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes()
    )


def assert_same_epoch(
    memory: Memory, oracle: Oracle, epoch: int, ways: tuple[bool, ...] = (True, False)
) -> None:
    """Every read of the snapshot against the oracle's, compiled or not; says what differs."""
    before = memory._index.compiled
    for compiled in ways:
        memory._index.compiled = compiled
        _assert_same_epoch(memory, oracle, epoch)
    memory._index.compiled = before


def _assert_same_epoch(memory: Memory, oracle: Oracle, epoch: int) -> None:
    ours, theirs = memory.at(epoch), oracle.at(epoch)
    ids = range(theirs.symbol_count)
    assert ours.symbols(ids) == theirs.symbols(ids), "symbols"
    for kind in oracle.kinds.values():
        if kind.name in ("heap", "symbol"):
            continue
        assert same(ours.pages(kind), theirs.pages(kind)), f"pages of {kind.name}"
        for page in theirs.pages(kind).tolist():
            _assert_same_page(ours, theirs, kind, page)
        for column in kind.columns[:2]:
            left, right = ours.gather(kind, column.name), theirs.gather(kind, column.name)
            assert all(map(same, left, right)), f"gather of {kind.name}.{column.name}"
            _assert_same_cells(ours, theirs, kind, column.name)


def _assert_same_cells(ours: Any, theirs: Any, kind: Any, name: str) -> None:
    pages = theirs.pages(kind).tolist()
    places = [(page, row) for page in pages for row in (0, 1, 3, 7, 20, 0)]
    values = [theirs.column(kind, page, name, Rows(row, row + 1)) for page, row in places]
    found = ours.cells(kind, name, [page for page, _ in places], [row for _, row in places])
    wanted = np.concatenate([found[:0], *values])
    assert same(found, wanted), f"cells of {kind.name}.{name} at epoch {theirs.epoch}"


def assert_same_overlay(ours: Transaction, theirs: OracleTransaction) -> None:
    """Every read inside a transaction against the oracle's."""
    now, then = ours.at(), theirs.at()
    ids = range(then.symbol_count)
    assert now.symbols(ids) == then.symbols(ids), "symbols"
    for kind in then.kinds.values():
        if kind.append_only:
            if kind.name not in ("heap", "symbol"):
                left, right = now.table(kind), then.table(kind)
                assert left.keys() == right.keys(), kind.name
                assert all(same(left[name], right[name]) for name in left), f"{kind.name}"
            continue
        assert same(now.pages(kind), then.pages(kind)), f"pages of {kind.name}"
        for page in then.pages(kind).tolist():
            subject = then.subject(page)
            assert now.subject(page) == subject, f"subject of {page}"
            assert now.page(kind, subject) == page, f"page of {subject!r}"
            for name, values in now.columns(kind, page).items():
                assert same(values, then.column(kind, page, name)), f"{name} of page {page}"
                part = now.column(kind, page, name, Rows(2, 30))
                assert same(part, then.column(kind, page, name, Rows(2, 30))), f"{name} of {page}"


def _assert_same_page(ours: Any, theirs: Any, kind: Any, page: int) -> None:
    where = f"page {page} of {kind.name} at epoch {theirs.epoch}"
    subject, names = theirs.subject(page), [column.name for column in kind.columns]
    assert ours.subject(page) == subject, where
    assert ours.page(kind, subject) == theirs.page(kind, subject), where
    assert ours.row_count(kind, page) == theirs.row_count(kind, page), where
    assert same(ours.written(page), theirs.written(page)), f"written of {where}"
    assert same(ours.blame(kind, page, names), theirs.blame(kind, page, names)), where
    for name in names:
        for rows in (None, Rows(1, 4), Rows(3, 3), Rows(2, 30)):
            left, right = (side.column(kind, page, name, rows) for side in (ours, theirs))
            assert same(left, right), f"{name} {rows} of {where}"
            assert not left.flags.writeable, f"{name} of {where} can be written"
        # Appending a row fills the columns that any append of its commit names: not the oracle's.
        if not kind.append_only:
            assert same(ours.blame(kind, page, name), theirs.blame(kind, page, name)), where


def assert_same_diff(memory: Memory, oracle: Oracle, old: int, new: int) -> None:
    """The cells and tombstones between two epochs, against the oracle's."""
    cells, dead = oracle.cells_between(old, new)
    found = memory.diff(old, new)
    texts = {memory.at(new).pages(name)[0] for name in ("heap", "symbol")}
    listed = [
        (entry.page, name, row)
        for entry in found
        if entry.page not in texts
        for name in entry.columns
        for row in entry.rows.tolist()
    ]
    assert len(listed) == len(set(listed)), "a cell is listed twice"
    tables = {p for p, _, _ in listed if oracle.at(new).kind_of(p).append_only}
    assert {c for c in listed if c[0] not in tables} == {c for c in cells if c[0] not in tables}
    rows = {(page, row) for page, _, row in listed if page in tables}
    assert rows == {(page, row) for page, _, row in cells if page in tables}, "appended rows"
    assert {entry.page for entry in found if entry.deleted} == dead, "deleted pages"


def fill(memory: Memory, epochs: int = 6, *, narrow: bool = True) -> None:
    """Commits with new pages, dense and sparse patches, types, symbols and a tombstone; with
    ``narrow`` every other one is."""
    for epoch in range(1, epochs + 1):
        changes = memory.changes()
        for number in range(3):
            page = changes.page(THING, f"Main.f{number}(::Int64)")
            name = changes.symbol(f"name of {number} at {epoch}")
            changes.patch(THING, page, {"name": [name] * 4, "byte": [epoch] * 4}, start=epoch)
            rows = np.arange(0, 20, 3)
            changes.patch_rows(THING, page, rows, {"big": rows * epoch, "real": rows / 3})
        types = [changes.symbol("Int64"), changes.symbol(f"Vector{{{epoch}}}")]
        changes.append("type", {"name": types, "lattice": [0, 1]})
        gone = changes.page(SMALL, "gone")
        changes.patch(SMALL, gone, {"value": np.arange(50)})
        if epoch % 2 == 0:
            changes.delete(gone)
        assert memory.commit(changes, narrow=narrow and epoch % 2 == 1) == epoch


def dump(memory: Memory) -> dict[object, bytes]:
    """Every cell of every epoch that is kept, as bytes; raises on damage."""
    cells: dict[object, bytes] = {}
    for epoch in range(memory._index.base, memory.head + 1):
        snapshot = memory.at(epoch)
        for kind in KINDS:
            for page in snapshot.pages(kind).tolist():
                for name, values in snapshot.columns(kind, page).items():
                    cells[epoch, page, name] = values.tobytes()
                cells[epoch, page] = snapshot.subject(page).encode()
    return cells

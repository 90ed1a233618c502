"""A dictionary that behaves like the memory: slow, obvious, and never on the disk.

It has the names of `Memory`, `Changes` and `Snapshot` and gives out the same ids, so one script
drives both. Cells are Python numbers in a dictionary keyed by (page, column, row).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsb.base.errors import UnknownName
from mmsb.base.rect import Rows
from mmsb.base.schema import DTYPES, Kind

Array = npt.NDArray[Any]
Cell = tuple[int, str, int]


@dataclass
class _State:
    """Everything as of one epoch."""

    symbols: list[str] = field(default_factory=list)
    pages: list[tuple[Kind, str]] = field(default_factory=list)
    deleted: dict[int, int] = field(default_factory=dict)
    cells: dict[Cell, Any] = field(default_factory=dict)
    epochs: dict[Cell, int] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    written: dict[int, list[int]] = field(default_factory=dict)

    def copy(self) -> _State:
        """Another one that may be changed."""
        held = {name: copy.copy(value) for name, value in vars(self).items()}
        held["written"] = {page: list(epochs) for page, epochs in self.written.items()}
        return _State(**held)

    def make_tables(self, kinds: Mapping[str, Kind]) -> None:
        """The page of each append-only kind that has none."""
        for kind in kinds.values():
            if kind.append_only and self.table(kind) is None:
                self.pages.append((kind, ""))

    def table(self, kind: Kind) -> int | None:
        """The page of an append-only kind."""
        found = [page for page, (own, _) in enumerate(self.pages) if own.id == kind.id]
        return found[0] if found else None


class Oracle:
    """Commits and reads like a `Memory`; every epoch is a full copy."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.learn(kinds)
        self._states = [_State()]
        self._states[0].make_tables(self.kinds)
        self._touched: list[set[Cell]] = [set()]
        self._dead: list[set[int]] = [set()]
        self.base = 0

    @property
    def head(self) -> int:
        """The last epoch."""
        return len(self._states) - 1

    def learn(self, kinds: Iterable[Kind]) -> None:
        """From now on it knows these kinds; what is new in them reads as fill at any epoch."""
        self.kinds = {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.id)}

    def changes(self) -> OracleChanges:
        """Collects the next commit, which makes the tables of kinds that are new."""
        state = self._states[-1].copy()
        state.make_tables(self.kinds)
        return OracleChanges(self.kinds, state)

    def commit(self, changes: OracleChanges, *, source: int = 0, drop_equal: bool = False) -> int:
        """Takes the changes as the next epoch."""
        del source
        epoch = self.head + 1
        if drop_equal:
            changes.drop_equal()
        self._states.append(changes.apply(changes.state, epoch))
        self._touched.append(set(changes.writes))
        self._dead.append(changes.dead)
        return epoch

    def fork(self, epoch: int) -> Oracle:
        """Another one, with the epochs up to that one."""
        other = Oracle(self.kinds.values())
        other._states = self._states[: epoch + 1]
        other._touched, other._dead = self._touched[: epoch + 1], self._dead[: epoch + 1]
        other.base = self.base
        return other

    def forget(self, base: int) -> None:
        """What was before the epoch: cells and tombstones that are older are of that epoch, and so
        is every row of a column that its page was written in by then."""
        if base == self.base:
            return
        self.base, then = base, self._states[base]
        columns = {(page, name) for page, name, _ in then.cells}
        older = {(page, name, row) for page, name in columns for row in range(then.rows[page])}
        self._states[base:] = [
            replace(
                state,
                deleted={page: max(at, base) for page, at in state.deleted.items()},
                epochs=state.epochs
                | {cell: max(state.epochs.get(cell, 0), base) for cell in older},
                written={
                    page: sorted({max(at, base) for at in epochs})
                    for page, epochs in state.written.items()
                },
            )
            for state in self._states[base:]
        ]

    def at(self, epoch: int | None = None) -> OracleSnapshot:
        """Reads as of an epoch; UnknownName if there is none such."""
        number = self.head if epoch is None else epoch
        if not self.base <= number <= self.head:
            raise UnknownName(f"epoch {number} does not exist")
        return OracleSnapshot(self.kinds, self._states[number], number)

    def cells_between(self, old: int, new: int) -> tuple[set[Cell], set[int]]:
        """Cells written and pages deleted in epochs (old, new]."""
        touched = set().union(*self._touched[old + 1 : new + 1])
        return touched, set().union(*self._dead[old + 1 : new + 1])


class Batches(ABC):
    """Many pages and many deltas, said by one page and one patch."""

    @abstractmethod
    def page(self, kind: Kind, subject: str) -> int: ...

    @abstractmethod
    def patch(
        self, kind: Kind, page: int, columns: Mapping[str, Sequence[Any]], start: int = 0
    ) -> None: ...

    def pages(self, kind: Kind, subjects: Iterable[str]) -> list[int]:
        """The pages of many subjects."""
        return [self.page(kind, subject) for subject in subjects]

    def patch_many(
        self,
        kind: Kind,
        pages: Iterable[int],
        columns: Mapping[str, Sequence[Any]],
        starts: Iterable[int],
        counts: Iterable[int],
    ) -> None:
        """A range of rows of each page; cells lie behind one another."""
        at = 0
        for page, start, count in zip(pages, starts, counts, strict=True):
            own = {name: values[at : at + count] for name, values in columns.items()}
            self.patch(kind, page, own, start)
            at += count


class OracleChanges(Batches):
    """One commit; the later write to a cell wins."""

    def __init__(self, kinds: Mapping[str, Kind], state: _State) -> None:
        self.state, self._kinds = state, kinds
        self.writes: dict[Cell, Any] = {}
        self.dead: set[int] = set()

    def symbol(self, text: str) -> int:
        """The id of a text."""
        if text not in self.state.symbols:
            self.state.symbols.append(text)
        return self.state.symbols.index(text)

    def page(self, kind: Kind | str, subject: str) -> int:
        """The live page of a subject, new if there is none."""
        shown = self._kind(kind)
        self.symbol(subject)
        for page, entry in enumerate(self.state.pages):
            gone = page in self.dead or page in self.state.deleted
            if (entry[0].id, entry[1]) == (shown.id, subject) and not gone:
                return page
        self.state.pages.append((shown, subject))
        return len(self.state.pages) - 1

    def append(self, kind: Kind | str, columns: Mapping[str, Sequence[Any]]) -> int:
        """New rows of an append-only kind; the number of the first."""
        shown = self._kind(kind)
        page = self.state.table(shown)
        assert page is not None
        pending = [row + 1 for at, _, row in self.writes if at == page]
        start = max([self.state.rows.get(page, 0), *pending])
        self.patch(shown, page, columns, start)
        return start

    def patch(
        self, kind: Kind | str, page: int, columns: Mapping[str, Sequence[Any]], start: int = 0
    ) -> None:
        """Writes a range of rows."""
        length = len(next(iter(columns.values())))
        self.patch_rows(kind, page, range(start, start + length), columns)

    def patch_rows(
        self,
        kind: Kind | str,
        page: int,
        rows: Iterable[int],
        columns: Mapping[str, Sequence[Any]],
    ) -> None:
        """Writes listed rows."""
        shown, listed = self._kind(kind), list(rows)
        for name, values in columns.items():
            dtype = DTYPES[shown.column(name).dtype][1]
            for row, value in zip(listed, np.array(values, dtype), strict=True):
                self.writes[page, name, row] = value

    def delete(self, page: int) -> None:
        """A tombstone, which also drops what this commit wrote to the page."""
        self.writes = {cell: value for cell, value in self.writes.items() if cell[0] != page}
        self.dead.add(page)

    def drop_equal(self) -> None:
        """Forgets what it writes that is there already; what is appended stays."""
        state = self.state

        def is_new(cell: Cell, value: Any) -> bool:
            page, name, row = cell
            kind, column = state.pages[page][0], state.pages[page][0].column(name)
            fill = np.array(column.fill, DTYPES[column.dtype][1])
            beyond = kind.append_only or row >= state.rows.get(page, 0)
            return bool(beyond or state.cells.get(cell, fill).tobytes() != value.tobytes())

        self.writes = {cell: value for cell, value in self.writes.items() if is_new(cell, value)}

    def apply(self, state: _State, epoch: int) -> _State:
        """Writes this into a state, as ``epoch``."""
        for (page, column, row), value in self.writes.items():
            state.cells[page, column, row] = value
            state.epochs[page, column, row] = epoch
            state.rows[page] = max(state.rows.get(page, 0), row + 1)
        state.deleted |= dict.fromkeys(self.dead, epoch)
        for page in sorted({cell[0] for cell in self.writes} | self.dead):
            state.written.setdefault(page, []).append(epoch)
        return state

    def _kind(self, kind: Kind | str) -> Kind:
        return self._kinds[kind if isinstance(kind, str) else kind.name]


class OracleSnapshot:
    """Reads of one epoch."""

    def __init__(self, kinds: Mapping[str, Kind], state: _State, epoch: int) -> None:
        self.kinds, self.state, self.epoch = kinds, state, epoch

    def pages(self, kind: Kind | str) -> Array:
        """Live pages of a kind."""
        shown, state = self._kind(kind), self.state
        live = [p for p, (own, _) in enumerate(state.pages) if own.id == shown.id]
        return np.array([page for page in live if page not in state.deleted], "<u4")

    def page(self, kind: Kind | str, subject: str) -> int | None:
        """The live page of a subject, or None."""
        found = [int(p) for p in self.pages(kind) if self.state.pages[p][1] == subject]
        return found[0] if found and not self._kind(kind).append_only else None

    def subject(self, page: int) -> str:
        """The subject of a page."""
        return self.state.pages[page][1]

    def kind_of(self, page: int) -> Kind:
        """The kind of a page."""
        return self.state.pages[page][0]

    def row_count(self, kind: Kind | str, page: int) -> int:
        """One past the last row written."""
        del kind
        return self.state.rows.get(page, 0)

    def column(self, kind: Kind | str, page: int, name: str, rows: Rows | None = None) -> Array:
        """Cells, fill where there is none."""
        column = self._kind(kind).column(name)
        span = Rows(0, self.row_count(kind, page)) if rows is None else rows
        cells = self.state.cells
        held = [cells.get((page, name, row), column.fill) for row in range(span.start, span.stop)]
        return np.array(held, DTYPES[column.dtype][1])

    def table(self, kind: Kind | str) -> dict[str, Array]:
        """All columns of an append-only kind."""
        page = int(self.pages(kind)[0])
        return {c.name: self.column(kind, page, c.name) for c in self._kind(kind).columns}

    def gather(
        self, kind: Kind | str, name: str, pages: Iterable[int] | None = None
    ) -> tuple[Array, Array]:
        """One column over pages, end to end, with offsets."""
        chosen = self.pages(kind).tolist() if pages is None else list(pages)
        parts = [self.column(kind, page, name) for page in chosen]
        values = np.concatenate([self.column(kind, -1, name, Rows(0, 0)), *parts])
        return values, np.array([sum(map(len, parts[:n])) for n in range(len(parts) + 1)])

    def symbols(self, ids: Iterable[int]) -> list[str]:
        """Texts."""
        return [self.state.symbols[id] for id in ids]

    @property
    def symbol_count(self) -> int:
        """How many symbols there are."""
        return len(self.state.symbols)

    def written(self, page: int) -> Array:
        """Epochs that wrote the page."""
        return np.array(self.state.written.get(page, []), "<u8")

    def blame(self, kind: Kind | str, page: int, columns: Iterable[str] | str) -> Array:
        """Last epoch that wrote one of the columns, by row."""
        names = [columns] if isinstance(columns, str) else list(columns)
        epochs = self.state.epochs
        rows = range(self.row_count(kind, page))
        last = [max([epochs.get((page, name, row), 0) for name in names] or [0]) for row in rows]
        return np.array(last, "<u8")

    def content(self) -> Any:
        """The facts without ids, order of storing, history or layout: what a digest stands for."""
        skipped = {"heap", "symbol", "type", "file", "scope", "recording"}
        found = [
            (kind, "" if kind.append_only else self.subject(page), self._page(kind, page))
            for kind in self.kinds.values()
            if kind.name not in skipped
            for page in self.pages(kind).tolist()
        ]
        counted = [one for one in found if one[2] or not one[0].append_only]
        return sorted((kind.id, subject, facts) for kind, subject, facts in counted)

    def _page(self, kind: Kind, page: int) -> Any:
        columns = [column for column in kind.columns if column.digest]
        held = [(c, self.column(kind, page, c.name)) for c in columns]
        facts = []
        for column, values in held:
            fill = np.array(column.fill, values.dtype).tobytes()
            named = [(row, self._name(column.ref, value)) for row, value in enumerate(values)]
            bits = [value.tobytes() for value in values]
            facts += [
                (column.id, row, name)
                for (row, name), own in zip(named, bits, strict=True)
                if own != fill
            ]
        return sorted(facts, key=repr)

    def _name(self, ref: str, value: Any) -> Any:
        if not ref:
            return repr(value.tobytes())
        id = int(value)
        if ref == "symbol":
            return repr(self.state.symbols[id] if id < self.symbol_count else id)
        kind = self.kinds[ref]
        page = self.state.table(kind)
        if page is None or id >= self.row_count(kind, page):
            return repr(id)
        row = Rows(id, id + 1)
        columns = [column for column in kind.columns if column.digest]
        return repr([self._name(c.ref, self.column(kind, page, c.name, row)[0]) for c in columns])

    def _kind(self, kind: Kind | str) -> Kind:
        return self.kinds[kind if isinstance(kind, str) else kind.name]

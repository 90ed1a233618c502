"""What derivations read during a run: the memory as of one epoch, and what the run made."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mmsb.graph.derived import WHOLE, Source
from mmsb.graph.derived_book import Book
from mmsb.memory.cells import Array, dtype_of, frozen
from mmsb.memory.transaction import Transaction

Names = frozenset[str] | None
_MANY = 32  # pages from which reading them together pays


class Moment(Source):
    """The memory as of the epoch of a transaction, with what this run made."""

    def __init__(self, t: Transaction, books: dict[str, Book]) -> None:
        self._t, self._now, self._books = t, t.base, books
        self._kinds = {kind.name: kind for kind in t.base.kinds}
        self._ahead: dict[tuple[str, Names], dict[str, dict[str, Array]]] = {}
        self._others: dict[str, Book | None] = {}
        self._fresh: dict[str, dict[str, dict[str, Array] | None]] = {}
        self._all: dict[tuple[str, Names], tuple[tuple[str, ...], dict[str, Array], Array]] = {}

    def book(self, kind: str) -> Book | None:
        """What is known of a derived kind, also one that is not registered; None for others."""
        if kind in self._books:
            return self._books[kind]
        if kind not in self._others:
            book = Book.load(self._now, kind)
            self._others[kind] = None if book.seen is None else book
        return self._others[kind]

    def has(self, kind: str, subject: str) -> bool:
        """Whether there is a page."""
        fresh = self._fresh.get(kind, {})
        if subject in fresh:
            return fresh[subject] is not None
        return self._now.page(self._kinds[kind], subject) is not None

    def subjects(self, kind: str) -> list[str]:
        """All that have a page, sorted."""
        now = self._now
        stored = now.subjects(now.pages(self._kinds[kind]))
        fresh = self._fresh.get(kind, {})
        return sorted(
            [one for one in stored if one not in fresh]
            + [subject for subject, made in fresh.items() if made is not None]
        )

    def put(self, kind: str, subject: str, made: dict[str, Array] | None) -> None:
        """What a function made, or None for no page."""
        self._fresh.setdefault(kind, {})[subject] = made

    def ahead(self, kind: str, names: Names, subjects: Iterable[str]) -> None:
        """Reads many subjects' pages at once, for `columns`."""
        stored = [(one, self._now.page(self._kinds[kind], one)) for one in subjects]
        held = [(subject, page) for subject, page in stored if page is not None]
        if len(held) < _MANY:
            return
        wanted = None if names is None else sorted(names)
        found, offsets = self._now.gather_columns(
            self._kinds[kind], wanted, [page for _, page in held]
        )
        ends = offsets.tolist()
        self._ahead[kind, names] = {
            subject: {name: cells[ends[at] : ends[at + 1]] for name, cells in found.items()}
            for at, (subject, _) in enumerate(held)
        }

    def columns(self, kind: str, subject: str, names: Names) -> dict[str, Array] | None:
        fresh = self._fresh.get(kind, {})
        if subject in fresh:
            made = fresh[subject]
            return made if made is None or names is None else {n: made[n] for n in sorted(names)}
        found = self._ahead.get((kind, names), {}).get(subject)
        if found is None:
            page = self._now.page(self._kinds[kind], subject)
            if page is None:
                return None
            found = self._now.columns(
                self._kinds[kind], page, None if names is None else sorted(names)
            )
        book = self.book(kind)
        entry = None if book is None else book.entries.get(subject)
        if entry is None:
            return found
        return {name: cells[: entry.rows] for name, cells in found.items()}

    def everything(
        self, kind: str, names: Names
    ) -> tuple[tuple[str, ...], dict[str, Array], Array]:
        key = (kind, names)
        if key not in self._all:
            if self._kinds[kind].append_only:
                table = self._now.table(self._kinds[kind])
                chosen = table if names is None else {n: table[n] for n in sorted(names)}
                rows = len(next(iter(table.values())))
                self._all[key] = ((WHOLE,), chosen, frozen(np.array([0, rows])))
            elif self.book(kind) is None:
                self._all[key] = self._gathered(kind, names)
            else:
                self._all[key] = self._joined(kind, names)
        return self._all[key]

    def _gathered(self, kind: str, names: Names) -> tuple[tuple[str, ...], dict[str, Array], Array]:
        pages = self._now.pages(self._kinds[kind])
        subjects = self._now.subjects(pages)
        order = sorted(range(len(subjects)), key=subjects.__getitem__)
        wanted = None if names is None else sorted(names)
        columns, offsets = self._now.gather_columns(self._kinds[kind], wanted, pages[order])
        return tuple(subjects[at] for at in order), columns, offsets

    def _joined(self, kind: str, names: Names) -> tuple[tuple[str, ...], dict[str, Array], Array]:
        """Of derived pages: without the fill behind their rows."""
        subjects = self.subjects(kind)
        empty = self.empty(kind, names)
        pages = [self.columns(kind, subject, names) or empty for subject in subjects]
        lengths = [len(next(iter(page.values()))) for page in pages]
        columns = {
            name: frozen(np.concatenate([none, *(page[name] for page in pages)]))
            for name, none in empty.items()
        }
        return tuple(subjects), columns, frozen(np.cumsum([0, *lengths]))

    def empty(self, kind: str, names: Names) -> dict[str, Array]:
        return {
            column.name: frozen(np.zeros(0, dtype_of(column)))
            for column in self._kinds[kind].columns
            if names is None or column.name in names
        }

    def texts(self, ids: Iterable[int]) -> list[str]:
        return self._t.at().symbols(ids)

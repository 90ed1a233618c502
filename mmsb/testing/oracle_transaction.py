"""Transactions of the oracle: everything is done a second time on top of the head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmsb.base.schema import Kind
from mmsb.testing.oracle import Batches, Oracle, OracleChanges, OracleSnapshot


class OracleTransaction(Batches):
    """Behaves like a `Transaction`: same ids while it is open, same ids in the end."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle, self.base = oracle, oracle.at()
        self._changes = oracle.changes()
        self._log: list[tuple[str, tuple[Any, ...]]] = []
        self._made: dict[int, tuple[Kind, str]] = {}
        #: ("page" or kind name, id given out) → id in the end
        self.moved: dict[tuple[str, int], int] = {}

    def at(self) -> OracleSnapshot:
        """The base with what was written here."""
        state = self._changes.apply(self._changes.state.copy(), self.base.epoch + 1)
        return OracleSnapshot(self._oracle.kinds, state, self.base.epoch)

    def symbol(self, text: str) -> int:
        """The id of a text."""
        return self._changes.symbol(text)

    def page(self, kind: Kind, subject: str) -> int:
        """The live page of a subject."""
        page = self._changes.page(kind, subject)
        if page >= len(self.base.state.pages) and page not in self._made:
            self._made[page] = (kind, subject)
            self._log.append(("page", (page,)))
        return page

    def append(self, kind: Kind, columns: Mapping[str, Sequence[Any]]) -> int:
        """Rows of an append-only kind."""
        first = self._changes.append(kind, columns)
        self._log.append(("append", (kind, columns)))
        return first

    def patch(
        self, kind: Kind, page: int, columns: Mapping[str, Sequence[Any]], start: int = 0
    ) -> None:
        """A range of rows."""
        count = len(next(iter(columns.values())))
        self.patch_rows(kind, page, range(start, start + count), columns)

    def patch_rows(
        self, kind: Kind, page: int, rows: Iterable[int], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Listed rows."""
        listed = list(rows)
        self._changes.patch_rows(kind, page, listed, columns)
        if listed:
            self._log.append(("patch", (kind, page, listed, columns)))

    def delete(self, page: int) -> None:
        """A tombstone."""
        self._changes.delete(page)
        self._log.append(("delete", (page,)))

    def commit(self) -> int | None:
        """The epoch, or None for nothing. Only where `written_by_both` is empty."""
        texts = self._changes.state.symbols[self.base.symbol_count :]
        if not (self._log or texts):
            return None
        head = self._oracle.at()
        assert not self.written_by_both(), "this conflicts"
        again = self._oracle.changes()
        for at, text in enumerate(texts):
            self.moved["symbol", self.base.symbol_count + at] = again.symbol(text)
        for kind in self._oracle.kinds.values():
            if kind.append_only:
                self._move_rows(kind, head)
        for what, about in self._log:
            self._do(again, what, about)
        return self._oracle.commit(again)

    def written_by_both(self) -> set[int]:
        """The pages for which a commit now would conflict."""
        head = self._oracle.at()
        pages = self._changes.state.pages
        tables = {page for page, (kind, _) in enumerate(pages) if kind.append_only}
        found = set()
        for page in ({cell[0] for cell in self._changes.writes} | self._changes.dead) - tables:
            if page in self._made:
                theirs = head.page(*self._made[page])
                if theirs is not None and theirs not in self._changes.dead:
                    found.add(theirs)
            elif any(epoch > self.base.epoch for epoch in head.written(page).tolist()):
                found.add(page)
        return found

    def _move_rows(self, kind: Kind, head: OracleSnapshot) -> None:
        page = self._changes.state.table(kind)
        if page is None:  # it was learned of later
            return
        before, now = (
            0 if own is None else side.row_count(kind, own)
            for side in (self.base, head)
            for own in [side.state.table(kind)]
        )
        for row in {row for at, _, row in self._changes.writes if at == page}:
            self.moved[kind.name, row] = now + row - before

    def _do(self, again: OracleChanges, what: str, about: tuple[Any, ...]) -> None:
        if what == "page":
            (page,) = about
            self.moved["page", page] = again.page(*self._made[page])
        elif what == "append":
            kind, columns = about
            again.append(kind, self._renamed(kind, columns))
        elif what == "patch":
            kind, page, rows, columns = about
            page = self.moved.get(("page", page), page)
            again.patch_rows(kind, page, rows, self._renamed(kind, columns))
        else:
            (page,) = about
            again.delete(self.moved.get(("page", page), page))

    def _renamed(self, kind: Kind, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        return {
            name: [self.moved.get((kind.column(name).ref, value), value) for value in values]
            for name, values in columns.items()
        }

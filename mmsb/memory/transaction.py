"""A transaction: several reads and writes that become one epoch, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from mmsb.base.errors import Conflict, UnknownName, UsageError, quote
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import asked
from mmsb.memory.cells import Array, frozen, sorted_rows, whole
from mmsb.memory.changes import Changes
from mmsb.memory.many import Many, many
from mmsb.memory.overlay import Overlay, Own, rows_end, table_rows
from mmsb.memory.renumber import Moved, refers_by_tag, renumbered
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.symbols import normal


class Store(Protocol):
    """What a transaction asks of its memory."""

    def at(self) -> Snapshot: ...
    def written_since(self, epoch: int) -> Array: ...
    def changes(self) -> Changes: ...
    def commit(self, changes: Changes, *, source: int = 0) -> int: ...


@dataclass(frozen=True, slots=True)
class _Create:
    page: int
    kind: Kind
    subject: str


@dataclass(frozen=True, slots=True)
class _Append:
    kind: Kind
    columns: dict[str, Array]


@dataclass(frozen=True, slots=True)
class _Patch:
    page: int
    kind: Kind
    rows: Rows | Array
    columns: dict[str, Array]


@dataclass(frozen=True, slots=True)
class _Delete:
    page: int


_Step = _Create | _Append | _Patch | Many | _Delete


class Transaction:
    """Collects like a `Changes` and reads its own writes; ``with`` commits at the end.

    All of it becomes one epoch, or nothing does: an exception, raised inside or by the commit,
    leaves the memory as it was. Reads see the base epoch and these writes, whatever others commit
    meanwhile. If another commit wrote or deleted a page that this one writes or deletes, or made
    the page that this one makes and writes, the commit raises `Conflict`, which names those pages.
    (What was only read does not conflict.)

    Ids given out (pages, symbols, rows of append-only kinds) hold inside the transaction. Other
    commits may take the same ids first; then these move, also in the cells of columns whose schema
    says what they refer to (and of the recorder's that hold ids without it, see `renumber`), and a
    text or page that the other commit made too becomes that one. `final` says what they are in the
    end. An id in any other column stays as it was written: put none there.

    Any number may be open at once, in any threads; one transaction belongs to one thread.
    Its writes are held in memory twice until it ends.
    """

    def __init__(self, memory: Store, lock: AbstractContextManager[Any], source: int) -> None:
        """Get one from ``memory.transaction()``."""
        self._memory, self._lock, self._source = memory, lock, source
        with lock:
            self.base, self._changes = memory.at(), memory.changes()
        self.epoch: int | None = None
        self._over = False
        self._own = Own()
        self._steps: list[_Step] = []
        self._moved: dict[str, Moved] = {}
        self._first_symbol, self._first_page = self.base.symbol_count, self.base.page_count
        self._first_row: dict[int, int] = {}

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._over = True
        elif not self._over:
            self.commit()

    def at(self) -> Overlay:
        """Reads as of the base epoch with all that was written here so far."""
        return Overlay(self.base, self._own)

    # Writing: the names of `Changes`.

    def symbol(self, text: str) -> int:
        """The id of a text, new or known."""
        return self._named(self._open().symbol(text), text)

    def symbols(self, texts: Sequence[str]) -> Array:
        """`symbol` for many texts, u32."""
        texts = asked.texts(texts)
        ids = self._open().symbols(texts)
        for at in np.flatnonzero(ids >= self._first_symbol + len(self._own.texts)).tolist():
            self._named(int(ids[at]), texts[at])
        return ids

    def page(self, kind: Kind | str, subject: str) -> int:
        """The live page of a subject, created by this transaction if there is none."""
        changes = self._open()
        page = changes.page(kind, subject)
        self._named(changes.symbol(subject), subject)
        self._found(page, kind, subject)
        return page

    def pages(self, kind: Kind | str, subjects: Sequence[str]) -> Array:
        """`page` for many subjects, u32."""
        subjects = asked.texts(subjects)
        pages = self._open().pages(kind, subjects)
        self.symbols(subjects)
        for at in np.flatnonzero(pages >= self._first_page).tolist():
            self._found(int(pages[at]), kind, subjects[at])
        return pages

    def append(self, kind: Kind | str, columns: Mapping[str, Any]) -> int:
        """Appends rows to an append-only kind; returns the number of the first."""
        shown, held = self._held(kind, columns)
        first = self._changes.append(shown, held)
        count = len(next(iter(held.values())))
        self._first_row.setdefault(shown.id, first)
        self._own.appended.setdefault(shown.id, []).append((Rows(first, first + count), held))
        self._steps.append(_Append(shown, held))
        return first

    def patch(
        self, kind: Kind | str, page: int, columns: Mapping[str, Any], start: int = 0
    ) -> None:
        """Writes rows ``start``, ``start + 1``, … of the named columns."""
        shown, held = self._held(kind, columns)
        self._changes.patch(shown, page, held, start)
        start = whole(start, "start")
        rows = Rows(start, start + len(next(iter(held.values()))))
        self._patched(_Patch(whole(page, "page"), shown, rows, held))

    def patch_rows(
        self, kind: Kind | str, page: int, rows: Any, columns: Mapping[str, Any]
    ) -> None:
        """Writes the listed rows (sorted, each once) of named columns."""
        shown, held = self._held(kind, columns)
        touched = sorted_rows(rows)
        self._changes.patch_rows(shown, page, touched, held)
        self._patched(_Patch(whole(page, "page"), shown, touched, held))

    def patch_many(
        self,
        kind: Kind | str,
        pages: Any,
        columns: Mapping[str, Any],
        starts: Any = 0,
        counts: Any = None,
    ) -> None:
        """One dense delta for each of many pages."""
        shown, held = self._held(kind, columns)
        pages = asked.ids(pages)
        self._changes.patch_many(shown, pages, held, starts, counts)
        made = many(shown, pages, held, starts, counts)
        if len(made.pages):
            self._own.many.append(made)
            self._steps.append(made)

    def delete(self, page: int) -> None:
        """A tombstone: gone from the epoch of this transaction on."""
        self._open().delete(page)
        page = whole(page, "page")
        self._own.patched.pop(page, None)
        self._own.many = [made.without(page) for made in self._own.many]
        self._own.deleted.add(page)
        self._steps.append(_Delete(page))

    # The end.

    def commit(self) -> int | None:
        """Ends the transaction; returns its epoch, or None if it wrote nothing.

        Conflict. After NoSpace it may be committed again. ReadOnly, WriterFailed.
        """
        changes = self._open()
        if not (self._steps or self._own.texts):
            self._over = True
            return None
        with self._lock:
            head, moved = self._memory.at(), dict[str, Moved]()
            changes.check_owner(head._index)
            if head.epoch != self.base.epoch or changes.unknowing:
                changes = self._memory.changes()
                moved = self._again(changes, head)
            self.epoch = self._memory.commit(changes, source=self._source)
        self._moved, self._over = moved, True
        return self.epoch

    def final(self, what: str, ids: Any) -> Any:
        """What ids given out here are in the end: an int for an int, an array for several.

        ``what`` is ``"page"`` or the name of an append-only kind. UsageError before the commit;
        UnknownName for an id that was not there.
        """
        if self.epoch is None:
            raise UsageError("ids are final once the transaction is committed; ask after that")
        one = not isinstance(ids, Iterable) or (isinstance(ids, np.ndarray) and not ids.ndim)
        held = asked.ids([whole(ids, f"{quote(what)}")] if one else ids).astype(np.int64)
        count = self._count(what)
        if len(held) and int(held.max()) >= count:
            raise UnknownName(
                f"{what} {held.max()} was not there in this transaction; ask for one of 0 … "
                f"{count - 1}"
            )
        moved = self._moved.get(what)
        found = held if moved is None else moved.of(held)
        return int(found[0]) if one else found

    # Inside.

    def _count(self, what: str) -> int:
        """How many of these ids there were in the base and here. UsageError."""
        tables = {kind.name: kind for kind in self.base.kinds if kind.append_only}
        asked.one_of(what, ("page", *tables), "ids of")
        if what == "page":
            return max(self._own.created, default=self._first_page - 1) + 1
        if what == "symbol":
            return self._first_symbol + len(self._own.texts)
        stored, own = table_rows(self.base, what), self._own.appended.get(tables[what].id)
        return rows_end(own[-1][0]) if own else stored

    def _open(self) -> Changes:
        if self._over:
            raise UsageError("this transaction is over; begin another with memory.transaction()")
        return self._changes

    def _named(self, id: int, text: str) -> int:
        if id == self._first_symbol + len(self._own.texts):
            self._own.texts.append(normal(text))
        return id

    def _found(self, page: int, kind: Kind | str, subject: str) -> None:
        if page >= self._first_page and page not in self._own.created:
            shown = self.base.kind(kind)
            self._own.created[page] = (shown, normal(subject))
            self._steps.append(_Create(page, shown, subject))

    def _held(self, kind: Kind | str, columns: Mapping[str, Any]) -> tuple[Kind, dict[str, Array]]:
        """The kind and checked copies of the buffers, before anything is written: what is passed
        is read once, and a write that is refused leaves no trace."""
        self._open()
        shown = self.base.kind(kind)
        return shown, self._changes.buffers(shown, columns)

    def _patched(self, step: _Patch) -> None:
        if len(step.rows):
            self._own.patched.setdefault(step.page, []).append((step.rows, step.columns))
            self._steps.append(step)

    def _again(self, changes: Changes, head: Snapshot) -> dict[str, Moved]:
        """Does all steps again on top of ``head``; returns which ids moved. Conflict."""
        self._check_unwritten(head)
        moved = {"symbol": Moved(self._first_symbol, _u4(map(changes.symbol, self._own.texts)))}
        for id, first in self._first_row.items():
            kind = head.kind(self._name(id))
            count = sum(len(rows) for rows, _ in self._own.appended[id])
            now = table_rows(head, kind)
            moved[kind.name] = Moved(first, np.arange(now, now + count, dtype="<u4"))
        pages: dict[int, int] = {}
        for step in self._steps:
            self._replay(step, changes, moved, pages)
        if pages:
            moved["page"] = Moved(min(pages), _u4(pages[page] for page in sorted(pages)))
        return moved

    def _check_unwritten(self, head: Snapshot) -> None:
        """Conflict if a page written here was written by others since the base epoch."""
        since, theirs = self.base.epoch, set(self._memory.written_since(self.base.epoch).tolist())
        both = []
        for page in sorted(self._own.written()):
            made = self._own.created.get(page)
            if made is None:
                both += [page] if page in theirs else []
                continue
            found = head.page(*made)
            if found is not None and found not in self._own.deleted:
                both.append(found)
        if both:
            shown = ", ".join(f"{page} ({head.subject(page)!r:.80})" for page in both[:8])
            more = f" and {len(both) - 8} more" if len(both) > 8 else ""
            raise Conflict(
                f"epochs {since + 1} … {head.epoch} came in since this transaction began, and "
                f"they wrote what it writes: page {shown}{more}; do it again in a new transaction",
                tuple(both),
            )

    def _replay(
        self, step: _Step, changes: Changes, moved: Mapping[str, Moved], pages: dict[int, int]
    ) -> None:
        match step:
            case _Create(page, kind, subject):
                pages[page] = changes.page(kind, subject)
            case _Append(kind, columns):
                changes.append(kind, renumbered(kind, columns, moved, None))
            case _Delete(page):
                changes.delete(pages.get(page, page))
            case _Patch(page, kind, rows, columns):
                if page in self._own.deleted:
                    return
                held = renumbered(kind, columns, moved, self._tags(step))
                page = pages.get(page, page)
                if isinstance(rows, Rows):
                    changes.patch(kind, page, held, rows.start)
                else:
                    changes.patch_rows(kind, page, rows, held)
            case Many():
                for page in self._own.deleted:
                    step = step.without(page)
                held = renumbered(step.kind, step.buffers, moved, self._tags(step))
                where = [pages.get(page, page) for page in step.pages.tolist()]
                counts = step.stops - step.starts
                changes.patch_many(step.kind, where, held, step.starts, counts)

    def _tags(self, step: _Patch | Many) -> Array | None:
        """What an operand's cells refer to by, in the order of the step's cells."""
        if not refers_by_tag(step.kind, step.columns if isinstance(step, _Patch) else step.buffers):
            return None
        if isinstance(step, _Patch):
            return self.at().column(step.kind, step.page, "tag")[_index(step.rows)]
        spans = zip(step.pages.tolist(), step.starts.tolist(), step.stops.tolist(), strict=True)
        read, kind = self.at().column, step.kind
        return np.concatenate([read(kind, page, "tag", Rows(*span)) for page, *span in spans])

    def _name(self, id: int) -> str:
        return next(kind.name for kind in self.base.kinds if kind.id == id)


def _u4(values: Any) -> Array:
    return frozen(np.fromiter(values, "<u4"))


def _index(rows: Rows | Array) -> slice | Array:
    return slice(rows.start, rows.stop) if isinstance(rows, Rows) else rows.astype(np.int64)

"""One run over the derivations: from what was written since the last one to a commit."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from mmsb.base.errors import DamageError, EnvironmentProblem, StateError
from mmsb.base.schema import Kind
from mmsb.graph.derived import (
    SOURCE,
    WHOLE,
    Derivation,
    DerivedState,
    Given,
    differing,
    page_of,
    stretched,
)
from mmsb.graph.derived_book import UNSOUND, Book, Place
from mmsb.graph.derived_moment import Moment, Names
from mmsb.memory.cells import Array
from mmsb.memory.memory import Memory

#: Who read a page: names of derived kinds, and subjects.
Readers = dict[Place, set[tuple[str, str]]]
#: Kind → subject → columns that were written; None: any.
Changes = dict[str, dict[str, Names]]
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one page. ``because``: what was written that it reads, as (kind, subject);
    None for a subject means all of the kind. Nothing: it was never made by this function."""

    kind: str
    subject: str
    what: str  # "made", "changed", "equal", "none" (no page was wanted), "failed", "removed"
    because: tuple[Place, ...]
    error: str = ""
    ran: bool = True  # whether its function was called


@dataclass(frozen=True, slots=True)
class Wave:
    """What was made from the memory and earlier waves; outcomes by kind and subject."""

    number: int
    outcomes: tuple[Outcome, ...]


class Run:
    """Takes the derivations, wave by wave, from what their books say to the head."""

    def __init__(
        self,
        memory: Memory,
        waves: list[list[Derivation]],
        books: dict[str, Book],
        readers: Readers,
    ) -> None:
        self._memory, self._waves, self._readers = memory, waves, readers
        self._t = memory.transaction(source=SOURCE)
        self._now = Moment(self._t, books)
        self._since: dict[tuple[int, int | None], Changes] = {}
        self._made: Changes = {}  # by this run
        self._flipped: Changes = {}  # pages that went from sound to unsound, or back
        self._new: dict[str, dict[str, Array]] = {}  # pages that a derivation made first
        self._worked = False

    def waves(self) -> Generator[Wave, None, None]:
        """Makes what is reached; a wave without anything to do is not told of."""
        number = 0
        for derivations in self._waves:
            outcomes = [one for derivation in derivations for one in self._each(derivation)]
            if outcomes:
                self._worked = True
                yield Wave(number, tuple(outcomes))
                number += 1

    def commit(self) -> tuple[int | None, int]:
        """The epoch of what was made, None if nothing was reached; and the one it is as of."""
        seen = self._t.base.epoch
        known = [(d, self._own(d)) for wave in self._waves for d in wave]
        if not self._worked and all(_same(book, d) for d, book in known):
            for _, book in known:
                book.seen, book.own = seen, None
            return None, seen
        for derivation, book in known:
            book.write(self._t, derivation, seen)
        epoch = self._t.commit()
        assert epoch is not None
        for _, book in known:
            book.written(seen, epoch)
        return epoch, seen

    # What is reached.

    def _own(self, derivation: Derivation) -> Book:
        book = self._now.book(derivation.name)
        assert book is not None
        return book

    def _each(self, derivation: Derivation) -> list[Outcome]:
        """Everything of one derivation, by subject."""
        book = self._own(derivation)
        reached = self._reached(derivation, book)
        if not derivation.whole:
            for kind in derivation.paged:
                self._now.ahead(kind, derivation.inputs[kind], reached)
        found = [self._one(derivation, book, s, reached[s]) for s in sorted(reached)]
        for subject in sorted(self._hit(derivation, self._flipped).keys() - reached.keys()):
            self._mark(derivation, book, subject)
        self._write_new(derivation.kind)
        return [one for one in found if one is not None]

    def _reached(self, derivation: Derivation, book: Book) -> dict[str, set[Place]]:
        first = self._memory.first
        if book.seen is None or not _same(book, derivation) or book.seen < first:
            subjects = [WHOLE] if derivation.whole else self._now.subjects(derivation.paged[0])
            known = {*book.entries, *self._now.subjects(derivation.name)}
            return {subject: set() for subject in known.union(subjects)}
        written = self._written(book.seen, book.own)
        found = self._hit(derivation, written)
        for subject, places in self._hit(derivation, self._made).items():
            found.setdefault(subject, set()).update(places)
        for subject in written.get(derivation.name, {}):  # somebody else wrote what it makes
            found.setdefault(subject, set()).add((derivation.name, subject))
        return found

    def _hit(self, derivation: Derivation, changes: Changes) -> dict[str, set[Place]]:
        """The subjects that some changes reach, and by which pages."""
        found: dict[str, set[Place]] = {}
        name = derivation.name
        for kind in derivation.inputs:
            chosen = [s for s, c in changes.get(kind, {}).items() if derivation.wants(kind, c)]
            own = kind in derivation.paged and not derivation.whole
            for subject in chosen:
                if own:
                    found.setdefault(subject, set()).add((kind, subject))
                for reader, at in self._readers.get((kind, subject), ()):
                    if reader == name:
                        found.setdefault(at, set()).add((kind, subject))
            if chosen:
                for reader, at in self._readers.get((kind, None), ()):
                    if reader == name:
                        found.setdefault(at, set()).add((kind, None))
        return found

    def _written(self, seen: int, own: int | None) -> Changes:
        """What was written since an epoch, but in the own commit."""
        key = (seen, own)
        if key not in self._since:
            head, found = self._t.base.epoch, Changes()
            spans = [(seen, head)] if own is None else [(seen, own - 1), (own, head)]
            for old, new in spans:
                if old < new:
                    self._add_written(found, old, new)
            self._since[key] = found
        return self._since[key]

    def _add_written(self, found: Changes, old: int, new: int) -> None:
        head, names = self._t.base, self._interesting()
        written = self._memory.diff(old, new, names)
        subjects = head.subjects(np.array([one.page for one in written], "<u4"))
        for one, subject in zip(written, subjects, strict=True):
            of = found.setdefault(one.kind.name, {})
            before = of.get(subject, frozenset())
            whole = one.deleted or before is None
            of[subject] = None if whole else (before or frozenset()) | frozenset(one.columns)
        first = self._memory.at(old).page_count
        for name in names:  # pages of which nothing is written yet
            pages = head.pages(name)
            for subject in head.subjects(pages[np.searchsorted(pages, first) :]):
                found.setdefault(name, {})[subject] = None

    def _interesting(self) -> list[str]:
        derivations = [derivation for wave in self._waves for derivation in wave]
        return sorted({d.name for d in derivations}.union(*(d.inputs for d in derivations)))

    # What becomes of it.

    def _one(
        self, derivation: Derivation, book: Book, subject: str, because: set[Place]
    ) -> Outcome | None:
        told = tuple(sorted(because, key=lambda place: (place[0], place[1] or "")))
        name, state = derivation.name, DerivedState.CURRENT
        if not self._wanted(derivation, subject):
            if not self._put(derivation, book, subject, None) and not book.state(subject):
                return None
            self._say(book, subject, DerivedState.NONE, 0, "", set())
            return Outcome(name, subject, "removed", told, ran=False)
        given = Given(derivation, subject, self._now)
        try:
            made = derivation.function(given)
            page = None if made is None else page_of(derivation.kind, made, self._t.symbol)
        except (DamageError, EnvironmentProblem, StateError, MemoryError):
            raise  # no fault of the function's
        except Exception as error:
            text = _told(error)
            entry = book.entries.get(subject)
            rows = 0 if entry is None else entry.rows
            self._say(book, subject, DerivedState.FAILED, rows, text, given.read_of)
            return Outcome(name, subject, "failed", told, text)
        rows = 0 if page is None else len(next(iter(page.values())))
        what = self._put(derivation, book, subject, page) or "equal"
        if page is None:
            state, what = DerivedState.NONE, "none" if what == "equal" else "removed"
        elif self._unsound(derivation, subject, given.read_of):
            state = DerivedState.STALE
        self._say(book, subject, state, rows, "", given.read_of)
        return Outcome(name, subject, what, told)

    def _wanted(self, derivation: Derivation, subject: str) -> bool:
        if derivation.whole:
            return subject == WHOLE
        return self._now.has(derivation.paged[0], subject)

    def _mark(self, derivation: Derivation, book: Book, subject: str) -> None:
        """A page that was not made anew, but read one whose state changed."""
        entry = book.entries.get(subject)
        if entry is None or entry.state not in (DerivedState.CURRENT, DerivedState.STALE):
            return
        places = set(entry.reads)
        unsound = self._unsound(derivation, subject, places)
        state = DerivedState.STALE if unsound else DerivedState.CURRENT
        self._say(book, subject, state, entry.rows, "", places)

    def _say(
        self,
        book: Book,
        subject: str,
        state: DerivedState,
        rows: int,
        error: str,
        reads: set[Place],
    ) -> None:
        self._worked = True
        if book.say(subject, state, rows, error, reads=bool(reads)):
            self._flipped.setdefault(book.name, {})[subject] = None
        gone, new = book.set_reads(subject, reads)
        for place in gone:
            self._readers[place].discard((book.name, subject))
        for place in new:
            self._readers.setdefault(place, set()).add((book.name, subject))

    def _unsound(self, derivation: Derivation, subject: str, places: set[Place]) -> bool:
        """Whether anything it reads failed, or read something that did."""
        own = [] if derivation.whole else [(kind, subject) for kind in derivation.paged]
        for kind, of in [*own, *places]:
            book = self._now.book(kind)
            if book is not None and (book.unsound if of is None else book.state(of) in UNSOUND):
                return True
        return False

    def _put(
        self, derivation: Derivation, book: Book, subject: str, page: dict[str, Array] | None
    ) -> str:
        """Writes a page where it differs; "made", "changed", "removed", or "" if it does not."""
        kind, now, t = derivation.kind, self._t.base, self._t
        stored = now.page(kind, subject)
        if stored is None and page is None:
            return ""
        if page is None or stored is None:
            if page is None:
                assert stored is not None
                t.delete(stored)
            else:
                self._new[subject] = page
            self._now.put(kind.name, subject, page)
            self._made.setdefault(kind.name, {})[subject] = None
            return "removed" if page is None else "made"
        entry = book.entries.get(subject)
        count, before = len(next(iter(page.values()))), now.row_count(kind, stored)
        old, most = now.columns(kind, stored), max(count, before)
        rows: dict[str, Array] = {}
        for column in kind.columns:
            new = stretched(column, page[column.name], most)
            differ = differing(column, stretched(column, old[column.name], most), new)
            if count > before:  # rows that are new are written, fill or not
                differ = np.union1d(differ, np.arange(before, count))
            if len(differ):
                rows[column.name] = differ
        same_rows = entry is not None and entry.rows == count
        if not rows and same_rows:
            return ""
        for names, which in _together(rows):
            cells = {
                n: stretched(kind.column(n), page[n], most)[which.astype(np.int64)] for n in names
            }
            t.patch_rows(kind, stored, which, cells)
        self._now.put(kind.name, subject, page)
        self._made.setdefault(kind.name, {})[subject] = frozenset(rows) if same_rows else None
        return "changed"

    def _write_new(self, kind: Kind) -> None:
        """The pages that were made, all at once."""
        new, self._new = self._new, {}
        if not new:
            return
        pages = self._t.pages(kind, list(new))
        counts = [len(next(iter(page.values()))) for page in new.values()]
        columns = {
            column.name: np.concatenate([page[column.name] for page in new.values()])
            for column in kind.columns
        }
        self._t.patch_many(kind, pages, columns, 0, counts)


def _told(error: Exception) -> str:
    """One line, without addresses: the same from run to run."""
    text = re.sub(r"\b0x[0-9a-fA-F]+", "0x…", f"{type(error).__name__}: {error}")
    return " ".join(text.split())[:_LONGEST_ERROR]


def _same(book: Book, derivation: Derivation) -> bool:
    return (book.version, book.declared) == (derivation.version, derivation.declared)


def _together(rows: dict[str, Array]) -> list[tuple[list[str], Array]]:
    """Columns by the rows in which they differ: each group is a delta."""
    groups: dict[bytes, tuple[list[str], Array]] = {}
    for name, which in rows.items():
        groups.setdefault(which.tobytes(), ([], which))[0].append(name)
    return list(groups.values())

"""Derived pages are kept up to date: what a change reaches is made anew, in order, and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.errors import Conflict, CycleError, StateError, UsageError, quote
from mmsb.base.schema import Kind
from mmsb.graph.derived import KINDS, Derivation, Function, fingerprint
from mmsb.graph.derived_book import UNSOUND, Book
from mmsb.graph.derived_run import Readers, Run, Wave
from mmsb.memory import asked
from mmsb.memory.memory import Memory
from mmsb.memory.symbols import normal

Inputs = Iterable[Kind | str] | Mapping[Kind | str, Iterable[str] | None]
_TRIES = 8
_TAKEN = {kind.id for kind in (*schema.KINDS, *KINDS)}


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What one run did. ``epoch``: its commit, None where there was nothing to write.

    Everything derived is now as of epoch ``seen``.
    """

    epoch: int | None
    seen: int
    waves: tuple[Wave, ...]

    def count(self, what: str) -> int:
        """How many pages ended as ``what``; see `Outcome`."""
        return sum(one.what == what for wave in self.waves for one in wave.outcomes)

    @property
    def ran(self) -> int:
        """How many times a function was called."""
        return sum(one.ran for wave in self.waves for one in wave.outcomes)


@dataclass(frozen=True, slots=True)
class Unsound:
    """A derived page that is not to be trusted: its function failed (``error``), or it read such a
    page (``error`` is "")."""

    kind: str
    subject: str
    error: str


class Derivations:
    """The derivations of one memory that this process registered. Get it from a `Reader`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[str, Derivation] = {}
        self._books: dict[str, Book] = {}
        self._readers: Readers = {}
        self._turn = threading.Lock()
        #: Called when a run has ended, and whether a commit found one under way meanwhile.
        self.idle: Callable[[], None] | None = None
        self.missed = False

    def __len__(self) -> int:
        return len(self._known)

    def derive(
        self,
        kind: Kind,
        inputs: Inputs,
        *,
        whole: bool = False,
        version: str | int | None = None,
    ) -> Callable[[Function], Function]:
        """Registers the decorated function as what makes the pages of ``kind``.

        ``inputs``: the kinds it may read, or a mapping of kinds to the columns it may read of each
        (None: all). The first of them that has pages says for which subjects there is a page of
        ``kind``; with ``whole`` there is one, of subject "". The function takes a `Given` and
        returns columns by name, or None for no page; it must depend on nothing else. ``version``
        says when it has changed; default: its code does. CycleError if it would depend on itself;
        UsageError, UnknownName.
        """
        whole = asked.flag(whole, "whole")
        if version is not None and not isinstance(version, str | int):
            raise UsageError(f"a version is a text or a number, not {quote(version)}")
        self._memory.know(*KINDS, kind)
        shown = self._memory.at().kind(kind)
        if shown.append_only or not shown.columns or shown.id in _TAKEN:
            raise UsageError(
                f"pages of {shown.name!r} cannot be derived: it is append-only, has no column, or "
                "others write it; make a kind of your own"
            )
        named = self._inputs(shown, inputs)
        known = {k.name: k for k in self._memory.at().kinds}
        paged = tuple(name for name in named if not known[name].append_only)
        if not paged and not whole:
            raise UsageError(
                f"{shown.name!r} has no input with a page for each subject; pass whole=True for "
                "one page over the whole memory"
            )

        def register(function: Function) -> Function:
            told = fingerprint(function) if version is None else normal(f"version {version}")
            derivation = Derivation(shown, function, named, paged, whole, told)
            self._check_order(derivation)
            self._known[shown.name] = derivation
            return function

        return register

    def recompute(self) -> Recomputed:
        """Makes anew what the commits since the last run reach, as one commit of its own.

        Functions run in the order of what they depend on; equal results are not written and reach
        nothing. One that raises leaves its old page, marked, with the error as a fact (see
        `unsound`); the rest goes on. Everything else that is raised (CorruptData, NoSpace, …)
        leaves all as it was. StateError if a run is under way; ReadOnly.
        """
        waves: list[Wave] = []
        running = self.steps()
        while True:
            try:
                wave = next(running)
                waves = [wave] if wave.number == 0 else [*waves, wave]
            except StopIteration as ended:
                epoch, seen = ended.value
                return Recomputed(epoch, seen, tuple(waves))

    def steps(self) -> Generator[Wave, None, tuple[int | None, int]]:
        """`recompute`, wave by wave: what depends on what an earlier wave made comes later.

        It is committed when the last wave was taken; if it is abandoned before, nothing is. If
        other commits conflict with it, its waves begin again with number 0.
        """
        if not self._turn.acquire(blocking=False):
            raise StateError("derived pages are being made: end that run first")
        try:
            for left in range(_TRIES, 0, -1):
                try:
                    return (yield from self._run())
                except Conflict:
                    if left == 1:
                        raise
        finally:
            self._turn.release()
            if self.idle is not None:
                self.idle()
        raise AssertionError("unreachable")

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self._turn.locked()

    def unsound(self) -> tuple[Unsound, ...]:
        """The derived pages of the registered kinds that failed, or read one that did."""
        books = [self._book(name) for name in sorted(self._known)]
        return tuple(
            Unsound(book.name, subject, entry.error)
            for book in books
            for subject, entry in sorted(book.entries.items())
            if entry.state in UNSOUND
        )

    # Inside.

    def _run(self) -> Generator[Wave, None, tuple[int | None, int]]:
        for name in self._known:
            self._book(name)
        try:
            run = Run(self._memory, self._waves(), self._books, self._readers)
            yield from run.waves()
            return run.commit()
        except BaseException:
            self._books.clear()  # they hold what was not written
            self._readers.clear()
            raise

    def _book(self, name: str) -> Book:
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = Book.load(self._memory.at(), name)
            for subject, entry in book.entries.items():
                for place in entry.reads:
                    self._readers.setdefault(place, set()).add((name, subject))
        return book

    def _inputs(self, kind: Kind, inputs: Inputs) -> dict[str, frozenset[str] | None]:
        now, given = self._memory.at(), inputs
        if not isinstance(given, Mapping):
            given = dict.fromkeys(now.kind(one) for one in asked.some_kinds(inputs))
        found: dict[str, frozenset[str] | None] = {}
        for one, columns in given.items():
            shown = now.kind(one)
            if shown in KINDS:
                raise UsageError(f"{shown.name!r} tells of derived pages; it cannot be an input")
            if columns is None:
                found[shown.name] = None
                continue
            names = frozenset(asked.names(columns))
            unknown = sorted(names - {column.name for column in shown.columns})
            if unknown or not names:
                what = f"no column {quote(unknown[0])}" if unknown else "to be read by some column"
                raise UsageError(f"kind {shown.name!r} has {what}; see its columns")
            found[shown.name] = names
        if not found:
            raise UsageError(f"{kind.name!r} has no inputs; name the kinds that it is made from")
        return found

    def _check_order(self, new: Derivation) -> None:
        """CycleError naming a shortest way from a derivation to itself. O(derivations)."""
        known = {**self._known, new.name: new}
        before: dict[str, str] = {}
        ends = [new.name]
        while ends and new.name not in before:
            nearest = [(name, end) for end in ends for name in known[end].inputs if name in known]
            ends = []
            for name, end in nearest:
                if name not in before:
                    before[name] = end
                    ends.append(name)
        if new.name in before:
            cycle = [before[new.name]]
            while cycle[-1] != new.name:
                cycle.append(before[cycle[-1]])
            cycle.reverse()
            shown = " → ".join([*cycle, new.name])
            raise CycleError(
                f"{new.name!r} would depend on itself: {shown}; break the circle", cycle
            )

    def _waves(self) -> list[list[Derivation]]:
        """By how many derivations stand one upon the other, each wave in order of names."""
        depth: dict[str, int] = {}

        def deep(name: str) -> int:
            if name not in depth:
                own = [deep(other) for other in self._known[name].inputs if other in self._known]
                depth[name] = 1 + max(own, default=-1)
            return depth[name]

        waves: list[list[Derivation]] = []
        for name in sorted(self._known, key=lambda name: (deep(name), name)):
            waves += [[]] if depth[name] == len(waves) else []
            waves[depth[name]].append(self._known[name])
        return waves

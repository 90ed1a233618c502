"""What a memory holds about the pages of one derivation, as dictionaries, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import numpy as np

from mmsb.base.model import NONE_U32
from mmsb.graph.derived import (
    DERIVATION,
    DERIVED,
    DERIVED_FROM,
    Derivation,
    DerivedState,
)
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.transaction import Transaction

#: A page that was read: its kind's name and its subject; None: every page of the kind.
Place = tuple[str, str | None]
UNSOUND = (DerivedState.STALE, DerivedState.FAILED)


@dataclass(slots=True)
class Entry:
    """A row of ``derived``."""

    row: int
    state: DerivedState
    rows: int
    error: str
    reads: dict[Place, int] = field(default_factory=dict)  # → row of ``derived_from``


@dataclass(slots=True)
class Book:
    """The entries of one derived kind by subject. ``own`` is the epoch that last wrote it, and
    all that its pages read was as of ``seen``; both None before anything was derived."""

    name: str
    version: str = ""
    declared: str = ""
    seen: int | None = None
    own: int | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    unsound: int = 0  # how many are stale or failed
    _next: int = 0  # rows of ``derived_from``
    _free: list[int] = field(default_factory=list)
    _touched: set[str] = field(default_factory=set)
    _edges: dict[int, tuple[str, Place] | None] = field(default_factory=dict)

    @classmethod
    def load(cls, snapshot: Snapshot, name: str) -> Book:
        """As the memory has it. O(pages of the derived kind and what they read)."""
        found = cls(name)
        page = snapshot.page(DERIVATION, name)
        if page is None:
            return found
        row = snapshot.columns(DERIVATION, page)
        found.version, found.declared = snapshot.symbols([row["version"][0], row["inputs"][0]])
        found.seen, found.own = int(row["seen"][0]), int(snapshot.written(page)[-1])
        page = snapshot.page(DERIVED, name)
        if page is not None:
            found._load_entries(snapshot, page)
        page = snapshot.page(DERIVED_FROM, name)
        if page is not None:
            found._load_reads(snapshot, page)
        return found

    def _load_entries(self, snapshot: Snapshot, page: int) -> None:
        held = snapshot.columns(DERIVED, page)
        subjects = snapshot.symbols(held["output"])
        failed = held["error"][held["error"] != NONE_U32]
        errors = dict(zip(failed.tolist(), snapshot.symbols(failed), strict=True))
        errors[NONE_U32] = ""
        cells = zip(*(held[name].tolist() for name in ("state", "rows", "error")), strict=True)
        for row, (subject, (state, rows, error)) in enumerate(zip(subjects, cells, strict=True)):
            self.entries[subject] = Entry(row, DerivedState(state), rows, errors[error])
            self.unsound += DerivedState(state) in UNSOUND

    def _load_reads(self, snapshot: Snapshot, page: int) -> None:
        held = snapshot.columns(DERIVED_FROM, page)
        alive = np.flatnonzero(held["alive"])
        self._next = len(held["alive"])
        self._free = np.flatnonzero(held["alive"] == 0).tolist()
        heapify(self._free)
        outputs, kinds = (snapshot.symbols(held[name][alive]) for name in ("output", "kind"))
        inputs = held["input"][alive]
        named = iter(snapshot.symbols(inputs[inputs != NONE_U32]))
        places = [None if id == NONE_U32 else next(named) for id in inputs.tolist()]
        for row, output, kind, place in zip(alive.tolist(), outputs, kinds, places, strict=True):
            self.entries[output].reads[kind, place] = row

    # Changes, which `write` then writes.

    def state(self, subject: str) -> DerivedState:
        """What is known of a subject's page."""
        entry = self.entries.get(subject)
        return DerivedState.NONE if entry is None else entry.state

    def say(self, subject: str, state: DerivedState, rows: int, error: str, *, reads: bool) -> bool:
        """Says what became of a page; returns whether it went from sound to unsound, or back.

        ``reads``: whether other subjects were read for it: then it has an entry in any case.
        """
        entry = self.entries.get(subject)
        if entry is None:
            if state is DerivedState.NONE and not reads:
                return False
            entry = Entry(len(self.entries), DerivedState.NONE, 0, "")
            self.entries[subject] = entry
            self._touched.add(subject)
        if (entry.state, entry.rows, entry.error) == (state, rows, error):
            return False
        before, after = entry.state in UNSOUND, state in UNSOUND
        self.unsound += after - before
        entry.state, entry.rows, entry.error = state, rows, error
        self._touched.add(subject)
        return before != after

    def reads(self, subject: str) -> Iterable[Place]:
        """What a page read of other subjects."""
        entry = self.entries.get(subject)
        return () if entry is None else entry.reads

    def set_reads(self, subject: str, places: set[Place]) -> tuple[set[Place], set[Place]]:
        """Says what a page read; returns what it reads no longer, and what is new."""
        entry = self.entries.get(subject)
        if entry is None:
            return set(), set()
        gone, new = entry.reads.keys() - places, places - entry.reads.keys()
        for place in sorted(gone, key=_order):
            row = entry.reads.pop(place)
            self._edges[row] = None
            heappush(self._free, row)
        for place in sorted(new, key=_order):
            row = heappop(self._free) if self._free else self._next
            self._next = max(self._next, row + 1)
            entry.reads[place] = row
            self._edges[row] = (subject, place)
        return gone, new

    def write(self, t: Transaction, derivation: Derivation, seen: int) -> None:
        """Writes what changed, and that all is as of ``seen``."""
        t.patch(
            DERIVATION,
            t.page(DERIVATION, self.name),
            {
                "version": [t.symbol(derivation.version)],
                "inputs": [t.symbol(derivation.declared)],
                "seen": [seen],
            },
        )
        self.version, self.declared = derivation.version, derivation.declared
        if self.seen is None:  # all three are there from the first, so no digest tells of history
            t.page(DERIVED, self.name)
            t.page(DERIVED_FROM, self.name)
        if self._touched:
            entries = {self.entries[subject].row: subject for subject in self._touched}
            rows = sorted(entries)
            chosen = [self.entries[entries[row]] for row in rows]
            cells = {
                "output": t.symbols([entries[row] for row in rows]),
                "state": [entry.state for entry in chosen],
                "rows": [entry.rows for entry in chosen],
                "error": [t.symbol(e.error) if e.error else NONE_U32 for e in chosen],
            }
            t.patch_rows(DERIVED, t.page(DERIVED, self.name), rows, cells)
        if self._edges:
            rows = sorted(self._edges)
            edges = [self._edges[row] for row in rows]
            cells = {
                "alive": [edge is not None for edge in edges],
                "output": [NONE_U32 if e is None else t.symbol(e[0]) for e in edges],
                "kind": [NONE_U32 if e is None else t.symbol(e[1][0]) for e in edges],
                "input": [_input(t, edge) for edge in edges],
            }
            t.patch_rows(DERIVED_FROM, t.page(DERIVED_FROM, self.name), rows, cells)

    def written(self, seen: int, own: int) -> None:
        """What `write` wrote was committed in epoch ``own``."""
        self.seen, self.own = seen, own
        self._touched.clear()
        self._edges.clear()


def _order(place: Place) -> tuple[str, bool, str]:
    kind, subject = place
    return kind, subject is not None, subject or ""


def _input(t: Transaction, edge: tuple[str, Place] | None) -> int:
    if edge is None or edge[1][1] is None:
        return NONE_U32
    return t.symbol(edge[1][1])

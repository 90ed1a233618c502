"""Which row a statement is: its origin comes from the compiler, matching is the last resort.

Lowered statements keep their rows while their method's definition stands; a new definition is
matched against its predecessor and marked guessed. Every later stage names the lowered statement
each of its statements came from, with the inlined frames; what was inserted gets a new row with
``derived_from``, and is found again under the same origin when the code is compiled again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.base.model import NONE_U32, Identity
from mmsb.capture.hashing import combined

SELF = NONE_U32 - 1
U32 = NDArray[np.uint32]
Places = NDArray[np.int64]


class Rows:
    """The rows of one statement page: how many, and under which key each was made."""

    def __init__(self) -> None:
        self.count = 0
        self.lowered: Places = np.empty(0, np.int64)  # row of each lowered statement, in order
        self.opcodes: U32 = np.empty(0, np.uint32)  # of each lowered statement
        self.lines: list[int] = []  # the same, where origins are found by line
        self.derived_from: list[int] = []
        self.identity: list[int] = []
        self.changed_from = 0  # the first row whose columns here were not written
        self._tokens: list[int] = []
        self._inserted: dict[int, int] = {}
        self._inserted_at: dict[tuple[int, int], int] = {}  # (scope, origin) → its first row

    def new(self, derived_from: int, identity: Identity) -> int:
        row = self.count
        self.count += 1
        self.derived_from.append(derived_from)
        self.identity.append(identity)
        return row

    def set_lowered(self, tokens: Sequence[int], opcodes: U32, lines: Sequence[int] = ()) -> Places:
        """Rows of the lowered statements; ``tokens`` say what each one is, without positions."""
        self.opcodes, self.lines = opcodes, list(lines)
        tokens = list(tokens)
        if tokens == self._tokens:
            return self.lowered
        if not len(self.lowered):
            first, count = self.count, len(tokens)
            self.count += count
            self.derived_from += [NONE_U32] * count
            self.identity += [Identity.EXACT] * count
            rows = np.arange(first, first + count)
        else:
            rows = np.array(self._match(tokens), np.int64)
            self.changed_from = 0
        self.lowered, self._tokens = rows, tokens
        return rows

    def _match(self, tokens: Sequence[int]) -> list[int]:
        rows = [-1] * len(tokens)
        lowered = self.lowered.tolist()
        matcher = SequenceMatcher(None, self._tokens, tokens, autojunk=False)
        for tag, a0, a1, b0, b1 in matcher.get_opcodes():
            if tag == "equal" or (tag == "replace" and a1 - a0 == b1 - b0):
                # a changed run of equal length: the k-th was changed into the k-th
                rows[b0:b1] = lowered[a0:a1]
        for at, row in enumerate(rows):
            if row < 0:
                rows[at] = self.new(NONE_U32, Identity.NEW)
            else:
                self.identity[row] = Identity.GUESSED
        return rows

    def insert(self, keys: list[int], places: list[tuple[int, int, int]]) -> list[int]:
        """The rows of inserted statements: ``keys`` say what each is, ``places`` its scope, its
        origin there, and which lowered statement of the method it goes back to."""
        known = self._inserted
        rows = []
        for key, (scope, origin, root) in zip(keys, places, strict=True):
            row = known.get(key)
            if row is None:
                source = int(self.lowered[root]) if root < len(self.lowered) else NONE_U32
                row = known[key] = self.new(source, Identity.NEW)
                self._inserted_at.setdefault((scope, origin), row)
            rows.append(row)
        return rows

    def inserted_at(self, scope: int, origin: int) -> int | None:
        """The first row made for a statement of an inlined frame; None if it was never seen."""
        return self._inserted_at.get((scope, origin))

    def by_line(self, lines: Sequence[tuple[int, int]], opcodes: Sequence[int]) -> list[int]:
        """The last resort, where a Julia keeps lines alone: origin by line and opcode, in order."""
        waiting: dict[tuple[tuple[int, int], int], list[int]] = defaultdict(list)
        for origin, line in enumerate(self.lines):
            waiting[((SELF, line), int(self.opcodes[origin]))].append(origin)
        found = []
        for place, opcode in zip(lines, opcodes, strict=True):
            candidates = waiting.get((place, opcode))
            if candidates:
                origin = candidates.pop(0)
                row = int(self.lowered[origin])
                self.identity[row] = Identity.GUESSED
                self.changed_from = min(self.changed_from, row)
                found.append(origin)
            else:
                found.append(NONE_U32)
        return found


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the statements of a later stage came from, as the compiler says; of several bodies
    side by side.

    ``body``: which body. ``scopes``: the inlined frame. ``origins``: the lowered statement in that
    frame, NONE where the compiler kept none. ``roots``: the lowered statement (0-based) of the
    method itself that it goes back to through its frames. ``inserted``: it is a merge, never a
    lowered statement.
    """

    body: Places
    scopes: U32
    origins: U32
    opcodes: U32
    roots: U32
    inserted: NDArray[np.bool_]


def place(pages: Sequence[Rows], found: Origins) -> Places:
    """Rows of the statements of a later stage; ``pages``: the rows of each body's page."""
    rows = np.full(len(found.body), -1, np.int64)
    _claim(pages, found, rows)
    rest = np.flatnonzero(rows < 0)
    if not len(rest):
        return rows
    body = found.body[rest]
    group = combined(found.scopes[rest], found.origins[rest], found.opcodes[rest])
    keys = combined(group, _ordinals(combined(group, body))).tolist()
    columns = (found.scopes[rest], found.origins[rest], found.roots[rest])
    places = list(zip(*(column.tolist() for column in columns), strict=True))
    cuts = np.searchsorted(body, np.arange(len(pages) + 1)).tolist()
    out: list[int] = []
    for at, page in enumerate(pages):
        low, high = cuts[at], cuts[at + 1]
        if low < high:
            out += page.insert(keys[low:high], places[low:high])
    rows[rest] = out
    return rows


def _claim(pages: Sequence[Rows], found: Origins, rows: Places) -> None:
    """Of the statements that came from one lowered statement, the first with its opcode is it, or
    else the first."""
    counts = np.array([len(page.lowered) for page in pages], np.int64)
    base = np.cumsum(counts) - counts
    own = (found.scopes == SELF) & (found.origins < counts[found.body]) & ~found.inserted
    members = np.flatnonzero(own)
    if not len(members):
        return
    lowered = np.concatenate([page.lowered for page in pages])
    opcodes = np.concatenate([page.opcodes for page in pages])
    origin = base[found.body[members]] + found.origins[members]
    like = found.opcodes[members] == opcodes[origin]
    chosen = _first(origin, members, len(lowered))
    alike = _first(origin[like], members[like], len(lowered))
    chosen = np.where(alike >= 0, alike, chosen)
    claimed = np.flatnonzero(chosen >= 0)
    rows[chosen[claimed]] = lowered[claimed]


def _first(group: Places, members: Places, count: int) -> Places:
    """The first member of each group, -1 for none."""
    out = np.full(count, -1, np.int64)
    out[group[::-1]] = members[::-1]  # of several values for one place the last stays
    return out


def _ordinals(groups: NDArray[Any]) -> Places:
    """How many equal ones come before each."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    lengths = np.diff(np.append(starts, len(ordered)))
    out = np.empty(len(groups), np.int64)
    out[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return out

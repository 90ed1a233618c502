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

from mmsb.base.model import NONE_U32, Identity

SELF = NONE_U32 - 1
Key = tuple[int, int, int, int]  # scope, origin, opcode, ordinal


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each statement of a later stage came from, as the compiler says.

    ``scopes``: its inlined frame. ``origins``: the lowered statement in that frame, NONE where the
    compiler kept none. ``roots``: the lowered statement (0-based) of the method itself that it goes
    back to through its frames. ``inserted``: opcodes of merges, never a lowered statement.
    """

    scopes: Sequence[int]
    origins: Sequence[int]
    opcodes: Sequence[int]
    roots: Sequence[int]
    inserted: frozenset[int] = frozenset()


class Rows:
    """The rows of one statement page: how many, and under which key each was made."""

    def __init__(self) -> None:
        self.count = 0
        self.lowered: list[int] = []  # row of each lowered statement, in order
        self.definition = -1
        self.derived_from: list[int] = []
        self.identity: list[int] = []
        self._tokens: list[object] = []
        self._inserted: dict[Key, int] = {}

    def new(self, derived_from: int, identity: Identity) -> int:
        row = self.count
        self.count += 1
        self.derived_from.append(derived_from)
        self.identity.append(identity)
        return row

    def set_lowered(self, tokens: Sequence[object], definition: int) -> list[int]:
        """Rows of the lowered statements; ``tokens`` say what each one is, without positions."""
        if tokens == self._tokens:
            self.definition = definition
            return self.lowered
        if not self.lowered:
            rows = [self.new(NONE_U32, Identity.EXACT) for _ in tokens]
        else:
            rows = self._match(tokens)
        self.lowered, self._tokens, self.definition = rows, list(tokens), definition
        return rows

    def _match(self, tokens: Sequence[object]) -> list[int]:
        rows = [-1] * len(tokens)
        matcher = SequenceMatcher(None, self._tokens, tokens, autojunk=False)
        for tag, a0, a1, b0, b1 in matcher.get_opcodes():
            if tag == "equal" or (tag == "replace" and a1 - a0 == b1 - b0):
                # a changed run of equal length: the k-th was changed into the k-th
                rows[b0:b1] = self.lowered[a0:a1]
        for at, row in enumerate(rows):
            if row < 0:
                rows[at] = self.new(NONE_U32, Identity.NEW)
            else:
                self.identity[row] = Identity.GUESSED
        return rows

    def place(self, found: Origins, lowered_opcodes: Sequence[int]) -> list[int]:
        """Rows of a later stage's statements. ``lowered_opcodes``: by lowered statement."""
        rows = [-1] * len(found.origins)
        groups: dict[int, list[int]] = defaultdict(list)
        for at, (scope, origin) in enumerate(zip(found.scopes, found.origins, strict=True)):
            inserted = found.opcodes[at] in found.inserted
            if scope == SELF and origin < len(self.lowered) and not inserted:
                groups[origin].append(at)
        for origin, members in groups.items():
            same = [at for at in members if found.opcodes[at] == lowered_opcodes[origin]]
            rows[(same or members)[0]] = self.lowered[origin]
        ordinals: dict[tuple[int, int, int], int] = defaultdict(int)
        for at, row in enumerate(rows):
            if row >= 0:
                continue
            group = (found.scopes[at], found.origins[at], found.opcodes[at])
            key = (*group, ordinals[group])
            ordinals[group] += 1
            if key not in self._inserted:
                root = found.roots[at]
                source = self.lowered[root] if root < len(self.lowered) else NONE_U32
                self._inserted[key] = self.new(source, Identity.NEW)
            rows[at] = self._inserted[key]
        return rows

    def by_line(
        self,
        lines: Sequence[tuple[int, int]],
        opcodes: Sequence[int],
        lowered_lines: Sequence[tuple[int, int]],
        lowered_opcodes: Sequence[int],
    ) -> list[int]:
        """The last resort, where a Julia keeps lines alone: origin by line and opcode, in order."""
        waiting: dict[tuple[tuple[int, int], int], list[int]] = defaultdict(list)
        for origin, line in enumerate(lowered_lines):
            waiting[(line, lowered_opcodes[origin])].append(origin)
        found = []
        for line, opcode in zip(lines, opcodes, strict=True):
            candidates = waiting.get((line, opcode))
            if candidates:
                origin = candidates.pop(0)
                self.identity[self.lowered[origin]] = Identity.GUESSED
                found.append(origin)
            else:
                found.append(NONE_U32)
        return found

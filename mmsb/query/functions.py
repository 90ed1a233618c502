"""Every function of a memory by its name: the program's own first."""

from __future__ import annotations

from dataclasses import dataclass

from mmsb.base.model import CodeState
from mmsb.memory.memory import Memory
from mmsb.query import missing
from mmsb.query.answers import Answer, Function
from mmsb.query.document import Document, counted, line, note, table
from mmsb.query.facts import Facts


@dataclass(frozen=True, slots=True)
class Known:
    """A function, and how much is known of it."""

    function: Function
    versions: int
    valid: bool  # whether one of them is

    @property
    def whose(self) -> str:
        if self.function.is_users:
            return "the program's"
        return "called by it" if self.function.in_scope else "out of scope"


@dataclass(frozen=True, slots=True)
class FunctionsView(Answer):
    """Answer of `functions`."""

    epoch: int
    functions: tuple[Known, ...]
    advice: str  # why there are none, where the recording says so

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        if not self.functions:
            why = f": {self.advice}" if self.advice else ""
            return (note(f"No code of a function was recorded up to epoch {self.epoch}{why}."),)
        rows = (
            (
                line((known.function.name, "name")),
                known.function.module,
                known.whose,
                str(known.versions),
                "valid" if known.valid else "ended",
            )
            for known in self.functions
        )
        heads = ("function", "module", "whose", "versions", "state")
        size = f"{counted(len(self.functions), 'function')} as of epoch {self.epoch}."
        return (table(heads, rows, right={3}, crop={0, 1}), note((size, "dim")))


def functions(memory: Memory, *, at: int | None = None) -> FunctionsView:
    """Every method instance: near ones before far ones, by name."""
    facts = Facts(memory, at)
    found = [_known(facts, function) for function in facts.functions]
    found.sort(key=lambda known: (_distance(known.function), known.function.name))
    about = facts.head.recording
    advice = "" if found else missing.recording(about) or missing.incomplete(about)
    return FunctionsView(facts.epoch, tuple(found), advice)


def _distance(function: Function) -> tuple[bool, int]:
    return function.depth is None, function.depth or 0


def _known(facts: Facts, function: Function) -> Known:
    found = facts.codes(function.key)
    valid = any(code.state is CodeState.VALID for code in found)
    return Known(facts.shown(function), len(found), valid)

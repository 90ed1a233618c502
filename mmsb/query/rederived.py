"""`check --against-julia`: does the compiler, asked again, give the final IR that really ran?"""

from __future__ import annotations

from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.model import Rederived
from mmsb.memory.memory import Memory
from mmsb.query.answers import Answer, Function
from mmsb.query.diff import DiffView
from mmsb.query.document import Block, Document, Span, note
from mmsb.query.facts import Facts
from mmsb.query.passes import difference
from mmsb.query.stages import of_version, passes_hint, sights


@dataclass(frozen=True, slots=True)
class Differing:
    """A code object whose two final IRs differ; ``how`` where both are in the memory."""

    function: Function
    version: int
    how: DiffView | None


@dataclass(frozen=True, slots=True)
class AgainstJuliaView(Answer):
    """Answer of `check --against-julia`. Counts are code objects."""

    epoch: int
    equal: int
    differs: int
    alone: int  # no native IR to compare with
    not_asked: int
    differing: tuple[Differing, ...]
    advice: str  # where nothing was compared

    @property
    def compared(self) -> int:
        return self.equal + self.differs

    @property
    def exit_code(self) -> int:
        """0: compared, none differs; 1: some differ; 3: nothing to compare."""
        return 1 if self.differs else 0 if self.compared else 3

    def document(self) -> Document:
        counts = (
            f"{self.equal} equal, {self.differs} differ, {self.alone} without native IR to "
            f"compare, {self.not_asked} not asked again"
        )
        blocks: list[Block] = []
        if self.compared:
            verdict = Span("differs", "bad") if self.differs else Span("equal", "good")
            blocks.append(note("Final IR, native against rederived: ", verdict, f"; {counts}."))
        else:
            blocks.append(note(("Nothing could be compared", "warn"), f": {counts}."))
            blocks.append(note(self.advice))
        for found in self.differing:
            if found.how is None:
                blocks.append(note((found.function.name, "name"), f"  version {found.version}"))
            else:
                blocks += found.how.document()
        return tuple(blocks)


def against_julia(memory: Memory, *, at: int | None = None) -> AgainstJuliaView:
    """Compares what was recorded; Julia is not started. Reads one column of all code objects."""
    facts = Facts(memory, at)
    pages = facts.snapshot.pages(schema.CODE)
    values, offsets = facts.snapshot.gather(schema.CODE, "rederived")
    counts = {state: int((values == state).sum()) for state in Rederived}
    differing = []
    for at_page, page in enumerate(pages.tolist()):
        own = values[offsets[at_page] : offsets[at_page + 1]].tolist()
        if Rederived.DIFFERS in own:
            differing += _differing(facts, facts.snapshot.subject(page), own)
    return AgainstJuliaView(
        epoch=facts.epoch,
        equal=counts[Rederived.EQUAL],
        differs=counts[Rederived.DIFFERS],
        alone=counts[Rederived.ALONE],
        not_asked=counts[Rederived.NOT_ASKED],
        differing=tuple(differing),
        advice=_advice(facts),
    )


def _advice(facts: Facts) -> str:
    if facts.head.recording.get("capture") in ("passes", "decisions"):
        return "Of no code both a native final IR and the compiler's second answer are known."
    hint = passes_hint(facts)
    return f"{hint[:1].upper()}{hint[1:]}: that asks the compiler again for what it kept."


def _differing(facts: Facts, key: str, states: list[int]) -> list[Differing]:
    function = facts.by_key.get(key)
    if function is None:
        return []
    found = sights(facts, key)
    return [
        Differing(function, version, difference(facts, function, of_version(found, version)))
        for version, state in enumerate(states, 1)
        if state == Rederived.DIFFERS
    ]

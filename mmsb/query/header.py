"""What the compiler said of one code object as a whole: its types, effects, times, and what was
kept of it. Shown above or below its body, or alone where there is no body."""

from __future__ import annotations

from dataclasses import dataclass

from mmsb.base.model import CodeState, Kept, Provenance, Rederived
from mmsb.query import stages
from mmsb.query.answers import Answer, Function
from mmsb.query.code import Code, duration
from mmsb.query.document import Block, Document, note
from mmsb.query.effects import notation
from mmsb.query.facts import Facts
from mmsb.query.juliatext import short
from mmsb.query.layout import element_text

KEPT = {
    Kept.DISCARDED: "the compiler threw its final IR away",
    Kept.KEPT: "the compiler kept its final IR",
    Kept.CONSTANT: "nothing to keep, its result is a constant",
    Kept.UNKNOWN: "",
}
REDERIVED = {
    Rederived.NOT_ASKED: "",
    Rederived.EQUAL: "asked again, the compiler gives the same final IR",
    Rederived.DIFFERS: "asked again, the compiler gives another final IR (show --provenance)",
    Rederived.ALONE: "asked again, with no native IR to compare",
}
STATE = {
    CodeState.VALID: "valid",
    CodeState.INVALIDATED: "invalidated",
    CodeState.SUPERSEDED: "superseded",
    CodeState.PAST: "of the past",
}


@dataclass(frozen=True, slots=True)
class Header:
    """One code object. What the recording does not say is None; times are nanoseconds."""

    version: int
    state: CodeState
    min_world: int
    max_world: int | None  # None: open
    return_type: str
    seen_by_callers: str | None  # the lattice element where it says more than the type
    exception_type: str | None
    effects: str | None  # in Julia's notation
    kept: Kept
    rederived: Rederived
    inclusive_ns: int | None  # inference with all it asked for
    exclusive_ns: int | None
    compile_ns: int | None
    stages: dict[str, Provenance]  # who said what

    def lines(self) -> list[Block]:
        """Two lines at most: what callers may know, and what it took."""
        said: list[str] = []
        if self.seen_by_callers is not None:
            said.append(f"callers see {element_text(self.seen_by_callers)}")
        if self.exception_type is not None:
            nothing = self.exception_type in ("Core.Union{}", "Union{}")
            said.append("throws nothing" if nothing else f"throws {short(self.exception_type)}")
        if self.effects is not None:
            said.append(f"effects {self.effects}")
        took = [self._inference(), self._compilation(), KEPT[self.kept], REDERIVED[self.rederived]]
        lines = (", ".join(said), "; ".join(part for part in took if part))
        return [note((text[:1].upper() + text[1:] + ".", "dim")) for text in lines if text]

    def _inference(self) -> str:
        if self.inclusive_ns is None and self.exclusive_ns is None:
            return ""
        if self.inclusive_ns is None or self.exclusive_ns is None:
            return f"inferred in {duration(self.inclusive_ns or self.exclusive_ns or 0)}"
        whole, own = duration(self.inclusive_ns), duration(self.exclusive_ns)
        return f"inferred in {whole} ({own} of it itself)"

    def _compilation(self) -> str:
        # 0: machine code was not asked for
        return f"compiled in {duration(self.compile_ns)}" if self.compile_ns else ""


def header(facts: Facts, key: str, code: Code) -> Header:
    """Of one version of the instance with the key."""
    found = stages.of_version(stages.sights(facts, key), code.version)
    more = code.return_lattice if code.return_lattice not in ("", code.return_type) else None
    return Header(
        version=code.version,
        state=code.state,
        min_world=code.min_world,
        max_world=code.last_world,
        return_type=code.return_type,
        seen_by_callers=more,
        exception_type=code.exception_type or None,
        effects=notation(code.effects, facts.head.recording.get("julia", "")) or None,
        kept=code.kept,
        rederived=code.rederived,
        inclusive_ns=code.inclusive_ns,
        exclusive_ns=code.exclusive_ns,
        compile_ns=code.compile_ns,
        stages={stage.name.lower(): sight.provenance for stage, sight in found.items()},
    )


@dataclass(frozen=True, slots=True)
class BareView(Answer):
    """Answer of `show` where a function is known without any body."""

    function: Function
    epoch: int
    why: str  # there is none, and what to do
    versions: tuple[Header, ...]

    def document(self) -> Document:
        blocks: list[Block] = [
            note((self.function.name, "name"), f"  in {self.function.module or '?'}"),
            note((f"{self.why[:1].upper()}{self.why[1:]}.", "warn")),
        ]
        for found in self.versions:
            worlds = f"{found.min_world}…{'' if found.max_world is None else found.max_world}"
            blocks.append(
                note(
                    f"Version {found.version}, worlds {worlds}, ",
                    (STATE[found.state], "good" if found.state is CodeState.VALID else "bad"),
                    ": returns ",
                    (short(found.return_type) or "?", "type"),
                )
            )
            blocks += found.lines()
        return tuple(blocks)


def bare(facts: Facts, function: Function) -> BareView | None:
    """What is known of an instance that never had a body; None for one that has."""
    if stages.sights(facts.head, function.key):
        return None
    found = tuple(header(facts, function.key, code) for code in facts.codes(function.key))
    return BareView(function, facts.epoch, stages.no_body(facts, function), found)

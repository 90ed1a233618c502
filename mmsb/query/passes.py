"""The life of a function through the compiler's pipeline, and who said each of its stages."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from mmsb.base.model import PASSES, Provenance, Rederived, Stage
from mmsb.memory.memory import Memory
from mmsb.query import names, stages
from mmsb.query.answers import Answer, Function
from mmsb.query.body import Body, read_body
from mmsb.query.diff import DiffView, changed_columns, compare
from mmsb.query.document import Block, Document, line, note, table
from mmsb.query.facts import Facts
from mmsb.query.header import Header, header
from mmsb.query.ir import code_of
from mmsb.query.stages import Sight, of_version, seen, sights, title

WHO = {
    Provenance.NATIVE: "native",
    Provenance.REDERIVED: "rederived",
    Provenance.SHADOW: "shadow",
    Provenance.REFLECTED: "reflected",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One stage, against the one before it that is known: statements by row identity."""

    stage: Stage
    number: int | None  # of the pass
    provenance: Provenance
    epoch: int
    statements: int
    blocks: int
    added: int
    removed: int
    changed: int
    columns: dict[str, int]  # what changed, and in how many statements

    @property
    def size(self) -> int:
        """How many statements it touched."""
        return self.added + self.removed + self.changed


@dataclass(frozen=True, slots=True)
class PassesView(Answer):
    """Answer of `passes`."""

    function: Function
    epoch: int
    version: int | None
    steps: tuple[Step, ...]
    missing: str  # what is not known, and what to do; "" if nothing
    options: str = field(default="", metadata={"data": False})  # the question's own, for a hint

    def document(self) -> Document:
        version = "?" if self.version is None else str(self.version)
        rows = (
            (
                line((title(step.stage), "head")),
                line((WHO[step.provenance], "dim")),
                str(step.statements),
                _signed("+", step.added),
                _signed("−", step.removed),
                str(step.changed or ""),
                ", ".join(f"{name} {count}" for name, count in step.columns.items()),
                str(step.blocks),
            )
            for step in self.steps
        )
        heads = ("stage", "said by", "rows", "added", "removed", "changed", "of that", "blocks")
        blocks: list[Block] = [
            note((self.function.name, "name"), f"  version {version} as of epoch {self.epoch}"),
            table(heads, rows, right={2, 3, 4, 5, 7}, crop={6}),
        ]
        if self.missing:
            blocks.append(note((self.missing, "warn")))
        elif patch := self._patch():
            blocks.append(note((f"A pass as a patch: {patch}", "dim")))
        return tuple(blocks)

    def _patch(self) -> str:
        """The command that shows the pass that did most; "" where none did anything."""
        pairs = [pair for pair in pairwise(self.steps) if pair[1].stage in PASSES and pair[1].size]
        if not pairs:
            return ""
        old, new = (s.stage.name.lower() for s in max(pairs, key=lambda pair: pair[1].size))
        name = shlex.quote(self.function.name)
        return f"mmsb diff {name} --stages {old} {new}{self.options}"


def _signed(sign: str, count: int) -> str:
    return f"{sign}{count}" if count else ""


def passes(memory: Memory, name: str, *, at: int | None = None, options: str = "") -> PassesView:
    """Every stage of the newest version as of an epoch; ``options`` stand behind the command that
    it hints at. UnknownName, AmbiguousName."""
    facts = Facts(memory, at)
    function, _ = names.resolve(facts, name)
    last = seen(facts, function, None)
    found = of_version(sights(facts, function.key), last.version)
    steps = tuple(_steps(facts, found.values()))
    missing = ""
    if not any(stage in PASSES for stage in found):
        missing = f"No pass was recorded: {stages.passes_hint(facts)}."
    return PassesView(function, facts.epoch, last.version, steps, missing, options)


def _steps(facts: Facts, found: Iterable[Sight]) -> Iterable[Step]:
    """REDERIVED is another answer to OPTIMIZED, not a step after it."""
    before: Body | None = None
    for sight in found:
        if sight.stage is Stage.REDERIVED:
            continue
        body = read_body(facts, sight)
        yield _step(sight, before, body)
        before = body


def _step(sight: Sight, before: Body | None, body: Body) -> Step:
    was = {} if before is None else {s.row: s for s in before.statements}
    now = {s.row: s for s in body.statements}
    changes = [changed_columns(was[row], now[row]) for row in now if row in was]
    columns = Counter(name for each in changes for name in each)
    stage = sight.stage
    return Step(
        stage=stage,
        number=PASSES.index(stage) + 1 if stage in PASSES else None,
        provenance=sight.provenance,
        epoch=sight.event.epoch,
        statements=len(now),
        blocks=len(body.blocks),
        added=0 if before is None else len(now.keys() - was.keys()),
        removed=len(was.keys() - now.keys()),
        changed=sum(1 for each in changes if each),
        columns={name: columns[name] for name in sorted(columns)},
    )


@dataclass(frozen=True, slots=True)
class ProvenanceView(Answer):
    """Answer of `show --provenance`: who said what, and where the compiler's answers differ."""

    function: Function
    epoch: int
    version: int | None
    header: Header
    rederived: Rederived
    difference: DiffView | None  # native against rederived final IR, where they differ

    def document(self) -> Document:
        version = "?" if self.version is None else str(self.version)
        rows = ((name, WHO[said]) for name, said in self.header.stages.items())
        blocks: list[Block] = [
            note((self.function.name, "name"), f"  version {version} as of epoch {self.epoch}"),
            table(("stage", "said by"), rows),
            note((VERDICT[self.rederived], "bad" if self.difference else "")),
        ]
        if self.difference is not None:
            blocks += self.difference.document()
        return tuple(blocks)


VERDICT = {
    Rederived.NOT_ASKED: "The compiler was not asked again for its final IR.",
    Rederived.EQUAL: "Asked again, the compiler gave the same final IR as the native one.",
    Rederived.DIFFERS: "Asked again, the compiler gave another final IR than the native one.",
    Rederived.ALONE: "The final IR is the compiler's answer when asked again: the native one was "
    "not kept.",
}


def provenance(memory: Memory, name: str, *, at: int | None = None) -> ProvenanceView:
    """Who said each stage of the newest version. UnknownName, AmbiguousName."""
    facts = Facts(memory, at)
    function, _ = names.resolve(facts, name)
    last = seen(facts, function, None)
    found = of_version(sights(facts, function.key), last.version)
    code = code_of(facts, last)
    return ProvenanceView(
        function=function,
        epoch=facts.epoch,
        version=last.version,
        header=header(facts, function.key, code),
        rederived=code.rederived,
        difference=difference(facts, function, found),
    )


def difference(facts: Facts, function: Function, found: dict[Stage, Sight]) -> DiffView | None:
    """The native final IR of a version against the rederived one; None where that is not kept."""
    native, again = found.get(Stage.OPTIMIZED), found.get(Stage.REDERIVED)
    if native is None or again is None:
        return None
    return compare(facts, facts, function, native, again)

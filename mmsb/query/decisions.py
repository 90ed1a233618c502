"""What the compiler decided about a function, statement by statement, and why: the shadow tier's
record of inlining, constant propagation, evaluation at compile time, effects and remarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmsb.base import schema
from mmsb.base.model import NONE_U32, Decision, Stage
from mmsb.memory.memory import Memory
from mmsb.query import missing, names
from mmsb.query.answers import Answer, Function
from mmsb.query.body import read_body
from mmsb.query.document import Block, Document, Line, Listing, Role, line, note
from mmsb.query.effects import lost
from mmsb.query.facts import Facts, subject_name
from mmsb.query.juliatext import short
from mmsb.query.layout import Layout
from mmsb.query.stages import Sight, sights, title

#: Where a statement's text is looked for: as the inliner met it, else as it was inferred.
_MET = (Stage.COMPACT1, Stage.INFERRED, Stage.OPTIMIZED, Stage.LOWERED)
_WORDS: dict[Decision, tuple[str, Role]] = {
    Decision.INLINED: ("inlined", "good"),
    Decision.NOT_INLINED: ("not inlined", "warn"),
    Decision.UNION_SPLIT: ("split by union", ""),
    Decision.CONSTANT: ("replaced by its result", "good"),
    Decision.CONST_PROP: ("inferred again with constants", ""),
    Decision.CONCRETE_EVAL: ("run at compile time", "good"),
    Decision.SEMI_CONCRETE: ("interpreted with what is constant", ""),
    Decision.EFFECT: ("takes effects away", "warn"),
    Decision.REMARK: ("remark", "dim"),
}


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision. ``statement`` is a row; ``number`` its place in ``stage``, where it is in."""

    kind: Decision
    statement: int | None
    number: int | None
    stage: Stage | None
    text: str
    callee: str
    callee_key: str
    outcome: int | None
    cost: int | None
    threshold: int | None
    reason: str
    effects: str | None  # those lost
    type: str | None

    def line(self) -> Line:
        word, role = _WORDS[self.kind]
        callee = f" {self.callee}" if self.callee else ""
        return line(f"    {callee.strip()}{' ' if callee else ''}", (word, role), *self._more())

    def _more(self) -> Iterator[str]:
        if self.kind is Decision.UNION_SPLIT and self.outcome is not None:
            yield f" into {self.outcome} cases"
        if self.kind is Decision.CONST_PROP and self.outcome is not None:
            yield ", of use" if self.outcome else ", of no use"
        if self.cost is not None:
            limit = "" if self.threshold is None else f" of {self.threshold}"
            yield f", cost {self.cost}{limit}"
        if self.effects:
            yield f": {self.effects}"
        if self.reason:
            yield f": {self.reason}"
        if self.type:
            yield f" → {short(self.type)}"


@dataclass(frozen=True, slots=True)
class DecisionsView(Answer):
    """Answer of `decisions`: in the order of the statements they are about."""

    function: Function
    epoch: int
    version: int | None
    counts: dict[str, int]
    decisions: tuple[Decided, ...]
    advice: str  # where none were recorded

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        if not self.decisions:
            nothing = f"nothing was decided about it up to epoch {self.epoch}."
            return (note((self.function.name, "name"), f": {self.advice or nothing}"),)
        counted = ", ".join(
            f"{_WORDS[Decision[kind.upper()]][0]} {count}" for kind, count in self.counts.items()
        )
        version = "?" if self.version is None else str(self.version)
        head: list[Block] = [
            note(
                (self.function.name, "name"),
                f"  version {version} as of epoch {self.epoch}: {counted}.",
            )
        ]
        return (*head, Listing(tuple(self._lines())))

    def _lines(self) -> Iterator[Line]:
        before: object = self
        for decided in self.decisions:
            if decided.statement != before:
                before = decided.statement
                yield _about(decided)
            yield decided.line()


def _about(decided: Decided) -> Line:
    if decided.statement is None:
        return line(("the function as a whole", "head"))
    number = "" if decided.number is None else f"%{decided.number}  "
    where = "" if decided.stage is None else f"   ({title(decided.stage)})"
    return line(
        (f"{number}{decided.text or 'a statement that is not kept'}", "name"), (where, "dim")
    )


def decisions(memory: Memory, name: str, *, at: int | None = None) -> DecisionsView:
    """The decisions about the newest version that has any. UnknownName, AmbiguousName."""
    facts = Facts(memory, at)
    function, _ = names.resolve(facts, name)
    rows = _rows(facts, function.key)
    version = max((row["version"] for row in rows if row["version"] != NONE_U32), default=NONE_U32)
    chosen = [row for row in rows if row["version"] == version]
    texts = _Texts(facts, function.key, version)
    julia = facts.head.recording.get("julia", "")
    made = [_decided(facts, row, texts, julia) for row in chosen]
    made.sort(key=lambda d: (d.number is None, d.number or 0, d.statement or 0))
    counts = Counter(decided.kind for decided in made)
    return DecisionsView(
        function=function,
        epoch=facts.epoch,
        version=None if version == NONE_U32 else version + 1,
        counts={kind.name.lower(): counts[kind] for kind in Decision if counts[kind]},
        decisions=tuple(made),
        advice=_advice(facts),
    )


def _advice(facts: Facts) -> str:
    why = missing.of_decisions(facts.head.recording)
    if not why or len(facts.head.snapshot.pages(schema.DECISION)):
        return ""
    return f"no decisions were recorded: {why}."


def _rows(facts: Facts, key: str) -> list[dict[str, int]]:
    page = facts.snapshot.page(schema.DECISION, key)
    if page is None:
        return []
    cells = {k: v.tolist() for k, v in facts.snapshot.columns(schema.DECISION, page).items()}
    return [{k: v[at] for k, v in cells.items()} for at in range(len(cells["kind"]))]


class _Texts:
    """Statements' texts, in the stage nearest to where the compiler met them."""

    def __init__(self, facts: Facts, key: str, version: int) -> None:
        found = {
            sight.stage: sight
            for sight in sights(facts, key)
            if version == NONE_U32 or sight.version == version + 1
        }
        self._known: dict[int, tuple[Stage, int, str]] = {}
        for stage in reversed(_MET):
            if stage in found:
                self._read(facts, found[stage])

    def _read(self, facts: Facts, sight: Sight) -> None:
        body = read_body(facts, sight)
        layout = Layout(body)
        for statement in body.statements:
            number, text = statement.position + 1, layout.text(statement)
            self._known[statement.row] = (sight.stage, number, text)

    def get(self, row: int) -> tuple[Stage | None, int | None, str]:
        return self._known.get(row, (None, None, ""))


def _decided(facts: Facts, row: dict[str, Any], texts: _Texts, julia: str) -> Decided:
    stage, number, text = texts.get(row["statement"])
    callee = facts.text(row["callee"])
    return Decided(
        kind=Decision(row["kind"]),
        statement=_some(row["statement"]),
        number=number,
        stage=stage,
        text=text,
        callee=_callee(facts, callee),
        callee_key=callee,
        outcome=_some(row["outcome"]),
        cost=_some(row["cost"]),
        threshold=_some(row["threshold"]),
        reason=facts.text(row["reason"]),
        effects=lost(row["effects"], julia) or None,
        type=facts.type(row["type"]).text or None,
    )


def _callee(facts: Facts, text: str) -> str:
    """An instance's name; a function's, where only its type is known."""
    if text.startswith("typeof(") and text.endswith(")"):
        return short(text[len("typeof(") : -1])
    return subject_name(facts, text) if text else ""


def _some(value: int) -> int | None:
    return None if value == NONE_U32 else value

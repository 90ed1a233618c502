"""What changed in a function's statements between two epochs, or two stages, by row identity.

A statement is the same while its row is: that its ``%n`` moved is no change. It is changed where
its opcode, operands, type or assigned slot differ; operands compare by the rows they name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mmsb.base.model import STAGES, Stage
from mmsb.memory.memory import Memory
from mmsb.query import names
from mmsb.query.answers import Answer, Function
from mmsb.query.body import Body, Statement, read_body
from mmsb.query.document import Document, Line, Listing, Role, Span, note, text_of
from mmsb.query.facts import Facts
from mmsb.query.layout import Layout, lattice
from mmsb.query.stages import Sight, of_version, seen, sights, title

Change = Literal["kept", "changed", "removed", "added"]
_CONTEXT = 2  # kept lines shown on either side of a change
_SIGNS: dict[Change, tuple[str, Role]] = {
    "kept": ("  ", "dim"),
    "removed": ("- ", "bad"),
    "added": ("+ ", "good"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """A statement in one of the two epochs."""

    number: int
    text: str
    type: str | None


@dataclass(frozen=True, slots=True)
class StatementChange:
    """One row. ``columns`` says what differs where it changed."""

    row: int
    change: Change
    columns: tuple[str, ...]
    old: Side | None
    new: Side | None
    lines: tuple[Line, ...] = field(metadata={"data": False})


@dataclass(frozen=True, slots=True)
class DiffView(Answer):
    """Answer of `diff`."""

    function: Function
    stage: Stage
    old_stage: Stage  # the same, but for a diff of two stages
    old_epoch: int
    new_epoch: int
    old_version: int | None
    new_version: int | None
    counts: dict[str, int]
    statements: tuple[StatementChange, ...]

    @property
    def equal(self) -> bool:
        return self.counts["kept"] == len(self.statements)

    def document(self) -> Document:
        counted = ", ".join(f"{n} {change}" for change, n in self.counts.items() if n)
        head = note(
            (self.function.name, "name"),
            f"  {self._between()}: ",
            (counted or "no statements", "head"),
        )
        if self.equal:
            return (head, note("No statement differs."))
        return (head, Listing(tuple(self._lines())))

    def _between(self) -> str:
        old, new = _number(self.old_version), _number(self.new_version)
        if self.stage is not self.old_stage:
            stages = f"{title(self.old_stage)} → {title(self.stage)}"
            version = new if old == new else f"{old} → {new}"
            return f"{stages}, version {version} as of epoch {self.new_epoch}"
        return (
            f"{title(self.stage)}, epoch {self.old_epoch} (version {old}) → "
            f"epoch {self.new_epoch} (version {new})"
        )

    def _lines(self) -> Iterator[Line]:
        differs = [at for at, s in enumerate(self.statements) if s.change != "kept"]
        near = {at + by for at in differs for by in range(-_CONTEXT, _CONTEXT + 1)}
        skipped = 0
        for at, statement in enumerate(self.statements):
            if at not in near:
                skipped += 1
                continue
            if skipped:
                yield _skipped(skipped)
                skipped = 0
            yield from statement.lines
        if skipped:
            yield _skipped(skipped)


def _number(version: int | None) -> str:
    return "?" if version is None else str(version)


def _skipped(count: int) -> Line:
    return (Span(f"  … {count} unchanged", "dim"),)


def diff(memory: Memory, name: str, old: int, new: int, *, stage: Stage | None = None) -> DiffView:
    """Statements of a function as of two epochs, in one stage (default: the latest both have).

    The later epoch's names are used. UnknownName, AmbiguousName.
    """
    before, after = Facts(memory, old), Facts(memory, new)
    function, _ = names.resolve(after if after.epoch >= before.epoch else before, name)
    chosen = _common_stage(before, after, function) if stage is None else stage
    return compare(
        before, after, function, seen(before, function, chosen), seen(after, function, chosen)
    )


def stages(memory: Memory, name: str, old: Stage, new: Stage, *, at: int | None = None) -> DiffView:
    """Statements of a function in two stages of one version, the newest that has the later one.

    UnknownName, AmbiguousName.
    """
    facts = Facts(memory, at)
    function, _ = names.resolve(facts, name)
    second = seen(facts, function, new)
    first = of_version(sights(facts, function.key), second.version).get(old)
    if first is None:
        first = seen(facts, function, old)  # of another version, or says what is missing
    return compare(facts, facts, function, first, second)


def _common_stage(before: Facts, after: Facts, function: Function) -> Stage:
    had = {sight.stage for sight in sights(before, function.key)}
    both = had & {sight.stage for sight in sights(after, function.key)} - {Stage.REDERIVED}
    return max(both, key=STAGES.index, default=Stage.OPTIMIZED)


def compare(
    before: Facts, after: Facts, function: Function, first: Sight, second: Sight
) -> DiffView:
    """As `diff`, of two sights of one function."""
    changes = tuple(changes_between(read_body(before, first), read_body(after, second)))
    counts = Counter(change.change for change in changes)
    every: tuple[Change, ...] = ("kept", "changed", "removed", "added")
    return DiffView(
        function=function,
        stage=second.stage,
        old_stage=first.stage,
        old_epoch=before.epoch,
        new_epoch=after.epoch,
        old_version=first.version,
        new_version=second.version,
        counts={change: counts[change] for change in every},
        statements=changes,
    )


def changes_between(old: Body, new: Body) -> Iterator[StatementChange]:
    """Rows of both bodies: in the new order, each removed row after the one it used to follow."""
    layouts = Layout(old), Layout(new)
    lines = layouts[0].lines(), layouts[1].lines()
    was = {s.row: (s, shown) for s, shown in zip(old.statements, lines[0], strict=True)}
    now = {s.row: (s, shown) for s, shown in zip(new.statements, lines[1], strict=True)}
    for row in _merged([s.row for s in old.statements], [s.row for s in new.statements]):
        before, after = was.get(row), now.get(row)
        columns = changed_columns(before[0], after[0]) if before and after else ()
        change: Change = (
            "added" if before is None else "removed" if after is None
            else "changed" if columns else "kept"
        )  # fmt: skip
        yield StatementChange(
            row=row,
            change=change,
            columns=columns,
            old=None if before is None else _side(layouts[0], before[0]),
            new=None if after is None else _side(layouts[1], after[0]),
            lines=_shown(change, columns, before and before[1], after and after[1]),
        )


def _merged(old: Sequence[int], new: Sequence[int]) -> Iterator[int]:
    staying = set(new)
    follows: dict[int | None, list[int]] = {}
    anchor: int | None = None
    for row in old:
        if row in staying:
            anchor = row
        else:
            follows.setdefault(anchor, []).append(row)
    yield from follows.get(None, ())
    for row in new:
        yield row
        yield from follows.get(row, ())


def changed_columns(old: Statement, new: Statement) -> tuple[str, ...]:
    """Names of what differs between two states of a row, in the schema's words."""
    pairs = {
        "opcode": old.opcode != new.opcode,
        "operands": old.operands != new.operands,
        "type": old.type.text != new.type.text,
        "slot": old.slot != new.slot,
    }
    return tuple(name for name, differs in pairs.items() if differs)


def _side(layout: Layout, statement: Statement) -> Side:
    typed = layout.type_span(statement) is not None
    type_ = lattice(statement.type) if typed else None
    return Side(statement.position + 1, layout.text(statement), type_)


def _shown(
    change: Change, columns: tuple[str, ...], old: Line | None, new: Line | None
) -> tuple[Line, ...]:
    if change == "changed":
        # A statement may get the number that another had: rows tell them apart, numbers do not.
        alike = columns == ("operands",) and text_of(old or ()) == text_of(new or ())
        same = ": the same number, of another statement" if alike else ""
        what = Span(f"   ({', '.join(columns)}{same})", "dim")
        return (_signed("removed", old or ()), (*_signed("added", new or ()), what))
    return (_signed(change, (old if change == "removed" else new) or ()),)


def _signed(change: Change, shown: Line) -> Line:
    sign, role = _SIGNS[change]
    if change == "kept":
        return (Span(sign), *shown)
    return (Span(sign, role), *(Span(span.text, role) for span in shown))

"""The timeline: what each epoch holds (`log`), what last changed a statement (`blame`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmsb.base import schema
from mmsb.base.model import NONE_U32, PASSES, STAGES, EventKind, Stage
from mmsb.base.schema import staged
from mmsb.memory.memory import Memory
from mmsb.query import names
from mmsb.query.answers import Answer, Function
from mmsb.query.document import Document, Line, Listing, Span, line, note, table
from mmsb.query.facts import Event, Facts, subject_name
from mmsb.query.ir import view
from mmsb.query.juliatext import method_path
from mmsb.query.spelling import callee_name
from mmsb.query.stages import STAGE_EVENTS, Sight, seen, sights

_NAMED = 3
#: Events whose world is the one they happened in.
_AGING = frozenset(
    {EventKind.DEFINED, EventKind.DELETED, EventKind.INVALIDATED, EventKind.SUPERSEDED}
)
#: Columns that are a statement's content; its place in the body is not.
CONTENT = ("opcode", "type", "operands", "operand_count", "slot")
_WORDS = {
    EventKind.DEFINED: ("defined", "defined"),
    EventKind.LOWERED: ("lowered", "lowered"),
    EventKind.INFERRED: ("inferred", "inferred"),
    EventKind.OPTIMIZED: ("optimized", "optimized"),
    EventKind.INVALIDATED: ("invalidated", "invalidated"),
    EventKind.SUPERSEDED: ("superseded", "superseded"),
    EventKind.DELETED: ("deleted", "deleted"),
    EventKind.COMPILED: ("compiled", "compiled"),
    EventKind.LOADED: ("loaded", "loaded"),
    EventKind.ENDED: ("the program ended", "the program ended"),
    EventKind.PASSES: ("taken through the passes", "taken through the passes"),
    EventKind.DECIDED: ("decided on", "decided on"),
}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One epoch. ``statements``: rows of ``statement`` written in it."""

    epoch: int
    window: int
    first_world: int
    last_world: int
    events: dict[str, int]
    functions: tuple[str, ...]
    statements: int


@dataclass(frozen=True, slots=True)
class LogView(Answer):
    """Answer of `log`."""

    order: str
    base: int  # the first epoch there is: retention forgot older ones
    head: int
    filters: dict[str, str]
    entries: tuple[LogEntry, ...]

    def document(self) -> Document:
        if not self.entries:
            such = "such an event" if self.filters else "an event"
            return (note(f"No epoch has {such}."),)
        rows = (
            (
                str(entry.epoch),
                _worlds(entry.first_world, entry.last_world),
                str(entry.statements or ""),
                what_happened(entry.events),
                _shortened(entry.functions),
            )
            for entry in self.entries
        )
        heads = ("epoch", "world", "rows", "what happened", "to whom")
        order = _ORDERS.get(self.order, self.order)
        legend = f"{order[:1].upper()}{order[1:]}; rows: statements written."
        if self.base:
            legend += f" What was before epoch {self.base} was forgotten, and shows as of it."
        return (table(heads, rows, right={0, 2}, crop={4}), note((legend, "dim")))


#: A recording's own words, as a person is told them.
_ORDERS = {
    "logical order inside a window": (
        "between two groups of definitions, what was lowered comes first, then what was inferred, "
        "and so on, not what was first in time"
    )
}


def _worlds(first: int, last: int) -> str:
    if not last:
        return ""
    return str(last) if first == last else f"{first}–{last}"


def what_happened(events: dict[str, int]) -> Line:
    """``3 methods defined, 2 invalidated``."""
    parts: list[Span] = []
    for kind, count in events.items():
        one, many = _WORDS[EventKind[kind.upper()]]
        text = one if kind == "ended" else f"{count} {one if count == 1 else many}"
        bad = kind in ("invalidated", "superseded")
        parts += [Span(", " if parts else ""), Span(text, "bad" if bad else "")]
    return line(*parts)


def _shortened(functions: Sequence[str]) -> str:
    more = len(functions) - _NAMED
    return ", ".join(functions[:_NAMED]) + (f" +{more}" if more > 0 else "")


def log(
    memory: Memory,
    *,
    function: str | None = None,
    stage: Stage | None = None,
    kind: EventKind | None = None,
    at: int | None = None,
) -> LogView:
    """Every epoch up to ``at`` with its events; filters keep the events of a function, a stage, a
    kind, and the epochs that have one. UnknownName where no function fits."""
    facts = Facts(memory, at)
    subjects = None if function is None else subjects_of(facts, function)
    kinds = {STAGE_EVENTS[stage]} if stage is not None else set(EventKind)
    kinds &= {kind} if kind is not None else set(EventKind)
    worlds = window_worlds(facts)
    by_epoch: dict[int, list[Event]] = {}
    for event in facts.events:
        if event.kind in kinds and (subjects is None or event.subject in subjects):
            by_epoch.setdefault(event.epoch, []).append(event)
    filters = {
        "function": function or "",
        "stage": stage.name.lower() if stage is not None else "",
        "kind": kind.name.lower() if kind is not None else "",
    }
    return LogView(
        order=_order(facts.head.recording),
        base=memory.first,
        head=memory.head,
        filters={name: value for name, value in filters.items() if value},
        entries=tuple(
            _entry(facts, epoch, by_epoch[epoch], subjects, worlds) for epoch in sorted(by_epoch)
        ),
    )


def _order(recording: dict[str, str]) -> str:
    """What the order of the epochs is."""
    native = recording.get("tier") == "native"
    told = "the compiler's own order" if native else "logical order, reflected"
    return recording.get("order", told)


def window_worlds(facts: Facts) -> dict[int, int]:
    """Window → the world age of its quiet interval: that of the last method defined up to then."""
    found: dict[int, int] = {}
    newest = 0
    for event in facts.head.events:
        if event.kind in _AGING:
            newest = max(newest, event.world)
        found[event.window] = newest
    return found


def _entry(
    facts: Facts, epoch: int, events: list[Event], subjects: set[str] | None, ages: dict[int, int]
) -> LogEntry:
    # IR is asked for at a later world than it was made in; its window says when that was
    worlds = [e.world if e.kind in _AGING else ages[e.window] for e in events]
    counts = Counter(event.kind for event in events)
    named = sorted((e for e in events if e.subject), key=lambda e: _prominence(facts, e.subject))
    shown = [subject_name(facts, event.subject) for event in named]
    return LogEntry(
        epoch=epoch,
        window=events[0].window,
        first_world=min(worlds, default=0),
        last_world=max(worlds, default=0),
        events={kind.name.lower(): counts[kind] for kind in EventKind if counts[kind]},
        functions=tuple(dict.fromkeys(shown)),
        statements=statements_written(facts, epoch, subjects),
    )


def _prominence(facts: Facts, subject: str) -> tuple[int, bool]:
    """The user's own functions first, what the compiler named itself last."""
    known = facts.by_key.get(subject)
    far = 0 if known is None else NONE_U32 if known.depth is None else known.depth
    return far, "#" in method_path(subject)


def statements_written(facts: Facts, epoch: int, subjects: set[str] | None = None) -> int:
    """Rows of ``statement`` that one epoch wrote. Cost follows what it wrote.

    Of the epoch that retention begins at nobody knows any more: 0.
    """
    if epoch <= facts.memory.first:
        return 0
    pages: dict[int, list[np.ndarray[tuple[int], np.dtype[np.uint32]]]] = {}
    for written in facts.memory.diff(epoch - 1, epoch):
        if written.kind.id == schema.STATEMENT.id and not written.deleted:
            pages.setdefault(written.page, []).append(written.rows)
    return sum(
        len(np.unique(np.concatenate(rows)))
        for page, rows in pages.items()
        if subjects is None or facts.snapshot.subject(page) in subjects
    )


def subjects_of(facts: Facts, name: str, also: Iterable[str] = ()) -> set[str]:
    """Keys of the instances a name fits, of their methods, and of the methods it fits itself; of
    ``also``, keys that are in no event, those that it fits."""
    exact = names.checked(name).strip()
    found = [f for f in facts.functions if exact in (f.key, f.name)]
    others = {*facts.methods, *(event.subject for event in facts.events), *also}
    others -= facts.by_key.keys()
    keys = {key for key in others if key == f"Main.{exact}" or exact in (key, callee_name(key))}
    if not found and not keys:
        written = names.parse(name)
        found = [f for f in facts.functions if names.fits(written, f)]
        keys = {key for key in others if names.fits_key(written, key)}
    keys |= {function.key for function in found} | {function.method for function in found}
    return keys or {function.key for function in names.instances(facts, name)}


@dataclass(frozen=True, slots=True)
class BlamedStatement:
    row: int
    number: int
    epoch: int
    what: str  # what that epoch was: "inferred, version 2"
    text: str
    type: str | None


@dataclass(frozen=True, slots=True)
class BlameView(Answer):
    """Answer of `blame`: beside each statement the epoch that last changed it."""

    function: Function
    stage: Stage
    epoch: int
    version: int | None
    statements: tuple[BlamedStatement, ...]
    lines: tuple[Line, ...] = field(metadata={"data": False})

    def document(self) -> Document:
        width = max((len(str(s.epoch)) for s in self.statements), default=1)
        wide = max((len(s.what) for s in self.statements), default=1)
        rows = [
            line((f"{s.epoch:>{width}} {s.what:<{wide}}  ", "dim"), *shown)
            for s, shown in zip(self.statements, self.lines, strict=True)
        ]
        head = note(
            (self.function.name, "name"), f"  {self.stage.name.lower()} as of epoch {self.epoch}"
        )
        return (head, note(("epoch that last changed each statement", "dim")), Listing(tuple(rows)))


def blame(
    memory: Memory, name: str, *, at: int | None = None, stage: Stage | None = None
) -> BlameView:
    """For each statement of a function the epoch that last changed its content, up to a stage.

    UnknownName, AmbiguousName.
    """
    facts = Facts(memory, at)
    function, _ = names.resolve(facts, name)
    sight = seen(facts, function, stage)
    shown = view(facts, function, sight)
    epochs = _content_epochs(facts.at(sight.event.epoch), function, shown.stage)
    meaning = {s.event.epoch: _meaning(s) for s in sights(facts, function.key)}
    return BlameView(
        function=function,
        stage=shown.stage,
        epoch=facts.epoch,
        version=sight.version,
        statements=tuple(
            BlamedStatement(
                row=s.row,
                number=s.number,
                epoch=epochs[s.row],
                what=meaning.get(epochs[s.row], ""),
                text=s.text,
                type=s.type,
            )
            for s in shown.statements
        ),
        lines=shown.lines,
    )


def _content_epochs(facts: Facts, function: Function, stage: Stage) -> list[int]:
    page = facts.snapshot.page(schema.STATEMENT, function.key)
    if page is None:
        return []
    columns = [staged(name, seen) for seen in STAGES[: STAGES.index(stage) + 1] for name in CONTENT]
    found: list[int] = facts.snapshot.blame(schema.STATEMENT, page, columns).tolist()
    return found


def _meaning(sight: Sight) -> str:
    version = "" if sight.version is None else f", version {sight.version}"
    stage = "passes" if sight.stage in PASSES else sight.stage.name.lower()
    return f"{stage}{version}"


def epochs_of(events: Iterable[Event]) -> tuple[int, ...]:
    """The epochs of events, increasing, each once."""
    return tuple(sorted({event.epoch for event in events}))

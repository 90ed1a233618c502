"""Which stages of which version of an instance the memory holds, and which of them is meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.base.model import PASSES, STAGES, Compiled, EventKind, Provenance, Stage
from mmsb.query import missing
from mmsb.query.answers import Function
from mmsb.query.facts import Event, Facts

#: The event that a stage is seen in.
STAGE_EVENTS = dict.fromkeys(PASSES, EventKind.PASSES) | {
    Stage.LOWERED: EventKind.LOWERED,
    Stage.INFERRED: EventKind.INFERRED,
    Stage.OPTIMIZED: EventKind.OPTIMIZED,
    Stage.REDERIVED: EventKind.OPTIMIZED,
}
_OF_EVENT = {
    EventKind.LOWERED: Stage.LOWERED,
    EventKind.INFERRED: Stage.INFERRED,
    EventKind.OPTIMIZED: Stage.OPTIMIZED,
}
#: What is shown by default; where the compiler asked again differs, that is asked for by name.
_DEFAULT = STAGES[: STAGES.index(Stage.OPTIMIZED) + 1]


@dataclass(frozen=True, slots=True)
class Sight:
    """A version of an instance in one stage. As of ``event``'s epoch all of it was written."""

    key: str
    stage: Stage
    event: Event
    provenance: Provenance

    @property
    def version(self) -> int | None:
        return self.event.version


def title(stage: Stage) -> str:
    """``inlining (pass 4)``, ``inferred``."""
    name = stage.name.lower()
    return f"{name} (pass {PASSES.index(stage) + 1})" if stage in PASSES else name


def parse(text: str) -> Stage:
    """``inlining``, ``pass 4``, ``4``, ``compact 1`` → the stage; UsageError lists them all."""
    word = "".join(char for char in text.lower() if char.isalnum())
    number = word.removeprefix("pass")
    if number.isdigit() and 1 <= int(number) <= len(PASSES):
        return PASSES[int(number) - 1]
    for stage in STAGES:
        if stage.name.lower() == word:
            return stage
    every = ", ".join(map(title, STAGES))
    raise UsageError(f"there is no stage {quote(text)}; the stages are {every}")


def sights(facts: Facts, key: str) -> tuple[Sight, ...]:
    """Every stage of every version as of the epoch: versions as they came, stages in order."""
    by_version: dict[int | None, list[Event]] = {}
    for event in facts.stage_events.get(key, ()):
        by_version.setdefault(event.version, []).append(event)
    if not by_version:
        return ()
    said = {code.version: code.stages for code in facts.codes(key)}
    found: list[Sight] = []
    if any(said.values()):
        for version, events in by_version.items():
            for stage, provenance in said.get(version or 0, {}).items():
                seen_in = _event_of(stage, events)
                if seen_in is not None:
                    found.append(Sight(key, stage, seen_in, provenance))
    elif facts.snapshot.page(schema.STATEMENT, key) is not None:
        # recorded before code rows said which stages they have
        who = {code.version: code.provenance for code in facts.codes(key)}
        for version, events in by_version.items():
            last = {_OF_EVENT[event.kind]: event for event in events if event.kind in _OF_EVENT}
            provenance = who.get(version or 0, Provenance.REFLECTED)
            found += [Sight(key, s, last[s], provenance) for s in STAGES if s in last]
    return tuple(found)


def _event_of(stage: Stage, events: list[Event]) -> Event | None:
    """The last event that a stage is seen in; its detail may name the stages it is about."""
    own = [event for event in events if event.kind is STAGE_EVENTS[stage]]
    named = [event for event in own if stage.name.lower() in event.detail.split()]
    found = named or own
    return found[-1] if found else None


def of_version(found: Iterable[Sight], version: int | None) -> dict[Stage, Sight]:
    """The stages of one version."""
    return {sight.stage: sight for sight in found if sight.version == version}


def newest(facts: Facts, key: str, stage: Stage | None = None) -> Sight | None:
    """The newest version in the stage; without one, the newest version in its last stage."""
    found = sights(facts, key)
    if stage is not None:
        return max((s for s in found if s.stage is stage), key=_row, default=None)
    shown = [sight for sight in found if sight.stage in _DEFAULT]
    if not shown:
        return None
    last = max(shown, key=_row).version
    return [sight for sight in shown if sight.version == last][-1]


def _row(sight: Sight) -> int:
    return sight.event.row


def seen(facts: Facts, function: Function, stage: Stage | None) -> Sight:
    """As `newest`; UnknownName says when the instance was seen, or how to record it."""
    sight = newest(facts, function.key, stage)
    if sight is None:
        what = "any stage" if stage is None else f"stage {stage.name.lower()!r}"
        raise UnknownName(
            f"{function.name} was not seen in {what} at epoch {facts.epoch}: "
            f"{_hint(facts, function, stage)}"
        )
    return sight


def _hint(facts: Facts, function: Function, stage: Stage | None) -> str:
    if facts.head is not facts:
        ever = [s for s in sights(facts.head, function.key) if stage in (None, s.stage)]
        if ever:
            return f"it was first seen so at epoch {min(s.event.epoch for s in ever)}"
    here = {sight.stage for sight in sights(facts, function.key)}
    if not here:
        return no_body(facts, function)
    known = f"known are {', '.join(title(s) for s in STAGES if s in here)}"
    return f"{_missing(facts, stage, here)}; {known}"


def _missing(facts: Facts, stage: Stage | None, here: set[Stage]) -> str:
    if stage is Stage.COMPACT3 and Stage.ADCE in here:
        return "Julia leaves this pass out where ADCE changed nothing"
    if stage is Stage.REDERIVED:
        return "it is kept only where it differs from the native final IR"
    if stage in PASSES:
        return passes_hint(facts)
    return "this stage of it was not recorded"


def passes_hint(facts: Facts) -> str:
    """How to have the passes."""
    return missing.of_passes(facts.head.recording)


def no_inferred(facts: Facts, function: Function) -> str:
    """Why an instance's types cannot be looked at, and what to do about it."""
    here = sights(facts, function.key)
    if not here:
        return no_body(facts, function)
    seen = f"{function.name} was seen {title(here[-1].stage)}"
    codes = {code.version: code for code in facts.codes(function.key)}
    code = codes.get(here[-1].version or 0)
    if code is None or code.compiled is not Compiled.CACHED:
        return f"{seen}, but not inferred"
    return (
        f"{seen}; its code came with an image, which does not keep its types: record with "
        f"--module {function.module} to have the compiler asked again"
    )


def no_body(facts: Facts, function: Function) -> str:
    """Why an instance has no IR, and what to do about it."""
    if not function.in_scope:
        module = function.module or "ITS.MODULE"
        return (
            "no body recorded, it is out of the recording's scope; "
            f"record with --module {module} (or a larger --depth) to keep its IR"
        )
    return missing.of_bodies(facts.head.recording)

"""The story of one memory, for a Julia developer who has never seen one: what happened, one
function through its stages, a redefinition and what it cost, and a question about the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmsb.base.model import CodeState, Stage
from mmsb.memory.memory import Memory
from mmsb.query.answers import Answer, Function
from mmsb.query.diff import DiffView, compare
from mmsb.query.document import (
    Block,
    Document,
    Line,
    Listing,
    Span,
    Title,
    counted,
    human,
    line,
    note,
)
from mmsb.query.facts import Facts
from mmsb.query.history import LogView, log
from mmsb.query.ir import IRView, view
from mmsb.query.juliatext import short
from mmsb.query.overview import StatsView, stats
from mmsb.query.passes import PassesView, passes
from mmsb.query.stages import Sight, newest, of_version, sights
from mmsb.query.warn import Warnings, unstable_lines, warnings_of
from mmsb.query.why import Reason, all_reasons, describe, ended_in, reason_note

_FEW, _MANY = 3, 40  # statements that make a function worth showing
_STAGE_TITLES = {
    Stage.LOWERED: "lowered: what Julia made of the source",
    Stage.INFERRED: "inferred: the same statements, with types",
    Stage.OPTIMIZED: "optimized: what is compiled; calls are inlined or named",
}


@dataclass(frozen=True, slots=True)
class Hero:
    """The function the story is about: it was invalidated, and compiled again."""

    function: Function
    reason: Reason
    before: tuple[Sight, ...]  # of each stage, the version that ended
    after: Sight  # the newest stage of the version that followed


@dataclass(frozen=True, slots=True)
class Past:
    """Were a function's types known? Asked as of the epoch before the redefinition, and now."""

    function: Function
    epoch: int
    then: Warnings
    now: Warnings


@dataclass(frozen=True, slots=True)
class StoryView(Answer):
    """Answer of `story`. Without a redefinition in the memory, the parts about one are None."""

    log: LogView
    stages: tuple[IRView, ...]
    diff: DiffView | None
    ended: tuple[Reason, ...]
    past: Past | None
    stats: StatsView
    passes: PassesView | None = None  # where the recording has them

    def document(self) -> Document:
        blocks: list[Block] = [*self._timeline(), *self._stages()]
        blocks += [*self._redefinition(), *self._past(), *self._size(), *self._next()]
        return tuple(blocks)

    def _timeline(self) -> list[Block]:
        return [
            Title("1. What the compiler did, epoch by epoch"),
            note(
                "An epoch is one step in what is known of the program: methods were defined, or "
                "their code was lowered, inferred, optimized, or lost its validity. The world is "
                "Julia's own world age."
            ),
            *self.log.document(),
        ]

    def _stages(self) -> list[Block]:
        if not self.stages:
            return []
        first = self.stages[0]
        title = f"2. {first.function.name} at each stage it went through"
        blocks: list[Block] = [Title(title)]
        for shown in self.stages:
            head = f"epoch {shown.written_epoch}, {_STAGE_TITLES[shown.stage]}"
            blocks += [note((head, "head")), Listing(tuple(_ir_lines(shown)))]
        if self.passes is not None:
            head = "pass by pass: statements that each stage added, removed, changed"
            blocks += [note((head, "head")), *self.passes.document()[1:]]
        return blocks

    def _redefinition(self) -> list[Block]:
        if self.diff is None or not self.ended:
            return []
        causes = " and ".join(dict.fromkeys(describe(c) for r in self.ended for c in r.causes))
        name = self.diff.function.name
        blocks: list[Block] = [
            Title(f"3. Then came {causes}"),
            note(
                f"{name} itself was not touched, but it was compiled anew. Statement by statement, "
                f"epoch {self.diff.old_epoch} against epoch {self.diff.new_epoch}:"
            ),
            *self.diff.document()[1:],
            Title("4. What the redefinition cost, and why"),
        ]
        for reason in self.ended:
            blocks += [note((reason.function, "name")), reason_note(reason)]
        return blocks

    def _past(self) -> list[Block]:
        if self.past is None:
            return []
        asked, epoch = self.past, self.past.epoch
        blocks: list[Block] = [
            Title(f"5. A question about the past: when did {asked.function.name} lose its types?"),
            note(
                f"As of epoch {epoch}: {_known(asked.then)}, it returned ",
                (short(asked.then.return_type), "type"),
                f". As of epoch {self.log.head}: {_known(asked.now)}, it returns ",
                (short(asked.now.return_type), "type"),
                ".",
            ),
        ]
        if asked.now.count > asked.then.count:
            blocks.append(Listing(tuple(unstable_lines(asked.now.unstable))))
        return blocks

    def _size(self) -> list[Block]:
        found = self.stats
        return [
            Title("How large this memory is"),
            note(
                f"{counted(found.facts, 'fact')} about {counted(found.functions, 'function')} in "
                f"{counted(found.epochs, 'epoch')}; {human(found.stored_bytes)} of log, "
                f"{human(found.bytes)} on disk. "
                f"Recorded from Julia {found.recording.get('julia', '?')}."
            ),
            note((" ".join(found.limits), "dim")),
        ]

    def _next(self) -> list[Block]:
        memory = f"-m {self.stats.path}"
        name = self.stages[0].function.name if self.stages else "FUNCTION"
        epochs = f"{self.diff.old_epoch} {self.diff.new_epoch}" if self.diff else "1 2"
        commands = (
            (f"mmsb log {memory}", "the timeline"),
            (f"mmsb show '{name}' --stage inferred --source {memory}", "IR beside its source"),
            (f"mmsb diff '{name}' {epochs} {memory}", "two epochs compared"),
            *self._next_of_passes(name, memory),
            (f"mmsb why '{name}' {memory}", "what ended its code"),
            (f"mmsb warn {memory}", "where types are not known"),
            ("mmsb record -- julia --project=. your_script.jl", "your own program"),
        )
        width = max(len(command) for command, _ in commands)
        lines = (
            line("  ", (f"{command:<{width}}", "command"), (f"  # {what}", "dim"))
            for command, what in commands
        )
        return [Title("What to try next"), Listing(tuple(lines))]

    def _next_of_passes(self, name: str, memory: str) -> list[tuple[str, str]]:
        if self.passes is None:
            return []
        return [(f"mmsb passes '{name}' {memory}", "pass by pass")]


def _known(found: Warnings) -> str:
    if not found.count:
        return "every type was known"
    one = found.count == 1
    return f"{found.count} {'type or call is' if one else 'types or calls are'} not known"


def _ir_lines(shown: IRView) -> list[Line]:
    return [(Span("  "), *each) for each in shown.lines]


def story(memory: Memory) -> StoryView:
    """Chooses the function and tells. Deterministic: the same memory, the same story."""
    facts = Facts(memory)
    hero = choose(facts)
    if hero is None:
        return StoryView(log(memory), (), None, (), None, stats(memory))
    then = facts.at(hero.reason.epoch - 1)
    last = hero.before[-1]
    newer = newest(facts, hero.function.key, Stage.OPTIMIZED) or hero.after
    return StoryView(
        log=log(memory),
        stages=tuple(view(then, hero.function, sight) for sight in hero.before),
        diff=compare(then, facts.at(newer.event.epoch), hero.function, last, newer),
        ended=ended_in(facts, hero.reason.epoch),
        past=_past(then, facts, hero),
        stats=stats(memory),
        passes=_passes(then, hero),
    )


def _passes(then: Facts, hero: Hero) -> PassesView | None:
    found = passes(then.memory, hero.function.key, at=then.epoch)
    return found if any(step.number for step in found.steps) else None


def _past(then: Facts, now: Facts, hero: Hero) -> Past | None:
    """Of what was invalidated with the hero, the function that lost most; the hero if none did."""
    keys = {key for key, reason in all_reasons(now) if reason.epoch == hero.reason.epoch}
    pairs = []
    for function in (f for f in now.functions if f.key in keys):
        before, after = warnings_of(then, function), warnings_of(now, function)
        if before is not None and after is not None:
            pairs.append(Past(function, then.epoch, before, after))
    lost = max(pairs, key=lambda p: p.now.count - p.then.count, default=None)
    if lost is not None and lost.now.count > lost.then.count:
        return lost
    return next((p for p in pairs if p.function.key == hero.function.key), None)


def choose(facts: Facts) -> Hero | None:
    """A function of the user's that was invalidated and compiled again: the nearest to its cause,
    then the one with the fewest statements that are enough to look at."""
    reasons = all_reasons(facts)
    found: list[tuple[tuple[int, int, int, str], Hero]] = []
    for function in facts.functions:
        if not function.is_users:
            continue
        hero = _candidate(facts, function, reasons)
        if hero is None:
            continue
        size = len(view(facts, function, hero.before[-1]).statements)
        odd = 0 if _FEW <= size <= _MANY else 1
        order = (odd, hero.reason.depth or 99, size, function.key)
        found.append((order, hero))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _candidate(
    facts: Facts, function: Function, every: Sequence[tuple[str, Reason]]
) -> Hero | None:
    own = [reason for key, reason in every if key == function.key]
    lost = [reason for reason in own if reason.state is CodeState.INVALIDATED]
    reasons = [reason for reason in lost if reason.epoch > facts.memory.first]  # before is shown
    found = sights(facts, function.key)
    for reason in reasons:
        stages = of_version(found, reason.version)
        before = tuple(stages[stage] for stage in _STAGE_TITLES if stage in stages)
        after = [s for s in found if s.event.epoch > reason.epoch and s.stage in _STAGE_TITLES]
        if len(before) >= 3 and after:
            return Hero(function, reason, before, after[-1])
    return None

"""What became of a function's code, and why.

*Invalidated*: a caller's code object was capped at world W by what was defined at W + 1.
*Superseded*: a method was replaced; its own code is no longer called, and not capped for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmsb.base import model
from mmsb.base.model import NONE_U32, CodeState, Compiled, EventKind, TreeNode
from mmsb.memory.memory import Memory
from mmsb.query import names
from mmsb.query.answers import Answer, Function
from mmsb.query.code import Code, duration, known_ns
from mmsb.query.document import Block, Document, line, note, table
from mmsb.query.facts import Facts, subject_name
from mmsb.query.header import STATE
from mmsb.query.invalidations import Node, Trees
from mmsb.query.ir import COMPILED_SHORT
from mmsb.query.juliatext import short


@dataclass(frozen=True, slots=True)
class Cause:
    """A method definition. ``definition`` is 2 for the first redefinition; 0 where unknown."""

    method: str
    name: str
    definition: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one code object ended. ``causes`` is a set: what was defined together shares a world."""

    function: str
    version: int
    state: CodeState
    epoch: int
    last_world: int  # W: the last world it was valid in
    world: int  # W + 1: what was defined then ended it
    causes: tuple[Cause, ...]
    via: tuple[str, ...]  # callees on the way to what was redefined, nearest first
    depth: int  # calls away from it; 0 where this tier cannot tell
    lost_ns: int | None = None  # inference time thrown away
    what: str | None = None  # the cause in words, where the compiler's own log says so
    chain: tuple[Node, ...] = ()  # the compiler's own tree, from the cause to this code


@dataclass(frozen=True, slots=True)
class Version:
    """One compiled version."""

    version: int
    state: CodeState
    min_world: int
    max_world: int | None
    definition: int
    compiled: Compiled
    return_type: str


@dataclass(frozen=True, slots=True)
class Fate:
    """One function's versions, and why those that ended did."""

    function: Function
    versions: tuple[Version, ...]
    reasons: tuple[Reason, ...]

    @property
    def valid(self) -> bool:
        return any(version.state is CodeState.VALID for version in self.versions)


@dataclass(frozen=True, slots=True)
class WhyView(Answer):
    """Answer of `why`."""

    asked: str
    epoch: int
    fates: tuple[Fate, ...]

    def document(self) -> Document:
        blocks: list[Block] = []
        for fate in self.fates:
            blocks += _fate_blocks(fate, self.epoch)
        if any(reason.depth == 0 and not reason.chain and reason.state is CodeState.INVALIDATED
               for fate in self.fates for reason in fate.reasons):  # fmt: skip
            unseen = "Where no way from the cause is named, this tier did not see it."
            blocks.append(note((unseen, "dim")))
        return tuple(blocks)


def _fate_blocks(fate: Fate, epoch: int) -> list[Block]:
    now = "has valid code" if fate.valid else "has no valid code"
    blocks: list[Block] = [
        note((fate.function.name, "name"), f" {now} as of epoch {epoch}."),
    ]
    blocks += [reason_note(reason) for reason in fate.reasons]
    past = [str(v.version) for v in fate.versions if v.state is CodeState.PAST]
    if past:
        blocks.append(
            note(
                f"Version {', '.join(past)} was compiled when its worlds were over: code that ran "
                "in an older world asked for it."
            )
        )
    elif not fate.reasons:
        blocks.append(note("Nothing invalidated or superseded it up to then."))
    rows = (
        (
            str(v.version),
            line((STATE[v.state], "good" if v.state is CodeState.VALID else "bad")),
            f"{v.min_world}…{'' if v.max_world is None else v.max_world}",
            str(v.definition or "?"),
            short(v.return_type),
            COMPILED_SHORT[v.compiled],
        )
        for v in fate.versions
    )
    heads = ("version", "state", "worlds", "definition", "returns", "compiled")
    blocks.append(table(heads, rows, right={0, 3}, crop={4}))
    return blocks


_MOST_NAMED = 6  # causes written out; JSON has all


def reason_note(reason: Reason) -> Block:
    """One sentence: what ended, when, by what, through whom."""
    causes = _listed([describe(cause) for cause in reason.causes])
    if reason.state is CodeState.SUPERSEDED and not causes:
        return note(
            f"Version {reason.version} was ",
            ("superseded", "bad"),
            f" in epoch {reason.epoch}, at world {reason.world}: its own method was deleted.",
        )
    if reason.state is CodeState.SUPERSEDED:
        return note(
            f"Version {reason.version} was ",
            ("superseded", "bad"),
            f" in epoch {reason.epoch}, at world {reason.world}: its own method was replaced by ",
            (causes, "head"),
            ". Julia does not cap its world range for that; it is no longer called.",
        )
    if reason.chain:
        return _told_by_the_log(reason)
    if not causes:
        causes = "no recorded method (a constant or a method's deletion can be the cause)"
    way = (
        f", through {' → '.join(reason.via)}"
        if reason.via
        else ", which it calls"
        if reason.depth == 1
        else "; which of it is the cause, and the way to it, this tier did not see"
        if len(reason.causes) > 1
        else ""
    )
    return note(
        f"Version {reason.version} was ",
        ("invalidated", "bad"),
        f" in epoch {reason.epoch}: it was valid up to world {reason.last_world}; world "
        f"{reason.world} brought ",
        (causes, "head"),
        f"{way}.",
    )


def _told_by_the_log(reason: Reason) -> Block:
    """From the cause to the victim, as the compiler logged it."""
    steps = [_step(node) for node in reason.chain[1:]]
    more = [f"depth {reason.depth}"] if reason.depth else []
    more += [] if reason.lost_ns is None else [f"{duration(reason.lost_ns)} of inference lost"]
    told = f" ({'; '.join(more)})" if more else ""
    definitions = {cause.definition for cause in reason.causes} - {0}
    numbered = f" (definition {definitions.pop()})" if len(definitions) == 1 else ""
    return note(
        f"Version {reason.version or '?'} was ",
        ("invalidated", "bad"),
        f" in epoch {reason.epoch}, at world {reason.world}: ",
        (f"{reason.what}{numbered}", "head"),
        f" → {' → '.join(steps)}{told}.",
    )


def _step(node: Node) -> str:
    if node.node is TreeNode.MISSING:
        return f"calls of type {node.name}"
    return node.callee() if node.node is TreeNode.CALLEE else node.name


def _listed(causes: list[str]) -> str:
    more = len(causes) - _MOST_NAMED
    return ", ".join(causes[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def describe(cause: Cause) -> str:
    """``rate(::Any), definition 2``."""
    return f"{cause.name}, definition {cause.definition}" if cause.definition else cause.name


def why(memory: Memory, name: str, *, at: int | None = None) -> WhyView:
    """What invalidated or superseded each instance that fits the name. UnknownName."""
    facts = Facts(memory, at)
    every = all_reasons(facts)
    found = names.instances(facts, name, dict.fromkeys(key for key, _ in every))
    fates = tuple(fate_of(facts, function, every) for function in found)
    return WhyView(name, facts.epoch, fates)


def fate_of(
    facts: Facts, function: Function, reasons: Sequence[tuple[str, Reason]] | None = None
) -> Fate:
    """The versions of one instance and why those that ended did; ``reasons``: all of them."""
    every = all_reasons(facts) if reasons is None else reasons
    return Fate(
        facts.shown(function),
        tuple(map(_version, facts.codes(function.key))),
        tuple(reason for key, reason in every if key == function.key),
    )


def _version(code: Code) -> Version:
    return Version(
        version=code.version,
        state=code.state,
        min_world=code.min_world,
        max_world=code.last_world,
        definition=code.definition,
        compiled=code.compiled,
        return_type=code.return_type,
    )


def all_reasons(facts: Facts) -> list[tuple[str, Reason]]:
    """(victim's key, reason) of all that ended up to the epoch, oldest first."""
    groups: dict[tuple[int, int, int], list[dict[str, Any]]] = {}
    epochs: dict[tuple[int, int, int], int] = {}
    for epoch, row in facts.invalidations:
        key = (row["victim"], row["version"], row["world"])
        groups.setdefault(key, []).append(row)
        epochs[key] = epoch
    through = {(row["victim"], row["world"]): row["via"] for _, row in facts.invalidations}
    trees = Trees(facts)
    found = [
        (facts.text(key[0]), _reason(facts, epochs[key], rows, through, trees))
        for key, rows in groups.items()
    ]
    told: set[tuple[str, int | None]] = {(key, reason.version) for key, reason in found}
    over: dict[str, int] = {}  # the world of a function's first end
    for victim, reason in found:
        over[victim] = min(reason.world, over.get(victim, reason.world))
    for victim, nodes in trees.victims.items():
        for node in nodes:
            # Julia logs a caller under whatever it loses, also where its code had ended before
            past = node.version is None and victim in over and over[victim] < trees.when(node)
            if not past and (victim, node.version) not in told:
                told.add((victim, node.version))
                found.append((victim, _of_node(facts, trees, node)))
    return sorted(found, key=lambda pair: pair[1].epoch)


def _reason(
    facts: Facts,
    epoch: int,
    rows: list[dict[str, Any]],
    through: dict[tuple[int, int], int],
    trees: Trees,
) -> Reason:
    first = rows[0]
    via: list[str] = []
    step = first["via"]
    while step != NONE_U32 and len(via) < 64:
        via.append(subject_name(facts, facts.text(step)))
        step = through.get((step, first["world"]), NONE_U32)
    causes = (_cause(facts, epoch, row["cause"]) for row in rows if row["cause"] != NONE_U32)
    told_by = [row["tree"] for row in rows if row["tree"] < trees.count]
    chain = trees.chain(told_by[0]) if told_by else ()
    return Reason(
        function=subject_name(facts, facts.text(first["victim"])),
        version=first["version"] + 1,  # a row of the code page
        state=CodeState(first["state"]),
        epoch=epoch,
        last_world=first["world"] - 1,
        world=first["world"],
        causes=tuple(causes),
        via=tuple(via),
        depth=first["depth"],
        lost_ns=known_ns(first["lost_ns"]),
        what=trees.words(chain[0].row) if chain else None,
        chain=chain,
    )


def _of_node(facts: Facts, trees: Trees, node: Node) -> Reason:
    """What the compiler logged of code that was not recorded while it lived."""
    chain, epoch = trees.chain(node.row), trees.epochs[node.row]
    cause, world = trees.cause(chain[0].row), trees.world(chain[0].row)
    methods = cause in (model.Cause.INSERTED, model.Cause.DELETED) and chain[0].subject
    return Reason(
        function=node.name,
        version=node.version or 0,
        state=CodeState.INVALIDATED,
        epoch=epoch,
        last_world=max(0, world - 1),
        world=world,
        causes=(_cause_of(facts, epoch, chain[0].subject),) if methods else (),
        via=(),
        depth=node.depth,
        lost_ns=node.lost_ns,
        what=trees.words(chain[0].row),
        chain=chain,
    )


def _cause(facts: Facts, epoch: int, symbol: int) -> Cause:
    return _cause_of(facts, epoch, facts.text(symbol))


def _cause_of(facts: Facts, epoch: int, key: str) -> Cause:
    method = facts.at(epoch).method(key)
    return Cause(key, subject_name(facts, key), 0 if method is None else method.definition)


def ended_in(facts: Facts, epoch: int) -> tuple[Reason, ...]:
    """All that one epoch invalidated or superseded."""
    return tuple(reason for _, reason in all_reasons(facts) if reason.epoch == epoch)


#: Events that end code.
ENDINGS = frozenset({EventKind.INVALIDATED, EventKind.SUPERSEDED})

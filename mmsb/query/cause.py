"""The nearest cause of a function's staleness, and the chain from there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmsb.base.model import CodeState
from mmsb.graph.propagate import propagate
from mmsb.memory.memory import Memory
from mmsb.query import names
from mmsb.query.answers import Answer, Function
from mmsb.query.document import Block, Document, note
from mmsb.query.facts import Facts, subject_name
from mmsb.query.invalidations import Trees
from mmsb.query.ties import called, graph_of, states
from mmsb.query.why import Reason, all_reasons, reason_note


@dataclass(frozen=True, slots=True)
class CauseView(Answer):
    """Answer of `cause`. ``way``: from the function through calls to the nearest one that is stale,
    itself if it is; empty where none is. ``reason``: what ended that one's newest code."""

    asked: str
    function: Function
    epoch: int
    valid: bool  # whether the function itself has valid code
    way: tuple[str, ...]
    reason: Reason | None

    def document(self) -> Document:
        name, epoch = self.function.name, self.epoch
        if self.reason is None:
            has = "has valid code" if self.valid else "has no valid code"
            rest = (
                "and nothing that it reaches by calls is stale"
                if self.valid
                else ("and what ended it was not recorded")
            )
            return (note((name, "name"), f" {has} as of epoch {epoch}, {rest}."),)
        blocks: list[Block]
        if len(self.way) > 1:
            blocks = [
                note((name, "name"), f" has valid code as of epoch {epoch}. The nearest that is "
                     "stale: ", (" → ".join(self.way[1:]), "bad"), ".")
            ]  # fmt: skip
        else:
            blocks = [note((name, "name"), f" has no valid code as of epoch {epoch}.")]
        return (*blocks, reason_note(self.reason))


def cause(memory: Memory, name: str, *, at: int | None = None) -> CauseView:
    """What made a function stale, by the shortest chain; of a valid one, the same of the nearest
    stale function that it reaches by calls.

    Stale is what had code and has none that is valid. UnknownName, AmbiguousName. O(call sites).
    """
    facts = Facts(memory, at)
    function, _ = names.resolve(facts, name)
    ended = {key for key, own in states(facts).items() if own and CodeState.VALID not in own}
    reasons: dict[str, list[Reason]] = {}
    for key, reason in all_reasons(facts):
        reasons.setdefault(key, []).append(reason)
    stale = ended & reasons.keys()
    valid = function.key not in ended
    way: tuple[str, ...] = ()
    if not valid:
        way = (function.key,)
    elif stale:
        way = _nearest(facts, function.key, stale)
    found = _shortest(facts, way[-1], reasons[way[-1]]) if way and way[-1] in reasons else None
    shown = tuple(subject_name(facts, key) for key in way)
    return CauseView(name, function, facts.epoch, valid, shown, found)


def _nearest(facts: Facts, key: str, stale: set[str]) -> tuple[str, ...]:
    """The way to the nearest of them, by number of calls, then by key; () if none is reached."""
    graph, nodes = graph_of(called(facts), [key])
    reach = propagate(graph, key, "min_plus")
    found = [node for node in reach.reached.tolist() if nodes.keys[node] in stale]
    if not found:
        return ()
    nearest = min(found, key=lambda node: (reach.value(node), nodes.keys[node]))
    return tuple(nodes.keys[step] for step in reach.path(nearest))


def _shortest(facts: Facts, key: str, reasons: list[Reason]) -> Reason:
    """The reason of the newest version, with the shortest of the chains that the log has of it."""
    newest = max(reasons, key=lambda reason: (reason.version, reason.epoch))
    if newest.state is CodeState.SUPERSEDED:
        return newest  # the log may have a later end of it
    trees = Trees(facts)
    nodes = [
        node
        for node in trees.victims.get(key, ())
        if node.version == newest.version and trees.epochs[node.row] == newest.epoch
    ]
    if not nodes:
        return newest
    node = min(nodes, key=lambda node: (len(trees.chain(node.row)), node.row))
    chain = trees.chain(node.row)
    return replace(newest, chain=chain, depth=node.depth, what=trees.words(chain[0].row))

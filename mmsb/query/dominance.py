"""Which definition dominates the most inference: without it, what else would not have been needed?

A method *dominates* another if every way from running code to that one leads through it. Nodes are
methods; edges are who asked inference for whom, and which inferred code stands on which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import UsageError
from mmsb.base.model import NONE_U32
from mmsb.graph.dominators import dominated_sums
from mmsb.graph.dominators import dominators as immediate
from mmsb.memory.cells import whole
from mmsb.memory.memory import Memory
from mmsb.query import missing
from mmsb.query.answers import Answer
from mmsb.query.code import duration, known_ns
from mmsb.query.document import Block, Document, counted, line, note, table
from mmsb.query.facts import Facts, subject_name
from mmsb.query.ties import graph_of, used_by

MOST = 20


@dataclass(frozen=True, slots=True)
class Dominator:
    """A method. ``methods``: how many it dominates, itself among them."""

    name: str
    method: str
    dominated_ns: int
    own_ns: int
    methods: int
    under: str | None  # the method that dominates it next; None: none but running code


@dataclass(frozen=True, slots=True)
class DominatorsView(Answer):
    """Answer of `dominators`: the most time first."""

    epoch: int
    total_ns: int
    methods: int
    found: tuple[Dominator, ...]
    advice: str  # where no times were recorded

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        if self.advice:
            return (note((self.advice, "warn")),)
        if not self.found:
            return (note(f"Nothing was inferred up to epoch {self.epoch}."),)
        head = f"{duration(self.total_ns)} of inference in {counted(self.methods, 'method')}"
        rows = (
            (
                duration(one.dominated_ns),
                f"{100 * one.dominated_ns / max(1, self.total_ns):.0f} %",
                duration(one.own_ns),
                str(one.methods),
                line((one.name, "name")),
                one.under or "",
            )
            for one in self.found
        )
        heads = ("dominates", "share", "own", "methods", "method", "under")
        blocks: list[Block] = [
            note(f"{head}, as of epoch {self.epoch}. Without a method, what it dominates would not "
                 "have been inferred:"),
            table(heads, rows, right={0, 1, 2, 3}, crop={4, 5}),
        ]  # fmt: skip
        return tuple(blocks)


def dominators(memory: Memory, *, at: int | None = None, most: int = MOST) -> DominatorsView:
    """The methods that dominate the most inference time, at most ``most``. UsageError.
    O(frames and dependencies)."""
    if whole(most, "most") < 1:
        raise UsageError(f"most is {most}; ask for 1 method or more")
    facts = Facts(memory, at)
    rows = facts.snapshot.table(schema.INFERENCE)
    inferred = [facts.text(id) for id in rows["instance"].tolist()]
    keys = [key.partition(" @ ")[0] for key in inferred]
    own: dict[str, int] = {}
    timed = False
    for key, took in zip(keys, rows["exclusive_ns"].tolist(), strict=True):
        known = known_ns(took)
        timed = timed or known is not None
        own[key] = own.get(key, 0) + (known or 0)
    if not timed:
        return DominatorsView(facts.epoch, 0, len(own), (), _advice(facts, bool(own)))
    pairs, roots = set[tuple[str, str]](), set[str]()
    for key, parent in zip(keys, rows["parent"].tolist(), strict=True):
        if parent == NONE_U32:
            roots.add(key)
        else:
            pairs.add((keys[parent], key))
    asked = set(inferred)  # what came with an image asked for nothing, and nobody had to ask for it
    for callee, caller in used_by(facts):
        if callee in asked and caller in asked:
            pairs.add((caller.partition(" @ ")[0], callee.partition(" @ ")[0]))
    graph, nodes = graph_of(pairs, own)
    above = immediate(graph, sorted(nodes.number(key) for key in roots))
    times = np.array([own[key] for key in nodes.keys], np.uint64)
    sums, counts = dominated_sums(above, times), dominated_sums(above, np.ones(len(times), "<u8"))
    order = sorted(range(len(times)), key=lambda node: (-int(sums[node]), nodes.keys[node]))
    found = (
        Dominator(
            name=subject_name(facts, nodes.keys[node]),
            method=nodes.keys[node],
            dominated_ns=int(sums[node]),
            own_ns=own[nodes.keys[node]],
            methods=int(counts[node]),
            under=None
            if int(above[node]) == node
            else subject_name(facts, nodes.keys[int(above[node])]),
        )
        for node in order[:most]
    )
    return DominatorsView(facts.epoch, sum(own.values()), len(own), tuple(found), "")


def _advice(facts: Facts, inferred: bool) -> str:
    """Why there are no times; "" where nothing was inferred, which is an answer."""
    about = facts.head.recording
    why = missing.of_compiler(about)
    if why:
        return f"No inference times were recorded: {why}."
    if not inferred:
        return ""
    return (
        f"No inference times were recorded of what Julia {about.get('julia', '?')} inferred; "
        "`mmsb record -o NAME.mmsb script.jl` with Julia 1.10 or later keeps them."
    )

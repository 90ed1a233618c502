"""A memory one can ask: all of `Memory`, and the questions as methods.

``mmsb.open("tour.mmsb").at(4).show("price")`` is the IR of ``price`` as of epoch 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from mmsb.base.model import EventKind, Stage
from mmsb.base.schema import Kind
from mmsb.graph.adjacency import Graph
from mmsb.graph.derived import Function
from mmsb.graph.recompute import Derivations, Inputs, Recomputed
from mmsb.graph.shadow import ShadowPageGraph
from mmsb.graph.subscribe import Callback, Events, Subscription, Turn
from mmsb.memory.disk import DISK, Disk
from mmsb.memory.forked import locks
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.symbols import Symbols
from mmsb.memory.writer import Writer
from mmsb.query import (
    callgraph,
    cause,
    decisions,
    deps,
    diff,
    dominance,
    history,
    impact,
    invalidations,
    ir,
    names,
    overview,
    passes,
    rederived,
    stages,
    story,
    tree,
    warn,
    why,
)
from mmsb.query.answers import Function as Instance
from mmsb.query.callgraph import CallsView, ReachedView
from mmsb.query.cause import CauseView
from mmsb.query.decisions import DecisionsView
from mmsb.query.deps import DepsView
from mmsb.query.diff import DiffView
from mmsb.query.document import counted
from mmsb.query.dominance import DominatorsView
from mmsb.query.facts import Facts
from mmsb.query.header import BareView
from mmsb.query.history import BlameView, LogView
from mmsb.query.impact import ImpactView
from mmsb.query.invalidations import InvalidationsView
from mmsb.query.ir import IRView
from mmsb.query.overview import StatsView
from mmsb.query.passes import PassesView, ProvenanceView
from mmsb.query.rederived import AgainstJuliaView
from mmsb.query.story import StoryView
from mmsb.query.tree import TreeView
from mmsb.query.warn import WarnView
from mmsb.query.why import WhyView


class Moment(Snapshot):
    """A memory as of one epoch: its columns, and the questions that a function's name answers.

    A ``stage`` is a `Stage`, its name, or a pass's number ("pass 4"). UnknownName, AmbiguousName.
    """

    __slots__ = ("_memory",)

    def __init__(self, index: Index, symbols: Symbols, epoch: int, memory: Memory) -> None:
        super().__init__(index, symbols, epoch)
        self._memory = memory

    def __repr__(self) -> str:
        return f"<mmsb memory {self._memory.path.name} as of epoch {self.epoch}>"

    def functions(self) -> tuple[Instance, ...]:
        """Every method instance known by then."""
        return Facts(self._memory, self.epoch).functions

    def show(
        self, function: str, stage: Stage | str | None = None, *, source: bool = False
    ) -> IRView | BareView:
        """A function's IR."""
        return ir.show(self._memory, function, at=self.epoch, stage=_stage(stage), source=source)

    def provenance(self, function: str) -> ProvenanceView:
        """Who said each stage of a function, and whether the compiler's answers agree."""
        return passes.provenance(self._memory, function, at=self.epoch)

    def passes(self, function: str) -> PassesView:
        """A function's life through the compiler's passes."""
        return passes.passes(self._memory, function, at=self.epoch)

    def compare_stages(self, function: str, old: Stage | str, new: Stage | str) -> DiffView:
        """A function's statements in two stages of one version."""
        first, second = _named(old), _named(new)
        return diff.stages(self._memory, function, first, second, at=self.epoch)

    def tree(
        self, function: str | None = None, *, depth: int = tree.DEPTH, most: int = tree.CHILDREN
    ) -> TreeView:
        """The inference tree, or a function's part of it."""
        return tree.tree(self._memory, function, at=self.epoch, depth=depth, most=most)

    def invalidations(self, function: str | None = None) -> InvalidationsView:
        """The compiler's invalidation trees, most victims first."""
        return invalidations.invalidations(self._memory, function, at=self.epoch)

    def decisions(self, function: str) -> DecisionsView:
        """What the compiler decided at each statement."""
        return decisions.decisions(self._memory, function, at=self.epoch)

    def dependencies(self, function: str) -> DepsView:
        """What a function's code depends on, and whose code depends on it."""
        return deps.deps(self._memory, function, at=self.epoch)

    def why(self, function: str) -> WhyView:
        """What invalidated or superseded a function."""
        return why.why(self._memory, function, at=self.epoch)

    def impact(self, method: str) -> ImpactView:
        """What would go stale if a method were redefined, and the inference to be done again."""
        return impact.impact(self._memory, method, at=self.epoch)

    def cause(self, function: str) -> CauseView:
        """The nearest cause of a function's staleness, or of that of what it calls."""
        return cause.cause(self._memory, function, at=self.epoch)

    def callers(self, function: str, *, depth: int = 1) -> CallsView:
        """Who calls a function, up to so many calls away."""
        return callgraph.callers(self._memory, function, at=self.epoch, depth=depth)

    def callees(self, function: str, *, depth: int = 1) -> CallsView:
        """Whom a function calls, up to so many calls away."""
        return callgraph.callees(self._memory, function, at=self.epoch, depth=depth)

    def call_graph(self) -> Graph:
        """All of what `callers` and `callees` say, as a graph whose nodes are keys."""
        return callgraph.call_graph(self._memory, at=self.epoch)

    def dominators(self, *, most: int = dominance.MOST) -> DominatorsView:
        """The definitions without which most inference would not have been needed."""
        return dominance.dominators(self._memory, at=self.epoch, most=most)

    def warn(self, function: str | None = None) -> WarnView:
        """Type-unstable statements and runtime dispatches."""
        return warn.warn(self._memory, function, at=self.epoch)

    def blame_statements(self, function: str, stage: Stage | str | None = None) -> BlameView:
        """Which epoch last changed each statement."""
        return history.blame(self._memory, function, at=self.epoch, stage=_stage(stage))

    def log(self, function: str | None = None) -> LogView:
        """The epochs up to this one."""
        return history.log(self._memory, function=function, at=self.epoch)


class Reader(Memory):
    """A memory, and the questions about it. Questions without an epoch mean the last one."""

    def __init__(self, log: Log, index: Index, writer: Writer | None, disk: Disk = DISK) -> None:
        """Use ``mmsb.open``."""
        super().__init__(log, index, writer, disk)
        locks(self, "_lock", make=Turn)
        self._events: Events | None = None

    def __repr__(self) -> str:
        return f"<mmsb memory {self.path.name}, {counted(self.head, 'epoch')}>"

    def at(self, epoch: int | None = None) -> Moment:
        """The memory as of an epoch, default the last; UnknownName if there is no such epoch."""
        self._check_open()
        symbols = self._symbols
        return self._snapshot(symbols, self._epoch(epoch, symbols.index))

    def graph(self) -> ShadowPageGraph:
        """What depends on what, as of any epoch: ``memory.graph().at(epoch, "calls")``."""
        return ShadowPageGraph(self)

    # What follows from commits.

    def derive(
        self,
        kind: Kind,
        inputs: Inputs,
        *,
        whole: bool = False,
        version: str | int | None = None,
    ) -> Callable[[Function], Function]:
        """Registers the decorated function as what makes the pages of a kind; see `Derivations`.

        `recompute` makes them, and so does each commit from then on. ReadOnly, CycleError.
        """
        self._check_writable()
        return self._following().derivations.derive(kind, inputs, whole=whole, version=version)

    @property
    def derivations(self) -> Derivations:
        """The derivations that this process registered."""
        return self._following().derivations

    def recompute(self) -> Recomputed:
        """Brings all derived pages up to the head, as one commit of its own."""
        self._check_writable()
        return self._following().derivations.recompute()

    def subscribe(
        self,
        kinds: Iterable[Kind | str] | None,
        functions: Iterable[str] | None,
        callback: Callback,
    ) -> Subscription:
        """Calls back after each commit that writes what is wanted; None: of every kind, function.

        ``functions`` are names as people write them, also of functions that are not there yet, or
        subjects of pages. Rows of tables (events, invalidations) count where they name one of them.
        An error in the callback is logged, kept as ``subscription.error``, and hurts nothing.
        A reader hears of what another process commits when it is refreshed, or follows.
        """
        wanted = None if functions is None else names.wanted(functions)
        return self._following().subscribe(kinds, wanted, callback)

    def batch(self) -> AbstractContextManager[None]:
        """``with memory.batch():`` derived pages and subscriptions wait until its end, and take all
        of its commits at once."""
        return self._following().batch()

    def _following(self) -> Events:
        self._check_open()
        with self._lock:
            if self._events is None:
                self._events = Events(self)
            turn: Any = self._lock
            turn.after = self._events.tell  # in a forked child the lock is another one
            return self._events

    # Questions.

    def log(
        self,
        function: str | None = None,
        stage: Stage | str | None = None,
        kind: EventKind | None = None,
    ) -> LogView:
        """The timeline of epochs."""
        return history.log(self, function=function, stage=_stage(stage), kind=kind)

    def compare(
        self, function: str, old: int, new: int, stage: Stage | str | None = None
    ) -> DiffView:
        """A function's statements as of two epochs (`Memory.diff` is the cells of all pages)."""
        return diff.diff(self, function, old, new, stage=_stage(stage))

    def reached(self, old: int, new: int, *, start: str | None = None) -> ReachedView:
        """What became reachable by calls between two epochs, from running code or a function."""
        return callgraph.reached(self, old, new, start=start)

    def overview(self) -> StatsView:
        """What was recorded and how much it holds."""
        return overview.stats(self)

    def against_julia(self) -> AgainstJuliaView:
        """The final IR that ran against the compiler's answer when asked again."""
        return rederived.against_julia(self)

    def story(self) -> StoryView:
        """What `mmsb demo` tells."""
        return story.story(self)

    def _snapshot(self, symbols: Symbols, epoch: int) -> Moment:
        return Moment(symbols.index, symbols, epoch, self)


def _stage(stage: Stage | str | None) -> Stage | None:
    return None if stage is None else _named(stage)


def _named(stage: Stage | str) -> Stage:
    return stages.parse(stage) if isinstance(stage, str) else stage

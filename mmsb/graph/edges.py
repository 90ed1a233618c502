"""Kinds of edges as data: which cells of which kind of pages are the two ends of an edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.base.model import Stage
from mmsb.memory.asked import listed, text

#: An end that is no column: the subject of the row's page; the number of the row.
SUBJECT, ROW = "<subject>", "<row>"


@dataclass(frozen=True, slots=True)
class EdgeKind:
    """A row of the memory's kind ``kind`` is an edge from ``source`` to ``target``.

    Each end is a column, `SUBJECT` or `ROW`. Ends are symbols, or, with ``rows``, rows of the
    page that the same subject has of that kind. An end that is none, or names no symbol or row that
    is there as of the epoch, makes no edge. A row that was never written must not be one, so some
    column's fill value says so. Columns are named without their stage. UsageError.
    """

    name: str
    kind: str
    source: str
    target: str
    #: A column between both: source → via → target; where it is none, source → target.
    via: str = ""
    #: The row whose ``source`` it is, where that is another one than the edge's own.
    parent: str = ""
    #: Cells that the row must have.
    where: tuple[tuple[str, int], ...] = ()
    #: What the ends are rows of; "": they are symbols.
    rows: str = ""
    #: A column that says of which stage the row is; asked for no stage, rows of all are edges.
    stage: str = ""
    #: The kind that holds the statements' operands, of which ``source`` is the first: each that is
    #: a statement's value, however deep it is nested, is an edge's source.
    operands: str = ""
    #: Cells that the row must not have, where no stage is asked for.
    unless: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            cells = each.name in ("where", "unless")
            if not (_are_cells(value) if cells else isinstance(value, str)):
                what = "pairs of a column and a number" if cells else "a text"
                raise UsageError(f"{each.name} of an edge kind is {what}, not {quote(value)}")
        ends = {self.source, self.target}
        if not all((self.name, self.kind, self.source, self.target)):
            raise UsageError("an edge kind needs a name, a kind of the memory, and two ends")
        if self.rows and SUBJECT in ends:
            raise UsageError(f"{quote(self.name)}: a subject is no row; leave out rows, or SUBJECT")
        if not self.rows and (ROW in ends or self.operands):
            raise UsageError(f"{quote(self.name)}: say of which kind its ends are rows")
        if self.operands and (self.via or self.parent):
            raise UsageError(f"{quote(self.name)}: operands go with neither via nor parent")
        if self.parent and self.source in (SUBJECT, ROW):
            raise UsageError(f"{quote(self.name)}: with parent the source is a column of that row")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read of the row itself at any stage, each once."""
        ends = (self.source, self.via, self.target, self.parent)
        named = (*ends, *(name for name, _ in (*self.where, *self.unless)))
        return tuple(dict.fromkeys(name for name in named if name not in ("", SUBJECT, ROW)))


def _are_cells(given: Any) -> bool:
    return isinstance(given, tuple) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int)
        for pair in given
    )


#: A call site: who calls whom. Without a stage those that inference resolved and those that the
#: final code still has, not those of what the compiler says when it is asked again; ``stage`` says
#: which. The callee is what the row names: `mmsb.query.callgraph.call_graph` makes instances of it.
CALLS = EdgeKind(
    "calls",
    "call",
    SUBJECT,
    "callee",
    where=(("alive", 1),),
    unless=(("stage", Stage.REDERIVED),),
    stage="stage",
)
#: What code depends on, to whose code that is: forward leads to what is compiled anew when it
#: changes. Globals ("Main.x") and types of calls are nodes too.
BACKEDGES = EdgeKind("backedges", "dependency", "target", SUBJECT)
#: Within a page: from a statement to each that uses its value.
USES = EdgeKind(
    "uses",
    "statement",
    "operands",
    ROW,
    where=(("alive", 1),),
    rows="statement",
    operands="operand",
)
#: Within a page: from a basic block to those that may follow.
CONTROL_FLOW = EdgeKind(
    "control_flow", "edge", "source", "target", where=(("alive", 1),), rows="block"
)
#: From a method that was defined or replaced, through the callee, to what this made invalid.
INVALIDATES = EdgeKind("invalidates", "invalidation", "cause", "victim", via="via")
#: The same as the compiler's own log has it: from each node of a tree to those below it.
INVALIDATION_TREE = EdgeKind(
    "invalidation_tree", "invalidation_tree", "subject", "subject", parent="parent"
)
#: Within a page: from a statement to those that were made of it.
DERIVED_FROM = EdgeKind(
    "derived_from", "statement", "derived_from", ROW, where=(("alive", 1),), rows="statement"
)
#: From the function whose inference asked for another's, to that one.
INFERS = EdgeKind("infers", "inference", "instance", "instance", parent="parent")

BY_NAME: Mapping[str, EdgeKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *(CALLS, BACKEDGES, USES, CONTROL_FLOW),
            *(INVALIDATES, INVALIDATION_TREE, DERIVED_FROM, INFERS),
        )
    }
)


def edge_kinds(given: EdgeKind | str | Iterable[EdgeKind | str]) -> tuple[EdgeKind, ...]:
    """Those given, by name or as they are. UnknownName; UsageError for none, one twice, or kinds
    whose nodes are not the same."""
    several = (given,) if isinstance(given, EdgeKind | str) else listed(given, "kinds of edges")
    found = tuple(_edge_kind(each) for each in several)
    if not found:
        raise UsageError("name at least one kind of edges, such as 'calls'")
    if len({kind.name for kind in found}) != len(found):
        names = ", ".join(kind.name for kind in found)
        raise UsageError(f"a kind of edges stands twice among {names}; name each once")
    if len({kind.rows for kind in found}) > 1:
        of = ", ".join(f"{kind.name} ({_nodes(kind)})" for kind in found)
        raise UsageError(f"these edges have different nodes: {of}; ask for a graph of each")
    return found


def _edge_kind(given: EdgeKind | str) -> EdgeKind:
    if isinstance(given, EdgeKind):
        return given
    found = BY_NAME.get(text(given, "a kind of edges"))
    if found is None:
        names = ", ".join(BY_NAME)
        raise UnknownName(f"there is no kind of edges {quote(given)}; there are {names}")
    return found


def _nodes(kind: EdgeKind) -> str:
    return f"rows of {kind.rows!r}" if kind.rows else "subjects"

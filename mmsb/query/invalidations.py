"""The compiler's own invalidation trees: from what was defined, deleted or replaced, down to every
code object that this ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from mmsb.base import schema
from mmsb.base.model import NONE_U32, Cause, EventKind, TreeNode
from mmsb.memory.memory import Memory
from mmsb.query import missing
from mmsb.query.answers import Answer
from mmsb.query.code import duration, known_ns
from mmsb.query.document import Block, Document, Line, Listing, Span, counted, line, note
from mmsb.query.facts import Facts, subject_name
from mmsb.query.history import subjects_of
from mmsb.query.juliatext import short

CAUSES = {
    Cause.INSERTED: "{} was defined",
    Cause.DELETED: "{} was deleted or replaced",
    Cause.BINDING: "{} was replaced",
    Cause.BOUND: "{} got a value",
    Cause.LOADED: "{} made code of a package image stale as it was loaded",
    Cause.UNKNOWN: "{} (the compiler's log names no cause)",
}
_NODES = {
    TreeNode.ROOT: "",
    TreeNode.CALLEE: "callers of ",
    TreeNode.MISSING: "calls that may now reach another method: ",
    TreeNode.CALLER: "",
}
#: What the recorder writes of a global whose partition the bindings it knows do not have.
_NAMELESS = ((Cause.BINDING, "unknown"), (Cause.BOUND, "unknown"))
_NO_NAME = "a global that Julia's log does not name"
_TREES, _LINES = 20, 24  # written out; JSON has all


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree, in pre-order. ``depth`` as Julia counts it: 1 calls what was replaced."""

    row: int
    parent: int | None  # row
    level: int
    node: TreeNode
    name: str
    subject: str  # key of a method or instance, a call's type, a binding
    depth: int
    version: int | None
    lost_ns: int | None  # inference time thrown away
    overtaken: str | None = (
        None  # of a callee: its method, where a more specific one took calls over
    )

    def text(self) -> str:
        return _NODES[self.node] + (self.callee() if self.node is TreeNode.CALLEE else self.name)

    def callee(self) -> str:
        """Of a CALLEE: what became of it."""
        if self.overtaken is None:
            return f"the replaced {self.name}"
        of = f" of {self.overtaken}"
        return f"{self.name.removesuffix(of)}{of}, which was overtaken"


@dataclass(frozen=True, slots=True)
class Invalidation:
    """One tree. ``victims`` are its nodes of invalidated code, as SnoopCompile counts them: the log
    names a caller under each callee it lost. ``functions``: how many instances these are."""

    cause: Cause
    what: str  # the cause in words
    root: str  # its subject
    epoch: int
    window: int
    world: int
    victims: int
    functions: int
    depth: int
    lost_ns: int | None
    nodes: tuple[Node, ...]

    def head(self) -> Line:
        lost = "" if self.lost_ns is None else f", {duration(self.lost_ns)} of inference lost"
        when = f"epoch {self.epoch}, world {self.world}"
        if not self.victims:
            return line((self.what, "head"), f": nothing invalidated ({when})")
        return line(
            (self.what, "head"),
            ": ",
            (f"{self.victims} invalidated", "bad"),
            f" ({counted(self.functions, 'function')}, depth {self.depth}{lost}; {when})",
        )


@dataclass(frozen=True, slots=True)
class InvalidationsView(Answer):
    """Answer of `invalidations`: the trees with most victims first."""

    asked: str | None
    epoch: int
    victims: int
    functions: int
    lost_ns: int | None
    trees: tuple[Invalidation, ...]
    advice: str  # where no tree was recorded

    @property
    def exit_code(self) -> int:
        return 3 if self.advice else 0

    def document(self) -> Document:
        if not self.trees:
            of = "Nothing was invalidated"
            if self.asked is not None:
                of = f"No invalidation tree names {self.asked}"
            return (note(self.advice or f"{of} up to epoch {self.epoch}."),)
        lost = "" if self.lost_ns is None else f", {duration(self.lost_ns)} of inference lost"
        ended = counted(self.functions, "function") if self.functions else "no function"
        size = f"{counted(len(self.trees), 'tree')}, {ended} invalidated up to epoch {self.epoch}"
        blocks: list[Block] = [note(f"{size}{lost}.")]
        for tree in self.trees[:_TREES]:
            lines = tuple(_lines(tree))
            blocks += [note(*tree.head()), *([Listing(lines)] if lines else [])]
        more = len(self.trees) - _TREES
        if more > 0:
            blocks.append(note((f"… and {counted(more, 'smaller tree')} (--json has all)", "dim")))
        return tuple(blocks)


def _lines(tree: Invalidation) -> Iterator[Line]:
    for node in tree.nodes[1 : _LINES + 1]:
        # what an earlier node has counted is 0
        lost = f"  {duration(node.lost_ns)}" if node.lost_ns else ""
        victim = node.node is TreeNode.CALLER
        depth = f"  depth {node.depth}" if victim and node.depth else ""
        name = Span(node.text(), "name" if victim else "")
        yield line("  " * node.level, name, (depth + lost, "dim"))
    more = len(tree.nodes) - 1 - _LINES
    if more > 0:
        yield line((f"  … and {more} more", "dim"))


class Trees:
    """The rows of ``invalidation_tree`` as of an epoch. A ROOT row begins a tree."""

    def __init__(self, facts: Facts) -> None:
        table, self.epochs = facts.table_with_epochs(schema.INVALIDATION_TREE)
        self._facts = facts
        self._cells = {name: values.tolist() for name, values in table.items()}
        self.count = len(self._cells["node"])

    @cached_property
    def nodes(self) -> list[Node]:
        """Every row; levels count from the root."""
        found: list[Node] = []
        roots: list[int] = []
        for row in range(self.count):
            cell = {name: values[row] for name, values in self._cells.items()}
            parent = None if cell["parent"] == NONE_U32 else cell["parent"]
            subject = self._facts.text(cell["subject"])
            kind = TreeNode(cell["node"])
            root = row if parent is None else roots[parent]
            roots.append(root)
            found.append(
                Node(
                    row=row,
                    parent=parent,
                    level=0 if parent is None else found[parent].level + 1,
                    node=kind,
                    name=self._name(kind, subject),
                    subject=subject,
                    depth=cell["depth"],
                    version=None if cell["version"] == NONE_U32 else cell["version"] + 1,
                    lost_ns=known_ns(cell["lost_ns"]),
                    overtaken=self._overtaken(subject, root) if kind is TreeNode.CALLEE else None,
                )
            )
        return found

    def _overtaken(self, callee: str, root: int) -> str | None:
        """The callee's method, if what was defined is another one."""
        defined = self._facts.text(self._cells["subject"][root])
        method = callee.partition(" @ ")[0]
        other = self.cause(root) is Cause.INSERTED and method != defined
        return subject_name(self._facts, method) if other else None

    def _name(self, node: TreeNode, subject: str) -> str:
        if node is TreeNode.MISSING:
            return short(subject)
        # a binding or a module is no key
        return subject_name(self._facts, subject) if " " in subject else subject

    def cause(self, row: int) -> Cause:
        return Cause(self._cells["cause"][row])

    def words(self, root: int) -> str:
        """``rate(::Any) was defined``; a root's own row."""
        cause, node, epoch = self.cause(root), self.nodes[root], self.epochs[root]
        known = self._changes.get((node.subject, epoch), set())
        if cause is Cause.DELETED and len(known) == 1:
            word = "replaced" if EventKind.DEFINED in known else "deleted"
            return f"{node.name} was {word}"
        name = _NO_NAME if (cause, node.name) in _NAMELESS else node.name
        return CAUSES[cause].format(name or "something")

    @cached_property
    def _changes(self) -> dict[tuple[str, int], set[EventKind]]:
        """What happened to a method in an epoch: both of its ends are DELETED in Julia's log."""
        found: dict[tuple[str, int], set[EventKind]] = {}
        for event in self._facts.events:
            if event.kind in (EventKind.DEFINED, EventKind.DELETED):
                found.setdefault((event.subject, event.epoch), set()).add(event.kind)
        return found

    def world(self, row: int) -> int:
        return int(self._cells["world"][row])

    def when(self, node: Node) -> int:
        """The world of the tree that a node stands in."""
        return self.world(self.chain(node.row)[0].row)

    def chain(self, row: int) -> tuple[Node, ...]:
        """From the root down to a node."""
        steps = [self.nodes[row]]
        while steps[-1].parent is not None:
            steps.append(self.nodes[steps[-1].parent])
        return tuple(reversed(steps))

    @cached_property
    def victims(self) -> dict[str, list[Node]]:
        """The CALLER nodes of each instance."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            if node.node is TreeNode.CALLER:
                found.setdefault(node.subject, []).append(node)
        return found

    def whole(self) -> Iterator[Invalidation]:
        """Every tree, as recorded."""
        starts = [node.row for node in self.nodes if node.parent is None]
        for start, stop in zip(starts, [*starts[1:], self.count], strict=False):
            yield self._tree(start, tuple(self.nodes[start:stop]))

    def _tree(self, row: int, nodes: tuple[Node, ...]) -> Invalidation:
        callers = [node for node in nodes if node.node is TreeNode.CALLER]
        cause = self.cause(row)
        return Invalidation(
            cause=cause,
            what=self.words(row),
            root=nodes[0].subject,
            epoch=self.epochs[row],
            window=self._cells["window"][row],
            world=self.world(row),
            victims=len(callers),
            functions=len({node.subject for node in callers}),
            depth=max((node.depth for node in callers), default=0),
            lost_ns=total(callers),
            nodes=nodes,
        )


def total(nodes: list[Node]) -> int | None:
    """The inference time thrown away; None where none of it is known."""
    known = [node.lost_ns for node in nodes if node.lost_ns is not None]
    return sum(known) if known else None


def invalidations(
    memory: Memory, name: str | None = None, *, at: int | None = None
) -> InvalidationsView:
    """All trees up to an epoch, or those in which a function is cause or victim. UnknownName."""
    facts = Facts(memory, at)
    rows = Trees(facts)
    found = list(rows.whole())
    if name is not None:
        keys = subjects_of(facts, name, {node.subject for node in rows.nodes})
        found = [tree for tree in found if any(node.subject in keys for node in tree.nodes)]
    found.sort(key=lambda tree: (-tree.victims, -(tree.lost_ns or 0)))
    callers = [node for tree in found for node in tree.nodes if node.node is TreeNode.CALLER]
    return InvalidationsView(
        asked=name,
        epoch=facts.epoch,
        victims=len(callers),
        functions=len({node.subject for node in callers}),
        lost_ns=total(callers),
        trees=tuple(found),
        advice="" if rows.count else _advice(facts),
    )


def _advice(facts: Facts) -> str:
    head = facts.head
    why = missing.of_compiler(head.recording)
    if not why or len(head.snapshot.table(schema.INVALIDATION_TREE)["node"]):
        return ""
    told = f"The compiler's own invalidation trees were not recorded: {why}."
    if not head.invalidations:
        return told
    return f"{told} `mmsb log --kind invalidated` and `mmsb why FUNCTION` tell what was worked out."

"""The inference tree: who asked for whom, and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from mmsb.base import schema
from mmsb.base.model import NONE_U32, Inference
from mmsb.memory import asked
from mmsb.memory.memory import Memory
from mmsb.query import missing, names
from mmsb.query.answers import Answer
from mmsb.query.code import duration, known_ns
from mmsb.query.document import Block, Document, Line, Listing, counted, line, note
from mmsb.query.facts import Facts, subject_name

Order = Literal["time", "recorded"]
DEPTH, CHILDREN = 4, 12


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of inference. ``hidden``: how many frames below it are not shown."""

    row: int
    parent: int | None  # row; None: asked for by running code
    level: int  # below the frame the answer begins with
    name: str
    key: str
    version: int | None
    kind: Inference
    inclusive_ns: int | None
    exclusive_ns: int | None
    hidden: int
    asked_by: str | None  # name of the frame above


@dataclass(frozen=True, slots=True)
class TreeView(Answer):
    """Answer of `tree`: frames in pre-order. Totals are of the whole recording."""

    asked: str | None
    epoch: int
    order: Order
    frames: tuple[Frame, ...]
    roots: int
    total_frames: int
    total_functions: int
    total_ns: int | None  # of all roots; None where no times are known
    hidden_roots: int
    advice: str  # where no tree was recorded, or no times

    @property
    def exit_code(self) -> int:
        return 3 if self.advice and not self.total_frames else 0

    def document(self) -> Document:
        if not self.total_frames:
            nothing = f"Nothing was inferred up to epoch {self.epoch}."
            return (note((self.advice, "warn") if self.advice else nothing),)
        took = "" if self.total_ns is None else f", {duration(self.total_ns)} of inference"
        size = (
            f"{counted(self.total_frames, 'frame')} of {counted(self.total_functions, 'function')}"
        )
        whole = "" if self.asked is None else "The whole tree: "
        roots = f"{self.roots:,} asked for by running code"
        blocks: list[Block] = [note(f"{whole}{size}, {roots}{took}, as of epoch {self.epoch}.")]
        if self.advice:
            blocks.append(note((self.advice, "warn")))
        lines = list(self._lines())
        if self.hidden_roots:
            lines.append(line((f"… and {self.hidden_roots} more at the top", "dim")))
        if self.total_ns is not None:
            blocks.append(note(("inclusive  exclusive", "dim")))
        return (*blocks, Listing(tuple(lines)))

    def _lines(self) -> Iterator[Line]:
        for frame in self.frames:
            times = ""
            if self.total_ns is not None:
                times = f"{_short(frame.inclusive_ns):>9}  {_short(frame.exclusive_ns):>9}  "
            notes = "  constant propagation" if frame.kind is Inference.CONSTANT else ""
            notes += f"  … {frame.hidden} below" if frame.hidden else ""
            if frame.level == 0 and frame.asked_by is not None:
                notes += f"  asked for by {frame.asked_by}"
            yield line((times, "dim"), "  " * frame.level, (frame.name, "name"), (notes, "dim"))


def _short(nanoseconds: int | None) -> str:
    return "" if nanoseconds is None else duration(nanoseconds)


class _Tree:
    """The rows of ``inference`` as of an epoch."""

    def __init__(self, facts: Facts) -> None:
        table = facts.snapshot.table(schema.INFERENCE)
        self.facts = facts
        self.parent: list[int] = table["parent"].tolist()
        self.instance: list[int] = table["instance"].tolist()
        self.version: list[int] = table["version"].tolist()
        self.kind: list[int] = table["kind"].tolist()
        self.inclusive = [known_ns(value) for value in table["inclusive_ns"].tolist()]
        self.exclusive = [known_ns(value) for value in table["exclusive_ns"].tolist()]
        self.children: dict[int, list[int]] = {}
        for row, parent in enumerate(self.parent):
            self.children.setdefault(parent, []).append(row)

    @cached_property
    def below(self) -> list[int]:
        """How many frames stand below each."""
        count = [0] * len(self.parent)
        down = list(self.children.get(NONE_U32, []))  # parents before their children
        for row in down:
            down += self.children.get(row, [])
        for row in reversed(down):
            if self.parent[row] != NONE_U32:
                count[self.parent[row]] += count[row] + 1
        return count

    @property
    def timed(self) -> bool:
        return any(value is not None for value in self.inclusive)

    def sorted(self, rows: list[int], order: Order) -> list[int]:
        if order == "recorded":
            return rows
        return sorted(rows, key=lambda row: -(self.inclusive[row] or 0))

    def frames(
        self, rows: list[int], order: Order, depth: int, most: int, level: int = 0
    ) -> Iterator[Frame]:
        for row in self.sorted(rows, order)[:most]:
            children = self.children.get(row, []) if level + 1 < depth else []
            shown = self.sorted(children, order)[:most]
            hidden = self.below[row] - sum(1 + self.below[child] for child in shown)
            yield self._frame(row, level, hidden)
            yield from self.frames(shown, order, depth, most, level + 1)

    def _name(self, row: int) -> str:
        return subject_name(self.facts, self.facts.text(self.instance[row]))

    def _frame(self, row: int, level: int, hidden: int) -> Frame:
        key = self.facts.text(self.instance[row])
        parent, version = self.parent[row], self.version[row]
        return Frame(
            row=row,
            parent=None if parent == NONE_U32 else parent,
            level=level,
            name=self._name(row),
            key=key,
            version=None if version == NONE_U32 else version + 1,
            kind=Inference(self.kind[row]),
            inclusive_ns=self.inclusive[row],
            exclusive_ns=self.exclusive[row],
            hidden=hidden,
            asked_by=None if parent == NONE_U32 else self._name(parent),
        )


def tree(
    memory: Memory,
    name: str | None = None,
    *,
    at: int | None = None,
    order: Order = "time",
    depth: int = DEPTH,
    most: int = CHILDREN,
) -> TreeView:
    """The frames of inference, from the top or from a function's own frames down.

    ``depth`` levels, at most ``most`` frames under each; without times, as recorded. UnknownName,
    UsageError.
    """
    depth, most = asked.count(depth, "depth"), asked.count(most, "most")
    asked.one_of(order, get_args(Order), "order")
    facts = Facts(memory, at)
    found = _Tree(facts)
    roots = found.children.get(NONE_U32, [])
    start = roots if name is None else _frames_of(facts, found, name)
    order = order if found.timed else "recorded"
    times = [found.inclusive[row] or 0 for row in roots]
    return TreeView(
        asked=name,
        epoch=facts.epoch,
        order=order,
        frames=tuple(found.frames(start, order, depth, most)),
        roots=len(roots),
        total_frames=len(found.parent),
        total_functions=len(set(found.instance)),
        total_ns=sum(times) if found.timed else None,
        hidden_roots=max(0, len(start) - most),
        advice=_advice(facts, found),
    )


def _frames_of(facts: Facts, found: _Tree, name: str) -> list[int]:
    """A function's frames that stand under no other frame of its own."""
    texts = [facts.text(id) for id in found.instance]
    keys = {function.key for function in names.instances(facts, name, dict.fromkeys(texts))}
    own = {row for row, text in enumerate(texts) if text in keys}
    return [row for row in sorted(own) if not _inside(found, row, own)]


def _inside(found: _Tree, row: int, own: set[int]) -> bool:
    step = found.parent[row]
    while step != NONE_U32:
        if step in own:
            return True
        step = found.parent[step]
    return False


def _advice(facts: Facts, found: _Tree) -> str:
    about = facts.head.recording
    julia, tier = about.get("julia", "?"), about.get("tier", "?")
    if not len(facts.head.snapshot.table(schema.INFERENCE)["parent"]):
        why = missing.of_compiler(about)
        return f"No inference tree was recorded: {why}." if why else ""
    if not found.parent:
        return ""
    if not found.timed:
        return f"No times: Julia {julia} with tier {tier} has none; frames as they were recorded."
    return ""

"""The memory as a whole: what was recorded, how much it holds, what its tier cannot see, and
whether its bytes are what was written."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from mmsb.base import schema
from mmsb.base.model import STAGES, UNSET_U8, Identity, Kept, Provenance, Rederived
from mmsb.memory.check import check as check_bytes
from mmsb.memory.memory import Memory
from mmsb.memory.salvage import salvage as salvage_bytes
from mmsb.query.answers import Answer
from mmsb.query.document import Block, Document, counted, human, note, table
from mmsb.query.facts import Facts
from mmsb.query.vitals import Vitals, vitals

_TIER_LIMITS = {
    "reflect": (
        "Inference and compile times are not recorded by this tier.",
        "The order of epochs is a logical one: definitions, then what they were compiled to.",
        "IR is what Julia answers when asked after the program ended, each at its own world.",
        "Passes between inferred and optimized, inlining decisions and costs are not seen.",
    )
}
#: What each capture leaves out, and which one has it.
_CAPTURE_LIMITS = {
    "events": ("No IR is kept; --capture final keeps what was lowered, inferred, optimized.",),
    "final": ("Passes between inferred and optimized are not kept; --capture passes keeps them.",),
    "passes": ("Inlining decisions and their costs are not kept; --capture decisions has them.",),
    "decisions": (
        "Passes between inferred and optimized are not kept; --capture passes keeps them.",
    ),
}
_LIMITS = (
    "Code at top level (outside of functions) is not recorded.",
    "Nothing of LLVM or machine code is kept.",
)


@dataclass(frozen=True, slots=True)
class StatsView(Answer):
    """Answer of `stats`. A fact is a row of any kind but the heap of texts."""

    path: str
    recording: dict[str, str]
    epochs: int
    functions: int  # in scope
    far: int  # instances out of scope, known without a body
    facts: int
    bytes: int
    stored_bytes: int
    rows: dict[str, int]
    bytes_by_kind: dict[str, int]
    pages: int
    deltas: int
    segments: int
    identity: dict[str, int]  # statements by how their row was found
    provenance: dict[str, int]  # code objects by who said them
    kept: dict[str, int]  # by what the compiler kept of their final IR
    rederived: dict[str, int]  # by what came of asking again
    bodies: dict[str, int]  # code objects that have a stage
    dropped: int
    not_deterministic: tuple[str, ...]  # why, if it is not
    limits: tuple[str, ...]
    vitals: Vitals

    def document(self) -> Document:
        about = self.recording
        julia = about.get("julia", "?")
        far = f" and {self.far} more out of scope" if self.far else ""
        per_fact = self.stored_bytes / self.facts if self.facts else 0.0
        blocks: list[Block] = [
            note(
                (self.path, "name"),
                f": Julia {julia}, {_tier(about)}, {_threads(about)}, depth "
                f"{about.get('depth', '?')}, recording ",
                (
                    about.get("state", "unknown"),
                    "good" if about.get("state") == "complete" else "bad",
                ),
                f", exit code {about.get('exit_code', '?')}.",
            ),
            note(
                f"{counted(self.epochs, 'epoch')}, {counted(self.functions, 'function')}{far}, "
                f"{counted(self.facts, 'fact')} in {human(self.stored_bytes)} of log "
                f"({per_fact:.1f} bytes a fact; "
                f"{human(self.bytes)} on disk).",
            ),
            table(
                ("kind", "rows", "bytes stored"),
                (
                    (kind, f"{count:,}", f"{self.bytes_by_kind.get(kind, 0):,}")
                    for kind, count in self.rows.items()
                    if count
                ),
                right={1, 2},
            ),
        ]
        exact, guessed, new = (self.identity[name] for name in ("exact", "guessed", "new"))
        if exact + guessed + new:
            blocks.append(
                note(
                    f"Statements: {exact:,} with an origin that the compiler names, {guessed:,} "
                    f"matched by guess, {new:,} inserted or inlined by the optimizer."
                )
            )
        blocks += self._codes()
        if self.dropped:
            lost = f"{counted(self.dropped, 'code object')} left out: more than --limit were seen."
            blocks.append(note((lost, "bad")))
        if self.not_deterministic:
            why = "; ".join(self.not_deterministic)
            blocks.append(note((f"Not deterministic, because {why}.", "warn")))
        if about.get("reason"):
            blocks.append(note(("Incomplete: " + about["reason"], "bad")))
        blocks += self.vitals.blocks()
        return (*blocks, *(note((limit, "dim")) for limit in self.limits))

    def _codes(self) -> list[Block]:
        told = [_counted("Code objects", self.provenance), _counted("Their stages", self.bodies)]
        if any(self.kept[name] for name in ("discarded", "kept", "constant")):
            told.append(_counted("Final IR, by what the compiler kept", self.kept))
        if any(count for name, count in self.rederived.items() if name != "not_asked"):
            told.append(_counted("Asked again for it", self.rederived))
        return [note(text) for text in told if text]


def _tier(about: dict[str, str]) -> str:
    """``tier native, capture passes``; and why it is not a larger one."""
    tier, capture = about.get("tier", "?"), about.get("capture", "")
    named = f", capture {capture}" if capture not in ("", tier) else ""
    why = f" ({about['tier_reason']})" if "tier_reason" in about else ""
    return f"tier {tier}{named}{why}"


def _threads(about: dict[str, str]) -> str:
    told = about.get("threads", "?")
    return counted(int(told), "thread") if told.isdigit() else f"{told} threads"


def _counted(what: str, counts: dict[str, int]) -> str:
    told = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n)
    return f"{what}: {told}." if told else ""


def stats(memory: Memory) -> StatsView:
    """Counts, bytes, and what is known of the recording. Reads one column of all statements."""
    found = memory.stats()
    facts = Facts(memory)
    recording = facts.recording
    rows: dict[str, int] = found["rows"]
    near = sum(function.in_scope for function in facts.functions)
    return StatsView(
        path=str(memory.path),
        recording=recording,
        epochs=found["epochs"],
        functions=near,
        far=len(facts.functions) - near,
        facts=sum(count for kind, count in rows.items() if kind != "heap"),
        bytes=found["bytes"],
        stored_bytes=sum(found["bytes_by_kind"].values()),
        rows=rows,
        bytes_by_kind=found["bytes_by_kind"],
        pages=found["pages"],
        deltas=found["deltas"],
        segments=found["segments"],
        identity=_counts(facts, schema.STATEMENT, "identity", Identity),
        provenance=_counts(facts, schema.CODE, "provenance", Provenance),
        kept=_counts(facts, schema.CODE, "kept", Kept),
        rederived=_counts(facts, schema.CODE, "rederived", Rederived),
        bodies=_bodies(facts),
        dropped=int(recording.get("dropped", "0")),
        not_deterministic=not_deterministic(recording),
        limits=limits(recording),
        vitals=vitals(found),
    )


def _counts(facts: Facts, kind: schema.Kind, name: str, words: type[IntEnum]) -> dict[str, int]:
    """How many rows of a kind hold each value of a column."""
    values, _ = facts.snapshot.gather(kind, name)
    counts = np.bincount(values, minlength=len(words)).tolist()
    return {word.name.lower(): counts[word] for word in words}


def _bodies(facts: Facts) -> dict[str, int]:
    found = {}
    for stage in STAGES:
        values, _ = facts.snapshot.gather(schema.CODE, schema.staged("provenance", stage))
        found[stage.name.lower()] = int((values != UNSET_U8).sum())
    return found


def limits(recording: dict[str, str]) -> tuple[str, ...]:
    """What a recording of this tier cannot tell, one sentence each."""
    tier, capture = recording.get("tier", ""), recording.get("capture", "")
    return (*_TIER_LIMITS.get(tier, ()), *_CAPTURE_LIMITS.get(capture, ()), *_LIMITS)


def not_deterministic(recording: dict[str, str]) -> tuple[str, ...]:
    """Why the same program recorded again may give another memory."""
    found = []
    if int(recording.get("dropped", "0")):
        left_out = counted(int(recording["dropped"]), "code object")
        found.append(f"--limit left out {left_out}")
    if "min_inference_ms" in recording:
        least = recording["min_inference_ms"]
        found.append(f"code was chosen by the time its inference took (at least {least} ms)")
    if recording.get("state") == "incomplete":
        found.append("the recording is incomplete")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CheckView(Answer):
    """Answer of `check`."""

    path: str
    sound: bool
    epochs: int
    segments: int
    bytes: int
    problems: tuple[str, ...]
    torn: tuple[str, ...]

    def document(self) -> Document:
        blocks: list[Block] = [
            note(
                (self.path, "name"),
                ": ",
                ("sound", "good") if self.sound else ("damaged", "bad"),
                f"; {counted(self.epochs, 'sound frame')}, {human(self.bytes)} read.",
            )
        ]
        blocks += [note((problem, "bad")) for problem in self.problems]
        blocks += [note((f"torn tail, to be cut: {problem}", "warn")) for problem in self.torn]
        if not self.sound:
            blocks.append(
                note("`mmsb check --salvage OUT` writes all that is whole to a new memory.")
            )
        return tuple(blocks)


def check(path: str | os.PathLike[str]) -> CheckView:
    """Verifies every checksum and bound of a memory. NotAMemory, NewerFormat."""
    report = check_bytes(path)
    return CheckView(
        path=str(Path(path)),
        sound=report.sound,
        epochs=report.epochs,
        segments=report.segments,
        bytes=report.bytes,
        problems=tuple(map(str, report.problems)),
        torn=tuple(map(str, report.torn)),
    )


@dataclass(frozen=True, slots=True)
class SalvageView(Answer):
    """Answer of `salvage`."""

    path: str
    out: str
    exact: int
    epochs: int
    lost: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return 4 if self.lost else 0

    def document(self) -> Document:
        what = f"exactly up to epoch {self.exact}, with losses from there on"
        blocks: list[Block] = [
            note(
                (self.path, "name"),
                " was written to ",
                (self.out, "name"),
                ": ",
                (what, "warn") if self.lost else ("all of it", "good"),
                f"; {counted(self.epochs, 'epoch')}.",
            )
        ]
        blocks += [note((f"lost: {problem}", "bad")) for problem in self.lost]
        return tuple(blocks)


def salvage(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> SalvageView:
    """Writes all that is whole to a new memory; as `mmsb.memory.salvage.salvage`."""
    found = salvage_bytes(path, out)
    lost = tuple(map(str, found.lost))
    return SalvageView(str(Path(path)), str(Path(out)), found.exact, found.head, lost)


@dataclass(frozen=True, slots=True)
class CompactView(Answer):
    """Answer of `compact`. Bytes are those of the segments that were compressed."""

    path: str
    segments: int
    before: int
    after: int

    def document(self) -> Document:
        if not self.segments:
            return (note((self.path, "name"), ": nothing was left that compressing pays for."),)
        what = f"{counted(self.segments, 'segment')} compressed, "
        sizes = f"{human(self.before)} are {human(self.after)} now."
        return (note((self.path, "name"), ": ", what, sizes),)


@dataclass(frozen=True, slots=True)
class RetainView(Answer):
    """Answer of `retain`: the epochs that are left, and bytes of all files before and after."""

    path: str
    base: int
    head: int
    before: int
    after: int

    def document(self) -> Document:
        left = (
            f": epochs {self.base} … {self.head} are left, as they were; what was older is gone. "
        )
        if not self.base:
            left = f": epochs 0 … {self.head} are left, which are all. "
        sizes = f"{human(self.before)} are {human(self.after)} now"
        if self.after <= self.before:
            return (note((self.path, "name"), f"{left}{sizes}."),)
        why = (
            ", which is more: the log was written anew, its first epoch whole and nothing of it "
            f"compressed. `mmsb compact -m {shlex.quote(self.path)}` compresses it."
        )
        return (note((self.path, "name"), left + sizes, (why, "warn")),)


def retain(
    path: str | os.PathLike[str], from_epoch: int | None, epochs: int | None = None
) -> RetainView:
    """Forgets old epochs of a memory that nobody writes to; as `Memory.retain`."""
    with Memory.open(path, write=True) as memory:
        before = memory.stats()["bytes"]
        base = memory.retain(from_epoch, epochs=epochs)
        after, head = memory.stats()["bytes"], memory.head
    return RetainView(str(Path(path)), base, head, before, after)


def compact(path: str | os.PathLike[str]) -> CompactView:
    """Compresses a memory that nobody writes to; as `mmsb.memory.memory.Memory.compact`."""
    with Memory.open(path, write=True) as memory:
        done = memory.compact(seal=True)
    return CompactView(str(Path(path)), len(done.segments), done.before, done.after)

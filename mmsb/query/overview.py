"""The memory as a whole: what was recorded, how much it holds, what its tier cannot see, and
whether its bytes are what was written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsb.base import schema
from mmsb.base.model import Identity
from mmsb.memory.check import check as check_bytes
from mmsb.memory.memory import Memory
from mmsb.query.answers import Answer
from mmsb.query.document import Block, Document, note, table
from mmsb.query.facts import Facts

_TIER_LIMITS = {
    "reflect": (
        "Inference and compile times are not recorded by this tier.",
        "The order of epochs is a logical one: definitions, then what they were compiled to.",
        "IR is what Julia answers when asked after the program ended, each at its own world.",
        "Passes between inferred and optimized, inlining decisions and costs are not seen.",
    )
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
    functions: int
    facts: int
    bytes: int
    stored_bytes: int
    rows: dict[str, int]
    bytes_by_kind: dict[str, int]
    pages: int
    deltas: int
    segments: int
    identity: dict[str, int]  # statements by how their row was found
    limits: tuple[str, ...]

    def document(self) -> Document:
        about = self.recording
        julia, tier = about.get("julia", "?"), about.get("tier", "?")
        per_fact = self.stored_bytes / self.facts if self.facts else 0.0
        blocks: list[Block] = [
            note(
                (self.path, "name"),
                f": Julia {julia}, tier {tier}, {about.get('threads', '?')} thread(s), depth "
                f"{about.get('depth', '?')}, recording ",
                (
                    about.get("state", "unknown"),
                    "good" if about.get("state") == "complete" else "bad",
                ),
                f", exit code {about.get('exit_code', '?')}.",
            ),
            note(
                f"{self.epochs} epochs, {self.functions} functions, {self.facts:,} facts in "
                f"{human(self.stored_bytes)} of log ({per_fact:.1f} bytes a fact; "
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
        if "reason" in about:
            blocks.append(note(("Incomplete: " + about["reason"], "bad")))
        return (*blocks, *(note((limit, "dim")) for limit in self.limits))


def human(count: float) -> str:
    """``1.2 MB``."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def stats(memory: Memory) -> StatsView:
    """Counts, bytes, and what is known of the recording. Reads one column of all statements."""
    found = memory.stats()
    recording = Facts(memory).recording
    rows: dict[str, int] = found["rows"]
    return StatsView(
        path=str(memory.path),
        recording=recording,
        epochs=found["epochs"],
        functions=rows.get("instance", 0),
        facts=sum(count for kind, count in rows.items() if kind != "heap"),
        bytes=found["bytes"],
        stored_bytes=sum(found["bytes_by_kind"].values()),
        rows=rows,
        bytes_by_kind=found["bytes_by_kind"],
        pages=found["pages"],
        deltas=found["deltas"],
        segments=found["segments"],
        identity=_identity(memory),
        limits=limits(recording),
    )


def _identity(memory: Memory) -> dict[str, int]:
    values, _ = memory.at().gather(schema.STATEMENT, "identity")
    counts = np.bincount(values, minlength=len(Identity)).tolist()
    return {identity.name.lower(): counts[identity] for identity in Identity}


def limits(recording: dict[str, str]) -> tuple[str, ...]:
    """What a recording of this tier cannot tell, one sentence each."""
    return (*_TIER_LIMITS.get(recording.get("tier", ""), ()), *_LIMITS)


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
                f"; {self.epochs} frames hold, {human(self.bytes)} read.",
            )
        ]
        blocks += [note((problem, "bad")) for problem in self.problems]
        blocks += [note((f"torn tail, to be cut: {problem}", "warn")) for problem in self.torn]
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

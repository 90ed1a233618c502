"""A Julia program run to its end by a process of its own, and its memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from mmsb.base.errors import (
    JuliaFailed,
    JuliaNotFound,
)
from mmsb.capture import command, prepared, process
from mmsb.capture import julia as finder
from mmsb.capture.hanging import GRACE
from mmsb.capture.process import Progress, Recorded, Settings
from mmsb.capture.scheduler import compilations
from mmsb.capture.stream import Stream
from mmsb.capture.translate import Translator
from mmsb.memory import place
from mmsb.memory.memory import Memory
from mmsb.query import sources


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """What ``record`` made. ``state``: ``complete``, or ``incomplete`` with the reason in
    ``message``. ``path`` is None where Julia ended before the recorder began."""

    path: str | None
    exit_code: int
    state: str
    message: str
    julia: str
    epochs: int
    instances: int
    facts: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return self.message


def _quiet(_what: str, _done: int, _total: int) -> None:
    pass


def record(
    argv: str | Sequence[str],
    output: str | os.PathLike[str] | None = None,
    *,
    depth: int = 1,
    modules: Sequence[str] = (),
    literals: bool = True,
    capture: str = "final",
    functions: Sequence[str] = (),
    min_inference_ms: float = 0.0,
    limit: int = 0,
    apart: bool = False,
    replace: bool = False,
    progress: Progress = _quiet,
    julia: finder.Candidate | None = None,
    stdout: int | None = None,
) -> RecordingResult:
    """Run a Julia program as ``julia …`` would and keep what its compiler did.

    ``argv``: ``["julia", "--project=.", "script.jl", "args"]``, ``["script.jl", "args"]`` or
    ``"script.jl"``. The memory is written to ``output`` (default: the script's name with
    ``.mmsb``) when the program has ended, all of it or none; its exit code is in the result.

    ``depth`` to ``apart``: see ``mmsb.capture.process.Settings``. ``stdout``: the descriptor that
    is the program's standard output, where it is not to be this process's.

    Raises UsageError (no such script, the output exists), JuliaNotFound, JuliaFailed (it cannot be
    started), ReadOnly, NoSpace.
    """
    settings = Settings(
        depth,
        tuple(modules),
        literals,
        capture,
        tuple(functions),
        min_inference_ms,
        limit,
        apart,
    )
    parsed = command.parse([argv] if isinstance(argv, str) else argv)
    path = _output(output, parsed, replace)
    chosen = julia or julia_of(parsed)
    progress("preparing the recorder", 0, 0)
    prepared.precompile(chosen, parsed)
    progress("running the program", 0, 0)
    recorded = process.run(chosen, parsed, settings, progress, stdout)
    if not recorded.stream.notes:
        return RecordingResult(
            None,
            recorded.exit_code,
            "incomplete",
            f"Julia ended with exit code {recorded.exit_code} before the recorder began; nothing "
            "was recorded",
            str(chosen.version),
            *(0, 0, 0, 0),
        )
    return write(recorded, path, replace=replace, progress=progress)


def write(
    recorded: Recorded, path: Path, *, replace: bool = False, progress: Progress = _quiet
) -> RecordingResult:
    """Translate what was recorded into a new memory at ``path``; it appears whole or not at all.

    Where something came to ``path`` meanwhile, or the recording is incomplete and would replace
    another, it gets the next free name, which the result tells.
    """
    notes = recorded.stream.notes
    state, reason = _state(recorded)
    stop = int(notes["trace_end"]) if "trace_end" in notes else None
    lines = compilations(recorded.trace, int(notes["trace_start"]), stop)
    facts = {
        "state": state,
        "exit_code": str(recorded.exit_code),
        "order": "logical order inside a window",
        "deterministic": "yes" if state == "complete" and not is_filtered(notes) else "no",
        **({"reason": reason} if reason else {}),
    }
    translator = Translator(recorded.stream)
    with place.unfinished(path) as folder:
        with Memory.create(folder) as memory:
            steps = [*translator.steps(lines), translator.finish(facts)]
            for done, step in enumerate(steps):
                progress("writing the memory", done, len(steps))
                changes = memory.changes()
                step(changes)
                memory.commit(changes, narrow=True)
            memory.sync()
        written = place.publish(folder, path, replace=replace and state == "complete")
    remember_sources(recorded.stream)
    result = summary(written, notes, state, reason, recorded.exit_code)
    if written != path:
        message = f"{result.message} ({path} was left as it is)"
        return replaced(result, message=message)
    return result


def summary(
    written: Path, notes: Mapping[str, str], state: str, reason: str, exit_code: int = 0
) -> RecordingResult:
    """What there is to say of a memory that has been written."""
    with Memory.open(written) as memory:
        stats, epochs = memory.stats(), memory.head
    rows = stats["rows"]
    counted = sum(n for kind, n in rows.items() if kind != "heap")
    found = f"{rows['instance']} method instances, {epochs} epochs, Julia {notes['julia']}"
    remarks = [f"incomplete: {reason}"] if reason else []
    message = "; ".join([f"{written}: {found}", *_remarks(notes), *remarks])
    return RecordingResult(
        str(written),
        exit_code,
        state,
        message,
        notes["julia"],
        epochs,
        rows["instance"],
        counted,
        stats["bytes"],
    )


def _remarks(notes: Mapping[str, str]) -> list[str]:
    """What was asked for and is not there."""
    said = {
        "tier_reason": "{}",
        "functions_not_seen": "no recorded function is named {}",
        "modules_not_seen": "no recorded method is of a module {}",
        "dropped": "{} code objects beyond the limit were left out",
    }
    return [words.format(notes[name]) for name, words in said.items() if name in notes]


def is_filtered(notes: Mapping[str, str]) -> bool:
    """Was something left out by time, or for want of room? Then twice is not the same."""
    return "dropped" in notes or "min_inference_ms" in notes


def _state(recorded: Recorded) -> tuple[str, str]:
    notes = recorded.stream.notes
    if recorded.hung:
        return "incomplete", (
            f"Julia did not come to its end by signal {recorded.exit_code - 128}, was silent for "
            f"{GRACE:.0f} s and was killed"
        )
    if recorded.exit_code > 128:
        return "incomplete", f"the program was killed by signal {recorded.exit_code - 128}"
    if fault := recorder_fault(notes):
        return "incomplete", fault
    if recorded.leftover:
        return "incomplete", "the recorder was ended while it was sending: the rest is missing"
    if "ended" not in notes:
        return "incomplete", "the program ended without its exit hooks"
    return "complete", ""


def recorder_fault(notes: Mapping[str, str]) -> str:
    """What the recorder itself could not do, "" if nothing."""
    if "fault" in notes:
        return f"the recorder failed: {notes['fault']}"
    if "faults" in notes:
        return (
            f"{notes['faults']} code objects could not be asked for: {notes.get('first_fault', '')}"
        )
    return ""


def _output(
    output: str | os.PathLike[str] | None, parsed: command.JuliaCommand, replace: bool
) -> Path:
    name = Path(parsed.script[0]).stem if parsed.script else "session"
    path = Path(output) if output is not None else Path(f"{name}.mmsb")
    return place.check_target(path, replace=replace)


def julia_of(parsed: command.JuliaCommand) -> finder.Candidate:
    """The Julia the command names; the word ``julia`` alone means the one mmsb chooses."""
    if parsed.program == "julia":
        return finder.require()
    path = shutil.which(parsed.program)
    if path is None:
        raise JuliaNotFound(f"there is no program {parsed.program}: check the path")
    found = finder.probe("command line", path)
    if not found.ok:
        raise JuliaFailed(f"{parsed.program} cannot be recorded: {found.reason}")
    return found


def remember_sources(stream: Stream) -> None:
    """Hints of where the files of a recording lie, kept beside the memories."""
    symbols = stream.symbols
    sources.remember(
        (symbols[content], symbols[path])
        for content, _name, _lines, path in stream.files
        if symbols[content] and symbols[path]
    )

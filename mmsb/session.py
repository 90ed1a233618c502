"""The one place where the stages meet: record, translate, commit, and hand over to the reader."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmsb.base.errors import (
    EnvironmentProblem,
    JuliaFailed,
    JuliaNotFound,
    StateError,
)
from mmsb.capture import command, process
from mmsb.capture import install as installer
from mmsb.capture import julia as finder
from mmsb.capture.conversation import Conversation
from mmsb.capture.process import Progress, Recorded, Settings
from mmsb.capture.scheduler import compilations
from mmsb.capture.translate import Translator
from mmsb.memory import place
from mmsb.memory.memory import Memory
from mmsb.query import sources
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader


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
    argv: Sequence[str],
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
) -> RecordingResult:
    """Run a Julia program as ``julia …`` would and keep what its compiler did.

    ``argv``: ``["julia", "--project=.", "script.jl", "args"]`` or ``["script.jl", "args"]``. The
    memory is written to ``output`` (default: the script's name with ``.mmsb``) when the program
    has ended, all of it or none. The program's own exit code is in the result.

    ``capture``: ``"events"`` (what the compiler did, without IR), ``"final"`` (also lowered,
    inferred and final IR), ``"passes"`` (also after every pass), ``"decisions"`` (also why it was
    inlined or not), ``"reflect"`` (public reflection alone, what an unknown Julia gets). IR can be
    kept of ``functions`` alone, or of what took ``min_inference_ms`` to infer; ``limit`` bounds
    the code objects. ``apart`` asks the compiler again in a second process.

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
    parsed = command.parse(argv)
    path = _output(output, parsed, replace)
    chosen = julia or _julia_of(parsed)
    progress("preparing the recorder", 0, 0)
    process.precompile(chosen, parsed)
    progress("running the program", 0, 0)
    recorded = process.run(chosen, parsed, settings, progress)
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
        "deterministic": "yes" if state == "complete" and not _filtered(notes) else "no",
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
                memory.commit(changes)
            memory.sync()
        with Memory.open(folder) as memory:
            stats, epochs = memory.stats(), memory.head
        written = place.publish(folder, path, replace=replace and state == "complete")
    _remember_sources(recorded)
    rows = stats["rows"]
    counted = sum(n for kind, n in rows.items() if kind != "heap")
    message = f"{written}: {rows['instance']} method instances, {epochs} epochs"
    if written != path:
        message = f"{message} ({path} was left as it is)"
    if reason:
        message = f"{message}; incomplete: {reason}"
    return RecordingResult(
        str(written),
        recorded.exit_code,
        state,
        message,
        notes["julia"],
        epochs,
        rows["instance"],
        counted,
        stats["bytes"],
    )


def _filtered(notes: Mapping[str, str]) -> bool:
    """Was something left out by time, or for want of room? Then twice is not the same."""
    return "dropped" in notes or "min_inference_ms" in notes


def _state(recorded: Recorded) -> tuple[str, str]:
    notes = recorded.stream.notes
    if recorded.exit_code > 128:
        return "incomplete", f"the program was killed by signal {recorded.exit_code - 128}"
    if "fault" in notes:
        return "incomplete", f"the recorder failed: {notes['fault']}"
    if "faults" in notes:
        first = notes["first_fault"]
        return "incomplete", f"{notes['faults']} code objects could not be asked for: {first}"
    if "ended" not in notes or recorded.leftover:
        return "incomplete", "the program ended without its exit hooks"
    return "complete", ""


def _output(
    output: str | os.PathLike[str] | None, parsed: command.JuliaCommand, replace: bool
) -> Path:
    name = Path(parsed.script[0]).stem if parsed.script else "session"
    path = Path(output) if output is not None else Path(f"{name}.mmsb")
    return place.check_target(path, replace=replace)


def _julia_of(parsed: command.JuliaCommand) -> finder.Candidate:
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


def _remember_sources(recorded: Recorded) -> None:
    symbols = recorded.stream.symbols
    sources.remember(
        (symbols[content], symbols[path])
        for content, _name, _lines, path in recorded.stream.files
        if symbols[content] and symbols[path]
    )


class Session:
    """A live Julia that is recorded while you send it code. Made by ``start``.

    >>> session = mmsb.start("session.mmsb")
    >>> session.run("f(x) = x + 1; f(2)")
    >>> memory = session.stop()
    """

    def __init__(
        self, path: Path, julia: finder.Candidate, settings: Settings, *, replace: bool = False
    ) -> None:
        process.precompile(julia, command.JuliaCommand("julia", (), ()))
        self._replace = replace
        self.path = path
        self.julia = str(julia.version)
        self.result: RecordingResult | None = None
        self._conversation: Conversation | None = Conversation(julia, settings)

    def run(self, code: str) -> None:
        """Evaluate Julia code at top level in Main; its output goes where Python's goes.

        Raises JuliaFailed with Julia's message and stack, and StateError after ``stop``.
        """
        if self._conversation is None:
            raise StateError("this session has been stopped: start another")
        self._conversation.run(code)

    def stop(self) -> Reader:
        """End Julia, write the memory, and open it for reading. Stopping twice opens it again."""
        if self._conversation is not None:
            conversation, self._conversation = self._conversation, None
            self.result = write(conversation.end(), self.path, replace=self._replace)
            self.path = Path(str(self.result.path))
        return open_memory(self.path)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop().close()


def start(
    path: str | os.PathLike[str] = "session.mmsb",
    *,
    julia: str = "auto",
    depth: int = 1,
    modules: Sequence[str] = (),
    literals: bool = True,
    capture: str = "final",
    functions: Sequence[str] = (),
    replace: bool = False,
) -> Session:
    """Start a Julia of its own and record what its compiler does with the code it is sent.

    ``julia``: ``"auto"`` or the path of one. The memory is written to ``path`` by ``stop``.
    Raises UsageError (``path`` exists), JuliaNotFound, JuliaFailed.
    """
    parsed = command.JuliaCommand("julia" if julia == "auto" else julia, (), ())
    where = _output(path, parsed, replace)
    settings = Settings(depth, tuple(modules), literals, capture, tuple(functions))
    return Session(where, _julia_of(parsed), settings, replace=replace)


def stop(session: Session) -> Reader:
    """``session.stop()``."""
    return session.stop()


def doctor(*, install: bool = False, progress: installer.Progress | None = None) -> finder.Decision:
    """Every Julia that could be used, the one that is, and why. Installs only if asked to."""
    return finder.find(install=install, progress=progress)


@dataclass(frozen=True, slots=True)
class Demo:
    """What ``demo`` shows. ``played``: no Julia was there, and the memory ships with mmsb."""

    path: str
    played: bool
    decision: finder.Decision
    result: RecordingResult | None


def demo(
    output: str | os.PathLike[str] = "tour.mmsb",
    *,
    progress: Progress = _quiet,
    install_progress: installer.Progress | None = None,
) -> Demo:
    """Record ``examples/tour.jl``, with a Julia that is installed if none is there; without one,
    the memory that ships with the package. Replaces an earlier ``output``.
    """
    decision = finder.find(install=True, progress=install_progress)
    if decision.chosen is None:
        return Demo(str(_shipped("tour.mmsb")), True, decision, None)
    result = record(
        [str(_shipped("tour.jl"))],
        output,
        capture="passes",
        replace=True,
        progress=progress,
        julia=decision.chosen,
    )
    return Demo(str(result.path), False, decision, result)


def _shipped(name: str) -> Path:
    """A file of the demo: in a wheel under mmsb/data, in a checkout under examples too."""
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "examples"):
        if (folder / name).exists():
            return folder / name
    raise EnvironmentProblem(f"this installation of mmsb lacks {name}: install mmsb again")

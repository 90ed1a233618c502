"""The process host: a Julia of its own runs the program, and the shim in it writes to a pipe."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from mmsb.base.errors import JuliaFailed, UsageError, quote
from mmsb.base.spans import span
from mmsb.capture.command import JuliaCommand
from mmsb.capture.frames import FrameReader
from mmsb.capture.hanging import GRACE, Watch
from mmsb.capture.julia import Candidate, shim_path
from mmsb.capture.prepared import depot_of
from mmsb.capture.stream import Stream

#: Called with what is being done, how much of it is done, and how much there is (0: not known).
Progress = Callable[[str, int, int], None]

#: What can be recorded, from least to most; ``reflect`` is the public reflection API alone.
CAPTURES = ("events", "final", "passes", "decisions", "reflect")


@dataclass(frozen=True, slots=True)
class Settings:
    """What to record. ``depth``: calls away from the user's modules; ``modules``: root modules
    recorded although they are not the user's; ``literals``: keep short literals.

    ``capture``: ``"events"`` (what the compiler did, without IR), ``"final"`` (also lowered,
    inferred and final IR), ``"passes"`` (final, and after every pass), ``"decisions"`` (final, and
    why it was inlined or not), ``"reflect"`` (public reflection alone, what an unknown Julia gets).
    ``functions``: if any, IR of these alone; ``min_inference_ms``: IR only of what took so long to
    infer; ``limit``: at most so many code objects of the compiler's queue, 0 for all; ``apart``:
    ask the compiler again in a second process.
    """

    depth: int = 1
    modules: tuple[str, ...] = ()
    literals: bool = True
    capture: str = "final"
    functions: tuple[str, ...] = ()
    min_inference_ms: float = 0.0
    limit: int = 0
    apart: bool = False

    def __post_init__(self) -> None:
        if self.capture not in CAPTURES:
            raise UsageError(
                f"there is no capture {quote(self.capture)}; give one of {', '.join(CAPTURES)}"
            )
        if self.depth < 0:
            raise UsageError(
                f"the depth is {self.depth}: give 0 (the user's modules alone) or more"
            )
        if self.limit < 0 or self.min_inference_ms < 0:
            raise UsageError("the limit and the least inference time are 0 (none) or more")

    def environment(self) -> dict[str, str]:
        """As the shim's loader reads them."""
        return {
            "MMSB_DEPTH": str(self.depth),
            "MMSB_MODULES": ",".join(self.modules),
            "MMSB_LITERALS": "1" if self.literals else "0",
            "MMSB_CAPTURE": self.capture,
            "MMSB_FUNCTIONS": "\n".join(self.functions),
            "MMSB_MIN_MS": str(self.min_inference_ms),
            "MMSB_LIMIT": str(self.limit),
            "MMSB_APART": "1" if self.apart else "0",
        }


@dataclass(slots=True)
class Recorded:
    """What came out of one run. ``exit_code`` as a shell reports it (128 + signal). ``hung``: Julia
    did not get to its end by that signal, and was killed."""

    stream: Stream = field(default_factory=Stream)
    trace: bytes = b""
    exit_code: int = 0
    leftover: int = 0  # bytes of a frame that never ended
    hung: bool = False


def run(
    julia: Candidate,
    command: JuliaCommand,
    settings: Settings,
    progress: Progress,
    stdout: int | None = None,
) -> Recorded:
    """Runs the program to its end and returns what was recorded of it.

    The child's standard streams are this process's own, but for ``stdout`` where that is a
    descriptor. Raises JuliaFailed if it cannot start.
    """
    with Child(julia, command, settings, stdout=stdout) as child, _signals_go_to(child):
        return child.collect(progress)


class Child:
    """A Julia with the recorder in it. ``collect`` waits for its end; leaving kills it."""

    def __init__(
        self,
        julia: Candidate,
        command: JuliaCommand,
        settings: Settings,
        pipes: Mapping[str, int] = MappingProxyType({}),
        stdout: int | None = None,
    ) -> None:
        """``pipes``: further descriptors handed down, by the variable that names them."""
        self._folder = tempfile.TemporaryDirectory(prefix="mmsb-")
        self._trace = Path(self._folder.name) / "trace"
        self._trace.touch()
        self._receive, send = os.pipe()
        words = command.recorded(str(julia.path), shim_path() / "loader.jl", self._trace)
        handed = {**pipes, "MMSB_FD": send}
        try:
            self.process = subprocess.Popen(
                words,
                env=_environment(julia, settings, handed, self._trace),
                pass_fds=tuple(handed.values()),
                stdout=stdout,
            )
        except OSError as problem:
            os.close(self._receive)
            self._folder.cleanup()
            raise JuliaFailed(f"{julia.path} cannot be started: {problem}") from problem
        finally:
            os.close(send)
        self.watch, self._hung = Watch(self.process.pid), False

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._receive)
        self._folder.cleanup()

    def collect(self, progress: Progress, wire: BinaryIO | None = None) -> Recorded:
        """Reads frames until the child has ended: its own children may hold the pipe longer.

        ``wire``: where what comes is written as it comes.
        """
        recorded = Recorded()
        reader = FrameReader()
        for data in self._chunks():
            if wire is not None:
                wire.write(data)
            with span("drain", bytes=len(data)):
                for frame in reader.feed(data):
                    recorded.stream.add(frame)
                    if recorded.stream.questions:  # the program has ended
                        asked = len(recorded.stream.codes)
                        progress("asking Julia", asked, recorded.stream.questions)
        recorded.leftover = reader.leftover
        recorded.trace = self._trace.read_bytes()
        code = self.process.returncode
        recorded.exit_code = code if code >= 0 else 128 - code
        if self._hung:
            recorded.hung, recorded.exit_code = True, 128 + self.watch.signal
        return recorded

    def _chunks(self) -> Iterator[bytes]:
        os.set_blocking(self._receive, False)
        wake, waker = os.pipe()

        def wait() -> None:
            self.process.wait()
            os.write(waker, b"x")

        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        try:
            ended, open_ = False, True
            while not ended:
                sources = [wake, *([self._receive] if open_ else [])]
                ready, _, _ = select.select(sources, [], [], min(GRACE / 4, 15.0))
                ended = wake in ready
                if ready:
                    self.watch.heard()
                elif self.watch.hangs():
                    self._hung = True
                    self.process.kill()
                while open_:
                    try:
                        data = os.read(self._receive, 1 << 20)
                    except BlockingIOError:
                        break
                    open_ = bool(data)
                    yield data
        finally:
            if self.process.poll() is None:
                self.process.kill()
            waiter.join()
            os.close(wake)
            os.close(waker)


def _environment(
    julia: Candidate, settings: Settings, pipes: Mapping[str, int], trace: Path
) -> Mapping[str, str]:
    own = {
        **{name: str(descriptor) for name, descriptor in pipes.items()},
        "MMSB_HOST": str(os.getpid()),
        "MMSB_TRACE": str(trace),
        **settings.environment(),
        "MMSB_DEPOT": str(depot_of(shim_path())),
    }
    if "LD_LIBRARY_PATH" in julia.env:
        own["MMSB_LD_LIBRARY_PATH"] = os.environ.get("LD_LIBRARY_PATH", "")
    return {**os.environ, **julia.env, **own}


@contextlib.contextmanager
def _signals_go_to(child: Child) -> Iterator[None]:
    """This process waits for what the program makes of a signal, and keeps its record.

    Ctrl-C reaches the program by itself, as all of the terminal's foreground; what is sent to this
    process alone is handed on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def came(number: int, _: object) -> None:
        child.watch.signal = number
        if number != signal.SIGINT:
            child.process.send_signal(number)

    handlers = dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), came)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The process host: a Julia of its own runs the program, and the shim in it writes to a pipe."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmsb.base.errors import JuliaFailed
from mmsb.capture.command import JuliaCommand
from mmsb.capture.frames import FrameReader
from mmsb.base.paths import cache_path
from mmsb.capture.julia import Candidate, shim_path
from mmsb.capture.stream import Stream

#: Called with what is being done, how much of it is done, and how much there is (0: not known).
Progress = Callable[[str, int, int], None]

_PRECOMPILE = """
pushfirst!(LOAD_PATH, ARGS[1], "@stdlib")
pushfirst!(DEPOT_PATH, ARGS[2])
Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to record. ``depth``: calls away from the user's modules; ``modules``: root modules
    recorded although they are not the user's; ``literals``: keep short literals."""

    depth: int = 1
    modules: tuple[str, ...] = ()
    literals: bool = True


@dataclass(slots=True)
class Recorded:
    """What came out of one run. ``exit_code`` as a shell reports it (128 + signal)."""

    stream: Stream = field(default_factory=Stream)
    trace: bytes = b""
    exit_code: int = 0
    leftover: int = 0  # bytes of a frame that never ended


def precompile(julia: Candidate, command: JuliaCommand) -> None:
    """Compiles the shim for this Julia and these switches, once; nothing of it shows later.

    Raises JuliaFailed with what Julia said.
    """
    shim = shim_path()
    marker = _marker(julia, command.cache_switches, shim)
    if marker.exists():
        return
    depot = cache_path() / "depot"
    words = [str(julia.path), "--startup-file=no", *command.cache_switches, "-e", _PRECOMPILE]
    try:
        done = subprocess.run(
            [*words, str(shim.parent), str(depot)],
            env={**os.environ, **julia.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=600,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise JuliaFailed(f"{julia.path} could not prepare the recorder: {problem}") from problem
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[0]
        raise JuliaFailed(
            f"{julia.path} could not prepare the recorder (exit {done.returncode}): {said}; "
            "`mmsb doctor` shows what is wrong with it"
        )
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def _marker(julia: Candidate, switches: Sequence[str], shim: Path) -> Path:
    seal = hashlib.sha256()
    status = os.stat(os.path.realpath(str(julia.path)))
    for word in (str(julia.path), julia.version, status.st_size, status.st_mtime_ns, *switches):
        seal.update(f"{word}\0".encode())
    for source in sorted(shim.rglob("*.jl")):
        seal.update(source.read_bytes())
    seal.update(str(shim).encode())
    return cache_path() / "prepared" / seal.hexdigest()[:32]


def run(
    julia: Candidate,
    command: JuliaCommand,
    settings: Settings,
    progress: Progress,
    *,
    stdin: int | None = None,
) -> Recorded:
    """Runs the program to its end and returns what was recorded of it.

    The child's standard streams are this process's own. Raises JuliaFailed if it cannot start.
    """
    recorded = Recorded()
    with tempfile.TemporaryDirectory(prefix="mmsb-") as folder:
        trace = Path(folder) / "trace"
        trace.touch()
        receive, send = os.pipe()
        words = command.recorded(str(julia.path), shim_path() / "loader.jl", trace)
        environment = _environment(julia, settings, send, trace)
        try:
            child = subprocess.Popen(words, env=environment, pass_fds=(send,), stdin=stdin)
        except OSError as problem:
            os.close(receive)
            raise JuliaFailed(f"{julia.path} cannot be started: {problem}") from problem
        finally:
            os.close(send)
        recorded.exit_code = _collect(child, receive, recorded, progress)
        recorded.trace = trace.read_bytes()
    return recorded


def _environment(
    julia: Candidate, settings: Settings, pipe: int, trace: Path
) -> Mapping[str, str]:
    own = {
        "MMSB_FD": str(pipe),
        "MMSB_HOST": str(os.getpid()),
        "MMSB_TRACE": str(trace),
        "MMSB_DEPTH": str(settings.depth),
        "MMSB_MODULES": ",".join(settings.modules),
        "MMSB_LITERALS": "1" if settings.literals else "0",
        "MMSB_DEPOT": str(cache_path() / "depot"),
    }
    if "LD_LIBRARY_PATH" in julia.env:
        own["MMSB_LD_LIBRARY_PATH"] = os.environ.get("LD_LIBRARY_PATH", "")
    return {**os.environ, **julia.env, **own}


def _collect(
    child: subprocess.Popen[bytes], receive: int, recorded: Recorded, progress: Progress
) -> int:
    """Reads frames until the child has ended: its own children may hold the pipe longer."""
    ended = threading.Event()
    reader = FrameReader()
    os.set_blocking(receive, False)
    wake, waker = os.pipe()

    def wait() -> None:
        child.wait()
        ended.set()
        os.write(waker, b"x")

    waiter = threading.Thread(target=wait, daemon=True)
    with _interrupts_go_to_the_child():
        waiter.start()
        try:
            for data in _chunks(receive, wake, ended):
                for frame in reader.feed(data):
                    recorded.stream.add(frame)
                    progress("asking Julia", len(recorded.stream.codes), recorded.stream.questions)
        except BaseException:
            child.kill()
            raise
        finally:
            waiter.join()
            for descriptor in (receive, wake, waker):
                os.close(descriptor)
    recorded.leftover = reader.leftover
    code = child.returncode
    return code if code >= 0 else 128 - code


def _chunks(receive: int, wake: int, ended: threading.Event) -> Iterator[bytes]:
    open_ = True
    while True:
        last = ended.is_set()
        if open_ and not last:
            select.select([receive, wake], [], [])
        elif not last:
            ended.wait()
            continue
        try:
            data = os.read(receive, 1 << 20) if open_ else b""
        except BlockingIOError:
            if last:
                return
            continue
        if data:
            yield data
        elif last:
            return
        else:
            open_ = False


@contextlib.contextmanager
def _interrupts_go_to_the_child() -> Iterator[None]:
    """Ctrl-C reaches the child by itself; this process waits for what it makes of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

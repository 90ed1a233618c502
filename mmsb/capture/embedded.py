"""The embedded host: Julia inside this process, through juliacall.

Everything here is asked of Julia by ``jl_eval_string``, which compiles nothing of the bridge and
catches what is thrown; only what Julia threw is handed over by juliacall itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mmsb.base.errors import JuliaFailed, JuliaNotFound, MissingExtra, StateError
from mmsb.base.spans import span
from mmsb.capture.command import JuliaCommand
from mmsb.capture.embeddable import Embeddable
from mmsb.capture.interrupts import Interrupts
from mmsb.capture.julia import Candidate, shim_path
from mmsb.capture.prepared import depot_of, precompile
from mmsb.capture.process import Settings

_SHIM = (
    'Base.loaded_modules[Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim")]'
)
_LOAD = """
Core.eval(Core.Module(:MMSBLoader), :(let root = $({root}), depot = $({depot})
    pushfirst!(LOAD_PATH, root, "@stdlib")
    pushfirst!(DEPOT_PATH, depot)
    try
        Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))
    finally
        popfirst!(DEPOT_PATH)
        popfirst!(LOAD_PATH)
        popfirst!(LOAD_PATH)
    end
    nothing
end))
"""
_HANDLE_SIGNALS = "PYTHON_JULIACALL_HANDLE_SIGNALS"
_THREW, _INTERRUPTED = 1, 2
_LEAVE = ctypes.CFUNCTYPE(None, ctypes.c_int)

_running: EmbeddedJulia | None = None


class EmbeddedJulia:
    """The Julia of this process with the recorder in it: one, from the first use to the end."""

    _remarks: tuple[str, ...] = ()
    _interrupts: Interrupts | None = None  # None: signals are not ours to set

    def __init__(self, place: Embeddable) -> None:
        """Use ``the_julia``."""
        self._process = os.getpid()
        self._juliacall = self._join() if "juliacall" in sys.modules else self._start(place)
        self.main: Any = self._juliacall.Main
        library = self._juliacall.CONFIG["lib"]
        self._evaluate = library.jl_eval_string
        self._evaluate.argtypes, self._evaluate.restype = [ctypes.c_char_p], ctypes.c_void_p
        self._number = library.jl_unbox_int64
        self._number.argtypes, self._number.restype = [ctypes.c_void_p], ctypes.c_int64
        self._array, self._string = library.jl_array_ptr, library.jl_string_ptr
        for pointer in (self._array, self._string):
            pointer.argtypes, pointer.restype = [ctypes.c_void_p], ctypes.c_void_p
        if self._interrupts is not None:
            self._ask("Base.exit_on_sigint(false)")
        self.version = self._text("string(Base.VERSION)")
        self._load()

    def _join(self) -> Any:
        """Another user of juliacall came first: signals are as that one has set them."""
        import juliacall

        # Python runs what is imported first in its main thread, as a rule.
        self._thread = threading.main_thread().ident
        handled = juliacall.CONFIG.get("opt_handle_signals")
        how = "Julia has the signals" if handled == "yes" else "Ctrl-C waits until Julia returns"
        self._remarks = (
            f"juliacall was imported before mmsb started, so its settings hold: {how}; start mmsb "
            "first to have Ctrl-C interrupt Julia code",
        )
        return juliacall

    def _start(self, place: Embeddable) -> Any:
        self._thread = threading.get_ident()
        own: dict[str, str] = {}
        if place.executable is not None and place.project is not None:
            own["PYTHON_JULIACALL_EXE"] = place.executable
            own["PYTHON_JULIACALL_PROJECT"] = place.project
        chosen = os.environ.get(_HANDLE_SIGNALS) or sys._xoptions.get("juliacall-handle-signals")
        if chosen in (None, "yes"):
            own[_HANDLE_SIGNALS] = "yes"
            self._interrupts = Interrupts()
        else:
            self._remarks = (f"{_HANDLE_SIGNALS}={chosen}, so Ctrl-C waits until Julia returns",)
        with _environment(own), contextlib.ExitStack() as around:
            if self._interrupts is not None:
                around.enter_context(self._interrupts.starting())
            try:
                import juliacall
            except ImportError as problem:
                raise MissingExtra(
                    "Julia inside this process needs juliacall: pip install juliacall"
                ) from problem
            except Exception as problem:
                raise JuliaNotFound(
                    f"juliacall could not start Julia ({problem}); `mmsb doctor` says what it "
                    "would use"
                ) from problem
        return juliacall

    def _load(self) -> None:
        shim = shim_path()
        folder = self._text("Sys.BINDIR")
        words = JuliaCommand("julia", (), ())
        precompile(
            Candidate("juliacall", os.path.join(folder, "julia"), self.version, ok=True, reason=""),
            words,
        )
        self._ask(_LOAD, root=str(shim.parent), depot=str(depot_of(shim)))

    # What a session asks.

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of how Julia runs here, one sentence each."""
        obstacle = None if self._interrupts is None else self._interrupts.obstacle
        if obstacle is None:
            return self._remarks
        return (*self._remarks, f"Ctrl-C waits until Julia returns: {obstacle}")

    def check_caller(self) -> None:
        """Raises StateError in another thread than Julia's, and in a fork of the process."""
        if os.getpid() != self._process:
            raise StateError(
                "this process is a fork of the one that runs Julia: start a session in a process "
                "of its own"
            )
        if threading.get_ident() != self._thread:
            raise StateError(
                "Julia runs in the thread that started it: call the session from there"
            )

    def start(self, settings: Settings, leave: Callable[[int], None]) -> bytes:
        """Make ready to record: the first frame. ``leave`` is called with the exit code when Julia
        ends by itself: Python runs nothing after it."""
        said = "\0".join(f"{name}={value}" for name, value in settings.environment().items())
        self._leave = _LEAVE(leave)
        address = ctypes.cast(self._leave, ctypes.c_void_p).value
        call = f"{_SHIM}.start_embedded({{said}}, Base.Ptr{{Base.Cvoid}}({address}))"
        return self._bytes(call, said=said)

    def run(self, code: str, number: int) -> None:
        """Evaluate code in a block. JuliaFailed, from juliacall's error, or KeyboardInterrupt."""
        with contextlib.ExitStack() as around:
            if self._interrupts is not None:
                around.enter_context(self._interrupts.to_julia())
            outcome = self._try(f"{_SHIM}.run_embedded({{text}}, {number})", text=code)
            status = _INTERRUPTED if outcome is None else int(self._number(outcome))
            said = self._fault() if outcome is None else ""
        late = self._evaluate(b"nothing") is None  # a Ctrl-C after the last statement
        if outcome is None and not said.startswith("InterruptException"):
            raise StateError(said)
        if status == _INTERRUPTED or late:
            raise KeyboardInterrupt from self._problem() if outcome is not None else None
        if status == _THREW:
            told = self._bytes(f"{_SHIM}.told()").decode("utf-8", "replace")
            raise JuliaFailed(told) from self._problem()

    def resume(self, modules: str) -> None:
        """Open a block. Raises StateError where the compiler's log has another user."""
        self._ask(f"{_SHIM}.resume_embedded({{modules}})", modules=modules)

    def drain(self) -> bytes:
        """Close the block; what happened since the last time."""
        with span("drain") as facts:
            frames = self._bytes(f"{_SHIM}.drain_embedded()")
            facts["bytes"] = len(frames)
            return frames

    def passes(self, name: str) -> bytes:
        """The IR after every pass of the recorded code of that name; no bytes if there is none."""
        return self._bytes(f"{_SHIM}.passes_embedded({{name}})", name=name)

    def stop(self) -> bytes:
        """The end of the recording: the last frame."""
        return self._bytes(f"{_SHIM}.stop_embedded()")

    # How it is asked.

    def _try(self, code: str, **texts: str) -> int | None:
        """The value as Julia's pointer, None if something was thrown. ``{name}`` in the code is a
        text, handed over by its address."""
        kept = {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}
        buffers = {name: ctypes.create_string_buffer(data) for name, data in kept.items()}
        for name, data in kept.items():
            address = ctypes.addressof(buffers[name])
            text = f"Base.unsafe_string(Base.Ptr{{UInt8}}({address}), {len(data)})"
            code = code.replace(f"{{{name}}}", text)
        value: int | None = self._evaluate(code.encode())
        return value

    def _ask(self, code: str, **texts: str) -> int:
        value = self._try(code, **texts)
        if value is None:
            raise StateError(self._fault())
        return value

    def _bytes(self, code: str, **texts: str) -> bytes:
        """A vector of bytes that the recorder keeps rooted until the next one."""
        self._ask(code, **texts)
        return self._said()

    def _said(self) -> bytes:
        size = int(self._number(self._ask(f"Base.length({_SHIM}.SAID[])")))
        return ctypes.string_at(self._array(self._ask(f"{_SHIM}.SAID[]")), size)

    def _text(self, code: str) -> str:
        """A text that Julia's code evaluates to."""
        return ctypes.string_at(self._string(self._ask(code))).decode("utf-8", "replace")

    def _fault(self) -> str:
        """What Julia says of what left it last."""
        thrown = "ccall(:jl_exception_occurred, Any, ())"
        value = self._evaluate(f"Base.sprint(Base.showerror, {thrown})".encode())
        if value is None:
            return "Julia failed while mmsb asked it, and could not say how"
        return ctypes.string_at(self._string(value)).decode("utf-8", "replace").splitlines()[0]

    def _problem(self) -> BaseException:
        """What the code threw, as juliacall has it."""
        thrown = self.main.seval(f"{_SHIM}.PROBLEM[]")
        error: BaseException = self._juliacall.JuliaError(thrown[0], thrown[1])
        return error


def the_julia(place: Embeddable) -> EmbeddedJulia:
    """The Julia of this process, started or joined now if it is not known yet.

    Raises MissingExtra, JuliaNotFound, JuliaFailed, and StateError in another thread than Julia's.
    """
    global _running
    if _running is None:
        _running = EmbeddedJulia(place)
    _running.check_caller()
    return _running


@contextlib.contextmanager
def _environment(own: dict[str, str]) -> Iterator[None]:
    """Variables for the time of juliacall's start: children of this process get none of them."""
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

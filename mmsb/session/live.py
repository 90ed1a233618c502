"""A Julia that code is sent to, recorded while it runs it."""

from __future__ import annotations

import atexit
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mmsb.base.errors import MmsbError, StateError
from mmsb.capture import command, prepared
from mmsb.capture import julia as finder
from mmsb.capture.conversation import Conversation
from mmsb.capture.process import Settings
from mmsb.memory import place
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader
from mmsb.session.recording import RecordingResult, write


class Session(ABC):
    """A live Julia that is recorded. Made by ``mmsb.start``; a context manager that stops it.

    ``host``: ``"embedded"`` or ``"process"``, and ``why`` one clause; ``remarks``: what else a user
    should know, a sentence each; ``version``: Julia's; ``path``: of the memory.

    >>> session = mmsb.start("session.mmsb")
    >>> session.run("f(x) = x + 1; f(2)")
    >>> memory = session.stop()
    """

    host: str
    why: str
    version: str
    path: Path
    remarks: tuple[str, ...] = ()
    result: RecordingResult | None = None

    @property
    @abstractmethod
    def julia(self) -> Any:
        """juliacall's ``Main``. StateError where Julia is a process of its own."""

    @property
    @abstractmethod
    def memory(self) -> Reader:
        """The memory as it is being written: ask it, `derive`, `subscribe`. It closes with `stop`.

        StateError after ``stop``, and where Julia is a process of its own: then there is none
        before ``stop`` returns it.
        """

    @abstractmethod
    def run(self, code: str) -> None:
        """Evaluate Julia code at top level in Main, recorded; its output goes where Python's goes.

        Raises JuliaFailed with Julia's message and stack, and StateError after ``stop``.
        """

    @abstractmethod
    def recording(self, scope: str | Sequence[str] = ()) -> AbstractContextManager[None]:
        """Record what happens inside of the ``with``, and nothing else but ``run``.

        ``scope``: names of modules recorded beside those that ``start`` was given. StateError
        inside of another, and where Julia is a process of its own, which is recorded all along.
        """

    @abstractmethod
    def passes(self, function: str) -> Reader:
        """The memory with the IR of a recorded function after every pass of the compiler, which is
        asked again for it. ``function``: ``f``, ``f(::Int64)``, with or without its module.

        UnknownName if none was recorded, StateError where Julia is a process of its own: there
        ``start(capture="passes")`` asks for all.
        """

    @abstractmethod
    def stop(self, checkpoint: str | os.PathLike[str] | None = None) -> Reader:
        """End the recording and open its memory for reading; again, if it has ended.

        ``checkpoint``: also a copy of the memory there. Raises UsageError if that exists.
        """

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop().close()


class ProcessSession(Session):
    """Julia in a process of its own; the memory is written by ``stop``, or when Python ends."""

    host = "process"

    def __init__(
        self,
        path: Path,
        julia: finder.Candidate,
        settings: Settings,
        *,
        replace: bool = False,
        why: str = "it was asked for",
    ) -> None:
        prepared.precompile(julia, command.JuliaCommand("julia", (), ()))
        self._replace = replace
        self._process = os.getpid()
        self.path = path
        self.why = why
        self.version = str(julia.version)
        self._conversation: Conversation | None = Conversation(julia, settings)
        atexit.register(self._leave)

    @property
    def julia(self) -> Any:
        raise StateError(
            "this session's Julia is a process of its own, which Python cannot reach into: use "
            'run(), or mmsb.start(host="embedded")'
        )

    @property
    def memory(self) -> Reader:
        raise StateError(
            "the memory of a Julia in a process of its own is written when it ends: stop() returns "
            'it, or mmsb.start(host="embedded")'
        )

    def run(self, code: str) -> None:
        if self._conversation is None:
            raise StateError("this session has been stopped: start another")
        self._conversation.run(code)

    def recording(self, scope: str | Sequence[str] = ()) -> AbstractContextManager[None]:
        raise StateError(
            "a Julia in a process of its own is recorded from its start to its end: use run(), or "
            'mmsb.start(host="embedded")'
        )

    def passes(self, function: str) -> Reader:
        raise StateError(
            f"the passes of {function} cannot be asked of a Julia in a process of its own: start "
            'with capture="passes", or mmsb.start(host="embedded")'
        )

    def _leave(self) -> None:
        """Python ends: so does the session, as one inside of this process does."""
        if os.getpid() != self._process:
            return
        try:
            self._end()
        except MmsbError as problem:
            sys.stderr.write(f"mmsb: what was recorded could not be written: {problem}\n")

    def stop(self, checkpoint: str | os.PathLike[str] | None = None) -> Reader:
        copy = checked_copy(checkpoint)
        self._end()
        return opened(self.path, copy)

    def _end(self) -> None:
        if self._conversation is not None:
            atexit.unregister(self._leave)
            conversation, self._conversation = self._conversation, None
            self.result = write(conversation.end(), self.path, replace=self._replace)
            self.path = Path(str(self.result.path))


def checked_copy(checkpoint: str | os.PathLike[str] | None) -> Path | None:
    """Where a copy is asked for, if it can be made there."""
    return None if checkpoint is None else place.check_target(Path(checkpoint), replace=False)


def opened(path: Path, copy: Path | None) -> Reader:
    """The memory for reading, copied first where that is asked for."""
    memory = open_memory(path)
    if copy is not None:
        memory.checkpoint(copy)
    return memory

"""The session whose Julia runs in this process. What a block or a run brought is in the memory, and
on the disk, when it returns: whatever ends the process later, that much is whole.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmsb.base import schema
from mmsb.base.errors import MmsbError, StateError, UnknownName
from mmsb.capture.embeddable import Embeddable
from mmsb.capture.embedded import EmbeddedJulia, the_julia
from mmsb.capture.frames import FrameReader
from mmsb.capture.interrupts import held_back
from mmsb.capture.process import Settings
from mmsb.capture.stream import Stream
from mmsb.capture.translate import Step, Translator
from mmsb.memory import place
from mmsb.memory.changes import Changes
from mmsb.memory.memory import Memory
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader
from mmsb.session.live import Session, checked_copy, opened
from mmsb.session.recording import is_filtered, recorder_fault, remember_sources, summary

#: What a memory says of itself from its first epoch until its session is stopped.
_OPEN = {"state": "incomplete", "deterministic": "no", "reason": "the session was not stopped"}

_open: EmbeddedSession | None = None


class EmbeddedSession(Session):
    """See ``Session``; ``julia`` is juliacall's ``Main``."""

    host = "embedded"

    def __init__(
        self, path: Path, found: Embeddable, settings: Settings, *, replace: bool, why: str
    ) -> None:
        global _open
        if _open is not None:
            raise StateError(
                f"a session is open in this process ({_open.path}) and records its Julia: stop it "
                'first, or mmsb.start(host="process")'
            )
        self._inner: EmbeddedJulia = the_julia(found)
        self.why, self.remarks = why, self._inner.remarks
        self.version = self._inner.version
        self._reader, self._stream = FrameReader(), Stream()
        self._translator = Translator(self._stream)
        self._count = 0
        self._in_block = False
        for frame in self._reader.feed(self._inner.start(settings, self._julia_ends)):
            self._stream.add(frame)
        try:
            self.path = self._create(path, replace)
            self._memory: Reader | None = open_memory(self.path, write=True)
        except BaseException:
            self._inner.stop()
            raise
        _open = self
        atexit.register(self._leave)

    def _create(self, path: Path, replace: bool) -> Path:
        """The memory appears with what is known at the start, in one step."""
        with place.unfinished(path) as folder:
            with Memory.create(folder) as memory:
                changes = memory.changes()
                _tell(changes, {**self._stream.notes, **_OPEN})
                memory.commit(changes, narrow=True)
                memory.sync()
            return place.publish(folder, path, replace=replace)

    @property
    def julia(self) -> Any:
        return self._inner.main

    @property
    def memory(self) -> Reader:
        return self._writable()

    def run(self, code: str) -> None:
        self._writable()
        self._count += 1
        try:
            self._inner.run(code, self._count)
        finally:
            if not self._in_block:
                self._drain()

    @contextlib.contextmanager
    def recording(self, scope: str | Sequence[str] = ()) -> Iterator[None]:
        self._writable()
        if self._in_block:
            raise StateError("a recording block is open already: blocks do not nest")
        names = (scope,) if isinstance(scope, str) else tuple(scope)
        self._inner.resume(",".join(names))
        self._in_block = True
        try:
            yield
        finally:
            self._in_block = False
            if self._memory is not None:  # Python's end may come first
                self._drain()

    def passes(self, function: str) -> Reader:
        self._writable()
        with held_back():
            frames = self._inner.passes(function)
            if frames:
                self._take(frames)
        if not frames:
            raise UnknownName(
                f"no code of {function} was recorded in this session: run it first, and name it as "
                "`mmsb log` does"
            )
        return open_memory(self.path)

    def stop(self, checkpoint: str | os.PathLike[str] | None = None) -> Reader:
        copy = checked_copy(checkpoint)
        if self._memory is not None:
            self._inner.check_caller()
            if self._in_block:
                raise StateError("a recording block is open: leave it before you stop the session")
            with held_back():
                self._end()
        return opened(self.path, copy)

    def _end(self, exit_code: int = 0) -> None:
        global _open
        memory = self._writable()
        self._in_block = False
        try:
            self._take(self._inner.drain())  # what `@mmsb` recorded, or a block that is open
            self._take(self._inner.stop())
            reason = recorder_fault(self._stream.notes)
            state = "incomplete" if reason else "complete"
            sure = state == "complete" and not is_filtered(self._stream.notes)
            self._commit(
                self._translator.finish(
                    {
                        "state": state,
                        "reason": reason,
                        "exit_code": str(exit_code),
                        "order": "logical order inside a window",
                        "deterministic": "yes" if sure else "no",
                    }
                )
            )
        finally:
            _open, self._memory = None, None
            atexit.unregister(self._leave)
            memory.close()
        remember_sources(self._stream)
        self.result = summary(self.path, self._stream.notes, state, reason, exit_code)

    def _leave(self) -> None:
        """Python ends: before Julia does, which is told to end by an older exit hook."""
        with contextlib.suppress(StateError):  # a fork, or another thread than Julia's
            self._inner.check_caller()
            if problem := self._end_unasked(0):
                _say(f"the last of what was recorded is not in {self.path}: {problem}")

    def _julia_ends(self, code: int) -> None:
        """Called by Julia, which ends the process then: none of Python's exit hooks runs."""
        problem = self._end_unasked(code)
        kept = f"all but the last of what was recorded ({problem})" if problem else "what it did"
        _say(f"Julia ended this process with exit code {code}; {self.path} holds {kept}")

    def _end_unasked(self, code: int) -> MmsbError | None:
        """End as ``stop`` does, in a block too. Returns what went wrong."""
        try:
            with held_back():
                self._end(code)
        except MmsbError as problem:
            return problem
        return None

    # What came.

    def _drain(self) -> None:
        with held_back():
            self._take(self._inner.drain())

    def _take(self, frames: bytes) -> None:
        """Commit what frames say, block by block; returns when it is on the disk."""
        notes = self._stream.notes
        for frame in self._reader.feed(frames):
            blocks = notes.get("blocks")
            self._stream.add(frame)
            if notes.get("blocks") != blocks:
                self._commit_part()
        self._commit_part()
        self._writable().sync()

    def _commit_part(self) -> None:
        for step in self._translator.steps():
            self._commit(step)

    def _commit(self, step: Step) -> None:
        memory = self._writable()
        changes = memory.changes()
        step(changes)
        memory.commit(changes, narrow=True)

    def _writable(self) -> Reader:
        if self._memory is None:
            raise StateError("this session has been stopped: start another")
        self._inner.check_caller()
        return self._memory


def _tell(changes: Changes, facts: dict[str, str]) -> None:
    changes.append(
        schema.RECORDING,
        {
            "key": [changes.symbol(key) for key in facts],
            "value": [changes.symbol(value) for value in facts.values()],
        },
    )


def _say(what: str) -> None:
    """At the end of the process, past everything that could show it."""
    sys.stdout.flush()
    sys.stderr.write(f"mmsb: {what}\n")
    sys.stderr.flush()

"""A Julia that runs what it is sent, piece by piece, and is recorded from its first to its last."""

from __future__ import annotations

import os
import struct
import threading

from mmsb.base.errors import JuliaFailed
from mmsb.capture.command import JuliaCommand
from mmsb.capture.julia import Candidate
from mmsb.capture.process import Child, Recorded, Settings

_SIZE = struct.Struct("<I")
_ANSWER = struct.Struct("<BI")


class Conversation:
    """``run`` evaluates code at top level in Main; ``end`` closes Julia and returns the record."""

    def __init__(self, julia: Candidate, settings: Settings) -> None:
        code_in, self._code = os.pipe()
        self._reply, reply_out = os.pipe()
        command = JuliaCommand("julia", ("-e", "nothing"), ())
        pipes = {"MMSB_CODE_FD": code_in, "MMSB_REPLY_FD": reply_out}
        try:
            self._child = Child(julia, command, settings, pipes)
        except BaseException:
            os.close(self._code)
            os.close(self._reply)
            raise
        finally:
            os.close(code_in)
            os.close(reply_out)
        self._recorded: Recorded | None = None
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    def _collect(self) -> None:
        self._recorded = self._child.collect(lambda *_: None)

    def run(self, code: str) -> None:
        """Evaluate ``code``. Raises JuliaFailed with Julia's own message and stack."""
        data = code.encode()
        try:
            os.write(self._code, _SIZE.pack(len(data)))
            view = memoryview(data)
            while view:
                view = view[os.write(self._code, view) :]
            failed, size = _ANSWER.unpack(self._read(_ANSWER.size))
            message = self._read(size).decode("utf-8", "replace")
        except (BrokenPipeError, EOFError) as problem:
            raise JuliaFailed(
                "Julia ended while it ran this code; what was recorded until then is kept: "
                "call stop()"
            ) from problem
        if failed:
            raise JuliaFailed(message)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = os.read(self._reply, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def end(self) -> Recorded:
        """Let Julia end, ask its questions, and return everything. Call it once."""
        os.close(self._code)
        self._collector.join()
        os.close(self._reply)
        self._child.__exit__()
        if self._recorded is None:
            raise JuliaFailed("Julia's record could not be read: run it again with `mmsb record`")
        return self._recorded

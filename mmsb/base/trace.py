"""Spans as a file in the Trace Event Format, which Perfetto (ui.perfetto.dev) and Chrome open.

The format: "Trace Event Format", JSON array of complete events (``ph: X``, microseconds).
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Mapping
from errno import ENOSPC
from io import FileIO
from typing import Any


class Trace:
    """A listener (`mmsb.base.spans.listen`) that writes each span as one line, as it comes.

    The file is made with the first span, in place of an older one, and is a whole JSON array after
    `close` or the end of Python; that of a process that was killed lacks the last bracket, which
    viewers do not need. A fork of the process writes nothing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """``%p`` in the path stands for the process's id, where several write at once."""
        self._pid = os.getpid()
        self.path = os.fspath(path).replace("%p", str(self._pid))
        self._file: FileIO | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __call__(self, name: str, began: int, ended: int, facts: Mapping[str, Any]) -> None:
        """Writes a span. OSError."""
        if self._pid != os.getpid():
            return
        event = {
            "name": name,
            "cat": "mmsb",
            "ph": "X",
            "ts": began / 1000,
            "dur": (ended - began) / 1000,
            "pid": self._pid,
            "tid": threading.get_native_id(),
            "args": dict(facts),
        }
        line = json.dumps(event, separators=(",", ":"))
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = FileIO(self.path, "w")
                atexit.register(self.close)
                self._write(f"[{line}")
            else:
                self._write(f",\n{line}")

    def _write(self, text: str) -> None:
        data = text.encode()
        if self._file is not None and self._file.write(data) != len(data):
            raise OSError(ENOSPC, os.strerror(ENOSPC), self.path)

    def close(self) -> None:
        """Ends the file; again does nothing, and spans after it are not written."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._closed = True
            if self._file is not None:
                atexit.unregister(self.close)
                self._write("]\n")
                self._file.close()
                self._file = None

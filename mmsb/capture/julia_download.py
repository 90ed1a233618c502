"""The Julia that juliapkg finds or, when asked, downloads.

Only juliapkg's finder is used, and in a child process: it prints, it may trace back, and its
downloads have no timeout. The child therefore tries the download host first, a socket that stays
silent for ten seconds is an error there, and this side kills a child that says nothing for too
long (a name server that never answers is under no socket timeout).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import IO

from mmsb.base.errors import InstallFailed
from mmsb.capture.install import Progress

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# Longer than juliapkg takes to unpack a Julia on a slow disk, the one step it says nothing about.
SILENCE_SECONDS = 300.0

# Arguments: the versions wanted, "find" or "download", the seconds to connect. A line that starts
# with "mmsb " is for us, every other one is juliapkg's and shown as progress.
_FINDER = """
import socket, sys, urllib.request
from juliapkg import install_julia
from juliapkg.compat import Compat
from juliapkg.find_julia import find_julia
from juliapkg.state import STATE

def find(install):
    wanted = Compat.parse(sys.argv[1])
    return find_julia(wanted, prefix=STATE["install"], install=install)[0]

try:
    found = find(False)
except Exception as error:
    if sys.argv[2] != "download":
        sys.exit(f"mmsb failed {error}")
    seconds = float(sys.argv[3])
    socket.setdefaulttimeout(seconds)
    print("mmsb connecting")
    try:
        request = urllib.request.Request(install_julia._julia_versions_url, method="HEAD")
        urllib.request.urlopen(request, timeout=seconds).close()
        print("mmsb connected")
        found = find(True)
    except Exception as error:
        sys.exit(f"mmsb failed {error}")
print("mmsb found", found)
"""


def ask_juliapkg(*, download: bool = False, progress: Progress | None = None) -> Path:
    """The executable of the Julia that juliapkg knows; with ``download``, fetched if need be.

    Raises InstallFailed with one clause. Takes 0.2 s; a download fails after CONNECT_SECONDS if
    its host does not answer.
    """
    if importlib.util.find_spec("juliapkg") is None:
        raise InstallFailed("juliapkg is not installed")
    mode = "download" if download else "find"
    words = [sys.executable, "-u", "-c", _FINDER, _wanted(), mode, str(CONNECT_SECONDS)]
    # In "/", so that no file of the folder the user is in can be imported by the child.
    with subprocess.Popen(
        words,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        try:
            return _answer(child.stdout, progress or (lambda _: None))
        finally:
            child.kill()


def _answer(output: IO[str], progress: Progress) -> Path:
    patience, problem, last = ANSWER_SECONDS, "its finder says", "nothing"
    lines = _arriving(output)
    try:
        while (line := lines.get(timeout=patience)) is not None:
            match line.split(" ", 2):
                case ["mmsb", "connecting"]:
                    progress("asking for the Julia that juliapkg would download")
                    patience = CONNECT_SECONDS
                    problem = "juliapkg could not reach its download host"
                case ["mmsb", "connected"]:
                    patience, problem = SILENCE_SECONDS, "juliapkg could not download Julia"
                case ["mmsb", "found", path]:
                    return Path(path)
                case ["mmsb", "failed", reason]:
                    raise InstallFailed(f"{problem}: {reason}")
                case _ if line:
                    last = line.removeprefix("[juliapkg]").strip()
                    progress(last)
    except Empty:
        raise InstallFailed(f"{problem}: no answer within {patience:g} s") from None
    raise InstallFailed(f"{problem}: {last}")


def _arriving(output: IO[str]) -> Queue[str | None]:
    """The lines as they come, then None; a queue, because a pipe cannot be read with a timeout."""
    lines: Queue[str | None] = Queue()

    def read() -> None:
        for line in _until_closed(output):
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _until_closed(output: IO[str]) -> Iterator[str]:
    try:
        yield from output
    except ValueError:  # closed on this side, because nobody waits for the rest
        return


def _wanted() -> str:
    """The versions of Julia that mmsb asks juliapkg for: the same that juliacall would get."""
    text = (Path(__file__).parents[1] / "juliapkg.json").read_text(encoding="utf-8")
    return str(json.loads(text)["julia"])

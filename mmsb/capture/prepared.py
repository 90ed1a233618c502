"""The recorder's compiled form: made once for each Julia and its switches, kept for each copy of
the shim as long as that is there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmsb.base.errors import JuliaFailed
from mmsb.base.paths import cache_path
from mmsb.capture.command import JuliaCommand
from mmsb.capture.julia import Candidate, shim_path

#: Names in and beside the depots: the file that says whose one is, and what is being removed.
_WHOSE, _GONE = "shim", "gone-"
_PRECOMPILE = """
pushfirst!(LOAD_PATH, ARGS[1], "@stdlib")
pushfirst!(DEPOT_PATH, ARGS[2])
Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))
"""


def precompile(julia: Candidate, command: JuliaCommand) -> None:
    """Compiles the shim for this Julia and these switches, once; nothing of it shows later.

    Raises JuliaFailed with what Julia said.
    """
    shim = shim_path()
    depot = depot_of(shim)
    marker = depot / "prepared" / _seal(julia, command.cache_switches, shim)
    if marker.exists():
        return
    _sign(depot, shim)
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
        lines = done.stderr.strip().splitlines() or ["nothing"]
        said = next((line for line in lines if "ERROR" in line or "rror:" in line), lines[0])
        raise JuliaFailed(
            f"{julia.path} could not prepare the recorder (exit {done.returncode}): {said}; "
            "`mmsb doctor` shows what is wrong with it"
        )
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    forget_others(depot.parent)


def depot_of(shim: Path) -> Path:
    """Where Julia keeps the shim's compiled form: one for each copy of the shim."""
    return cache_path() / "depot" / hashlib.sha256(os.fsencode(shim)).hexdigest()[:12]


def _seal(julia: Candidate, switches: Sequence[str], shim: Path) -> str:
    seal = hashlib.sha256()
    status = os.stat(os.path.realpath(str(julia.path)))
    for word in (str(julia.path), julia.version, status.st_size, status.st_mtime_ns, *switches):
        seal.update(f"{word}\0".encode())
    for source in sorted(shim.rglob("*.jl")):
        seal.update(source.read_bytes())
    return seal.hexdigest()[:32]


def _sign(depot: Path, shim: Path) -> None:
    """Says in the depot whose it is; whole or not at all, as others may read it."""
    depot.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=depot, delete=False) as file:
        file.write(_machine() + os.fsencode(shim))
    os.replace(file.name, depot / _WHOSE)


def _machine() -> bytes:
    """A home may be many machines', where other paths are there."""
    return os.fsencode(platform.node()) + b"\0"


def forget_others(depots: Path) -> None:
    """Removes what was compiled for copies of the shim that this machine has no longer.

    No process can be running from these. What does not say whose it is stays. Others may do the
    same at once: a depot is renamed first, whole.
    """
    for whose in depots.glob(f"*/{_WHOSE}"):
        with contextlib.suppress(OSError):  # another process was quicker, or it is not ours
            machine, end, shim = whose.read_bytes().partition(b"\0")
            if machine + end == _machine() and not os.path.lexists(shim):
                os.replace(whose.parent, tempfile.mkdtemp(prefix=_GONE, dir=depots))
    for gone in depots.glob(f"{_GONE}*"):
        shutil.rmtree(gone, ignore_errors=True)

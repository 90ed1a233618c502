"""A user's command line for Julia, and the same one with the recorder in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsb.base.errors import UsageError

# Julia's switches that take the next argument as their value.
_WITH_VALUE = frozenset(
    (
        "-e", "--eval", "-E", "--print", "-L", "--load", "-J", "--sysimage", "-H", "--home", "-C",
        "--cpu-target", "-p", "--procs", "-t", "--threads", "-m", "--module", "--machine-file",
    )
)  # fmt: skip
# Those that take their program from the command line itself.
_INLINE = frozenset(["-e", "--eval", "-E", "--print", "-m", "--module"])
# Switches that decide which precompiled code can be used; the shim is precompiled under the same.
_CACHE_SWITCHES = (
    "-O", "--optimize", "-g", "--check-bounds", "--inline", "--math-mode", "--code-coverage",
    "--track-allocation", "--pkgimages", "--compiled-modules", "-J", "--sysimage", "-C",
    "--cpu-target", "--compile",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JuliaCommand:
    """``julia`` as the user called it: the program's name, its switches, the script with its
    arguments (``()`` for a REPL, standard input or ``-e``)."""

    program: str
    switches: tuple[str, ...]
    script: tuple[str, ...]

    def recorded(self, julia: str, loader: Path, trace: Path) -> list[str]:
        """The command to run: the same switches, after the recorder's own two."""
        own = [f"--trace-compile={trace}", "-L", str(loader)]
        return [julia, *own, *self.switches, *self.script]

    @property
    def cache_switches(self) -> tuple[str, ...]:
        """The switches under which the shim has to be precompiled."""
        kept: list[str] = []
        words = iter(self.switches)
        for word in words:
            value = next(words, "") if word in _WITH_VALUE else None
            if word.startswith(_CACHE_SWITCHES):
                kept += [word] if value is None else [word, value]
        return tuple(kept)


def parse(argv: Sequence[str]) -> JuliaCommand:
    """Reads ``julia --project=. -t4 script.jl args`` or ``script.jl args``.

    Raises UsageError for an empty command, a script that is not there, and switches that cannot be
    recorded.
    """
    if not argv:
        raise UsageError(
            "no program to record was given: `mmsb record script.jl` or "
            "`mmsb record -- julia script.jl`"
        )
    named = Path(argv[0]).name.startswith("julia") and not argv[0].endswith(".jl")
    program, rest = (argv[0], list(argv[1:])) if named else ("julia", list(argv))
    at = _script_at(rest)
    switches, script = rest[:at], rest[at:]
    _refuse(switches)
    if script and not any(word in _INLINE for word in switches):
        _check_script(script[0])
    return JuliaCommand(program, tuple(switches), tuple(script))


def _script_at(words: list[str]) -> int:
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            return at
        if not word.startswith("-") or word == "-":
            return at
        at += 2 if word in _WITH_VALUE else 1
    return len(words)


def _refuse(switches: list[str]) -> None:
    for word in switches:
        if word.startswith("--trace-compile"):
            raise UsageError(
                "mmsb uses --trace-compile itself to see the order of compilation: leave it out"
            )
        if word.startswith(("-p", "--procs", "--machine-file")) and word != "--project":
            if word.startswith("--p") and not word.startswith("--procs"):
                continue
            raise UsageError(
                f"{word} starts worker processes, which mmsb does not record yet: leave it out"
            )
        if word.startswith("--output-"):
            raise UsageError(f"{word} builds an image instead of running a program: leave it out")


def _check_script(script: str) -> None:
    if script in ("-", "--"):
        return
    if os.path.isdir(script):
        raise UsageError(f"{script} is a folder, not a Julia script: name the script in it")
    if not os.path.exists(script):
        raise UsageError(f"there is no script {script}: check the path")
    if not os.access(script, os.R_OK):
        raise UsageError(f"the script {script} cannot be read: check its permissions")

"""Every error mmsb raises, grouped by what the caller does about it.

::

    MmsbError
    ├── UsageError            the request is wrong: change it          exit 2
    │   ├── UnknownName           no such function, epoch, stage, kind
    │   ├── AmbiguousName         several fit: be more exact
    │   ├── NotAMemory            the path holds no memory
    │   └── CycleError            an order was asked for where there is none
    ├── StateError            the request is right, the moment is not  exit 3
    │   ├── MemoryLocked          another writer holds it
    │   ├── ReadOnly              opened for reading, or a read-only folder
    │   ├── Conflict              another commit wrote the same pages
    │   └── WriterFailed          a write or fsync failed: open the memory again
    ├── DamageError           stored bytes are not what was written    exit 4
    │   ├── CorruptData           a checksum or a bound does not hold
    │   └── NewerFormat           written by a newer mmsb: upgrade
    └── EnvironmentProblem    the machine lacks something              exit 5
        ├── JuliaNotFound         no Julia that mmsb can use
        ├── JuliaFailed           Julia started and failed
        ├── InstallFailed         a Julia could not be installed
        ├── MissingExtra          an optional package is not installed
        └── NoSpace               the disk is full

``code`` is stable: the command line, the JSON answers and every later interface print it.
"""

from __future__ import annotations

from typing import ClassVar


def quote(value: object) -> str:
    """What was passed, as it is shown in a message: where it begins, or its type if Python cannot
    write it, as an int of thousands of digits."""
    try:
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:59]}…"
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


class MmsbError(Exception):
    """Base of all. ``str(error)`` is one sentence: what, where, what to do next."""

    code: ClassVar[str] = "mmsb"
    exit_code: ClassVar[int] = 1


class UsageError(MmsbError):
    code = "usage"
    exit_code = 2

    def __str__(self) -> str:
        text = super().__str__()  # what was passed may be shown in several lines
        return " ".join(text.split()) if "\n" in text else text


class UnknownName(UsageError):
    code = "unknown-name"


class AmbiguousName(UsageError):
    code = "ambiguous-name"


class NotAMemory(UsageError):
    code = "not-a-memory"


class CycleError(UsageError):
    """``cycle``: nodes or names, each with an edge to the next and the last to the first."""

    code = "cycle"

    def __init__(self, message: str, cycle: list[int] | list[str]) -> None:
        super().__init__(message)
        self.cycle = cycle


class StateError(MmsbError):
    code = "state"
    exit_code = 3


class MemoryLocked(StateError):
    code = "memory-locked"


class ReadOnly(StateError):
    code = "read-only"


class Conflict(StateError):
    """``pages``: those that both commits wrote, where they are known."""

    code = "conflict"

    def __init__(self, message: str, pages: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.pages = pages


class WriterFailed(StateError):
    code = "writer-failed"


class DamageError(MmsbError):
    code = "damage"
    exit_code = 4


class CorruptData(DamageError):
    code = "corrupt-data"


class NewerFormat(DamageError):
    code = "newer-format"


class EnvironmentProblem(MmsbError):
    code = "environment"
    exit_code = 5


class JuliaNotFound(EnvironmentProblem):
    code = "julia-not-found"


class JuliaFailed(EnvironmentProblem):
    code = "julia-failed"


class InstallFailed(EnvironmentProblem):
    code = "install-failed"


class MissingExtra(EnvironmentProblem):
    code = "missing-extra"


class NoSpace(EnvironmentProblem):
    code = "no-space"

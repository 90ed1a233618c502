"""Which Julia there is, and the program that shows mmsb with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsb.base.errors import EnvironmentProblem
from mmsb.capture import install as installer
from mmsb.capture import julia as finder
from mmsb.capture.embeddable import Embeddable, embeddable
from mmsb.capture.process import Progress
from mmsb.session.recording import RecordingResult, record


def _quiet(_what: str, _done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Which Julia runs in a process of its own, and which would run inside this one."""

    julia: finder.Decision
    embedded: Embeddable

    def to_dict(self) -> dict[str, Any]:
        return {**self.julia.to_dict(), "embedded": self.embedded.to_dict()}


def doctor(*, install: bool = False, progress: installer.Progress | None = None) -> Diagnosis:
    """Every Julia that could be used, the one that is, and why. Installs only if asked to."""
    return Diagnosis(finder.find(install=install, progress=progress), embeddable())


@dataclass(frozen=True, slots=True)
class Demo:
    """What ``demo`` shows. ``played``: no Julia was there, and the memory ships with mmsb."""

    path: str
    played: bool
    decision: finder.Decision
    result: RecordingResult | None


def demo(
    output: str | os.PathLike[str] | None = None,
    *,
    progress: Progress = _quiet,
    install_progress: installer.Progress | None = None,
    stdout: int | None = None,
) -> Demo:
    """Record ``examples/tour.jl``, with a Julia that is installed if none is there; without one,
    the memory that ships with the package.

    Without ``output`` it is ``tour.mmsb``, and an earlier one of that name is replaced. ``stdout``
    as for ``record``.
    """
    decision = finder.find(install=True, progress=install_progress)
    if decision.chosen is None:
        return Demo(str(_shipped("tour.mmsb")), True, decision, None)
    result = record(
        [str(_shipped("tour.jl"))],
        "tour.mmsb" if output is None else output,
        capture="passes",
        replace=output is None,
        progress=progress,
        julia=decision.chosen,
        stdout=stdout,
    )
    return Demo(str(result.path), False, decision, result)


def _shipped(name: str) -> Path:
    """A file of the demo: in a wheel under mmsb/data, in a checkout under examples too."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data", package.parent / "examples"):
        if (folder / name).exists():
            return folder / name
    raise EnvironmentProblem(f"this installation of mmsb lacks {name}: install mmsb again")

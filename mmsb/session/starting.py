"""Starting a session: which Julia, in which process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmsb.base.errors import EnvironmentProblem, MissingExtra, UsageError, quote
from mmsb.capture import command
from mmsb.capture.embeddable import NO_JULIACALL, Embeddable, embeddable
from mmsb.capture.process import Settings
from mmsb.memory import place
from mmsb.query.reader import Reader
from mmsb.session.inside import EmbeddedSession
from mmsb.session.live import ProcessSession, Session
from mmsb.session.recording import julia_of

HOSTS = ("auto", "embedded", "process")
DEFAULT_NAME = "session.mmsb"


def start(
    path: str | os.PathLike[str] | None = None,
    *,
    julia: str = "auto",
    capture: str = "final",
    host: str = "auto",
    device: str = "auto",
    depth: int = 1,
    modules: Sequence[str] = (),
    functions: Sequence[str] = (),
    min_inference_ms: float = 0.0,
    limit: int = 0,
    literals: bool = True,
    replace: bool = False,
    apart: bool = False,
) -> Session:
    """Start a Julia and record what its compiler does with the code it is sent.

    ``host``: ``"embedded"`` (in this process, through juliacall; the memory at ``path``, default
    ``session.mmsb``, grows with every block), ``"process"`` (one of its own; the memory is written
    by ``stop``), or ``"auto"``: embedded where juliacall can start a Julia without installing one.
    ``julia``: ``"auto"``, or the path of one, which gets a process of its own. The rest as for
    ``record``. ``device`` is where the graph questions run; recording needs none.

    Raises UsageError (``path`` exists), StateError (a session is open in this process),
    JuliaNotFound, JuliaFailed, MissingExtra and other EnvironmentProblem.
    """
    if host not in HOSTS:
        raise UsageError(f"there is no host {quote(host)}: give one of {', '.join(HOSTS)}")
    if device not in ("auto", "cpu", "gpu"):
        raise UsageError(f"there is no device {quote(device)}: give one of auto, cpu, gpu")
    settings = Settings(
        depth,
        tuple(modules),
        literals,
        capture,
        tuple(functions),
        min_inference_ms,
        limit,
        apart,
    )
    chosen, why = _host_of(host, julia, settings)
    where = place.check_target(Path(path or DEFAULT_NAME), replace=replace)
    if chosen is not None:
        return EmbeddedSession(where, chosen, settings, replace=replace, why=why)
    parsed = command.JuliaCommand("julia" if julia == "auto" else julia, (), ())
    return ProcessSession(where, julia_of(parsed), settings, replace=replace, why=why)


def stop(session: Session, checkpoint: str | os.PathLike[str] | None = None) -> Reader:
    """``session.stop(checkpoint)``."""
    return session.stop(checkpoint)


def _host_of(host: str, julia: str, settings: Settings) -> tuple[Embeddable | None, str]:
    """What to embed, None for a process of its own; and why, in one clause."""
    refusal = _refusal(julia, settings)
    if host == "process":
        return None, "it was asked for"
    if refusal is not None:
        if host == "embedded":
            raise UsageError(f'{refusal}: leave out host="embedded", or change that')
        return None, refusal
    found = embeddable()
    if found.ok:
        return found, found.reason
    if host == "auto":
        return None, found.reason
    if found.fetchable:
        return found, "juliapkg resolves Julia"
    problem = MissingExtra if found.source == NO_JULIACALL else EnvironmentProblem
    raise problem(f"no Julia can run inside this process: {found.reason}")


def _refusal(julia: str, settings: Settings) -> str | None:
    if julia != "auto":
        return "a Julia that is named gets a process of its own"
    if settings.capture == "decisions":
        return "decisions are recorded by a second process, made when the program has ended"
    if settings.apart:
        return "apart asks in a second process, made when the program has ended"
    return None

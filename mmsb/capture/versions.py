"""The code page of an instance: a row for each version, and what each depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsb.base import schema
from mmsb.base.model import NONE_U64, CodeState, Compiled, Kept, Rederived
from mmsb.base.schema import staged
from mmsb.capture.intern import Intern, Sink
from mmsb.capture.stream import Code


def header(
    sink: Sink, intern: Intern, code: Code, definition: int, *, traced: bool, past: bool
) -> dict[str, Any]:
    """The cells of a version when it begins. It is valid then, whatever became of it later, unless
    its worlds are ``past``."""
    return {
        "min_world": code.min_world,
        "max_world": code.max_world if past else schema.CODE.column("max_world").fill,
        "return_type": intern.type(sink, code.return_type),
        "state": int(CodeState.PAST if past else CodeState.VALID),
        "compiled": int(compiled(code, traced)),
        "provenance": code.provenance,
        "definition": definition,
        "asked_world": code.asked_world,
        "exception_type": intern.type(sink, code.exception_type),
        "return_lattice": intern.type(sink, code.return_lattice),
        "effects": code.effects,
        "kept": code.kept,
        "rederived": code.rederived,
        "inclusive_ns": code.inclusive_ns,
        "exclusive_ns": code.exclusive_ns,
        "compile_ns": code.compile_ns,
        **stages(code),
    }


def stages(code: Code) -> dict[str, Any]:
    """Who said which stage."""
    return {staged("provenance", s): b.provenance for s, b in code.bodies.items()}


def said_again(known: Code, code: Code) -> dict[str, Any]:
    """The cells of the header that a later look at known code adds to."""
    cells: dict[str, Any] = {}
    if code.rederived not in (Rederived.NOT_ASKED, known.rederived):
        cells["rederived"] = code.rederived
    if code.kept not in (Kept.UNKNOWN, known.kept):
        cells["kept"] = code.kept
    return cells


def compiled(code: Code, traced: bool) -> Compiled:
    """How far it came in the recorded process."""
    if traced:
        return Compiled.NATIVE
    return Compiled.CACHED if code.cached else Compiled.INFERRED


def timed(code: Code, notes: Mapping[str, str]) -> bool:
    """Did making its machine code take time, where no --trace-compile names it?"""
    return notes.get("host") == "embedded" and code.compile_ns not in (0, NONE_U64)

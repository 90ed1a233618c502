"""Whom a code object calls, as its bodies say: what ties callers to callees."""

from __future__ import annotations

import numpy as np

from mmsb.base.model import CallKind, Stage
from mmsb.capture.stream import Code, Stream

#: What runs, and what inference found that one method serves.
_SAID_BY = ((Stage.OPTIMIZED, CallKind.INVOKE), (Stage.INFERRED, CallKind.RESOLVED))


def keep_calls(code: Code) -> None:
    """Note whom the code calls, so that its bodies may go."""
    if code.calls is None:
        code.calls = _pairs(code)


def called(stream: Stream, code: Code) -> tuple[set[str], set[tuple[str, str]]]:
    """Keys of the instances that it invokes; (method, instance) keys of what inference resolved,
    where the instance is the one with the call's own signature."""
    symbols, types = stream.symbols, stream.types
    invoked: set[str] = set()
    resolved: set[tuple[str, str]] = set()
    for kind, callee, signature in code.calls if code.calls is not None else _pairs(code):
        key = symbols[callee]
        if kind == CallKind.INVOKE:
            invoked.add(key)
        else:
            resolved.add((key, f"{key} @ {symbols[types[signature][0]]}"))
    return invoked, resolved


def _pairs(code: Code) -> list[tuple[int, int, int]]:
    found: set[tuple[int, int, int]] = set()
    for stage, kind in _SAID_BY:
        body = code.bodies.get(stage)
        if body is None or not body.count("call"):
            continue
        wanted = np.flatnonzero(body.column("call", "kind") == kind)
        callees = body.column("call", "callee")[wanted].tolist()
        signatures = body.column("call", "signature")[wanted].tolist()
        found.update((int(kind), *pair) for pair in zip(callees, signatures, strict=True))
    return sorted(found)

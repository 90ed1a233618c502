"""What is said of a name that no recorded instance has: what is known of it otherwise, and what is
near it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import quote
from mmsb.base.model import CallKind, EventKind
from mmsb.query import globals, missing, ties
from mmsb.query.answers import Function
from mmsb.query.facts import Facts, subject_name
from mmsb.query.juliatext import base_name, method_path
from mmsb.query.spelling import callee_name

NEAR, _WIDE = 3, 60  # near names, and how much of each

Fits = Callable[[str], bool]


def sentence(facts: Facts, asked: str, name: str, fits: Fits) -> str:
    """Of a name as it was asked for; ``name``: its dotted part, ``fits``: says of a key whether it
    may be meant. O(call sites and dependencies)."""
    known = (
        _known_otherwise(facts, fits)
        or _known_from_others(facts, fits)
        or _inferred(facts, fits)
        or _builtin(facts, fits)
    )
    if known:
        return known
    none = missing.recording(facts.head.recording)
    if none and not facts.functions:
        return f"no function {quote(asked)} at epoch {facts.epoch}: {none}"
    if "(" not in asked and globals.are_named(facts, globals.of_name(name)):
        return (
            f"{quote(asked)} is no function of which code was recorded by epoch {facts.epoch}, but "
            f"a global that code names; `mmsb deps {shlex.quote(asked)}` says whose"
        )
    near = near_names(facts, name)[:NEAR]
    hint = f"near it: {', '.join(map(_cut, near))}; " if near else ""
    every = f"{hint}`mmsb stats --functions` lists all"
    return f"no function {quote(asked)} at epoch {facts.epoch}; {every}"


def _known_otherwise(facts: Facts, fits: Fits) -> str:
    """What is known of a function without an instance, and why no more is; "" for nothing."""
    compiled = [e.subject for e in facts.events if e.kind is EventKind.COMPILED]
    named = next(filter(fits, compiled), None)
    if named is not None:
        why = missing.incomplete(facts.head.recording)
        since = f", since {why}" if why else ""
        return f"of {callee_name(named)} only its compilation is known{since}"
    defined = next(filter(fits, facts.methods), None)
    if defined is not None:
        name = callee_name(defined)
        return f"of {name} only its definition is known at epoch {facts.epoch}, no code of it"
    return ""


def _known_from_others(facts: Facts, fits: Fits) -> str:
    """What others have to do with a function of which nothing was recorded; "" for nothing."""
    calls = ((call.callee, call.caller) for call in ties.calls(facts))
    for pairs, one, many, command in (
        (calls, "calls", "call", "callers"),
        (ties.used_by(facts), "depends on", "depend on", "deps"),
    ):
        found = _by_callee(pairs, fits)
        if found:
            key, others = next(iter(found.items()))
            first, more = subject_name(facts, min(others)), len(others) - 1
            who = f"{first} and {more} more {many}" if more else f"{first} {one}"
            name = callee_name(key)
            ask = f"`mmsb {command} {shlex.quote(name)}` names them"
            also = f" ({len(found)} functions fit this name)" if len(found) > 1 else ""
            return f"of {name} nothing was recorded but that {who} it; {ask}{also}"
    return ""


def _inferred(facts: Facts, fits: Fits) -> str:
    """Of what stands in the inference tree alone."""
    ids = np.unique(facts.snapshot.table(schema.INFERENCE)["instance"])
    found = next(filter(fits, (facts.text(int(id)) for id in ids)), None)
    if found is None:
        return ""
    name = callee_name(found)
    return f"of {name} only its inference is known; `mmsb tree {shlex.quote(name)}` shows it"


def _builtin(facts: Facts, fits: Fits) -> str:
    columns, _ = facts.snapshot.gather_columns(schema.CALL, ("kind", "callee"))
    ids = np.unique(columns["callee"][columns["kind"] == CallKind.BUILTIN])
    found = next(filter(fits, (facts.text(int(id)) for id in ids)), None)
    if found is None:
        return ""
    return (
        f"{callee_name(found)} is a builtin of Julia: it has no code, and calls of it are no ties"
    )


def _by_callee(pairs: Iterable[tuple[str, str]], fits: Fits) -> dict[str, set[str]]:
    fitting: dict[str, bool] = {}
    found: dict[str, set[str]] = {}
    for callee, caller in pairs:
        if callee not in fitting:
            fitting[callee] = fits(callee)
        if fitting[callee]:
            found.setdefault(callee, set()).add(caller)
    return found


def _cut(name: str) -> str:
    """A name as a shell takes it; only looked at where it is too long."""
    return shlex.quote(name) if len(name) <= _WIDE else f"{name[: _WIDE - 1]}…"


def near_names(facts: Facts, name: str) -> list[str]:
    """Display names that a mistaken name may have meant: those of this very name first, then the
    program's own, nearest first."""
    wanted = base_name(name).lower()
    by_name: dict[str, list[Function]] = {}
    for function in facts.functions:
        plain = base_name(method_path(function.method))
        by_name.setdefault(plain.lower(), []).append(function)
    close = difflib.get_close_matches(wanted, by_name, n=len(by_name) or 1, cutoff=0.6)
    inside = [name for name in sorted(by_name) if wanted in name and wanted]
    ordered = dict.fromkeys([*(n for n in (wanted,) if n in by_name), *close, *inside])
    found = [(key != wanted, function) for key in ordered for function in by_name[key]]
    found.sort(key=lambda pair: (pair[0], not pair[1].is_users))
    return list(dict.fromkeys(function.name for _, function in found))

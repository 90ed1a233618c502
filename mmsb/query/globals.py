"""Whose code reads a global: what the bodies say, where Julia keeps no edge for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from mmsb.base import schema
from mmsb.base.model import CodeState, Stage, Tag
from mmsb.query.answers import Function
from mmsb.query.body import Operand, read_body
from mmsb.query.facts import Facts
from mmsb.query.stages import newest


def readers(facts: Facts, fits: Callable[[str], bool]) -> tuple[tuple[str, Function], ...]:
    """(global's path, function) for each whose newest lowered body names a global that fits, and
    which has valid code. O(operands), and the bodies of those found."""
    found = set()
    for key in _mentioning(facts, fits):
        function, sight = facts.by_key.get(key), newest(facts, key, Stage.LOWERED)
        valid = any(code.state is CodeState.VALID for code in facts.codes(key))
        if function is None or sight is None or not valid:
            continue
        for statement in read_body(facts, sight).statements:
            found |= {(path, function) for path in _globals(statement.operands) if fits(path)}
    return tuple(sorted(found, key=lambda pair: (pair[0], pair[1].name, pair[1].key)))


def of_name(name: str) -> Callable[[str], bool]:
    """Says of a global's path whether a name, with as many modules as were written, is its own."""
    name = name.strip()
    return lambda path: path in (name, f"Main.{name}") or path.endswith(f".{name}")


def are_named(facts: Facts, fits: Callable[[str], bool]) -> bool:
    """Whether code, of whatever version, names such a global. O(operands)."""
    return bool(_mentioning(facts, fits))


def _mentioning(facts: Facts, fits: Callable[[str], bool]) -> list[str]:
    """The instances of which some operand, of whatever version, is a global that fits."""
    pages = facts.snapshot.pages(schema.OPERAND)
    if not len(pages):
        return []
    columns, offsets = facts.snapshot.gather_columns(schema.OPERAND, ("tag", "value"))
    named = np.flatnonzero(columns["tag"] == Tag.GLOBAL)
    ids, values = np.unique(columns["value"][named], return_inverse=True)
    wanted = np.array([fits(facts.text(int(id))) for id in ids], bool)
    owners = np.searchsorted(offsets, named[wanted[values]], side="right") - 1
    return facts.snapshot.subjects(pages[np.unique(owners)])


def _globals(operands: Iterable[Operand]) -> Iterator[str]:
    for operand in operands:
        if operand.tag is Tag.GLOBAL:
            yield operand.text
        yield from _globals(operand.children)

"""The digest depends on the facts and on nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmsb.base import schema
from mmsb.base.model import Tag
from mmsb.base.schema import Kind
from mmsb.memory.changes import Changes
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING

Step = Callable[[Changes], None]


@pytest.fixture
def digest(tmp_path: Path) -> Callable[..., str]:
    count = itertools.count()

    def of(*steps: Step, kinds: tuple[Kind, ...] = KINDS) -> str:
        """The digest of a new memory after one commit for each step."""
        with Memory.create(tmp_path / str(next(count)), kinds) as memory:
            for step in steps:
                changes = memory.changes()
                step(changes)
                memory.commit(changes)
            return memory.digest()

    return of


def things(order: str) -> Step:
    """Two pages whose symbols, types and scopes get other ids in another order."""

    def step(changes: Changes) -> None:
        for name in order:
            changes.symbol(name)
        types = {}
        scopes = {}
        for name in order:
            types[name] = changes.append("type", {"name": [changes.symbol(f"T{name}")]})
            outer = changes.append("scope", {"line": [1], "method": [changes.symbol("outer")]})
            line = {"parent": [outer], "line": [ord(name)], "method": [changes.symbol(name)]}
            scopes[name] = changes.append("scope", line)
        for name in order:
            page = changes.page(THING, name)
            cells = {"name": [changes.symbol(name)], "type": [types[name]], "scope": [scopes[name]]}
            changes.patch(THING, page, cells, start=2)

    return step


def test_the_order_of_ids_does_not_show(digest: Callable[..., str]) -> None:
    assert digest(things("ab")) == digest(things("ba")) == digest(things("a"), things("b"))
    assert digest(things("ab")) != digest(things("a"))


def test_history_does_not_show(digest: Callable[..., str]) -> None:
    def at_once(changes: Changes) -> None:
        changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [1, 2, 3]})

    def wrong(changes: Changes) -> None:
        changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [9, 9, 9, 9]})
        changes.patch(SMALL, changes.page(SMALL, "gone"), {"value": [9]})

    def mended(changes: Changes) -> None:
        changes.delete(changes.page(SMALL, "gone"))
        page = changes.page(SMALL, "f")
        changes.patch_rows(SMALL, page, [0, 1, 2, 3], {"value": [1, 2, 3, 0]})

    assert digest(wrong, mended) == digest(at_once)
    assert digest(wrong) != digest(at_once)


def test_fill_and_unused_kinds_do_not_show(digest: Callable[..., str]) -> None:
    def bare(changes: Changes) -> None:
        changes.patch(THING, changes.page(THING, "f"), {"byte": [1]})

    def filled(changes: Changes) -> None:
        changes.symbol("unused")
        changes.append("type", {"name": [changes.symbol("Unused")]})
        changes.append("recording", {"key": [changes.symbol("seconds")]})
        cells = {"byte": [1, 0, 0], "short": [0xFFFF] * 3, "real": [0.0] * 3, "clock": [7] * 3}
        changes.patch(THING, changes.page(THING, "f"), cells)

    other = Kind(50, "other", SMALL.columns)
    assert digest(bare) == digest(filled) == digest(bare, kinds=(*KINDS, other))


@pytest.mark.parametrize(
    "cells",
    [
        {"byte": [2]},
        {"byte": [1, 0, 1]},
        {"byte": [0, 1]},
        {"short": [1]},
        {"byte": [1], "real": [-0.0]},
        {"byte": [1], "wide": [1]},
        {"byte": [1], "name": [7]},
    ],
)
def test_every_fact_shows(digest: Callable[..., str], cells: dict[str, list[int]]) -> None:
    def step(cells: dict[str, list[int]], subject: str = "f") -> Step:
        return lambda changes: changes.patch(THING, changes.page(THING, subject), cells)

    assert digest(step(cells)) != digest(step({"byte": [1]}))
    assert digest(step(cells, "f")) != digest(step(cells, "g"))


def test_an_operand_is_what_its_tag_says(digest: Callable[..., str]) -> None:
    """Its value is a symbol's id, a type's id or a number, whichever the tag says."""

    def step(tag: Tag, name: str, *before: str) -> Step:
        def write(changes: Changes) -> None:
            for other in before:
                changes.append("type", {"name": [changes.symbol(other)]})
            row = changes.append("type", {"name": [changes.symbol(name)]})
            value = row if tag is Tag.TYPE else changes.symbol(name)
            page = changes.page(schema.OPERAND, "f")
            changes.patch(schema.OPERAND, page, {"tag": [tag], "value": [value]})

        return write

    kinds = schema.KINDS
    for tag in (Tag.GLOBAL, Tag.LITERAL, Tag.INSTANCE, Tag.TYPE):
        one = digest(step(tag, "a"), kinds=kinds)
        assert one == digest(step(tag, "a", "x", "y"), kinds=kinds)
        assert one != digest(step(tag, "b"), kinds=kinds)
    assert digest(step(Tag.SSA, "a"), kinds=kinds) != digest(step(Tag.SSA, "a", "x"), kinds=kinds)


def test_symbols_types_and_scopes_show_by_what_they_say(digest: Callable[..., str]) -> None:
    def referring(text: str, lattice: int, line: int) -> Step:
        def step(changes: Changes) -> None:
            name = changes.symbol(text)
            type_ = changes.append("type", {"name": [name], "lattice": [lattice]})
            parent = changes.append("scope", {"line": [line]})
            scope = changes.append("scope", {"parent": [parent], "line": [0]})
            page = changes.page(THING, "f")
            changes.patch(THING, page, {"type": [type_], "scope": [scope]})

        return step

    steps = [referring(t, k, n) for t, k, n in itertools.product("ab", (0, 1), (5, 6))]
    assert len({digest(step) for step in steps}) == len(steps)


def test_events_show_in_their_order(digest: Callable[..., str]) -> None:
    def events(*kinds: int, world: int = 0) -> Step:
        return lambda c: c.append("event", {"kind": kinds, "world": [world] * len(kinds)}) and None

    assert digest(events(1, 2)) != digest(events(2, 1))
    assert digest(events(1, 2)) == digest(events(1), events(2))
    assert digest(events(1, 2), events(3)) == digest(events(1, 2, 3, world=9))


def test_the_digest_is_stable(digest: Callable[..., str]) -> None:
    # Written down, so that a change of what is hashed is seen and told.
    assert digest(things("ab")) == digest(things("ab"), kinds=(*KINDS,))
    assert digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_column_out_of_the_digest(digest: Callable[..., str]) -> None:
    quiet = replace(SMALL, columns=(replace(SMALL.columns[0], digest=False),))
    kinds = (*KINDS[:-1], quiet)

    def step(value: int) -> Step:
        return lambda changes: changes.patch(
            "small", changes.page("small", "f"), {"value": [value]}
        )

    assert digest(step(1), kinds=kinds) == digest(step(2), kinds=kinds)

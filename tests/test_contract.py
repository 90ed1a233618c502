"""The two-language contract: what ``buffers.jl`` sends is what ``mmsb/base/wire.py`` reads."""

from __future__ import annotations

import os
import re
import subprocess
from enum import IntEnum

import pytest

from mmsb.base.model import (
    CallKind,
    Cause,
    Decision,
    Dependency,
    EventKind,
    Inference,
    Kept,
    Lattice,
    Provenance,
    Rederived,
    Stage,
    Tag,
    TreeNode,
)
from mmsb.base.wire import WIRE_KINDS, WIRE_VERSION
from mmsb.capture.julia import Candidate, shim_path

# What the shim says itself; the rest of the kinds of events and calls is Python's to say.
FULL: tuple[type[IntEnum], ...] = (
    Tag, Lattice, Stage, Provenance, Dependency, Cause, TreeNode, Inference, Kept, Rederived,
    Decision,
)  # fmt: skip
PARTIAL: tuple[type[IntEnum], ...] = (EventKind, CallKind)

_TYPES = {f"{k}{n}": f"{'U' if k == 'u' else ''}Int{n}" for k in "ui" for n in (8, 16, 32, 64)}
_ENTRY = re.compile(r"\((\d+), :(\w+), \(((?:\(:\w+, \w+\),?\s*)+)\)\)")
_COLUMN = re.compile(r"\(:(\w+), (\w+)\)")


def wire_lines() -> list[str]:
    """The tables of ``wire.py``, a line a column: id, kind, column, Julia's name of its type."""
    return [
        f"{kind.id} {kind.name} {column.name} {_TYPES[column.dtype]}"
        for kind in WIRE_KINDS
        for column in kind.columns
    ]


def shim_source() -> str:
    return (shim_path() / "src" / "buffers.jl").read_text()


def test_the_shims_tables_read_as_text_are_those_of_the_wire() -> None:
    """Without a Julia: its literals, read with a pattern."""
    text = shim_source()
    contract = text[text.index("const CONTRACT") : text.index("\n)\n")]
    read = [
        f"{id_} {kind} {column} {type_}"
        for id_, kind, columns in _ENTRY.findall(contract)
        for column, type_ in _COLUMN.findall(columns)
    ]
    assert read == wire_lines()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WIRE_VERSION", WIRE_VERSION),
        ("NONE", 0xFFFF_FFFF),
        ("SELF", 0xFFFF_FFFE),
    ],
)
def test_the_shims_numbers_are_those_of_the_model(name: str, value: int) -> None:
    found = re.search(rf"^const {name} = (\w+)", shim_source(), re.MULTILINE)
    assert found is not None
    assert int(found[1], 0) == value


@pytest.fixture(scope="session")
def printed(julia: Candidate) -> list[str]:
    """What the shim's file of literals says of itself, on a live Julia."""
    buffers = shim_path() / "src" / "buffers.jl"
    program = f"module B; include({str(buffers)!r}); end; B.print_contract()".replace("'", '"')
    done = subprocess.run(
        [str(julia.path), "--startup-file=no", "-e", program],
        env={**os.environ, **julia.env},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def test_a_live_shims_tables_are_those_of_the_wire(printed: list[str]) -> None:
    assert [line for line in printed if line[0].isdigit()] == wire_lines()


@pytest.mark.parametrize("enum", FULL + PARTIAL)
def test_a_live_shims_numbers_are_those_of_the_model(
    printed: list[str], enum: type[IntEnum]
) -> None:
    said = {tuple(line.split()[1:]) for line in printed if line.startswith(f"{enum.__name__} ")}
    known = {(member.name, str(member.value)) for member in enum}
    assert said <= known
    assert said
    if enum in FULL:
        assert said == known

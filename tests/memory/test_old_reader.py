"""A reader stays on an old epoch while the writer compacts, forgets, and the folder goes: what it
reads is right, or a named error; in the writer's process and in another.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mmsb.base.errors import NotAMemory, StateError
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot
from mmsb.testing.lives import play
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL

HEAD, OLD, BASE = 12, 4, 9


@pytest.fixture
def lived(quick: Path) -> Path:
    with Memory.create(quick / "a.mmsb", KINDS, segment_bytes=4096) as memory:
        for _ in range(HEAD):
            changes = memory.changes()
            play(memory.head + 1, 1, changes)
            memory.commit(changes)
        # Compression pays for what is long.
        long = memory.create_page(SMALL, "long")
        for number in range(3):
            memory.update_page(long, range(4000), {"value": [number] * 4000})
    return quick / "a.mmsb"


@pytest.fixture(scope="module")
def truth() -> dict[tuple[int, str], bytes]:
    oracle = Oracle(KINDS)
    for _ in range(HEAD):
        changes = oracle.changes()
        play(oracle.head + 1, 1, changes)
        oracle.commit(changes)
    return content(oracle.at(OLD))


def content(shown: object) -> dict[tuple[int, str], bytes]:
    """All cells of an epoch that tests wrote, and what texts there are."""
    found: dict[tuple[int, str], bytes] = {}
    for kind in KINDS:
        if kind.name in ("heap", "symbol"):
            continue
        for page in shown.pages(kind).tolist():  # type: ignore[attr-defined]
            for column in kind.columns:
                cells = shown.column(kind, page, column.name)  # type: ignore[attr-defined]
                found[page, column.name] = cells.tobytes()
    texts = shown.symbols(range(shown.symbol_count))  # type: ignore[attr-defined]
    found[-1, "texts"] = "\0".join(texts).encode()
    return found


#: What is done to the memory, in order.
STEPS: dict[str, Callable[[Memory], object]] = {
    "compact": lambda memory: memory.compact(seal=True),
    "retain": lambda memory: memory.retain(BASE),
    "compact again": lambda memory: memory.compact(seal=True),
    "unlink": lambda memory: shutil.rmtree(memory.path),
}


def outcome(shown: Snapshot, truth: dict[tuple[int, str], bytes]) -> str:
    try:
        return "right" if content(shown) == truth else "wrong"
    except (StateError, NotAMemory) as error:
        return type(error).__name__


def reads(path: Path, truth: dict[tuple[int, str], bytes], before: bool, pipe: Connection) -> None:
    """A process: stands on the old epoch, and says what it reads whenever it is asked."""
    memory = Memory.open(path, kinds=KINDS)
    old = memory.at(OLD)
    pipe.send(outcome(old, truth) if before else "not read")
    while pipe.recv():
        pipe.send(outcome(old, truth))


def elsewhere(path: Path, truth: dict[tuple[int, str], bytes], before: bool) -> Connection:
    here, there = Pipe()
    if os.fork() == 0:
        here.close()
        try:
            reads(path, truth, before, there)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    there.close()
    return here


@pytest.mark.parametrize("compiled", [True, False])
def test_who_has_read_it_reads_on(
    lived: Path, truth: dict[tuple[int, str], bytes], compiled: bool
) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        memory._index.compiled = compiled
        memory.digest()  # what is loaded for it need not be in the child
        child = elsewhere(lived, truth, before=True)
        assert child.recv() == "right"
        reader = Memory.open(lived, kinds=KINDS)
        reader._index.compiled = compiled
        held = [memory.at(OLD), reader.at(OLD)]
        assert {outcome(each, truth) for each in held} == {"right"}
        for what, step in STEPS.items():
            step(memory)
            assert {outcome(each, truth) for each in held} == {"right"}, what
            child.send(True)
            assert child.recv() == "right", what
            if what == "compact":
                kept = memory.at(OLD), Memory.open(lived, kinds=KINDS).at(OLD)
                assert {outcome(each, truth) for each in kept} == {"right"}
                held += kept
        child.send(False)
        os.wait()
        memory._closed = True  # there is nothing left to close


def test_who_has_not_is_told(lived: Path, truth: dict[tuple[int, str], bytes]) -> None:
    with Memory.open(lived, True, kinds=KINDS) as memory:
        for what, step in STEPS.items():
            late = Memory.open(lived, kinds=KINDS)
            child = elsewhere(lived, truth, before=False) if late.first <= OLD else None
            shown = late.at(OLD) if late.first <= OLD else late.at(BASE)
            if child is not None:
                assert child.recv() == "not read"  # it stands on the epoch
            step(memory)
            if child is not None:
                child.send(True)
                found = {outcome(shown, truth), child.recv()}
                child.send(False)
                os.wait()
                assert found == ({"right"} if what == "compact" else {"StateError"})
            else:
                assert outcome(shown, truth) in ("wrong", "NotAMemory")  # (of epoch BASE)
            if what != "unlink":
                late.refresh()
                assert late.head == memory.head
                late.digest()
        memory._closed = True

"""Memories of every format there ever was: read, written on, checked, checkpointed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmsb.memory.check import check
from mmsb.memory.frame import Frame
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.strategies import KINDS, SMALL

#: Each was made by the code of its time with `mmsb.testing.contracts.fill`, segments of 4 KiB.
MEMORIES = sorted((Path(__file__).parent / "formats").iterdir())


@pytest.fixture(params=MEMORIES, ids=lambda path: path.name)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = tmp_path / "old.mmsb"
    shutil.copytree(request.param, copy)
    return copy


def test_it_holds_what_was_written(old: Path, path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as same:
        fill(same)
        expected = dump(same)
        digest = same.digest()
    for compiled in (False, True):
        with Memory.open(old, kinds=KINDS) as memory:
            memory._index.compiled = compiled
            assert dump(memory) == expected
            assert memory.digest() == digest
    assert check(old).sound


def test_it_is_written_on(old: Path, tmp_path: Path) -> None:
    with Memory.open(old, write=True, kinds=KINDS) as memory:
        before = dump(memory)
        page = memory.create_page(SMALL, "new")
        for number in range(200):
            memory.update_page(page, [number], {"value": [number]})
        after = dump(memory)
        memory.checkpoint(tmp_path / "checkpoint")
        memory.fork(6, tmp_path / "fork").close()
    assert before.items() <= after.items()
    for name in ("old.mmsb", "checkpoint"):
        assert check(tmp_path / name).sound
        with Memory.open(tmp_path / name, kinds=KINDS) as memory:
            assert dump(memory) == after
    with Memory.open(tmp_path / "fork", kinds=KINDS) as memory:
        assert dump(memory) == before


def test_there_is_one_of_each_format() -> None:
    names = ["format-1", "format-2", "format-2-frames-3", "format-3"]
    assert [path.name for path in MEMORIES] == names
    for path in MEMORIES:
        assert f'"format":{path.name[7]},' in (path / "manifest").read_text()


def test_there_are_frames_of_each_version() -> None:
    found = {}
    for path in MEMORIES:
        with Memory.open(path, kinds=KINDS) as memory:
            run = memory._index.runs_to(memory.head)[-1]
            places, end = run.frames.values.tolist(), len(run.segment.bytes)
            found[path.name] = {Frame(run.segment, at, end).version for at in places}
    assert found == {
        "format-1": {1},
        "format-2": {2},
        "format-2-frames-3": {2, 3},
        "format-3": {2},
    }

"""Compaction: every read is the same before, during and after, and no fault in its files shows."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.memory import compact, files, packed
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.memory.salvage import salvage
from mmsb.testing.contracts import dump, fill
from mmsb.testing.disks import FailsOnce
from mmsb.testing.power import Recorder, states
from mmsb.testing.strategies import KINDS, SMALL, THING


def large(memory: Memory) -> None:
    """Epochs whose buffers fill many blocks of a segment, some that compress and some that not."""
    rng = np.random.default_rng(7)
    for turn in range(4):
        changes = memory.changes()
        page = changes.page(THING, f"large {turn % 3}")
        changes.patch(THING, page, {"big": np.arange(20_000) // 5, "byte": [turn] * 20_000})
        changes.patch(THING, page, {"real": rng.random(9_000)}, start=30 * turn)
        rows = np.flatnonzero(rng.random(9_000) < 0.3)
        changes.patch_rows(THING, page, rows, {"big": rows * turn})
        memory.commit(changes)


@pytest.fixture
def made(path: Path) -> Path:
    """A closed memory with many small segments and a few larger ones."""
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 12)
        large(memory)
        fill_more(memory)
    return path


def fill_more(memory: Memory) -> None:
    changes = memory.changes()
    changes.patch(SMALL, changes.page(SMALL, "last"), {"value": np.arange(5_000)})
    memory.commit(changes)


def everything(memory: Memory) -> dict[object, bytes]:
    """`dump`, and what is read of many pages at once."""
    found = dump(memory)
    for epoch in range(memory.head + 1):
        snapshot = memory.at(epoch)
        for name in ("big", "byte", "real"):
            cells, offsets = snapshot.gather(THING, name)
            found["gather", epoch, name] = cells.tobytes() + offsets.tobytes()
            pages = snapshot.pages(THING)
            rows = np.arange(len(pages) * 40, dtype="<u4") % 40
            found["cells", epoch, name] = snapshot.cells(
                THING, name, np.resize(pages, len(rows)), rows
            ).tobytes()
        found["digest", epoch] = memory.digest(epoch).encode()
    found["diff"] = repr(memory.diff(0, memory.head)).encode()
    for page in memory.at().pages(THING).tolist():
        for epoch, columns in memory.replay(page, 0, memory.head):
            cells = (values.tobytes() for values in columns.values())
            found["replay", epoch, page] = b"".join(cells)
    return found


def read(path: Path, *, compiled: bool | None = None) -> dict[object, bytes]:
    with Memory.open(path, kinds=KINDS) as memory:
        memory._index.compiled = compiled
        return everything(memory)


def packed_files(path: Path) -> list[Path]:
    return sorted(path.glob("segment-*.z"))


@pytest.mark.parametrize("codec", ["auto", "lz4", "zstd"])
def test_reads_are_the_same_before_and_after(made: Path, codec: Any) -> None:
    before = read(made, compiled=False)
    size = sum(file.stat().st_size for file in made.glob("segment-*"))
    old = Memory.open(made, kinds=KINDS)
    with Memory.open(made, True, kinds=KINDS) as memory:
        first = memory.compact(codec=codec)
        assert first.segments
        assert [file.name for file in packed_files(made)] == [
            packed.file_name(number) for number in first.segments
        ]
        assert first.after < first.before
        assert everything(memory) == before  # on the maps that it has
        then = memory.compact(codec=codec, seal=True)
        assert not set(first.segments) & set(then.segments)
        assert memory.stats()["compressed"] == {
            "segments": len(first.segments) + len(then.segments),
            "bytes": first.after + then.after,
            "whole": first.before + then.before,
        }
    assert everything(old) == before
    old.refresh()
    old.close()
    assert sum(file.stat().st_size for file in made.glob("segment-*")) < size
    assert read(made, compiled=False) == before
    assert read(made, compiled=True) == before
    assert check(made).sound
    with Memory.open(made, True, kinds=KINDS) as memory:  # and it goes on
        fill(memory, 0)
        fill_more(memory)
        assert memory.digest(memory.head - 1) == before["digest", memory.head - 1].decode()


@pytest.mark.parametrize("compiled", [True, False])
def test_without_index_files_the_frames_are_read(made: Path, compiled: bool) -> None:
    before = read(made)
    with Memory.open(made, True, kinds=KINDS) as memory:
        memory.compact()
    for file in made.glob("index-*"):
        file.unlink()
    assert read(made, compiled=compiled) == before


def test_only_what_is_read_is_decompressed(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        for turn in range(3):
            changes = memory.changes()
            page = changes.page(THING, f"page {turn}")
            changes.patch(THING, page, {"big": np.arange(200_000) + turn})
            memory.commit(changes)
        memory.compact(seal=True)
    with Memory.open(path, kinds=KINDS) as memory:
        snapshot = memory.at()
        page = snapshot.page(THING, "page 1")
        assert page is not None
        cells = snapshot.column(THING, page, "big")
        assert (cells == np.arange(200_000) + 1).all()
        held = [run.opened.packed for run in memory._index.all_runs if run.opened is not None]
        resident = sum(own.resident for own in held if own is not None)
        assert 1_600_000 <= resident <= 1_600_000 + 6 * 65536


def test_a_reader_that_fell_behind_goes_on(path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 3)
        reader = Memory.open(path, kinds=KINDS)
        start = dump(reader)
        for _ in range(3):
            fill_more(memory)
            large(memory)
            memory.compact(seal=True)
        whole = dump(memory)
        assert reader.refresh() == memory.head
        found = dump(reader)
        assert found == whole
        assert start.items() <= found.items()
        reader.close()


_READER = """
import sys
from pathlib import Path
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS
digest, path, turns = sys.argv[2], Path(sys.argv[1]), 0
while not (path.parent / "stop").exists() or turns < 2:
    with Memory.open(path, kinds=KINDS) as memory:
        if turns % 2:
            memory._index.compiled = False
        assert memory.digest(16) == digest, turns
    turns += 1
"""


def test_reads_are_the_same_during(made: Path) -> None:
    before = read(made)
    digest = before["digest", 16].decode()
    process = subprocess.Popen([sys.executable, "-c", _READER, str(made), digest])
    wrong: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                assert memory.digest(16) == digest
                with Memory.open(made, kinds=KINDS) as other:
                    assert other.digest(16) == digest
        except BaseException as error:
            wrong.append(error)

    with Memory.open(made, True, kinds=KINDS) as memory:
        thread = threading.Thread(target=look)
        thread.start()
        for _ in range(3):
            memory.compact(seal=True)
            large(memory)
        stop.set()
        thread.join()
    (made.parent / "stop").touch()
    assert process.wait(timeout=100) == 0
    assert not wrong


def test_damage_in_a_compressed_segment_is_found_or_harmless(made: Path, tmp_path: Path) -> None:
    with Memory.open(made, True, kinds=KINDS) as memory:
        memory.compact(seal=True)
    before, rng, found = dump_of(made), np.random.default_rng(3), 0
    for turn in range(60):
        copy = tmp_path / "copy"
        shutil.copytree(made, copy)
        left = packed_files(copy)
        file = left[turn % len(left)]
        raw = bytearray(file.read_bytes())
        # Every other time the header or the list.
        at = int(rng.integers(200 if turn % 2 else len(raw)))
        if turn % 5:
            raw[at] ^= 1 << int(rng.integers(8))
        else:
            del raw[at:]
        file.write_bytes(raw)
        try:
            assert dump_of(copy, compiled=bool(turn % 3)) == before
        except errors.CorruptData as error:
            found += file.name.removesuffix(".z") in str(error)
        report = check(copy)
        assert not report.sound
        assert file.name.removesuffix(".z") in str(report.problems[0])
        shutil.rmtree(copy)
    assert found > 20


def dump_of(path: Path, *, compiled: bool | None = None) -> dict[object, bytes]:
    with Memory.open(path, kinds=KINDS) as memory:
        memory._index.compiled = compiled
        return dump(memory)


def test_a_block_that_is_lost_leaves_the_rest(made: Path, tmp_path: Path) -> None:
    before = dump_of(made)
    with Memory.open(made, True, kinds=KINDS) as memory:
        memory.compact()
    file = max(packed_files(made), key=lambda file: file.stat().st_size)
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    shutil.copy(made / "manifest", tmp_path / "manifest")
    for lost in (False, True):
        if lost:
            (made / "manifest").write_bytes(b"")
        told = salvage(made, tmp_path / f"saved {lost}", kinds=KINDS)
        assert told.lost
        with Memory.open(tmp_path / f"saved {lost}", kinds=KINDS) as memory:
            cells = dump(memory)
            assert cells.keys() & before.keys()


def test_any_call_of_a_compaction_may_fail(made: Path, tmp_path: Path) -> None:
    before = dump_of(made)
    calls = 0
    for number in range(100):
        copy = tmp_path / "copy"
        shutil.copytree(made, copy)
        disk = FailsOnce(10**6, 5)
        memory = Memory.open(copy, True, kinds=KINDS, disk=disk)
        disk.at = disk.seen + number
        try:
            memory.compact(seal=bool(number % 2))
            done = True
        except errors.MmsbError:
            done = False
        assert dump(memory) == before
        try:
            memory.close()
        except errors.WriterFailed:
            assert not done
        assert dump_of(copy) == before
        with Memory.open(copy, True, kinds=KINDS) as again:
            again.compact(seal=True)
            fill_more(again)
        assert check(copy).sound
        shutil.rmtree(copy)
        calls = number
        if done:
            break
    assert 10 < calls < 99


def test_the_power_may_go_at_any_moment(path: Path, tmp_path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 9)
        fill_more(memory)
    before = dump_of(path)
    disk = Recorder(path)
    with Memory.open(path, True, kinds=KINDS, disk=disk) as memory:
        memory.compact(seal=True)
    assert len(packed_files(path)) >= 2
    chance, room = random.Random(5), tmp_path / "room"
    for moment in range(len(disk.calls) + 1):
        for folder in states(disk, moment, room, 2, chance):
            left = folder / str(path).lstrip("/")
            assert dump_of(left) == before
            with Memory.open(left, True, kinds=KINDS) as memory:
                memory.compact()
            assert dump_of(left) == before
            shutil.rmtree(folder)


def test_forks_and_checkpoints_of_a_compressed_memory(made: Path, tmp_path: Path) -> None:
    before = read(made)
    stale = Memory.open(made, kinds=KINDS)
    with Memory.open(made, True, kinds=KINDS) as memory:
        memory.compact(seal=True)
        own = packed_files(made)
    for turn, source in enumerate((stale, Memory.open(made, kinds=KINDS))):
        for epoch in (3, 14, 17):
            expected = {key: cells for key, cells in before.items() if _upto(key, epoch)}
            forked, copied = tmp_path / f"fork {turn} {epoch}", tmp_path / f"copy {turn} {epoch}"
            with source.fork(epoch, forked) as fork:
                assert {k: v for k, v in everything(fork).items() if k != "diff"} == expected
                fill_more(fork)
                fork.compact(seal=True)
            source.checkpoint(copied, epoch)
            with Memory.restore(copied, tmp_path / f"back {turn} {epoch}", kinds=KINDS) as back:
                assert {k: v for k, v in everything(back).items() if k != "diff"} == expected
                fill_more(back)
            for folder in (forked, copied):
                assert check(folder).sound
                assert all(_upto(key, epoch) for key in expected)
        source.close()
    assert packed_files(made) == own
    assert read(made) == before


def _upto(key: Any, epoch: int) -> bool:
    if key == "diff":
        return False
    of = key[1] if isinstance(key[0], str) else key[0]
    return bool(of <= epoch)


def test_who_does_not_know_compressed_segments_refuses_them_by_name(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b'"format":2' in (made / "manifest").read_bytes()
    with Memory.open(made, True, kinds=KINDS) as memory:
        memory.compact()
        assert b'"format":3' in (made / "manifest").read_bytes()
        large(memory)
        large(memory)
    assert b'"format":3' in (made / "manifest").read_bytes()
    monkeypatch.setattr(files, "COMPRESSED", 2)
    with pytest.raises(errors.NewerFormat, match="format 3, this mmsb reads up to 2"):
        Memory.open(made, kinds=KINDS)


def test_a_codec_is_taken_where_it_pays() -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, 300_000).astype(np.uint8)
    assert compact.choose(noise) is None
    assert compact.choose(np.zeros(300_000, np.uint8)) == "lz4"
    letters = rng.integers(0, 16, 300_000).astype(np.uint8)  # half their bits say nothing
    assert compact.choose(letters) == "zstd"


def test_what_does_not_pay_is_left(path: Path) -> None:
    rng = np.random.default_rng(1)
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        page = changes.page(THING, "noise")
        changes.patch(THING, page, {"real": rng.integers(0, 2**62, 60_000).view("<f8")})
        memory.commit(changes)
        done = memory.compact(seal=True)
        assert (done.segments, done.left) == ((), (1,))
        with pytest.raises(errors.UsageError, match="codec 'gzip' is not known"):
            memory.compact(codec="gzip")  # type: ignore[arg-type]
    assert not packed_files(path)
    with Memory.open(path, kinds=KINDS) as reader, pytest.raises(errors.ReadOnly):
        reader.compact()

"""Index files: opening by them gives what reading every frame gives, and no fault in them shows."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.memory import frame as frames
from mmsb.memory import recall
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.disks import Watched
from mmsb.testing.strategies import KINDS, SMALL


def index_files(path: Path) -> list[Path]:
    return sorted(path.glob("index-*"))


@pytest.fixture
def sealed(path: Path) -> Path:
    """A closed memory of forty epochs in several sealed segments."""
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 40)
    assert len(index_files(path)) >= 3
    return path


@pytest.fixture
def content(sealed: Path, tmp_path: Path) -> dict[object, bytes]:
    """What the memory holds, read from its frames alone."""
    plain = tmp_path / "plain"
    shutil.copytree(sealed, plain)
    for file in index_files(plain):
        file.unlink()
    with Memory.open(plain, kinds=KINDS) as memory:
        assert not any(run.recalled for run in memory._index.runs)
        return dump(memory)


def test_opening_by_index_files_reads_no_sealed_frame(
    sealed: Path, content: dict[object, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    before = frames.Frame.__init__

    def look(self: frames.Frame, segment: object, offset: int, end: int, **more: bool) -> None:
        before(self, segment, offset, end, **more)  # type: ignore[arg-type]
        read.append(self.epoch)

    monkeypatch.setattr(frames.Frame, "__init__", look)
    with Memory.open(sealed, kinds=KINDS) as memory:
        assert memory.head == 40
        last = memory._index.runs[-1]
        assert read == list(range(last.first_epoch, 41))
        monkeypatch.undo()
        assert dump(memory) == content
        assert memory._index.rebuilt == []


def test_an_index_file_gives_back_every_number_of_a_batch(sealed: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(sealed, plain)
    for file in index_files(plain):
        file.unlink()
    with Memory.open(sealed, kinds=KINDS) as ours, Memory.open(plain, kinds=KINDS) as theirs:
        left, right = (memory._index.runs_to(40) for memory in (ours, theirs))
        assert [run.recalled for run in ours._index.runs[:3]] == [True] * 3
        for one, other in zip(left, right, strict=True):
            assert one.table.tobytes() == other.table.tobytes()
            assert one.frames.values.tobytes() == other.frames.values.tobytes()


def test_an_index_file_of_the_first_version_is_as_good_as_none(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(Path(__file__).parent / "formats" / "format-2", copy)
    with Memory.open(copy, kinds=KINDS) as memory:
        assert memory.stats()["health"]["verdict"] == "healthy"
        assert not any(run.recalled for run in memory._index.runs)


def test_an_index_file_is_small_beside_its_segment(path: Path) -> None:
    many(path, 2000).close()
    (file,) = index_files(path)
    assert file.stat().st_size < 30 * 2000  # a batch row alone has 128 bytes


def test_an_index_file_that_is_damaged_is_made_again_from_the_frames(
    sealed: Path, content: dict[object, bytes], tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    for turn in range(48):
        copy = tmp_path / "copy"
        shutil.copytree(sealed, copy)
        file = index_files(copy)[turn % 3]
        raw = bytearray(file.read_bytes())
        at = int(rng.integers(len(raw)))
        if turn % 4:
            raw[at] ^= 1 << int(rng.integers(8))
        else:
            del raw[at:]
        file.write_bytes(raw)
        with Memory.open(copy, kinds=KINDS) as memory:
            assert dump(memory) == content
            assert any(file.name in told for told in memory._index.rebuilt)
        shutil.rmtree(copy)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_index_file_of_another_memory_is_not_believed(
    sealed: Path, content: dict[object, bytes], tmp_path: Path, which: int
) -> None:
    other = tmp_path / "other.mmsb"
    with Memory.create(other, KINDS, segment_bytes=4096) as memory:
        for epoch in range(120):
            changes = memory.changes()
            changes.patch(SMALL, changes.page(SMALL, f"{epoch}"), {"value": range(20)})
            memory.commit(changes)
    file = index_files(sealed)[which]
    shutil.copy(index_files(other)[which], file)
    with Memory.open(sealed, kinds=KINDS) as memory:
        assert dump(memory) == content


def test_a_sealed_segment_that_was_cut_is_damage_not_a_crash(sealed: Path) -> None:
    segment = sealed / "segment-000001"
    segment.write_bytes(segment.read_bytes()[:-64])
    with Memory.open(sealed, kinds=KINDS) as memory, pytest.raises(errors.CorruptData):
        dump(memory)
    assert not check(sealed).sound


def test_a_damaged_table_is_found_when_it_is_first_read(sealed: Path) -> None:
    segment = sealed / "segment-000002"
    raw = bytearray(segment.read_bytes())
    raw[64 + 64 + 24] ^= 1  # in the first frame's table or list of checksums
    segment.write_bytes(raw)
    for compiled in (True, False):
        with Memory.open(sealed, kinds=KINDS) as memory:
            memory._index.compiled = compiled
            with pytest.raises(errors.CorruptData, match="segment-000002"):
                dump(memory)


def many(path: Path, count: int, **more: object) -> Memory:
    memory = Memory.create(path, KINDS, **more)  # type: ignore[arg-type]
    page = memory.create_page(SMALL, "x")
    for number in range(count):
        memory.update_page(page, [number % 50], {"value": [number]})
    return memory


def test_a_long_tail_is_indexed_when_it_is_closed(path: Path) -> None:
    many(path, 600).close()
    assert [file.name for file in index_files(path)] == ["index-000001"]
    with Memory.open(path, write=True, kinds=KINDS) as memory:
        first, page = memory._index.runs[0], memory.at().page(SMALL, "x")
        assert page is not None
        assert (first.recalled, first.last_epoch) == (True, 601)
        for number in range(5):
            memory.update_page(page, [3], {"value": [number]})
        assert [run.recalled for run in memory._index.runs] == [True, False]
        expected = dump(memory)
    for file in index_files(path):
        file.unlink()
    with Memory.open(path, kinds=KINDS) as memory:
        assert dump(memory) == expected


def test_what_was_never_durable_is_not_taken_from_an_index_file(path: Path) -> None:
    many(path, 600, durability="none").close()
    assert index_files(path) == []


def test_an_index_file_that_says_more_than_is_durable_is_not_believed(path: Path) -> None:
    # The loss of power took the end of the segment, and the header back with it.
    memory = many(path, 600)
    memory.sync()
    header = (path / "header").read_bytes()
    page = memory.create_page(SMALL, "later")
    for number in range(600):
        memory.update_page(page, [number % 50], {"value": [number]})
    memory.close()
    (path / "header").write_bytes(header)
    segment = path / "segment-000001"
    segment.write_bytes(segment.read_bytes()[:-200])
    with Memory.open(path, kinds=KINDS) as after:
        assert after.head >= 601
        assert not any(run.recalled for run in after._index.runs)


@pytest.mark.parametrize("change", [lambda p: None, lambda p: p.unlink()])
def test_forks_and_checkpoints_open_with_and_without(
    sealed: Path, content: dict[object, bytes], tmp_path: Path, change: Callable[[Path], object]
) -> None:
    with Memory.open(sealed, kinds=KINDS) as memory:
        memory.checkpoint(tmp_path / "checkpoint")
        memory.fork(None, tmp_path / "fork").close()
    for name in ("checkpoint", "fork"):
        assert index_files(tmp_path / name)
        for file in index_files(tmp_path / name):
            change(file)
        with Memory.open(tmp_path / name, kinds=KINDS) as copy:
            assert dump(copy) == content


class Gate(Watched):
    """Whoever makes an index file waits here."""

    def __init__(self) -> None:
        self.opened, self.waits = threading.Event(), threading.Event()

    def saw(self, call: str, path: Path, *details: object) -> None:
        if call == "make" and path.name.startswith("index-"):
            self.waits.set()
            assert self.opened.wait(60)


def test_commits_do_not_wait_for_large_index_files(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "_MANY", 0)
    path, gate = tmp_path / "behind", Gate()
    with Memory.create(path, KINDS, segment_bytes=4096, disk=gate) as memory:
        fill(memory, 40)
        assert gate.waits.wait(60)
        assert not index_files(path)
        with Memory.open(path, kinds=KINDS) as reader:
            assert dump(reader) == dump(memory)
        gate.opened.set()
    assert [file.name for file in index_files(path)] == [f.name for f in index_files(sealed)]
    for file in index_files(path):
        assert file.read_bytes() == (sealed / file.name).read_bytes()


def test_retention_and_copies_wait_for_index_files(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "_MANY", 0)
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 40)
        memory.checkpoint(tmp_path / "copy")
        assert len(index_files(tmp_path / "copy")) == len(index_files(path)) >= 3
        memory.retain(30)
        named = {segment for segment, _ in memory._log.manifest.segments}
        assert {int(file.name[6:]) for file in index_files(path)} <= named


def test_without_a_thread_index_files_are_written_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(recall, "_MANY", 0)
    monkeypatch.setattr(threading.Thread, "start", none)
    with Memory.create(path, KINDS, segment_bytes=4096, durability="none") as memory:
        fill(memory, 40)
        assert len(index_files(path)) >= 3

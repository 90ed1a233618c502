"""Bits flipped and blocks lost anywhere, and files cut while they are read: never wrong data."""

from __future__ import annotations

import os
import random
import shutil
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsb.base import errors
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.strategies import KINDS

REFUSED = (errors.DamageError, errors.NotAMemory)
EPOCHS = 5


@pytest.fixture
def whole(quick: Path) -> Path:
    """A closed memory of several segments."""
    path = quick / "a.mmsb"
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, EPOCHS, narrow=False)
    return path


@pytest.fixture
def narrow(quick: Path) -> Path:
    """The same, written narrow."""
    path = quick / "a.mmsb"
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, EPOCHS)
    return path


@pytest.fixture
def compacted(whole: Path) -> Path:
    """The same with keyframes, and with its sealed segments compressed."""
    with Memory.open(whole, True, kinds=KINDS) as memory:
        then = memory.at(EPOCHS - 1)
        memory.keyframe([*then.pages("thing").tolist(), *then.pages("small").tolist()], then.epoch)
        assert memory.compact(codec="zstd", seal=True).segments
    return whole


@pytest.fixture
def killed(quick: Path) -> Path:
    """One whose writer was killed: half of it is not durable, the rest of the segment is blank."""
    path, live = quick / "a.mmsb", quick / "live.mmsb"
    memory = Memory.create(live, KINDS, segment_bytes=16384, durability="none")
    fill(memory, EPOCHS // 2)
    memory.sync()
    changes = memory.changes()
    changes.patch("small", changes.page("small", "late"), {"value": range(300)})
    memory.commit(changes)
    shutil.copytree(live, path)
    memory.close()
    return path


def harm(chance: random.Random, data: bytearray) -> None:
    """One bit, or a block that reads as zeros, as noise, or as its neighbour."""
    at = chance.randrange(len(data))
    if chance.random() < 0.6:
        data[at] ^= 1 << chance.randrange(8)
        return
    size = chance.choice((64, 512, 4096))
    span = slice(at - at % size, min(at - at % size + size, len(data)))
    length = span.stop - span.start
    before = bytes(data[max(span.start - length, 0) :][:length])
    data[span] = chance.choice((bytes(length), chance.randbytes(length), before))


def outcome(path: Path, epochs: int) -> dict[object, bytes] | None:
    """All cells up to an epoch; None if they were refused by name."""
    try:
        with Memory.open(path, kinds=KINDS) as memory:
            return {key: value for key, value in dump(memory).items() if key[0] <= epochs}  # type: ignore[index]
    except REFUSED:
        return None


def damages(path: Path, count: int, seed: int, durable: int) -> int:
    """Harms files of every kind; returns how often that was found."""
    chance = random.Random(seed)
    with Memory.open(path, kinds=KINDS) as memory:
        head, content = memory.head, dump(memory)
    # Whatever lies in the folder, each file as often as any other.
    files = [file for file in sorted(path.iterdir()) if file.stat().st_size]
    found = 0
    for number in range(count):
        file = files[number % len(files)]
        data = file.read_bytes()
        hurt = bytearray(data)
        harm(chance, hurt)
        file.write_bytes(hurt)
        left = outcome(path, head)
        if left is None:
            found += 1
            assert not sound(path), f"{file.name}: check does not see what a reader refuses"
        else:
            last = max(key[0] for key in left)  # type: ignore[index]
            assert last >= durable, f"{file.name}: a durable epoch is gone"
            assert all(content[key] == value for key, value in left.items()), file.name
            assert len(left) == sum(key[0] <= last for key in content), file.name  # type: ignore[index]
        file.write_bytes(data)
    return found


def sound(path: Path) -> bool:
    try:
        return check(path).sound
    except REFUSED:
        return False


def test_damage_is_found_or_harmless(whole: Path) -> None:
    assert damages(whole, 300, seed=1, durable=EPOCHS) > 100


def test_damage_to_narrow_frames(narrow: Path) -> None:
    assert damages(narrow, 150, seed=4, durable=EPOCHS) > 40


def test_damage_to_compressed_segments_and_keyframes(compacted: Path) -> None:
    names = {file.name.split("-")[0] for file in compacted.iterdir()}
    assert names >= {"segment", "index", "keyframes"}, names
    assert damages(compacted, 200, seed=3, durable=EPOCHS) > 60


def test_damage_to_what_a_killed_writer_left(killed: Path) -> None:
    assert damages(killed, 150, seed=2, durable=EPOCHS // 2) > 30


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_damages(whole: Path, seed: int) -> None:
    assert damages(whole, 1000, seed, durable=EPOCHS) > 300


def cut(path: Path, name: str, size: int, *, touched: bool) -> Iterator[str]:
    """What becomes of a reader of whose files one is cut: it dies, is told, or reads on."""
    before = outcome(path, EPOCHS)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            memory = Memory.open(path, kinds=KINDS)
            if touched:
                dump(memory)
            os.truncate(path / name, size)
            try:
                said = "right" if dump(memory) == before else "wrong"
            except errors.CorruptData:
                said = "told"
            os.write(write, said.encode())
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(write)
    with open(read) as pipe:
        yield "died" if code == -signal.SIGBUS else pipe.read()


@pytest.mark.parametrize("name", ["segment-000001", "segment-000002", "header", "manifest"])
def test_a_file_cut_under_a_reader(whole: Path, name: str) -> None:
    data = (whole / name).read_bytes()
    seen = set()
    for part in range(8):
        (whole / name).write_bytes(data)
        seen |= {*cut(whole, name, len(data) * part // 8, touched=False)}
    assert seen <= {"died", "told", "right"}
    assert "right" not in seen or name in ("header", "manifest")


def test_whole_pages_cut_under_a_reader_that_had_seen_them(whole: Path) -> None:
    # Within the page in which a file is cut nothing tells a reader that verified it before.
    data = (whole / "segment-000002").read_bytes()
    assert len(data) > 4096
    assert [*cut(whole, "segment-000002", 4096, touched=True)] == ["died"]
    (whole / "segment-000002").write_bytes(data)
    assert [*cut(whole, "segment-000002", 0, touched=True)] == ["died"]

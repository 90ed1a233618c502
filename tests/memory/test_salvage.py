"""Of a damaged memory all that is whole is written to a new one, and what is lost is told."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.memory.check import check
from mmsb.memory.frame import Frame
from mmsb.memory.log import Log
from mmsb.memory.memory import Memory
from mmsb.memory.salvage import Salvaged, salvage
from mmsb.memory.segment import FIRST
from mmsb.testing.contracts import dump, fill
from mmsb.testing.disks import FailsOnce
from mmsb.testing.strategies import KINDS, SMALL, THING

EPOCHS = 8


class Hopeless(Exception):
    """Nothing can be salvaged."""


Cells = dict[object, bytes]


@pytest.fixture
def hurt(quick: Path) -> Path:
    """A memory to be hurt: epoch 4 makes a page of its own."""
    path = quick / "a.mmsb"
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 3)
        changes = memory.changes()
        changes.patch(SMALL, changes.page(SMALL, "only of four"), {"value": [4, 4]})
        first = changes.page(THING, "Main.f0(::Int64)")
        changes.patch(THING, first, {"line": [4] * 300}, start=40)
        changes.append("type", {"name": [changes.symbol("T4")]})
        memory.commit(changes)
        for epoch in range(5, EPOCHS + 1):
            changes = memory.changes()
            four = changes.page(SMALL, "only of four")
            changes.patch(SMALL, four, {"value": [epoch]}, start=epoch)
            for name in ("Main.f0(::Int64)", f"Main.new{epoch}()"):
                page = changes.page(THING, name)
                changes.patch(THING, page, {"wide": np.arange(epoch) * epoch}, start=2)
            changes.append("type", {"name": [changes.symbol(f"T{epoch}")]})
            memory.commit(changes)
    return path


def frames(path: Path) -> list[Frame]:
    return list(Log(path).scan(beyond=False))


def change(file: Path, at: int, data: bytes) -> None:
    with open(file, "r+b") as opened:
        opened.seek(at)
        opened.write(data)


def saved(path: Path) -> tuple[Salvaged, Cells]:
    """The salvaged memory is sound, and goes on."""
    out = path.with_name("out.mmsb")
    try:
        found = salvage(path, out, kinds=KINDS)
    except errors.CorruptData as error:
        raise Hopeless from error
    report = check(out)
    assert (report.problems, report.torn) == ((), ())
    with Memory.open(out, True, kinds=KINDS) as memory:
        assert memory.head == memory.durable == found.head
        content = dump(memory)
        memory.at().symbols(range(memory.at().row_count("symbol", _page(memory, "symbol"))))
        changes = memory.changes()
        changes.patch(SMALL, changes.page(SMALL, "later"), {"value": [1]})
        assert memory.commit(changes) == found.head + 1
    shutil.rmtree(out)
    return found, content


def _page(memory: Memory, kind: str) -> int:
    return int(memory.at().pages(kind)[0])


def whole(path: Path) -> Cells:
    with Memory.open(path, kinds=KINDS) as memory:
        return dump(memory)


def upto(cells: Cells, epoch: int) -> Cells:
    return {key: value for key, value in cells.items() if key[0] <= epoch}  # type: ignore[index]


def test_nothing_is_lost_of_a_sound_memory(hurt: Path) -> None:
    before = whole(hurt)
    assert saved(hurt) == (Salvaged(EPOCHS, EPOCHS, ()), before)
    assert whole(hurt) == before


@pytest.mark.parametrize("name", ["manifest", "header", "segment-000001", "segment-000002"])
def test_what_only_says_where_frames_are_is_not_needed(hurt: Path, name: str) -> None:
    before = whole(hurt)
    change(hurt / name, 8, bytes(40))
    if name == "header":
        change(hurt / name, 2048, bytes(40))
    assert saved(hurt) == (Salvaged(EPOCHS, EPOCHS, ()), before)


def test_the_first_epoch_is_believed_behind_its_checksum_alone(hurt: Path) -> None:
    before = whole(hurt)
    change(hurt / "manifest", 8, bytes(40))
    change(hurt / "segment-000001", FIRST + 21, b"\x30")  # its epoch
    assert saved(hurt) == (Salvaged(EPOCHS, EPOCHS, ()), before)


def test_a_compressed_memory_that_forgot_without_its_manifest(hurt: Path) -> None:
    with Memory.open(hurt, True, kinds=KINDS) as memory:
        page = memory.create_page(SMALL, "long")
        memory.update_page(page, range(5000), {"value": range(5000)})
        memory.retain(3)
        assert memory.compact(seal=True).segments
        head = memory.head
    before = whole(hurt)
    change(hurt / "manifest", 8, bytes(40))
    assert saved(hurt) == (Salvaged(head, head, ()), before)


def test_cells_in_a_bad_block_are_lost_and_no_others(hurt: Path) -> None:
    before, frame = whole(hurt), frames(hurt)[4]
    change(hurt / frame.segment.name, frame.at + frame.payload - 5, b"x")
    found, after = saved(hurt)
    assert (found.exact, found.head) == (3, EPOCHS)
    assert upto(after, 3) == upto(before, 3)
    (problem,) = found.lost
    assert (problem.file, problem.offset, problem.epochs) == (
        frame.segment.name,
        frame.offset,
        (4,),
    )
    lost = {*problem.pages}
    assert lost
    for key, value in before.items():
        if key[1] not in lost:  # type: ignore[index]
            assert after[key] == value


def test_an_epoch_that_cannot_be_read_is_empty_and_its_pages_are_gone(hurt: Path) -> None:
    before, frame = whole(hurt), frames(hurt)[4]
    with Memory.open(hurt, kinds=KINDS) as memory:
        four = memory.at().page(SMALL, "only of four")
        first = memory.at().page(THING, "Main.f0(::Int64)")
        types = _page(memory, "type")
    change(hurt / frame.segment.name, frame.offset + 20, b"x")
    found, after = saved(hurt)
    assert (found.exact, found.head) == (3, EPOCHS)
    assert upto(after, 3) == upto(before, 3)
    assert [problem.epochs for problem in found.lost] == [(4,), *((e,) for e in range(5, 9))]
    assert all(four in problem.pages for problem in found.lost)
    for epoch in range(4, EPOCHS + 1):
        assert (epoch, four) not in after
        # What the lost epoch wrote is not there, what others wrote is.
        line = np.frombuffer(after[epoch, first, "line"], "<i4")
        assert len(line) < 70
        assert (
            np.frombuffer(after[epoch, first, "wide"], "<i8").tolist()
            == np.frombuffer(before[epoch, first, "wide"], "<i8")[: len(line)].tolist()
        )
        types_then = np.frombuffer(after[epoch, types, "name"], "<u4").tolist()
        expected = np.frombuffer(before[epoch, types, "name"], "<u4").tolist()
        if epoch > 4:
            assert types_then[:6] + types_then[7:] == expected[:6] + expected[7:]
            name = f"Main.new{epoch}()".encode()
            (page,) = (key[1] for key in before if key[0] == epoch and before[key] == name)  # type: ignore[index]
            assert after[epoch, page, "wide"] == before[epoch, page, "wide"]


def test_a_segment_that_is_gone(path: Path) -> None:
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 20)
    before, number = whole(path), 2
    gone = [frame.epoch for frame in frames(path) if frame.segment.number == number]
    assert 0 < gone[0] < gone[-1] < 20
    (path / f"segment-{number:06d}").unlink()
    found, after = saved(path)
    assert (found.exact, found.head) == (gone[0] - 1, 20)
    assert found.lost[0].epochs == tuple(gone)
    assert upto(after, found.exact) == upto(before, found.exact)


def test_the_end_of_the_log_is_gone(hurt: Path) -> None:
    before, frame = whole(hurt), frames(hurt)[6]
    with open(hurt / frame.segment.name, "r+b") as file:
        file.truncate(frame.offset + 200)
    for later in hurt.glob("segment-*"):
        if later.name > frame.segment.name:
            later.unlink()
    found, after = saved(hurt)
    assert (found.exact, found.head) == (5, 5)
    assert found.lost[-1].epochs == (6, 7, 8)
    assert after == upto(before, 5)


def test_compressed_segments(hurt: Path) -> None:
    before = whole(hurt)
    with Memory.open(hurt, True, kinds=KINDS) as memory:
        memory.keyframe(memory.at().pages(THING).tolist())
        assert memory.compact(codec="lz4", seal=True).segments
    assert saved(hurt) == (Salvaged(EPOCHS, EPOCHS, ()), before)
    change(hurt / "manifest", 8, bytes(40))
    assert saved(hurt) == (Salvaged(EPOCHS, EPOCHS, ()), before)
    (packed,) = {*hurt.glob("segment-000002.z")}
    change(packed, packed.stat().st_size - 30, b"x")
    found, after = saved(hurt)
    assert found.exact < EPOCHS
    assert upto(after, found.exact) == upto(before, found.exact)


def test_a_block_of_a_compressed_segment(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, 40 * 3000, "u4")
    with Memory.create(path, KINDS, segment_bytes=2**20) as memory:
        for epoch in range(40):
            changes = memory.changes()
            page = changes.page(SMALL, "f")
            changes.patch(SMALL, page, {"value": noise[epoch * 3000 :][:3000]}, epoch * 3000)
            memory.commit(changes)
        assert memory.compact(codec="lz4", seal=True).segments == (1,)
    before, packed = whole(path), path / "segment-000001.z"
    change(packed, packed.stat().st_size // 2, bytes(64))
    found, after = saved(path)
    assert 10 < found.exact < 30
    assert found.head == 40
    assert upto(after, found.exact) == upto(before, found.exact)
    # 64 KiB are lost: parts of six or seven epochs, and no later one.
    assert len({epoch for problem in found.lost for epoch in problem.epochs}) <= 8


@pytest.mark.parametrize("at", [70, 70 + 64, 70 + 200])
def test_a_first_frame_that_is_known_is_made_again(hurt: Path, at: int) -> None:
    # Its header, its checksums, or what it says: the rest of it proves which one it was.
    before = whole(hurt)
    change(hurt / "segment-000001", at, b"x")
    assert saved(hurt) == (Salvaged(EPOCHS, EPOCHS, ()), before)


def test_without_its_first_frame_a_memory_says_nothing(hurt: Path) -> None:
    out = hurt.with_name("out.mmsb")
    change(hurt / "segment-000001", 270, b"x")
    with pytest.raises(errors.CorruptData, match="first frame is lost"):
        salvage(hurt, out)  # of other kinds
    change(hurt / "segment-000001", 70, b"x")
    with pytest.raises(errors.CorruptData, match="first frame is lost"):
        salvage(hurt, out, kinds=KINDS)
    assert not out.exists()
    with pytest.raises(errors.UsageError, match="taken"):
        salvage(hurt, hurt)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_leaves_nothing(hurt: Path, number: int) -> None:
    out = hurt.with_name("out.mmsb")
    for at in range(0, 300, 3):
        disk = FailsOnce(at, number)
        try:
            salvage(hurt, out, kinds=KINDS, disk=disk)
        except (errors.NoSpace, errors.EnvironmentProblem, errors.WriterFailed):
            assert not out.exists()
            continue
        assert not disk.failed or whole(out) == whole(hurt)
        shutil.rmtree(out)
        if not disk.failed:
            assert at > 30
            return
    raise AssertionError("it has no end")


#: Bytes of a cell, and those that a cell that was never written has.
COLUMNS = {"wide": (8, bytes(8)), "line": (4, b"\0\0\0\x80"), "value": (4, bytes(4))}


def values(content: Cells) -> Iterator[tuple[object, bytes]]:
    """Where each cell is, whatever the epoch, and its bytes."""
    for (_, *where), held in content.items():  # type: ignore[misc]
        if where[1:] and where[1] in COLUMNS:
            width, _ = COLUMNS[where[1]]
            for at in range(0, len(held), width):
                yield (*where, at), held[at : at + width]


def saves(path: Path, count: int, seed: int) -> int:
    """After any damage: the exact part is exact, and later cells are such as once were."""
    chance, before = random.Random(seed), whole(path)
    once = {*values(before)}
    partly = 0
    for _ in range(count):
        copy = path.with_name("copy.mmsb")
        shutil.copytree(path, copy)
        for _ in range(chance.randrange(1, 4)):
            file = chance.choice(sorted(file for file in copy.iterdir() if file.stat().st_size))
            at = chance.randrange(file.stat().st_size)
            change(file, at, chance.randbytes(chance.choice((1, 1, 64, 600))))
        with suppress(Hopeless):
            found, after = saved(copy)
            assert upto(after, found.exact) == upto(before, found.exact)
            partly += found.exact < EPOCHS
            unlike = {*values(after)} - once
            assert all(cell == COLUMNS[where[1]][1] for where, cell in unlike)  # type: ignore[index]
        shutil.rmtree(copy)
    return partly


def test_any_damage(hurt: Path) -> None:
    assert saves(hurt, 60, seed=3) > 15


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_much_damage(hurt: Path, seed: int) -> None:
    assert saves(hurt, 500, seed) > 100

"""Damage anywhere is found and named, or does no harm; it is never returned as data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsb.base import errors
from mmsb.memory import files
from mmsb.memory.check import check
from mmsb.memory.frame import HEADER, Frame
from mmsb.memory.log import Log
from mmsb.memory.memory import Memory
from mmsb.memory.segment import FIRST
from mmsb.testing.contracts import dump, fill
from mmsb.testing.strategies import KINDS, SMALL

REFUSED = (errors.DamageError, errors.NotAMemory)


def frames(path: Path) -> list[Frame]:
    return list(Log(path).scan(beyond=False))


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    file.write_bytes(data)


def outcome(path: Path, write: bool = False) -> dict[object, bytes] | str:
    """All content, or the error that refused it."""
    try:
        with Memory.open(path, write=write, kinds=KINDS) as memory:
            return dump(memory)
    except REFUSED as error:
        return str(error)


@pytest.fixture
def content(filled: Path) -> dict[object, bytes]:
    found = outcome(filled)
    assert isinstance(found, dict)
    return found


def regions(path: Path) -> Iterator[tuple[str, str, range]]:
    """(file, what lies there, its bytes): of three frames each part, and the small files."""
    chosen = frames(path)
    for frame in (chosen[0], chosen[3], chosen[-1]):
        name, at, sums = frame.segment.name, frame.offset, frame.offset + HEADER.size
        table = frame.at + frame.table_bytes
        yield name, "frame header", range(at, sums)
        yield name, "checksums", range(sums, frame.at)
        yield name, "table", range(frame.at, table)
        yield name, "buffers", range(table, frame.at + frame.payload)
    yield chosen[0].segment.name, "segment header", range(FIRST)
    yield "manifest", "manifest", range((path / "manifest").stat().st_size)


PARTS = ["frame header", "checksums", "table", "buffers", "segment header", "manifest"]


@pytest.mark.parametrize("part", PARTS)
def test_a_flipped_bit_is_found(
    filled: Path, content: dict[object, bytes], tmp_path: Path, part: str
) -> None:
    for number, (name, what, span) in enumerate(list(regions(filled))):
        if what != part:
            continue
        for step, at in enumerate(span[:: max(1, len(span) // 40)]):
            copy = tmp_path / f"copy{number}.{step}"
            shutil.copytree(filled, copy)
            flip(copy / name, at, step % 8)
            report = check(copy) if part != "manifest" else None
            assert report is None or not report.sound, f"{name} byte {at}"
            assert report is None or report.problems[0].file == name
            found = outcome(copy)
            if isinstance(found, dict) and (copy / name.replace("segment", "index")).exists():
                # What a frame's table says is in the index file too, and is used from there.
                assert part in ("frame header", "checksums", "table", "segment header")
                assert found == content
            else:
                assert isinstance(found, str), f"{name} byte {at} was read as if it were sound"
                assert name in found or part == "manifest", found
            shutil.rmtree(copy)


def test_a_damaged_header_slot_loses_nothing(filled: Path, content: dict[object, bytes]) -> None:
    header = (filled / "header").read_bytes()
    for slot in (0, files.HEADER_BYTES // 2):
        for at in range(slot, slot + 72):
            flip(filled / "header", at, at % 8)
            assert outcome(filled) == content
            assert check(filled).problems[0].file == "header"
            (filled / "header").write_bytes(header)


def test_the_next_writer_repairs_a_header_slot(filled: Path, content: dict[object, bytes]) -> None:
    for slot in (0, files.HEADER_BYTES // 2):
        flip(filled / "header", slot + 20)
        assert outcome(filled, write=True) == content
        assert check(filled).sound


def test_both_header_slots_damaged(filled: Path) -> None:
    for slot in (0, files.HEADER_BYTES // 2):
        flip(filled / "header", slot + 9)
    with pytest.raises(errors.CorruptData, match="header"):
        Memory.open(filled)
    assert len(check(filled).problems) == 2


def test_truncation_is_found(filled: Path, content: dict[object, bytes], tmp_path: Path) -> None:
    edges = {(frame.segment.name, frame.offset) for frame in frames(filled)}
    sizes = {(file.name, file.stat().st_size) for file in filled.iterdir() if file.name != "lock"}
    inside = {(name, size * part // 7) for name, size in sizes for part in range(7)}
    one_less = {(name, size - 1) for name, size in sizes}
    for name, size in sorted(edges | inside | one_less):
        copy = tmp_path / "copy"
        shutil.copytree(filled, copy)
        with open(copy / name, "r+b") as file:
            file.truncate(size)
        found = outcome(copy)
        # A header cut between its slots still has one; a frame's padding carries nothing.
        if isinstance(found, dict):
            assert found == content
            assert name.startswith(("header", "index")) or size >= frames(filled)[-1].offset
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["header", "manifest", "segment-000001", "segment-000002"])
def test_a_lost_file_is_found(filled: Path, name: str) -> None:
    (filled / name).unlink()
    assert isinstance(outcome(filled), str)
    assert not check(filled).sound if name != "manifest" else True


def test_segments_or_frames_that_changed_places_are_found(filled: Path) -> None:
    one, two = filled / "segment-000001", filled / "segment-000002"
    held = one.read_bytes(), two.read_bytes()
    one.write_bytes(held[1])
    two.write_bytes(held[0])
    assert isinstance(outcome(filled), str)
    one.write_bytes(held[0])
    two.write_bytes(held[1])
    last = frames(filled)[-2:]
    data = bytearray((filled / last[1].segment.name).read_bytes())
    whole = bytes(data[last[1].offset : last[1].offset + last[1].size])
    data[last[0].offset : last[0].offset + len(whole)] = whole
    (filled / last[1].segment.name).write_bytes(data)
    assert isinstance(outcome(filled), str)


def test_damage_is_named(filled: Path) -> None:
    frame = frames(filled)[4]
    flip(filled / frame.segment.name, frame.at + frame.payload - 9)
    with Memory.open(filled, kinds=KINDS) as memory:
        page = memory.at(3).page(SMALL, "gone")
        assert page is not None
        assert len(memory.at(3).column(SMALL, page, "value")) == 50  # other epochs read on
        with pytest.raises(errors.CorruptData) as caught:
            dump(memory)
    said = str(caught.value)
    at = frame.at + frame.table_bytes
    for word in (frame.segment.name, f"offset {at}", "epoch 4", "page", "mmsb check"):
        assert word in said
    (problem,) = check(filled).problems
    assert (problem.file, problem.offset, problem.epochs) == (frame.segment.name, at, (4,))
    assert problem.pages


def test_check_goes_on_after_the_first_problem(filled: Path) -> None:
    found = frames(filled)
    flip(filled / found[1].segment.name, found[1].offset + 3)  # header: lost
    flip(filled / found[3].segment.name, found[3].at + 1)  # table
    flip(filled / found[5].segment.name, found[5].at + found[5].payload - 9)  # buffers
    flip(filled / "header", 8)
    report = check(filled)
    named = {(problem.file, problem.offset) for problem in report.problems}
    assert named == {
        ("header", 0),
        (found[1].segment.name, found[1].offset),
        (found[3].segment.name, found[3].offset),
        (found[5].segment.name, found[5].at + found[5].table_bytes),
    }
    assert report.epochs == len(found) - 3


@pytest.fixture
def behind(path: Path) -> Path:
    """Six epochs visible of which four are durable, in one segment."""
    with Memory.create(path, KINDS, durability="none") as memory:
        fill(memory, 4)
        memory.sync()
        fill_more(memory)
    return path


def fill_more(memory: Memory) -> None:
    for number in (5, 6):
        changes = memory.changes()
        changes.patch(SMALL, changes.page(SMALL, "more"), {"value": [number]})
        memory.commit(changes)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("part", ["header", "buffers"])
def test_a_torn_tail_ends_the_log(behind: Path, part: str, write: bool) -> None:
    last = frames(behind)[-1]
    flip(
        behind / last.segment.name, last.offset if part == "header" else last.at + last.payload - 1
    )
    report = check(behind)
    assert report.sound
    assert report.torn
    with Memory.open(behind, write=write, kinds=KINDS) as memory:
        assert memory.head == 5
        assert memory.torn is not None
        assert f"{last.segment.name} at offset {last.offset}" in memory.torn
        assert "epoch 6" in memory.torn
        dump(memory)


def test_the_next_writer_cuts_a_torn_tail_and_goes_on(behind: Path) -> None:
    found = frames(behind)
    flip(behind / found[5].segment.name, found[5].offset + 30)
    with Memory.open(behind, write=True, kinds=KINDS) as memory:
        assert memory.head == 4
        assert memory.torn
        fill_more(memory)
    assert check(behind).problems == check(behind).torn == ()
    with Memory.open(behind, kinds=KINDS) as memory:
        assert (memory.head, memory.torn) == (6, None)


def test_sealed_segments_are_durable_whatever_the_header_says(path: Path) -> None:
    with Memory.create(path, KINDS, durability="none", segment_bytes=4096) as memory:
        fill(memory, 20)
        assert memory.durable == 0
    found = frames(path)
    assert found[-1].segment.number > 2
    first_of_last = next(f for f in found if f.segment.number == found[-1].segment.number)
    flip(path / first_of_last.segment.name, first_of_last.offset)
    with Memory.open(path, kinds=KINDS) as memory:
        assert memory.head == first_of_last.epoch - 1
        assert memory.torn
    flip(path / found[3].segment.name, found[3].offset)
    for write in (False, True):
        assert f"{found[3].segment.name} at offset" in str(outcome(path, write))


def test_with_a_slot_lost_a_bad_frame_is_damage(behind: Path) -> None:
    # The slot that is left may not know how far the log was durable.
    before = outcome(behind)
    newest = Log(behind).marks.sequence % 2
    flip(behind / "header", newest * files.HEADER_BYTES // 2 + 8)
    assert Log(behind).marks.visible.epoch == 5
    assert outcome(behind) == before  # the sixth epoch too
    last = frames(behind)[-1]
    flip(behind / last.segment.name, last.offset)
    assert isinstance(outcome(behind, write=True), str)
    assert not check(behind).sound


def test_a_whole_frame_that_the_header_does_not_know_is_kept(path: Path) -> None:
    # Killed between writing the frame and writing the header.
    with Memory.create(path, KINDS) as memory:
        fill(memory, 2)
        memory.sync()
        header = (path / "header").read_bytes()
        changes = memory.changes()
        changes.patch(SMALL, changes.page(SMALL, "f"), {"value": [3]})
        memory.commit(changes)
    (path / "header").write_bytes(header)
    with Memory.open(path, kinds=KINDS) as memory:
        assert memory.head == 2  # not visible
    with Memory.open(path, write=True, kinds=KINDS) as memory:
        assert (memory.head, memory.torn) == (3, None)
        assert memory.at().page(SMALL, "f") is not None
    assert check(path).sound


def test_half_a_frame_that_the_header_does_not_know_is_cut(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        fill(memory, 2)
    end = Log(path).marks.visible.offset
    with open(path / "segment-000001", "r+b") as file:
        file.seek(end)
        file.write(b"mmsbfrm\0 and then the power went" * 200)
    assert check(path).sound
    with Memory.open(path, kinds=KINDS) as memory:
        assert (memory.head, memory.torn) == (2, None)
    with Memory.open(path, write=True, kinds=KINDS) as memory:
        assert memory.head == 2
        assert memory.torn
        memory.commit(memory.changes())
        assert check(path).torn == ()
    assert check(path).torn == ()


def manifest(path: Path, **changed: object) -> None:
    """Writes a manifest with other fields, its checksum right."""
    import json

    from xxhash import xxh3_64_hexdigest

    body = json.loads((path / "manifest").read_bytes().split(b"\n")[0]) | changed
    line = json.dumps(body).encode()
    (path / "manifest").write_bytes(line + b"\n" + xxh3_64_hexdigest(line).encode() + b"\n")


def test_a_newer_format_is_named(filled: Path) -> None:
    manifest(filled, format=files.COMPRESSED + 1)
    for write in (False, True):
        with pytest.raises(errors.NewerFormat, match="upgrade mmsb"):
            Memory.open(filled, write=write)
    with pytest.raises(errors.NewerFormat):
        check(filled)


def test_another_magic_is_no_memory(filled: Path) -> None:
    manifest(filled, magic="something")
    with pytest.raises(errors.NotAMemory):
        Memory.open(filled)


@pytest.mark.parametrize("epochs", [1, 2, 3, 9])
def test_the_header_of_another_memory_is_found(path: Path, epochs: int) -> None:
    other = path.with_name("other.mmsb")
    with Memory.create(path, KINDS) as memory:
        fill(memory, 6)
    with Memory.create(other, KINDS) as memory:
        for _ in range(epochs):
            fill_more(memory)
    shutil.copyfile(other / "header", path / "header")
    for write in (False, True):
        with pytest.raises(errors.CorruptData, match="header"):
            Memory.open(path, write=write, kinds=KINDS)
    assert check(path).problems[0].file == "header"

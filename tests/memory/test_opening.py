"""Files that are there and are not what they should be: told at once, in one sentence."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from xxhash import xxh3_64_hexdigest

from mmsb.base import errors
from mmsb.memory import files
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump
from mmsb.testing.strategies import KINDS

NAMES = ["manifest", "header", "segment-000001"]
SOUND = {"magic": "mmsb", "format": 1, "segment_bytes": 4096}

ODD: dict[str, bytes] = {
    "a list": b"[]",
    "null": b"null",
    "no JSON": b"mmsb",
    "no UTF-8": b"\xff",
    "deep": b"[" * 100_000,
    "a long number": b'{"magic":"mmsb","format":' + b"1" * 9000 + b"}",
    "no more": json.dumps({"magic": "mmsb"}).encode(),
    "no segments": json.dumps(SOUND).encode(),
    "format as text": json.dumps(SOUND | {"format": "2", "segments": [[1, None]]}).encode(),
    "format true": json.dumps(SOUND | {"format": True, "segments": [[1, None]]}).encode(),
    "bytes as text": json.dumps(SOUND | {"segment_bytes": "1", "segments": [[1, None]]}).encode(),
} | {
    f"segments {held!r}": json.dumps(SOUND | {"segments": held}).encode()
    for held in (
        [],
        {},
        ["x"],
        [[1]],
        [["1", None]],
        [[1, "x"]],
        [[1, 4096]],
        [[1, None], [2, None]],
        [[1, 4096], [1, None]],
        [[2**70, None]],
        [[0, None]],
    )
}


def put(folder: Path, line: bytes) -> None:
    check_line = xxh3_64_hexdigest(line).encode()
    (folder / "manifest").write_bytes(line + b"\n" + check_line + b"\n")


@pytest.mark.parametrize("line", ODD.values(), ids=ODD.keys())
def test_a_manifest_that_makes_no_sense_is_damage(filled: Path, line: bytes) -> None:
    put(filled, line)
    (filled / "segment-000001.bak").write_bytes(b"")
    for write in (False, True):
        with pytest.raises(errors.CorruptData, match="manifest"):
            Memory.open(filled, write=write, kinds=KINDS)
    assert check(filled).problems[0].file == "manifest"


def test_a_long_manifest_is_not_read(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(filled, json.dumps(SOUND | {"segments": [[n, 64] for n in range(1, 10**6)]}).encode())
    for name in ("manifest", "header"):
        os.truncate(filled / name, 8 * 2**30)
    read, asked = os.pread, []

    def pread(handle: int, count: int, at: int) -> bytes:
        asked.append(count)
        return read(handle, count, at)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(errors.CorruptData, match="longer than"):
        Memory.open(filled, kinds=KINDS)
    assert check(filled).problems[0].file == "manifest"
    assert max(asked) <= files.MANIFEST_BYTES + 1


THINGS: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
    "loop": lambda path: os.symlink(path, path),
}


@pytest.mark.parametrize("make", THINGS.values(), ids=THINGS.keys())
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_damage(filled: Path, name: str, make: Callable[[Path], None]) -> None:
    (filled / name).unlink()
    make(filled / name)
    for write in (False, True):
        with pytest.raises(errors.CorruptData, match=name):
            # (a sealed segment is opened when it is first read)
            dump(Memory.open(filled, write=write, kinds=KINDS))
    assert name in {problem.file for problem in check(filled).problems}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, (errors.StateError, "check its permissions")),
        (errno.EMFILE, (errors.EnvironmentProblem, "ulimit -n")),
    ],
)
def test_what_may_not_be_opened_is_no_damage(
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
    expected: tuple[type[errors.MmsbError], str],
) -> None:
    opened = os.open

    def refuse(path: Path, flags: int, *more: int, **named: int) -> int:
        if Path(path).name == name:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    for run in (lambda: dump(Memory.open(filled, kinds=KINDS)), lambda: check(filled)):
        with pytest.raises(expected[0], match=f"{name} cannot be .*{expected[1]}"):
            run()

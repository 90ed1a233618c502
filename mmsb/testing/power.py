"""What a disk may hold after the power went: all that was synced, and any part of the rest.

A `Recorder` is the disk under a memory and writes down every call. `states` builds from its first
calls the folders that a loss of power at that moment may leave. The model is harsher than any file
system: each sector of 512 bytes that was written since its file was synced holds any of the
contents it had since, independently of all others; so does a file's size; each name that changed
since its folder was synced has any of the meanings it had since. A sector is never half written.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmsb.testing.disks import Watched

SECTOR = 512
_FOLDER = -1


@dataclass(frozen=True)
class Call:
    """One call, or (``say``) what the program was promised at that moment."""

    what: str
    path: str
    details: tuple[object, ...]


class Recorder(Watched):
    """Writes down calls; ``start`` is what there was before the first, all of it durable."""

    def __init__(self, start: Path | None = None) -> None:
        self.calls: list[Call] = []
        self.start: dict[str, bytes | None] = {}
        for path in [] if start is None else [start, *start.rglob("*")]:
            self.start[str(path)] = path.read_bytes() if path.is_file() else None

    def saw(self, call: str, path: Path, *details: object) -> None:
        if call == "make" and os.path.lexists(path):
            return
        self.calls.append(Call(call, str(path), details))

    def say(self, promise: str, value: object) -> None:
        """Notes a promise among the calls."""
        self.calls.append(Call("say", promise, (value,)))


@dataclass
class _File:
    """The contents a file had since it was synced, oldest first; the last is what programs see."""

    versions: list[bytes] = field(default_factory=lambda: [b""])

    def change(self, data: bytes, at: int) -> None:
        now = self.versions[-1].ljust(at, b"\0")
        self.versions.append(now[:at] + data + now[at + len(data) :])

    def resize(self, size: int) -> None:
        self.versions.append(self.versions[-1][:size].ljust(size, b"\0"))

    def grow(self, size: int) -> None:
        self.resize(max(size, len(self.versions[-1])))

    def sync(self) -> None:
        del self.versions[:-1]


@dataclass
class _Machine:
    """Files by number, and by name the numbers it had since its folder was synced."""

    files: list[_File] = field(default_factory=list)
    names: dict[str, list[int | None]] = field(default_factory=dict)

    def new(self, path: str, data: bytes = b"") -> None:
        self.files.append(_File([data]))
        self.call_it(path, len(self.files) - 1)

    def call_it(self, path: str, number: int | None) -> None:
        self.names.setdefault(path, [None]).append(number)

    def number(self, path: str) -> int:
        held = self.names[path][-1]
        assert held is not None
        return held

    def do(self, call: Call) -> None:
        """Takes in a call."""
        path = call.path
        first = call.details[0] if call.details else None
        match call.what:
            case "make":
                self.new(path)
            case "mkdir":
                self.call_it(path, _FOLDER)
            case "write" | "store":
                data, at = call.details
                assert isinstance(data, bytes)
                assert isinstance(at, int)
                self.files[self.number(path)].change(data, at)
            case "allocate":
                assert isinstance(first, int)
                self.files[self.number(path)].grow(first)
            case "truncate":
                assert isinstance(first, int)
                self.files[self.number(path)].resize(first)
            case "sync":
                self.files[self.number(path)].sync()
            case "rename" | "link":
                self.call_it(str(first), self.number(path))
                if call.what == "rename":
                    self.call_it(path, None)
            case "unlink":
                if path in self.names:
                    self.call_it(path, None)
            case "sync_folder":
                self.sync_folder(path)

    def sync_folder(self, path: str) -> None:
        for name, held in self.names.items():
            if os.path.dirname(name) == path:
                del held[:-1]


#: Picks one of ``count`` moments, the first the synced one, the last the present.
Pick = Callable[[int], int]


def _picks(chance: random.Random) -> Iterator[tuple[Pick, Pick, Pick]]:
    """For sectors, sizes, names: what is picked of each."""
    anything: Pick = chance.randrange
    oldest: Pick = lambda count: 0  # noqa: E731
    newest: Pick = lambda count: count - 1  # noqa: E731
    edges: Pick = lambda count: chance.choice((0, count - 1))  # noqa: E731
    before: Pick = lambda count: max(count - 2, 0)  # noqa: E731
    yield oldest, oldest, oldest
    yield newest, newest, newest
    yield newest, newest, oldest
    yield oldest, newest, newest
    yield before, before, newest
    yield edges, newest, edges
    while True:
        yield anything, chance.choice((newest, anything)), anything


def states(
    recorder: Recorder, moment: int, target: Path, count: int, chance: random.Random
) -> Iterator[Path]:
    """Up to ``count`` folders that the loss of power before call ``moment`` may leave.

    Everything is moved to ``target``, which holds one state at a time.
    """
    machine = _Machine()
    for path, data in recorder.start.items():
        if data is None:
            machine.call_it(path, _FOLDER)
        else:
            machine.new(path, data)
        del machine.names[path][0]
    for call in recorder.calls[:moment]:
        machine.do(call)
    for number, (sector, size, name) in zip(range(count), _picks(chance), strict=False):
        folder = target / f"{moment}.{number}"
        folder.mkdir(parents=True)
        _write(machine, folder, sector, size, name)
        yield folder


def _write(machine: _Machine, folder: Path, sector: Pick, size: Pick, name: Pick) -> None:
    contents: dict[int, bytes] = {}
    for path in sorted(machine.names):
        number = machine.names[path][name(len(machine.names[path]))]
        place = folder / path.lstrip("/")
        if number is None or not (place.parent.is_dir() or _given(machine, path)):
            continue
        if number == _FOLDER:
            place.mkdir(parents=True, exist_ok=True)
            continue
        if number not in contents:
            contents[number] = _content(machine.files[number].versions, sector, size)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(contents[number])


def _given(machine: _Machine, path: str) -> bool:
    """Is the folder one that no call made?"""
    return os.path.dirname(path) not in machine.names


def _content(versions: list[bytes], sector: Pick, size: Pick) -> bytes:
    if len(versions) == 1:
        return versions[0]
    length = len(versions[size(len(versions))])
    longest = max(map(len, versions))
    out = bytearray(versions[0].ljust(longest, b"\0"))
    for at in range(0, longest, SECTOR):
        held = [version[at : at + SECTOR].ljust(SECTOR, b"\0") for version in versions]
        if held.count(held[0]) < len(held):
            out[at : at + SECTOR] = held[sector(len(held))]
    return bytes(out[:length])

"""A small memory with some of everything, and mounts for what needs a disk of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmsb.memory import group
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import fill
from mmsb.testing.lives import play
from mmsb.testing.strategies import KINDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a memory may be made."""
    return tmp_path / "a.mmsb"


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed memory of six epochs in several segments."""
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory)
    return path


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with the options given; its name is skipped where that is not permitted."""
    made: list[Path] = []

    def on(options: str) -> Path:
        where = tmp_path / f"mount{len(made)}"
        where.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
        if os.geteuid() != 0:
            pytest.skip("only root may mount the small disk this test needs")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting the small disk this test needs failed: {done.stderr.strip()}")
        made.append(where)
        return where

    yield on
    for where in made:
        subprocess.run(["umount", "-l", str(where)], check=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in memory, where syncs cost nothing; and the thread of "group" sleeps."""
    monkeypatch.setattr(group, "DELAY", 3600.0)
    where = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield where
    shutil.rmtree(where)


@pytest.fixture
def lived(quick: Path) -> Path:
    """A closed memory of twelve epochs in several segments."""
    with Memory.create(quick / "a.mmsb", KINDS, segment_bytes=4096) as memory:
        for epoch in range(1, 13):
            changes = memory.changes()
            play(epoch, 1, changes)
            memory.commit(changes)
    return quick / "a.mmsb"

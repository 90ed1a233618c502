"""`Memory.stats` against plain counts, and the verdict on memories that are not well."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import NoSpace, WriterFailed
from mmsb.memory import health
from mmsb.memory.disk import Disk, File
from mmsb.memory.memory import Memory
from mmsb.query.document import plain
from mmsb.query.vitals import vitals
from mmsb.testing.strategies import KINDS, SMALL, THING

CELLS = np.arange(100, dtype="u4")


def test_the_counts_of_work_are_those_done(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        pages = [memory.create_page(SMALL, name) for name in ("a", "b", "c")]
        before = memory.stats()
        for at, page in enumerate(pages):
            for _ in range(10**at):
                memory.update_page(page, range(100), {"value": CELLS})
        now = memory.at()
        for _ in range(40):
            now.column(SMALL, pages[1], "value")
        now.cells(SMALL, "value", pages, [1, 2, 3])
        now.gather(SMALL, "value")
        memory.sync()
        after = memory.stats()
        assert after["rates"]["deltas"] - before["rates"]["deltas"] == 111
        frames = after["open_segment"]["used"] - before["open_segment"]["used"]
        assert after["rates"]["bytes"] - before["rates"]["bytes"] == frames
        assert after["open_segment"]["allocated"] == 4 * 1024 * 1024
        # 1, 10, 100, and 3 of each table of texts
        assert after["chains"] == {"median": 3, "p99": 100, "max": 100}
        assert after["bytes_by_device"] == {"host": sum(after["bytes_by_kind"].values())}
        counts = {name: told["count"] for name, told in after["latency"].items()}
        assert 64 <= counts.pop("commit") <= 114  # the first 64, and of later ones some
        assert counts.pop("sync") >= 1
        # (subjects of the hottest pages are no column that a user reads)
        assert counts == {"column": 40, "columns": 0, "cell": 0, "cells": 1, "gather": 1}
        assert after["behind"] == {"epochs": 0, "bytes": 0, "seconds": 0.0}
        hottest = after["heat"][0]
        assert hottest["reads"] in (40, 43)  # one page stands for the three of cells
        assert {**hottest, "reads": 40} == {
            "page": pages[1],
            "kind": "small",
            "subject": "b",
            "reads": 40,
            "deltas": 10,
            "since_keyframe": 10,
        }
        assert after["health"] == {"verdict": "healthy", "reasons": []}


def test_chains_of_live_pages_only(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "a")
        for _ in range(20):
            memory.update_page(page, range(3), {"value": CELLS[:3]})
        assert memory.stats()["chains"]["max"] == 20
        changes = memory.changes()
        changes.delete(page)
        memory.commit(changes)
        assert memory.stats()["chains"]["max"] == 1  # of a table of texts


def test_a_memory_that_is_never_synced_says_how_far_it_is_behind(path: Path) -> None:
    with Memory.create(path, KINDS, durability="none") as memory:
        page = memory.create_page(SMALL, "a")
        memory.update_page(page, range(100), {"value": CELLS})
        told = memory.stats()
        assert told["behind"]["epochs"] == 2
        assert told["behind"]["bytes"] == told["rates"]["bytes"]
        assert told["health"]["verdict"] == "healthy"  # "none" promises nothing
        with Memory.open(path, kinds=KINDS) as reader:
            behind = reader.stats()["behind"]
            assert behind == {**told["behind"], "seconds": 0.0}


def test_a_reader_has_its_own_counts(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as reader:
        now = reader.at()
        page = int(now.pages(THING)[0])
        now.column(THING, page, "byte")
        told = reader.stats()
    assert told["rates"]["deltas"] == 0
    assert told["latency"]["commit"]["count"] == 0
    assert told["latency"]["column"]["count"] == 1
    assert told["heat"][0]["page"] == page
    assert told["open_segment"]["used"] == told["open_segment"]["allocated"]  # closed: cut


def _reasons(memory: Memory, verdict: str) -> str:
    told = memory.stats()
    assert told["health"]["verdict"] == verdict
    shown = vitals(told)
    text = plain(tuple(shown.blocks()))
    assert text.startswith(f"The memory is {verdict}. {shown.reasons[0]}")
    return " ".join(told["health"]["reasons"])


class Stuck(Disk):
    """Syncs fail, or files cannot be written, once they are told to."""

    def __init__(self) -> None:
        self.fails = False

    def open(self, path: Path) -> File:
        disk = self

        class Failing(File):
            def sync(self) -> None:
                if disk.fails:
                    raise OSError(5, os.strerror(5))
                super().sync()

        return Failing(path, 0)


def test_a_writer_that_has_stopped_is_failing(path: Path) -> None:
    disk = Stuck()
    memory = Memory.create(path, KINDS, durability="none", disk=disk)
    page = memory.create_page(SMALL, "a")
    disk.fails = True
    with pytest.raises(WriterFailed):
        memory.sync()
    said = _reasons(memory, "failing")
    assert "Nothing more is committed: a fsync failed" in said
    assert memory.at().row_count(SMALL, page) == 0
    memory.close()


def test_a_durable_mark_far_behind_degrades(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "GROUP_BYTES", 0)
    with Memory.create(path, KINDS, durability="none") as memory:
        memory.create_page(SMALL, "a")
        assert memory.stats()["health"]["verdict"] == "healthy"
        assert memory._writer is not None
        memory._writer.durability = "group"
        said = _reasons(memory, "degraded")
    assert "The durable mark is 1 epochs" in said


def test_a_torn_tail_degrades(filled: Path) -> None:
    with Memory.open(filled, write=True, kinds=KINDS, durability="none") as memory:
        memory.update_page(int(memory.at().pages(THING)[0]), [0], {"byte": [1]})
    last = max(filled.glob("segment-*"))
    with open(last, "r+b") as file:
        file.seek(-70, os.SEEK_END)
        byte = file.read(1)
        file.seek(-70, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    with Memory.open(filled, kinds=KINDS) as reader:
        assert reader.torn is not None
        assert "A crash left a torn tail" in _reasons(reader, "degraded")


def test_a_lost_header_slot_degrades_until_commits_write_it(filled: Path) -> None:
    raw = bytearray((filled / "header").read_bytes())
    raw[2050] ^= 1
    (filled / "header").write_bytes(raw)
    with Memory.open(filled, kinds=KINDS) as reader:
        assert "One of the header's two slots" in _reasons(reader, "degraded")
    with Memory.open(filled, write=True, kinds=KINDS) as memory:
        for _ in range(2):
            memory.update_page(int(memory.at().pages(THING)[0]), [0], {"byte": [1]})
        assert memory.stats()["health"]["verdict"] == "healthy"


def test_a_long_chain_that_is_read_degrades(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONG_CHAIN", 10)
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "often")
        for _ in range(11):
            memory.update_page(page, range(3), {"value": CELLS[:3]})
        assert memory.stats()["health"]["verdict"] == "healthy"  # nobody reads it
        memory.at().column(SMALL, page, "value")
        said = _reasons(memory, "degraded")
        assert f"often (page {page}) is read often and has 11 deltas without a keyframe" in said
        memory.keyframe([page])
        memory.update_page(page, range(3), {"value": CELLS[:3]})
        told = memory.stats()
        assert told["health"]["verdict"] == "healthy"
        hot = told["heat"][0]
        assert (hot["page"], hot["deltas"], hot["since_keyframe"]) == (page, 12, 1)


def test_a_disk_that_is_full_or_nearly(mount: Callable[[str], Path]) -> None:
    disk = mount("size=2m")
    with Memory.create(disk / "a", KINDS, segment_bytes=4096) as memory:
        page = memory.create_page(SMALL, "a")
        assert memory.stats()["health"]["verdict"] == "healthy"
        (disk / "ballast").write_bytes(bytes(2 * 1024 * 1024 - 90_000))
        big: Any = {"value": np.zeros(12_000, "u4")}
        memory.update_page(page, range(12_000), big)
        assert "is nearly full" in _reasons(memory, "degraded")
        with pytest.raises(NoSpace):
            memory.update_page(page, range(100_000), {"value": np.ones(100_000, "u4")})
        free = os.statvfs(disk)
        with open(disk / "more", "wb") as more:
            os.posix_fallocate(more.fileno(), 0, free.f_bavail * free.f_frsize)
        assert "is full, so commits fail" in _reasons(memory, "failing")
        assert memory.at().row_count(SMALL, page) == 12_000


def test_an_index_file_that_does_not_hold_degrades(filled: Path) -> None:
    files = sorted(filled.glob("index-*"))
    raw = bytearray(files[0].read_bytes())
    raw[20] ^= 1
    files[0].write_bytes(raw)
    with Memory.open(filled, kinds=KINDS) as reader:
        said = _reasons(reader, "degraded")
    assert f"A derived file was of no use, {files[0].name}: " in said

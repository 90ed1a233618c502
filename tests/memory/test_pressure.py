"""Commits that cannot be stored: on a full disk, beyond a limit on files, without memory.

Each in a process of its own that meets the real limit. Nothing of such a commit is kept, what was
there is read as before, in that process too, and a smaller commit goes through where it can.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

START = """
import resource, sys
import numpy as np
from mmsb.base.errors import MmsbError
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

memory = Memory.create(sys.argv[1], KINDS, durability=sys.argv[2])
page = memory.create_page(SMALL, "a")
memory.update_page(page, range(10), {"value": np.arange(10, dtype="u4")})
big = np.ones(10_000_000, "u4")

def update():
    memory.update_page(page, range(len(big)), {"value": big})

def scattered():
    memory.update_page(page, rows, {"value": big})

def patch():
    changes = memory.changes()
    changes.patch(SMALL, page, {"value": big})
    memory.commit(changes)

def listed():
    changes = memory.changes()
    changes.patch(SMALL, page, {"value": numbers})
    memory.commit(changes)

def many():
    changes = memory.changes()
    pages = changes.pages(SMALL, [f"p{i}" for i in range(100)])
    changes.patch_many(SMALL, pages, {"value": big})
    memory.commit(changes)

def transaction():
    with memory.transaction() as t:
        t.patch(SMALL, page, {"value": big})

def text():
    changes = memory.changes()
    changes.symbol(long)
    memory.commit(changes)

def used():
    return int(open("/proc/self/statm").read().split()[0]) * 4096
"""
END = """
try:
    {how}()
    print("stored", memory.head)
    memory.close()
    sys.exit()
except MmsbError as error:
    print(error.code, str(error))
now = memory.at()
print(memory.head, now.row_count(SMALL, page), now.column(SMALL, page, "value").tolist())
print(now.cells(SMALL, "value", [page], [3]).tolist(), now.gather(SMALL, "value")[0].tolist())
resource.setrlimit({limit}, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
memory.update_page(page, range(3), {{"value": np.zeros(3, "u4")}})
print(memory.head, memory.at().column(SMALL, page, "value").tolist())
memory.close()
"""
BEFORE = "2 10 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n[3] [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
AFTER = "3 [0, 0, 0, 3, 4, 5, 6, 7, 8, 9]\n"


def _run(path: Path, code: str, durability: str = "none") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), durability],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _whole(path: Path, head: int = 3) -> None:
    assert check(path).sound
    with Memory.open(path, kinds=KINDS) as memory:
        assert memory.head == head
        page = memory.at().page(SMALL, "a")
        assert page is not None
        assert memory.at(2).column(SMALL, page, "value").tolist() == list(range(10))


#: What the commits are made of, there before anything is limited.
MADE = {
    "scattered": "rows = np.arange(0, 2 * len(big), 2, dtype='u4')\n",
    "listed": "numbers = [1] * len(big)\n",
    "text": "long = 'x' * 50_000_000\n",
}
#: Kernels are compiled and loaded, and their threads started.
WARM = """
import mmsb.memory.kernels, mmsb.memory.kernels_many, mmsb.memory.kernels_cells
memory.at().gather(SMALL, "value")
memory.at().cells(SMALL, "value", [page], [3])
memory.at().column(SMALL, page, "value")
"""


@pytest.mark.parametrize(
    ("how", "room"),
    [
        *((how, 1) for how in ("update", "scattered", "listed", "many", "transaction", "text")),
        *(("patch", room) for room in (1, 30, 60, 100)),
    ],
)
def test_no_memory_is_free(path: Path, how: str, room: int) -> None:
    """``room``: megabytes of address space that are left for a commit of 40 MB."""
    limit = f"""
left = used() + {room} * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (left, resource.RLIM_INFINITY))
"""
    end = END.format(how=how, limit="resource.RLIMIT_AS")
    code = START + MADE.get(how, "") + WARM + limit + end
    said, _, rest = _run(path, code).partition("\n")
    if room > 60 and said == "stored 3":
        return  # it was enough
    assert said.startswith("environment ")
    assert rest == BEFORE + AFTER
    _whole(path)


def test_no_memory_is_free_for_a_read(path: Path) -> None:
    """A page of 2**27 rows of which two were written: 512 MB as a column."""
    code = """
page = memory.create_page(SMALL, "far")
memory.update_page(page, [0, 2**27 - 1], {"value": [7, 8]})
now = memory.at()
left = used() + 100 * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (left, resource.RLIM_INFINITY))
for ask in (
    lambda: now.column(SMALL, page, "value"),
    lambda: now.columns(SMALL, page),
    lambda: now.gather(SMALL, "value"),
):
    try:
        print(len(ask()))
    except MmsbError as error:
        print(error.code, *[word for word in str(error).split() if word.isdigit()])
print(now.cells(SMALL, "value", [page] * 3, [0, 5, 2**27 - 1]).tolist())
memory.close()
"""
    said = "environment 134217728\n"
    more = "environment 134217738\n"
    assert _run(path, START + WARM + code) == said + said + more + "[7, 0, 8]\n"


@pytest.mark.parametrize(
    ("how", "durability"),
    [("update", "none"), ("update", "group"), ("many", "every"), ("text", "group")],
)
def test_files_may_not_grow_so_large(path: Path, how: str, durability: str) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 1024 * 1024, resource.RLIM_INFINITY))\n"
    end = END.format(how=how, limit="resource.RLIMIT_FSIZE")
    code = START + MADE.get(how, "") + limit + end
    said, _, rest = _run(path, code, durability).partition("\n")
    assert said.startswith("no-space no room for this commit in ")
    assert rest == BEFORE + AFTER
    _whole(path)


def test_a_limit_on_files_in_the_middle_of_a_segment(path: Path) -> None:
    """Commits go through until one does not fit; that one is not there, and the others are."""
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
stored = 0
try:
    while True:
        memory.update_page(page, range(5000), {"value": np.full(5000, stored, "u4")})
        stored += 1
except MmsbError as error:
    print(error.code, stored, memory.head, memory.at().column(SMALL, page, "value")[-1])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
memory.update_page(page, range(1), {"value": np.full(1, 77, "u4")})
memory.close()
"""
    said = _run(path, START + code).split()
    assert said[0] == "no-space"
    stored = int(said[1])
    assert 10 <= stored <= 15  # 20 kB each
    assert said[2:] == [str(stored + 2), str(stored - 1)]
    _whole(path, stored + 3)


@pytest.mark.parametrize(
    ("how", "durability"), [("update", "group"), ("many", "every"), ("text", "none")]
)
def test_the_disk_is_full(mount: Callable[[str], Path], how: str, durability: str) -> None:
    path = mount("size=16m") / "a.mmsb"
    code = START + MADE.get(how, "") + END.format(how=how, limit="resource.RLIMIT_FSIZE")
    said, _, rest = _run(path, code, durability).partition("\n")
    assert said.startswith("no-space no room for this commit in ")
    assert rest == BEFORE + AFTER
    _whole(path)


def test_memory_runs_out_when_a_commit_is_visible_already(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the disk but not in this process: that says so at the next commit, and reads on."""
    from mmsb.base.errors import WriterFailed
    from mmsb.memory.run import Run

    memory = Memory.create(path, KINDS, durability="none")
    page = memory.create_page(SMALL, "a")
    memory.update_page(page, range(10), {"value": np.arange(10, dtype="u4")})

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Run, "add_rows", full)
        with pytest.raises(MemoryError):
            memory.update_page(page, range(10), {"value": np.zeros(10, "u4")})
    with pytest.raises(WriterFailed, match="visible already"):
        memory.update_page(page, range(10), {"value": np.ones(10, "u4")})
    assert memory.head == 2
    assert memory.at().column(SMALL, page, "value").tolist() == list(range(10))
    assert memory.stats()["health"]["verdict"] == "failing"
    memory.close()
    _whole(path)
    assert os.path.getsize(path / "header") == 4096


def test_memory_runs_out_while_a_commit_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsb.base.errors import EnvironmentProblem
    from mmsb.memory.disk import File

    with Memory.create(path, KINDS, durability="none") as memory:
        page = memory.create_page(SMALL, "a")
        memory.update_page(page, range(10), {"value": np.arange(10, dtype="u4")})
        write = File.write

        def half(file: File, data: bytes, offset: int) -> None:
            write(file, memoryview(data)[: len(data) // 2], offset)
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(File, "write", half)
            with pytest.raises(EnvironmentProblem, match="nothing of it was kept"):
                memory.update_page(page, range(10), {"value": np.zeros(10, "u4")})
        assert memory.at().column(SMALL, page, "value").tolist() == list(range(10))
        memory.update_page(page, range(10), {"value": np.ones(10, "u4")})
    _whole(path)

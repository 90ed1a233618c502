"""What a fork records is what the program itself would, and the program never knows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate

RECORD = """
import sys
from mmsb import session
from mmsb.capture.julia import probe
julia, output, capture, *argv = sys.argv[1:]
result = session.record(
    ["julia", *argv], output, julia=probe("test", julia), capture=capture, apart=True
)
print(result.state, result.message, file=sys.stderr)
sys.exit(result.exit_code)
"""


def forks(julia: Candidate) -> None:
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} is asked in the program's own process")


def apart(
    julia: Candidate, folder: Path, argv: list[str], capture: str = "final"
) -> subprocess.CompletedProcess[str]:
    output = str(folder / "apart.mmsb")
    return subprocess.run(
        [sys.executable, "-c", RECORD, str(julia.path), output, capture, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.newest
def test_apart_is_what_the_program_itself_records(julia: Candidate, tmp_path: Path) -> None:
    """To the last byte that a digest sees."""
    forks(julia)
    capture = "passes"
    program = str(live.HERE / "decided.jl")
    inside = live.record(julia, tmp_path / "inside.mmsb", [program], depth=1, capture=capture)
    done = apart(julia, tmp_path, [program], capture)
    assert done.stderr.startswith("complete")
    outside = live.Recorded(tmp_path / "apart.mmsb", 0)
    assert outside.memory.digest() == inside.memory.digest()


@pytest.mark.newest
@pytest.mark.parametrize("switches", [["-t4,1", "--gcthreads=3"], []], ids=" ".join)
def test_what_a_program_leaves_behind_stays_its_own(
    julia: Candidate, tmp_path: Path, switches: list[str]
) -> None:
    """Said once: what it printed, its exit hook, its finalizer. Its child lives on."""
    forks(julia)
    done = apart(julia, tmp_path, [*switches, str(live.HERE / "leftovers.jl")])
    assert done.stderr.splitlines()[-1].startswith("complete")
    assert done.returncode == 0
    words = done.stdout.split()
    assert words[0] == "8"
    os.kill(int(words[words.index("child") + 1]), 9)  # raises where it is gone
    assert done.stdout.count("an unended line") == 1
    assert done.stdout.count("hook") == 1
    assert done.stdout.count("finalizer") == 1
    assert "timer" not in done.stdout
    assert "woke" not in done.stdout


@pytest.mark.long
def test_a_fork_that_stands_still_is_ended_and_said(julia: Candidate, tmp_path: Path) -> None:
    """A thread holds the lock that the fork needs; the program ends, what came is kept."""
    forks(julia)
    program = tmp_path / "program.jl"
    program.write_text(
        "f(x) = x + 1\nf(1)\n"
        "Threads.@spawn (lock(Base.require_lock); while true; GC.safepoint(); end)\n"
        "sleep(0.5)\nprintln(f(2))\n"
    )
    done = apart(julia, tmp_path, ["-t3", str(program)], "decisions")
    assert done.returncode == 0
    assert done.stdout == "3\n"
    assert done.stderr.startswith("incomplete")
    assert "stood still and was ended" in done.stderr

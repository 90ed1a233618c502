"""A recorded program cannot tell, and nothing of the recorder is in its record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate, shim_path

RECORD = """
import sys
from mmsb import session
from mmsb.capture.julia import probe
julia, output, *argv = sys.argv[1:]
result = session.record(["julia", *argv], output, julia=probe("test", julia))
assert result.path is not None
sys.exit(result.exit_code)
"""


def run(words: list[str], folder: Path, stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, input=stdin, capture_output=True, text=True, timeout=300, check=False
    )


def both(
    julia: Candidate, folder: Path, argv: list[str], stdin: str = ""
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """The same command line plainly run, and recorded."""
    plain = run([str(julia.path), *argv], folder, stdin)
    output = str(folder / "memory.mmsb")
    words = [sys.executable, "-c", RECORD, str(julia.path), output, *argv]
    return plain, run(words, folder, stdin)


@pytest.mark.newest
@pytest.mark.parametrize("code", [0, 3])
def test_a_program_sees_what_it_would_see(julia: Candidate, tmp_path: Path, code: int) -> None:
    script = live.HERE / "looks.jl"
    argv = ["-t2", "--project=.", str(script), str(code), "two words", "--flag", "-L"]
    (tmp_path / "Project.toml").write_text("")
    plain, recorded = both(julia, tmp_path, argv, stdin="a line\nand another")
    told = plain.stdout.splitlines()
    seen = recorded.stdout.splitlines()
    hooks = [line for line in (*told, *seen) if line.startswith("exit hooks")]
    told, seen = ([line for line in lines if line not in hooks] for lines in (told, seen))
    assert seen == told
    assert "stdin " + repr("a line\nand another").replace("'", '"') in told
    assert recorded.stderr == plain.stderr == "to stderr\n"
    assert recorded.returncode == plain.returncode == code


@pytest.mark.newest
@pytest.mark.parametrize(
    ("program", "code"),
    [
        ('error("boom")', 1),
        ('atexit(() -> println("bye")); println("body"); exit(7)', 7),
        ("f(x) = sqrt(x); f(-1.0)", 1),
        ('run(`sleep 20`, wait = false); println("done")', 0),
    ],
    ids=["throws", "exits in a hook's sight", "throws in a callee", "leaves a child behind"],
)
def test_a_program_ends_as_it_would(
    julia: Candidate, tmp_path: Path, program: str, code: int
) -> None:
    (tmp_path / "program.jl").write_text(program)
    output = str(tmp_path / "memory.mmsb")
    plain = live.run(julia, ["program.jl"], cwd=tmp_path)
    words = [sys.executable, "-c", RECORD, str(julia.path), output, "program.jl"]
    recorded = run(words, tmp_path, "")
    assert recorded.returncode == plain.returncode == code
    assert recorded.stdout == plain.stdout
    assert recorded.stderr.splitlines()[:1] == plain.stderr.splitlines()[:1]


def test_a_main_function_is_called(julia: Candidate, tmp_path: Path) -> None:
    if live.version(julia) < (1, 11):
        pytest.skip("this Julia has no @main")
    program = "function (@main)(args)\n    println(args)\n    return 4\nend\n"
    (tmp_path / "program.jl").write_text(program)
    plain, recorded = both(julia, tmp_path, ["program.jl", "one", "two"])
    assert recorded.stdout == plain.stdout == '["one", "two"]\n'
    assert recorded.returncode == plain.returncode == 4


def start_recorder(julia: Candidate, **more: str) -> list[str]:
    """``untouched.jl`` in a plain Julia, the recorder writing to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    env = {
        "MMSB_LOADER": str(shim_path() / "loader.jl"),
        "MMSB_DEPOT": str(live.depot(julia)),
        "MMSB_FD": str(nowhere),
        "MMSB_HOST": str(os.getpid()),
        **more,
    }
    try:
        done = subprocess.run(
            [str(julia.path), str(live.HERE / "untouched.jl")],
            env={**os.environ, **julia.env, **env},
            pass_fds=(nowhere,),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    finally:
        os.close(nowhere)
    return done.stdout.split()


def test_starting_the_recorder_invalidates_nothing(julia: Candidate) -> None:
    code, ended, logged, recorders = map(int, start_recorder(julia))
    assert recorders == 1
    assert code > 5000
    assert ended == 0
    assert logged in (0, -1)


@pytest.mark.newest
def test_an_invalidation_would_be_seen(julia: Candidate) -> None:
    _, ended, logged, _ = map(int, start_recorder(julia, MMSB_INVALIDATE="1"))
    assert ended > 0
    assert logged != 0


def test_nothing_of_the_recorder_is_in_its_record(library: live.Recorded) -> None:
    """Neither its code nor code compiled for its types: a key names every type it has."""
    for kind in ("instance", "method", "code", "statement"):
        assert not [key for key in library.subjects(kind) if "MMSBShim" in key]
    types = library.head.symbols(library.head.table("type")["name"])
    assert not [name for name in types if "MMSBShim" in name]

"""Real Julias, run and recorded: endings of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmsb.base import schema
from mmsb.base.errors import JuliaFailed, StateError, UsageError
from mmsb.base.model import NONE_U32, EventKind
from mmsb.capture.julia import Candidate
from mmsb.memory.memory import Memory
from mmsb.session import RecordingResult, record, start

PROGRAM = "f(x) = x + 1\nf(1)\n"


def run(tmp_path: Path, julia: Candidate, source: str, *words: str) -> RecordingResult:
    script = tmp_path / "script.jl"
    script.write_text(source)
    return record([str(script), *words], tmp_path / "out.mmsb", julia=julia)


def instances(path: str | None) -> set[str]:
    """Those of the program's own modules."""
    assert path is not None
    with Memory.open(Path(path)) as memory:
        now = memory.at()
        pages = [
            page
            for page in now.pages(schema.INSTANCE).tolist()
            if now.column(schema.INSTANCE, page, "depth")[0] < NONE_U32
        ]
        names = [int(now.column(schema.INSTANCE, page, "name")[0]) for page in pages]
        return set(now.symbols(names))


@pytest.mark.newest
@pytest.mark.parametrize(
    ("ending", "code"), [("", 0), ("exit(3)", 3), ('error("boom")', 1), ("exit(0)", 0)]
)
def test_exit_codes_are_the_programs(
    tmp_path: Path, julia: Candidate, ending: str, code: int
) -> None:
    result = run(tmp_path, julia, PROGRAM + ending)
    assert (result.exit_code, result.state) == (code, "complete")
    assert instances(result.path) == {"f(::Int64)"}


@pytest.mark.newest
def test_a_killed_program_leaves_its_compiled_signatures(tmp_path: Path, julia: Candidate) -> None:
    result = run(tmp_path, julia, PROGRAM + "ccall(:kill, Cint, (Cint, Cint), getpid(), 9)")
    assert (result.exit_code, result.state) == (137, "incomplete")
    assert "signal 9" in result.message
    with Memory.open(Path(str(result.path))) as memory:
        now = memory.at()
        events = now.table(schema.EVENT)
        compiled = events["subject"][events["kind"] == EventKind.COMPILED]
        assert "Tuple{typeof(Main.f), Int64}" in now.symbols(compiled)
        facts = now.table(schema.RECORDING)
        known = dict(zip(now.symbols(facts["key"]), now.symbols(facts["value"]), strict=True))
    assert known["state"] == "incomplete"
    assert known["deterministic"] == "no"


@pytest.mark.newest
def test_the_end_is_the_childs_exit_not_the_pipes(tmp_path: Path, julia: Candidate) -> None:
    pid_file = tmp_path / "pid"
    code = f"p = run(`sleep 60`, wait = false); write({str(pid_file)!r}, string(getpid(p)))"
    result = run(tmp_path, julia, PROGRAM + code.replace("'", '"'))
    os.kill(int(pid_file.read_text()), 9)  # raises if the record had waited for its end
    assert result.state == "complete"


@pytest.mark.newest
def test_a_child_of_the_program_inherits_no_pipe(tmp_path: Path, julia: Candidate) -> None:
    code = "run(`ls -l /proc/self/fd`)"
    script = tmp_path / "script.jl"
    script.write_text(PROGRAM + code)
    words = [sys.executable, "-c", _RECORD, str(script), str(tmp_path / "o.mmsb"), str(julia.path)]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    assert "pipe:" in told.stdout  # its own output, and the control: pipes do show here
    assert told.stdout.count("pipe:") <= 2  # standard output and error, nothing of ours


_RECORD = """
import sys
from mmsb.capture.julia import probe
from mmsb.session import record
record([sys.argv[1]], sys.argv[2], julia=probe("test", sys.argv[3]))
"""


@pytest.mark.newest
def test_julia_that_cannot_start_is_said(tmp_path: Path, julia: Candidate) -> None:
    broken = tmp_path / "julia"
    broken.write_text("#!/nowhere/at/all\n")
    broken.chmod(0o755)
    with pytest.raises(JuliaFailed, match="could not prepare"):
        run(tmp_path, replace(julia, path=str(broken)), PROGRAM)
    assert not (tmp_path / "out.mmsb").exists()


@pytest.mark.newest
def test_a_bad_switch_is_julias_to_refuse(tmp_path: Path, julia: Candidate) -> None:
    result = record(["julia", "--no-such-switch", "-e", "1"], tmp_path / "out.mmsb", julia=julia)
    assert result.exit_code != 0
    assert result.path is None
    assert "before the recorder began" in result.message


@pytest.mark.newest
def test_an_existing_output_is_kept(tmp_path: Path, julia: Candidate) -> None:
    first = run(tmp_path, julia, PROGRAM)
    with pytest.raises(UsageError, match="exists already"):
        run(tmp_path, julia, PROGRAM)
    assert instances(first.path) == {"f(::Int64)"}


def test_a_session_runs_code_and_says_what_julia_says(tmp_path: Path, julia: Candidate) -> None:
    session = start(tmp_path / "s.mmsb", julia=str(julia.path))
    session.run("f(x) = x + 1; f(1)")
    with pytest.raises(JuliaFailed, match="boom") as failed:
        session.run('error("boom")')
    assert "session[2]" in str(failed.value)
    session.run("f(x) = x + 2; f(1.5)")
    with session.stop() as memory:
        assert memory.head > 0
    assert instances(str(session.path)) == {"f(::Int64)", "f(::Float64)"}
    with pytest.raises(StateError, match="stopped"):
        session.run("f(3)")


@pytest.mark.newest
def test_a_session_whose_julia_exits_keeps_what_there_was(tmp_path: Path, julia: Candidate) -> None:
    session = start(tmp_path / "s.mmsb", julia=str(julia.path))
    session.run("f(x) = x + 1; f(1)")
    with pytest.raises(JuliaFailed, match="Julia ended"):
        session.run("exit(0)")
    session.stop().close()
    assert instances(str(session.path)) == {"f(::Int64)"}


LEFT_OPEN = """
import sys
from mmsb.session import start
session = start(sys.argv[1], julia=sys.argv[2])
{run}
"""


@pytest.mark.newest
@pytest.mark.parametrize("run", ['session.run("f(x) = x + 1; f(1)")', ""])
def test_a_session_that_is_not_stopped_ends_with_python(
    tmp_path: Path, julia: Candidate, run: str
) -> None:
    words = [sys.executable, "-c", LEFT_OPEN.format(run=run), "left.mmsb", str(julia.path)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert instances(str(tmp_path / "left.mmsb")) == ({"f(::Int64)"} if run else set())


@pytest.mark.newest
def test_a_script_is_a_word_and_the_julia_is_told(tmp_path: Path, julia: Candidate) -> None:
    script = tmp_path / "script.jl"
    script.write_text(PROGRAM)
    result = record(str(script), tmp_path / "out.mmsb", julia=julia, modules=["Nowhere"])
    assert f"Julia {julia.version}" in result.message
    assert "no recorded method is of a module Nowhere" in result.message


@pytest.mark.newest
def test_a_program_s_output_goes_where_it_is_sent(tmp_path: Path, julia: Candidate) -> None:
    script = tmp_path / "script.jl"
    script.write_text('println("said")')
    with (tmp_path / "said").open("w") as said:
        record([str(script)], tmp_path / "out.mmsb", julia=julia, stdout=said.fileno())
    assert (tmp_path / "said").read_text() == "said\n"


@pytest.mark.newest
def test_names_the_program_takes_for_itself_are_its_own(tmp_path: Path, julia: Candidate) -> None:
    source = "split(x) = x + 1\nmap(x) = split(x)\nstring(x) = map(x)\nprintln(string(3))\n"
    assert run(tmp_path, julia, source).exit_code == 0

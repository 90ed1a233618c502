"""Ctrl-C while a program is recorded: the command ends in bounded time, by the program's own exit
code, and what came until then is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmsb.base import schema
from mmsb.base.model import EventKind
from mmsb.capture.julia import Candidate
from mmsb.memory.check import check
from mmsb.memory.memory import Memory

PATIENCE = 3.0  # seconds of silence, where the command takes a minute
WHOLE = "from mmsb.interfaces.cli import main\nmain()\n"
HASTY = f"""
from mmsb.capture import hanging, process
from mmsb.session import recording
hanging.GRACE = process.GRACE = recording.GRACE = {PATIENCE}
{WHOLE}"""
READY = 'f(x) = x + 1\nf(1)\nprintln("ready")\nflush(stdout)\n'


def interrupted(
    folder: Path, julia: Candidate, source: str, command: str = WHOLE
) -> tuple[int, str]:
    """Exit code and standard error of `mmsb record`; Ctrl-C comes when the program is ready."""
    (folder / "script.jl").write_text(source)
    words = [sys.executable, "-c", command, "record", "-o", "out.mmsb"]
    with subprocess.Popen(
        [*words, "--", str(julia.path), "script.jl"],
        cwd=folder,
        env={**os.environ, **julia.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.2)
            os.killpg(child.pid, signal.SIGINT)  # as a terminal does it: to all of the foreground
            _, told = child.communicate(timeout=120)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)  # else the end of this block waits for it
            raise
    return child.returncode, told


def code_of(folder: Path) -> set[str]:
    """Whose compiled code the memory has, all of which is sound."""
    assert check(folder / "out.mmsb").sound
    with Memory.open(folder / "out.mmsb") as memory:
        now = memory.at()
        return {now.subject(int(page)).split(" ")[0] for page in now.pages(schema.CODE)}


@pytest.mark.newest
def test_a_loop_that_is_interrupted_keeps_its_record(tmp_path: Path, julia: Candidate) -> None:
    source = f"{READY}while true; GC.safepoint(); end\n"
    code, told = interrupted(tmp_path, julia, source)
    assert (code, "incomplete" in told) == (130, True)
    assert "Main.f" in code_of(tmp_path)


def test_a_sleeper_that_is_interrupted_keeps_its_record(tmp_path: Path, julia: Candidate) -> None:
    """No other timer: Julia 1.12 that is interrupted while one fires may hang, as it does alone."""
    code, told = interrupted(tmp_path, julia, f"{READY}sleep(600)\n")
    assert (code, "the program was killed by signal 2" in told) == (130, True)
    assert "Main.f" in code_of(tmp_path)


@pytest.mark.newest
def test_a_julia_that_hangs_when_interrupted_is_killed(tmp_path: Path, julia: Candidate) -> None:
    """In an exit hook, before the recorder's: of the program there is what came as it ran."""
    if tuple(map(int, str(julia.version).split(".")[:2])) < (1, 10):
        pytest.skip(f"Julia {julia.version} does not show that a signal ends it")
    hook = "atexit(() -> while true; Libc.systemsleep(0.1); end)\n"
    code, told = interrupted(tmp_path, julia, f"{hook}{READY}sleep(600)\n", HASTY)
    why = "Julia did not come to its end by signal 2, was silent for 3 s and was killed"
    assert (code, why in told) == (130, True)
    assert check(tmp_path / "out.mmsb").sound
    with Memory.open(tmp_path / "out.mmsb") as memory:
        now = memory.at()
        table, events = now.table(schema.RECORDING), now.table(schema.EVENT)
        keys, values = (now.symbols(table[name]) for name in ("key", "value"))
        compiled = now.symbols(events["subject"][events["kind"] == EventKind.COMPILED])
    facts = dict(zip(keys, values, strict=True))
    assert (facts["state"], facts["exit_code"], facts["reason"]) == ("incomplete", "130", why)
    assert any("typeof(Main.f)" in subject for subject in compiled)


@pytest.mark.newest
def test_a_program_that_goes_on_after_ctrl_c_is_left_alone(
    tmp_path: Path, julia: Candidate
) -> None:
    """For longer than one that ends may be silent."""
    handles = (
        f"Base.exit_on_sigint(false)\n{READY}"
        "try; sleep(600); catch problem; problem isa InterruptException || rethrow(); end\n"
        f"Libc.systemsleep({2 * PATIENCE})\nf(2.0)\nexit(7)\n"
    )
    code, told = interrupted(tmp_path, julia, handles, HASTY)
    assert (code, "incomplete" in told) == (7, False)
    assert "Main.f" in code_of(tmp_path)

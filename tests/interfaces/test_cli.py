"""Each command on a hand-made memory: what it prints, its JSON, its errors and exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from mmsb import __version__, session
from mmsb.base.errors import JuliaFailed
from mmsb.base.model import EventKind
from mmsb.capture.julia import Candidate
from mmsb.interfaces.cli import app
from mmsb.session import RecordingResult

run = CliRunner()


def ask(*words: str, code: int = 0) -> Any:
    result = run.invoke(app, [*words, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout if code == 0 else result.stderr)


def told(*words: str) -> str:
    result = run.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSB_MEMORY", str(made))


def test_version() -> None:
    assert told("--version").strip() == f"mmsb {__version__}"


@pytest.mark.parametrize("words", [[], ["record"], ["show"]], ids=["mmsb", "record", "show"])
def test_help_has_an_example(words: list[str]) -> None:
    assert "mmsb " in told(*words, "--help")


def test_show() -> None:
    assert "│   %2 = Base.mul_int(%1, 2)::Int64" in told("show", "f", "--at", "4")
    assert "│   %2 = %1 * 2\n" in told("show", "f", "--stage", "lowered")
    assert ask("show", "f(::Int64)")["function"]["name"] == "f(::Int64)"


def test_source_that_is_not_here_is_said() -> None:
    assert "source not on this machine" in told("show", "f", "--source", "--at", "4")


def test_log() -> None:
    assert [
        e["epoch"] for e in ask("log", "--function", "f", "--stage", "inferred")["entries"]
    ] == [
        3,
        7,
    ]
    assert "2 invalidated" in told("log", "--kind", "invalidated")


def test_diff_why_blame_warn_stats() -> None:
    assert ask("diff", "f", "4", "8")["counts"] == {
        "kept": 1,
        "changed": 1,
        "removed": 1,
        "added": 1,
    }
    assert ask("why", "top")["fates"][0]["reasons"][0]["state"] == "invalidated"
    assert [s["epoch"] for s in ask("blame", "f", "--at", "4")["statements"]] == [4, 4, 2]
    assert ask("warn")["functions"][0]["dispatches"][0]["number"] == 2
    told = ask("stats")
    assert told["epochs"] == 9
    assert (told["vitals"]["verdict"], told["vitals"]["reasons"]) == ("healthy", [])
    assert told["vitals"]["bytes_by_device"] == {"host": told["stored_bytes"]}
    assert told["vitals"]["heat"] == []  # this command alone has read it
    listed = ask("stats", "--functions")["functions"]
    assert [known["function"]["name"] for known in listed] == [
        "f(::Int64)",
        "g(::Int64)",
        "top(::Int64)",
    ]


def test_what_reaches_what() -> None:
    assert ask("cause", "top")["way"] == ["top(::Int64)"]
    assert "→" not in told("cause", "top", "--at", "4")
    assert ask("callers", "g", "--depth", "2")["depth"] == 2
    bare = run.invoke(app, ["callees", "top"])
    assert (bare.exit_code, bare.output) == (
        3,
        "top(::Int64): was seen lowered, but not inferred.\n",
    )
    assert "is called by 0 functions" in told("callers", "top")
    assert ask("reached", "2", "4")["came"] == []
    assert ask("reached", "4", "2", code=2)["error"]["code"] == "usage"


def test_kinds_of_events_are_named() -> None:
    wrong = run.invoke(app, ["log", "--kind", "nonsense"])
    assert wrong.exit_code == 2
    for text in (wrong.stderr, told("log", "--help")):
        for kind in EventKind:
            assert kind.name.lower() in text
    assert "the latest one seen" not in told("log", "--help")


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["show", "nobody"], 2, "unknown-name"),
        (["show", "f", "--at", "99"], 2, "unknown-name"),
        (["show", "f("], 2, "usage"),
        (["log", "-m", "nowhere.mmsb"], 2, "not-a-memory"),
        (["check", "-m", "nowhere.mmsb"], 2, "not-a-memory"),
    ],
)
def test_an_error_is_one_line_and_a_code(words: list[str], code: int, name: str) -> None:
    plain = run.invoke(app, words)
    assert plain.exit_code == code
    assert plain.stdout == ""
    assert plain.stderr.startswith("mmsb: ")
    assert plain.stderr.rstrip("\n").endswith(f"[{name}]")
    assert plain.stderr.count("\n") == 1
    assert ask(*words, code=code)["error"]["code"] == name


@pytest.mark.parametrize(
    "words",
    [
        *(["tree"], ["invalidations"], ["deps", "f"], ["decisions", "f"], ["warn", "--at", "1"]),
        *(["impact", "f"], ["dominators"]),
    ],
)
def test_an_answer_out_of_what_was_not_recorded_exits_3(words: list[str]) -> None:
    assert run.invoke(app, words).exit_code == 3
    assert json.loads(run.invoke(app, [*words, "--json"]).stdout)["advice"]


def test_usage_errors_exit_2() -> None:
    assert run.invoke(app, ["show"]).exit_code == 2
    assert run.invoke(app, ["show", "f", "--stage", "nonsense"]).exit_code == 2


def test_check_finds_a_flipped_bit(made: Path, tmp_path: Path) -> None:
    assert ask("check")["sound"] is True
    copy = tmp_path / "copy.mmsb"
    shutil.copytree(made, copy)
    segment = next(copy.glob("segment-*"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    result = run.invoke(app, ["check", "-m", str(copy)])
    assert result.exit_code == 4
    assert "damaged" in result.stdout
    assert "--salvage OUT" in result.stdout
    segment.write_bytes(content[: len(content) * 3 // 4])
    result = run.invoke(app, ["check", "--salvage", str(tmp_path / "saved.mmsb"), "-m", str(copy)])
    assert result.exit_code == 4
    assert "lost: segment-" in result.stdout, result.output
    assert run.invoke(app, ["check", "-m", str(tmp_path / "saved.mmsb")]).exit_code == 0
    result = run.invoke(app, ["check", "--salvage", str(copy), "-m", str(made)])
    assert result.exit_code == 2


def test_check_salvage_of_a_sound_memory_loses_nothing(made: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.mmsb"
    words = ["check", "--salvage", str(saved), "-m", str(made), "--json"]
    result = run.invoke(app, words)
    assert (result.exit_code, json.loads(result.stdout)["lost"]) == (0, [])
    before, after = (run.invoke(app, ["stats", "-m", str(path)]) for path in (made, saved))
    assert before.stdout.splitlines()[1:3] == after.stdout.splitlines()[1:3]


def test_compact_makes_a_memory_smaller_and_changes_no_answer(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mmsb"
    shutil.copytree(made, copy)
    before = [told(*words, "-m", str(copy)) for words in (["log"], ["stats", "--functions"])]
    done = ask("compact", "-m", str(copy))
    assert (done["segments"], done["after"] < done["before"]) == (1, True)
    assert [
        told(*words, "-m", str(copy)) for words in (["log"], ["stats", "--functions"])
    ] == before
    assert "nothing was left" in told("compact", "-m", str(copy))
    assert run.invoke(app, ["check", "-m", str(copy)]).exit_code == 0


def test_retain_forgets_old_epochs_and_changes_no_later_answer(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mmsb"
    shutil.copytree(made, copy)
    later = [["show", "f"], ["stats", "--functions"], ["warn"], ["blame", "f", "--json"]]
    before = [told(*words, "-m", str(copy)) for words in later[:3]]
    done = ask("retain", "--from", "5", "-m", str(copy))
    assert (done["base"], done["head"]) == (5, 9)
    assert [told(*words, "-m", str(copy)) for words in later[:3]] == before
    assert "before epoch 5 was forgotten" in told("log", "-m", str(copy))
    entries = ask("log", "-m", str(copy))["entries"]
    assert [one for one in entries if one["epoch"] > 5] == [
        one for one in ask("log")["entries"] if one["epoch"] > 5
    ]
    assert (
        "forgotten by retention"
        in ask("show", "f", "--at", "4", "-m", str(copy), code=2)["error"]["message"]
    )
    assert ask("retain", "--epochs", "2", "-m", str(copy))["base"] == 8
    assert ask("retain", "--epochs", "20", "-m", str(copy))["base"] == 8
    for words in ([], ["--from", "9", "--epochs", "1"], ["--epochs", "0"], ["--from", "10"]):
        assert run.invoke(app, ["retain", *words, "-m", str(copy)]).exit_code == 2
    for words in (["why", "f"], ["passes", "f"], ["tree"], ["blame", "f"], ["check"], ["stats"]):
        assert run.invoke(app, [*words, "-m", str(copy)]).exit_code in (0, 3)


def test_retain_says_that_a_compressed_memory_grew_and_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "my tour.mmsb"
    shutil.copytree(Path(session.__file__).parents[1] / "data" / "tour.mmsb", copy)
    ask("compact", "-m", str(copy))

    def size() -> int:
        return sum(file.stat().st_size for file in copy.iterdir())

    before = size()
    grown = told("retain", "--from", "2", "-m", str(copy))
    larger = size()
    assert larger > before
    assert " now, which is more: the log was written anew" in grown
    named = re.search("`mmsb (compact .*?)`", grown)
    assert named is not None
    told(*shlex.split(named[1]))
    assert size() < larger
    told("retain", "--epochs", "1", "-m", str(copy))
    assert "which is more" not in told("retain", "--epochs", "1", "-m", str(copy))  # nothing to do


@pytest.mark.parametrize(
    "words",
    [["check"], ["show"], ["show", "f"], ["diff", "f"], ["log", "-f"]],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["bad.mmsb", "made.mmsb/"])
def test_a_memory_without_its_option(words: list[str], name: str) -> None:
    result = run.invoke(app, [*words, name])
    assert result.exit_code == 2
    assert f"name it with -m {name}" in result.stderr


def test_a_memory_of_another_name_without_its_option(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "m"
    shutil.copytree(made, other)
    assert "name it with -m" in run.invoke(app, ["stats", str(other)]).stderr
    assert ask("stats", "-m", str(other))["epochs"] == 9


def test_damage_is_looked_for_with_the_command_it_names(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "my copy.mmsb"
    shutil.copytree(made, copy)
    next(copy.glob("segment-*")).write_bytes(b"")
    result = run.invoke(app, ["log", "-m", str(copy)])
    assert result.exit_code == 4
    named = re.search("`mmsb (.*)`", result.stderr)
    assert named is not None
    assert run.invoke(app, shlex.split(named[1])).exit_code == 4


def test_a_folder_without_a_memory(tmp_path: Path) -> None:
    result = run.invoke(app, ["log", "-m", str(tmp_path)])
    assert "make one with `mmsb record`" in result.stderr


def test_doctor_of_a_finder_that_found_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Candidate("juliapkg", None, None, False, "found none")
    here = Candidate("PATH", "/bin/julia", None, False, "broken")
    inside = SimpleNamespace(executable=None, ok=False, reason="no", remark="")
    julia = SimpleNamespace(candidates=[none, here], chosen=None, why="nothing")
    diagnosis = SimpleNamespace(julia=julia, embedded=inside)
    monkeypatch.setattr(session, "doctor", lambda **_: diagnosis)
    result = run.invoke(app, ["doctor"])
    assert result.exit_code == 5
    assert result.stdout.splitlines()[:2] == [
        "✗ juliapkg: found none",
        "✗ PATH: /bin/julia, ?: broken",
    ]


# record: only how the command line is read, and what is passed on; Julia has its own tests.


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def record(argv: list[str], output: Path | None, **options: Any) -> RecordingResult:
        seen.update(argv=argv, output=output, **options)
        return RecordingResult("x.mmsb", 3, "complete", "x.mmsb: done", "1.5.3", 1, 1, 1, 1)

    monkeypatch.setattr(session, "record", record)
    return seen


def test_record_passes_the_programs_arguments_and_exit_code_on(recorded: dict[str, Any]) -> None:
    words = ["record", "-o", "a.mmsb", "--depth", "2", "--module", "A", "--module", "B"]
    result = run.invoke(
        app, [*words, "--no-literals", "--", "julia", "-t4", "s.jl", "--json", "-o"]
    )
    assert result.exit_code == 3
    assert recorded["argv"] == ["julia", "-t4", "s.jl", "--json", "-o"]
    assert recorded["output"] == Path("a.mmsb")
    assert (recorded["depth"], recorded["modules"], recorded["literals"]) == (2, ("A", "B"), False)


def test_record_a_script_for_short(recorded: dict[str, Any]) -> None:
    assert run.invoke(app, ["record", "s.jl", "-x", "--depth", "7"]).exit_code == 3
    assert recorded["argv"] == ["s.jl", "-x", "--depth", "7"]
    assert (recorded["depth"], recorded["literals"]) == (1, True)


def test_record_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(*_: object, **__: object) -> RecordingResult:
        raise JuliaFailed("Julia did not start:\n  no such library")

    monkeypatch.setattr(session, "record", record)
    result = run.invoke(app, ["record", "s.jl"])
    assert result.exit_code == 5
    assert "mmsb: Julia did not start: no such library [julia-failed]" in result.stderr


def test_a_command_can_be_traced(made: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    subprocess.run(
        [sys.executable, "-m", "mmsb", "stats"],
        env={**os.environ, "MMSB_TRACE": str(trace)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    events = json.loads(trace.read_text())
    assert {event["name"] for event in events} >= {"gather"}
    assert all(event["ph"] == "X" and event["dur"] > 0 for event in events)


def test_a_second_capture_is_refused_by_name() -> None:
    result = run.invoke(app, ["record", "--capture", "passes", "--capture", "final", "script.jl"])
    assert result.exit_code == 2
    assert "2 times (passes, final)" in result.stderr
    assert "-o" in result.stderr


def test_a_name_cut_for_a_terminal_says_where_it_is_whole() -> None:
    said = ask("show", "afoldl(::typeof(+), ::Flo…", code=2)["error"]["message"]
    assert "was cut at …" in said
    assert "--json" in said

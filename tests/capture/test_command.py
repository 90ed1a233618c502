"""What a user types for Julia, read the way Julia reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsb.base.errors import UsageError
from mmsb.capture.command import parse


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.jl"
    path.write_text("1\n")
    return str(path)


def test_a_script_alone_means_julia(script: str) -> None:
    parsed = parse([script, "a", "-b"])
    assert (parsed.program, parsed.switches, parsed.script) == ("julia", (), (script, "a", "-b"))


def test_switches_with_values_do_not_hide_the_script(script: str) -> None:
    words = ["julia", "--project=.", "-t", "4", "-O3", "-L", "setup.jl", script, "--flag"]
    parsed = parse(words)
    assert parsed.script == (script, "--flag")
    assert parsed.switches == tuple(words[1:-2])


def test_the_recorder_comes_first_and_the_rest_is_unchanged(script: str) -> None:
    parsed = parse(["julia", "-t4", script, "x"])
    words = parsed.recorded("/j", Path("/loader.jl"), Path("/trace"))
    assert words == ["/j", "--trace-compile=/trace", "-L", "/loader.jl", "-t4", script, "x"]


def test_only_switches_that_decide_about_caches_reach_the_precompilation(script: str) -> None:
    parsed = parse(["julia", "--project=.", "-O3", "-e", "1", "--check-bounds=yes", "-C", "native"])
    assert parsed.cache_switches == ("-O3", "--check-bounds=yes", "-C", "native")


def test_code_on_the_command_line_needs_no_script() -> None:
    assert parse(["julia", "-e", "println(ARGS)", "a"]).script == ("a",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no program"),
        (["nowhere.jl"], "no script nowhere.jl"),
        (["julia", "nowhere.jl"], "no script nowhere.jl"),
        (["."], "is a folder"),
        (["julia", "--trace-compile=x", "-e", "1"], "uses --trace-compile itself"),
        (["julia", "-p", "2", "-e", "1"], "worker processes"),
        (["julia", "-p2", "-e", "1"], "worker processes"),
        (["julia", "--output-ji=x", "-e", "1"], "builds an image"),
    ],
)
def test_what_cannot_be_recorded_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(words)


def test_a_project_is_no_worker(script: str) -> None:
    assert parse(["julia", "--project", script]).switches == ("--project",)

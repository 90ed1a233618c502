"""The commands about the inside of the compiler, on a hand-made memory."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmsb.interfaces.cli import app

run = CliRunner()


def ask(*words: str, code: int = 0) -> Any:
    result = run.invoke(app, [*words, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout or result.stderr)


def told(*words: str, code: int = 0) -> str:
    result = run.invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def named(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSB_MEMORY", str(native))


@pytest.mark.parametrize("stage", ["inlining", "pass 4", "4"])
def test_show_a_pass(stage: str) -> None:
    found = ask("show", "f", "--stage", stage)
    assert (found["stage"], found["provenance"]) == ("inlining", "rederived")
    assert found["header"]["stages"]["lowered"] == "native"


def test_show_without_a_body() -> None:
    assert "out of the recording's scope" in told("show", "far")
    assert ask("show", "far")["function"]["depth"] is None


def test_show_provenance() -> None:
    found = ask("show", "f", "--provenance")
    assert found["rederived"] == "differs"
    assert found["difference"]["counts"]["changed"] == 1


def test_passes_and_a_pass_as_a_patch() -> None:
    steps = {step["stage"]: step for step in ask("passes", "f")["steps"]}
    assert (steps["inlining"]["added"], steps["inlining"]["removed"]) == (1, 1)
    assert ask("diff", "f", "--stages", "inferred", "4")["counts"] == {
        "kept": 1, "changed": 1, "removed": 1, "added": 1,
    }  # fmt: skip


def test_the_hint_of_passes_shows_a_change(native: Path) -> None:
    words = ["passes", "f", "--at", "5", "-m", str(native)]
    (hint,) = re.findall("A pass as a patch: mmsb (.*)", told(*words))
    asked = shlex.split(hint)
    assert asked[-2:] == ["-m", str(native)]
    counts = ask(*asked)["counts"]
    assert counts["added"] == counts["removed"] == 1
    assert "--at" not in told("passes", "f")


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "f"],
        ["diff", "f", "4"],
        ["diff", "f", "4", "5", "--stages", "inferred", "inlining"],
        ["diff", "f", "--stages", "inferred", "nonsense"],
        ["diff", "f", "--stages", "lowered", "4", "--stage", "inferred"],
    ],
    ids=" ".join,
)
def test_a_diff_of_neither_epochs_nor_stages(words: list[str]) -> None:
    assert ask(*words, code=2)["error"]["code"] == "usage"


def test_tree() -> None:
    assert [frame["name"] for frame in ask("tree", "--depth", "1")["frames"]] == [
        "f(::Int64)",
        "far(::Int64)",
    ]
    assert ask("tree", "--order", "recorded")["frames"][0]["name"] == "far(::Int64)"
    assert "constant propagation" in told("tree", "f")


def test_invalidations_and_why() -> None:
    assert [tree["victims"] for tree in ask("invalidations")["trees"]] == [2, 0]
    assert ask("why", "f")["fates"][0]["reasons"][0]["lost_ns"] == 900


def test_decisions_and_deps() -> None:
    assert ask("decisions", "f")["counts"] == {"inlined": 1, "not_inlined": 1, "remark": 1}
    assert [edge["kind"] for edge in ask("deps", "f")["on"]] == ["code", "dispatch", "binding"]


def test_check_against_julia_says_by_its_exit_code() -> None:
    assert ask("check", "--against-julia", code=1)["differs"] == 1
    assert "1 equal, 1 differ" in told("check", "--against-julia", code=1)


def test_check_against_julia_with_nothing_to_compare(made: Path) -> None:
    assert "Nothing could be compared" in told("check", "--against-julia", "-m", str(made), code=3)


def test_log_by_pass() -> None:
    assert [entry["epoch"] for entry in ask("log", "--stage", "inlining")["entries"]] == [4]

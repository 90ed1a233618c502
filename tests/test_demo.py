"""The demo: with a Julia it records and tells; with none it plays what ships, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsb.capture import julia as finder
from mmsb.capture.julia import Candidate, Decision
from mmsb.interfaces.cli import app

CHAPTERS = [
    "epoch by epoch",
    "at each stage",
    "Statement by statement",
    "What the redefinition cost",
]


def tell(monkeypatch: pytest.MonkeyPatch, folder: Path, chosen: Candidate | None) -> str:
    monkeypatch.chdir(folder)
    decision = Decision((), chosen, "as the test says")
    monkeypatch.setattr(finder, "find", lambda **_: decision)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    return result.output


def test_with_a_julia_it_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, julia: Candidate
) -> None:
    told = tell(monkeypatch, tmp_path, julia)
    assert all(chapter in told for chapter in CHAPTERS)
    assert str(julia.version) in told
    assert (tmp_path / "tour.mmsb").is_dir()


@pytest.mark.newest
def test_it_replaces_its_own_memory_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, julia: Candidate
) -> None:
    tell(monkeypatch, tmp_path, julia)
    tell(monkeypatch, tmp_path, julia)
    (tmp_path / "tour.mmsb").rename(tmp_path / "mine.mmsb")
    before = sorted((tmp_path / "mine.mmsb").iterdir())
    result = CliRunner().invoke(app, ["demo", "-o", "mine.mmsb"])
    assert result.exit_code == 2
    assert sorted((tmp_path / "mine.mmsb").iterdir()) == before


def test_without_one_it_plays_what_ships_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tell(monkeypatch, tmp_path, None)
    first = next(line for line in told.splitlines() if line.strip())
    assert "No Julia was found" in first
    assert "ships with mmsb" in first
    assert all(chapter in told for chapter in CHAPTERS)

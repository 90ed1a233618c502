"""Recorded, a process compiles as it would have: its own dump of itself is a plain run's."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate

PROGRAM = str(live.HERE / "canonical_state.jl")
#: Where code lies that the recorder's reading compiles for itself, or its image has brought.
LIBRARY = ("Base", "Core", "Compiler", "SHA")


@dataclass
class State:
    """What a program said of itself: lines by their first word."""

    said: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> State:
        said: dict[str, list[str]] = defaultdict(list)
        for line in path.read_text().splitlines():
            what, _, rest = line.partition(" | ")
            said[what].append(rest)
        return cls(said)


@pytest.fixture(scope="module")
def plain(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> State:
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} is recorded by reflection alone")
    path = tmp_path_factory.mktemp("plain") / "state"
    live.said(julia, [PROGRAM], env={"STATE_FILE": str(path)})
    return State.read(path)


@pytest.fixture(
    scope="module",
    params=[
        "passes",
        pytest.param("events", marks=pytest.mark.long),
        pytest.param("decisions", marks=pytest.mark.long),
    ],
)
def recorded(
    request: pytest.FixtureRequest, julia: Candidate, tmp_path_factory: pytest.TempPathFactory
) -> State:
    """The same program, recorded; it ends the recorder itself and goes on."""
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} is recorded by reflection alone")
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_FILE", str(folder / "state"))
        patch.setenv("STATE_STOPS", "1")
        live.record(julia, folder / "out.mmsb", [PROGRAM], depth=1, capture=request.param)
    return State.read(folder / "state")


@pytest.mark.newest
@pytest.mark.parametrize("what", ["results", "typed", "llvm", "ended"])
def test_results_and_code_are_those_of_a_plain_run(
    plain: State, recorded: State, what: str
) -> None:
    """Also after the recorder was ended."""
    assert recorded.said[what] == plain.said[what]
    assert plain.said["typed"]
    assert plain.said["llvm"]


@pytest.mark.newest
def test_nothing_more_is_compiled_while_the_program_runs(plain: State, recorded: State) -> None:
    more = Counter(recorded.said["code"]) - Counter(plain.said["code"])
    assert not more
    less = Counter(plain.said["code"]) - Counter(recorded.said["code"])
    assert len(plain.said["code"]) > 100 > 10 * len(less)  # that came with the recorder's image
    assert all(line.startswith(LIBRARY) for line in less)


@pytest.mark.newest
def test_the_reading_leaves_only_code_of_the_library(plain: State, recorded: State) -> None:
    """Docs: what is compiled of Base to read the record, and of callees to derive it again."""
    assert plain.said["added"] == []
    assert [line for line in recorded.said["added"] if not line.startswith(LIBRARY)] == []
    assert len(recorded.said["added"]) < 50


@pytest.mark.newest
def test_no_hook_remains(recorded: State) -> None:
    """Code inferred, methods defined, invalidations logged that a hook still saw."""
    assert recorded.said["hooks"] == ["0 0 0"]

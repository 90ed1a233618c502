"""One program recorded three times, in as many processes, is one digest."""

from __future__ import annotations

from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate

TOUR = str(Path(__file__).parents[2] / "examples" / "tour.jl")
RUNS = {
    "tour": [[TOUR], [TOUR], ["-t2", TOUR]],
    "spawning": [["-t2", TOUR, "spawn"], ["-t2", TOUR, "spawn"], [TOUR, "spawn"]],
}


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
def test_recorded_again_the_tour_has_one_digest(
    julia: Candidate, tmp_path: Path, runs: list[list[str]]
) -> None:
    """Three processes, of one thread and of two, that compile on both or on one."""
    first, *others = (
        live.record(julia, tmp_path / str(n), argv, depth=1) for n, argv in enumerate(runs)
    )
    for other in others:
        assert first.subjects() == other.subjects()
        assert first.memory.head == other.memory.head
        assert first.memory.digest() == other.memory.digest()
    for epoch in range(0, first.memory.head, 10):
        assert first.memory.digest(epoch) == others[0].memory.digest(epoch)
    rows = first.memory.stats()["rows"]
    assert rows["instance"] >= 50
    assert rows["statement"] >= 2000
    assert first.notes()["deterministic"] == "yes"


def test_another_program_has_another_digest(julia: Candidate, tmp_path: Path) -> None:
    digests = set()
    for number, text in enumerate(["f(x) = x + 1\nf(1)\n", "f(x) = x + 2\nf(1)\n"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.add(live.record_text(julia, folder, text).memory.digest())
    assert len(digests) == 2

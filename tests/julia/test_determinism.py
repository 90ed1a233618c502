"""One program recorded twice, in two processes, is one digest."""

from __future__ import annotations

from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate

TOUR = Path(__file__).parents[2] / "examples" / "tour.jl"
ONE_THREAD, TWO_THREADS = [str(TOUR)], ["-t2", str(TOUR), "spawn"]


@pytest.mark.parametrize("argv", [ONE_THREAD, TWO_THREADS], ids=["one thread", "spawning"])
def test_recorded_twice_the_tour_has_one_digest(
    julia: Candidate, tmp_path: Path, argv: list[str]
) -> None:
    first, second = (live.record(julia, tmp_path / n, argv, depth=1) for n in ("first", "second"))
    assert first.subjects() == second.subjects()
    assert first.memory.head == second.memory.head
    assert first.memory.digest() == second.memory.digest()
    for epoch in range(0, first.memory.head, 10):
        assert first.memory.digest(epoch) == second.memory.digest(epoch)
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

"""One program recorded three times, in as many processes, is one digest."""

from __future__ import annotations

from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate

TOUR = str(Path(__file__).parents[2] / "examples" / "tour.jl")


@pytest.mark.newest
def test_recorded_again_the_tour_has_one_digest(julia: Candidate, tmp_path: Path) -> None:
    """Three processes, of one thread and of two, that compile on both or on one."""
    one_digest(julia, tmp_path, [["-t2", TOUR, "spawn"], ["-t2", TOUR, "spawn"], [TOUR, "spawn"]])


@pytest.mark.newest
def test_so_has_the_tour_that_spawns_nothing(julia: Candidate, tmp_path: Path) -> None:
    one_digest(julia, tmp_path, [[TOUR], [TOUR], ["-t2", TOUR]])


def one_digest(julia: Candidate, tmp_path: Path, runs: list[list[str]]) -> None:
    first, *others = (
        live.record(julia, tmp_path / str(n), argv, depth=1) for n, argv in enumerate(runs)
    )
    for other in others:
        assert first.subjects() == other.subjects()
        assert first.memory.head == other.memory.head
        assert first.memory.digest() == other.memory.digest()
        ours, theirs = first.head.table("inference"), other.head.table("inference")
        assert ours["parent"].tolist() == theirs["parent"].tolist()  # these do not race
    for epoch in range(0, first.memory.head, 10):
        assert first.memory.digest(epoch) == others[0].memory.digest(epoch)
    rows = first.memory.stats()["rows"]
    assert rows["instance"] >= 50
    assert rows["statement"] >= 2000
    assert first.notes()["deterministic"] == "yes"


#: Without `Threads.@threads`: lowering numbers what that makes, in each of its parsers apart.
RACING = """
f(x) = x + 1
g(x) = f(x) * 2
h(::Val{N}) where {N} = N + g(N) + sum(k for k in 1:N)
k(::Val{N}, x) where {N} = isodd(N) ? h(Val(N)) + h(Val(N - 1)) : string(x, g(2.0))
struct Run
    n::Int
end
(run::Run)() = Base.invokelatest(k, Val(run.n), run.n)
tasks = map(Task, map(Run, 1:60))
for task in tasks
    task.sticky = false
    schedule(task)
end
foreach(wait, tasks)
"""


@pytest.mark.newest
def test_threads_that_infer_at_once_change_no_digest(julia: Candidate, tmp_path: Path) -> None:
    """Which of two callers asked for a callee first is the one thing that they race for."""
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} compiles one thing at a time")
    script = tmp_path / "racing.jl"
    script.write_text(RACING)
    runs = [["-t2", str(script)]] * 3 + [[str(script)]]
    found = [live.record(julia, tmp_path / str(n), argv) for n, argv in enumerate(runs)]
    assert len({recorded.memory.digest() for recorded in found}) == 1
    assert len(found[0].head.table("inference")["instance"]) > 150


@pytest.mark.newest
def test_another_program_has_another_digest(julia: Candidate, tmp_path: Path) -> None:
    digests = set()
    for number, text in enumerate(["f(x) = x + 1\nf(1)\n", "f(x) = x + 2\nf(1)\n"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.add(live.record_text(julia, folder, text).memory.digest())
    assert len(digests) == 2

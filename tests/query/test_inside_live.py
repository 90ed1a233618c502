"""Questions about the inside of a real compiler; the truth is what Julia itself prints."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsb import session
from mmsb.base.model import PASSES, Provenance, Stage
from mmsb.capture.julia import Candidate
from mmsb.query.header import BareView
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

PROGRAM = """
@noinline rate(x) = x + 1
price(x) = 2 * rate(x)
function total(items)
    s = 0
    for item in items
        item > 0 || continue
        s += price(item)
    end
    return s
end
fold() = sum(map(x -> x^2, (1, 2, 3)))
fails(x) = x > 0 ? sqrt(x) : error("negative")
"""
CALLS = "total([1, 2, 3]); fold(); fails(2.0)\n"
REDEFINED = "rate(x) = x / 2\ntotal([1, 2, 3])\n"
ASKED = {"price": "Int", "total": "Vector{Int}", "fold": "", "fails": "Float64"}


def _native(julia: Candidate) -> bool:
    return not str(julia.version).startswith("1.5")


def _edges(julia: Candidate) -> bool:
    """Julia 1.12 brought what code depends on."""
    return _native(julia) and not str(julia.version).startswith(("1.10", "1.11"))


@pytest.fixture(scope="module")
def live(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("inside")
    script = folder / "program.jl"
    script.write_text(PROGRAM + CALLS + REDEFINED, encoding="utf-8")
    result = session.record([str(script)], folder / "live.mmsb", capture="passes", julia=julia)
    assert result.state == "complete", result.message
    with open_memory(folder / "live.mmsb") as memory:
        yield memory


def effects_by(julia: Candidate, folder: Path) -> dict[str, str]:
    """What Julia prints of each function's effects, as the program leaves it."""
    asks = (
        f'println("{name} ", Base.infer_effects({name}, Tuple{{{types}}}))'
        for name, types in ASKED.items()
    )
    script = folder / "ask.jl"
    redefined, _, _ = REDEFINED.partition("\n")
    script.write_text("\n".join([PROGRAM, redefined, *asks]), encoding="utf-8")
    assert julia.path is not None
    environment = {**os.environ, **julia.env}
    answer = subprocess.run(
        [julia.path, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    pairs = (line.partition(" ") for line in answer.stdout.splitlines())
    return {name: printed for name, _, printed in pairs}


def test_effects_are_those_that_julia_prints(
    julia: Candidate, live: Reader, tmp_path: Path
) -> None:
    if not _native(julia):
        pytest.skip("Julia 1.5 has no effects")
    shown = {name: live.at().show(f"{name}({types})") for name, types in ASKED.items()}
    ours = {n: v.header.effects for n, v in shown.items() if not isinstance(v, BareView)}
    assert ours == effects_by(julia, tmp_path)


def test_a_result_that_is_a_constant_is_told(julia: Candidate, live: Reader) -> None:
    shown = live.at().show("fold")
    assert not isinstance(shown, BareView)
    if _native(julia):
        assert shown.header.seen_by_callers == "Const(14)"
        assert [s.text for s in shown.statements] == ["return 14"]


def test_every_pass_is_there_and_the_last_is_the_final_one(julia: Candidate, live: Reader) -> None:
    steps = {step.stage: step for step in live.at().passes("price").steps}
    if not _native(julia):
        assert not set(PASSES) & set(steps)
        return
    assert set(PASSES) - {Stage.COMPACT3} <= set(steps)
    assert all(steps[s].provenance is Provenance.REDERIVED for s in PASSES if s in steps)
    assert steps[Stage.OPTIMIZED].provenance is Provenance.NATIVE
    last = steps[Stage.OPTIMIZED]
    assert (last.added, last.removed, last.changed) == (0, 0, 0)
    inlined = live.at().compare_stages("price", "compact1", "inlining")
    assert inlined.counts["removed"] or inlined.counts["changed"]


def test_the_compiler_asked_again_says_the_same(julia: Candidate, live: Reader) -> None:
    told = live.against_julia()
    assert told.differs == 0
    assert told.exit_code == (0 if _native(julia) else 3)


def test_who_asked_for_whom(julia: Candidate, live: Reader) -> None:
    told = live.at().tree("total", depth=9)
    if not _native(julia):
        assert told.total_frames == 0
        return
    asked = {(frame.asked_by, frame.name) for frame in told.frames}
    assert ("total(::Vector{Int64})", "price(::Int64)") in asked
    assert ("price(::Int64)", "rate(::Int64)") in asked
    assert told.total_ns is not None
    for frame in told.frames:
        if frame.inclusive_ns is not None:
            assert frame.exclusive_ns is not None
            # Julia keeps three digits of each
            assert frame.exclusive_ns <= frame.inclusive_ns * 1.01


def test_why_follows_the_compilers_own_log(julia: Candidate, live: Reader) -> None:
    fate = next(f for f in live.at().why("total").fates)
    (reason,) = fate.reasons
    assert reason.via == ("price(::Int64)",)
    if _native(julia):
        assert reason.what == "rate(::Any) was replaced"
        names = [node.name for node in reason.chain]
        assert names == [
            "rate(::Any)", "rate(::Int64)", "price(::Int64)", "total(::Vector{Int64})",
        ]  # fmt: skip
        (tree,) = live.at().invalidations("rate").trees
        assert (tree.victims, tree.depth) == (2, 2)


def test_what_depends_on_a_function(julia: Candidate, live: Reader) -> None:
    told = live.at().dependencies("price")
    if _edges(julia):
        assert "rate(::Int64)" in [edge.name for edge in told.on]
        assert {edge.name for edge in told.dependents} == {"total(::Vector{Int64})"}
    else:
        assert "no dependencies were recorded" in told.advice


def test_the_story_and_the_counts(julia: Candidate, live: Reader) -> None:
    told = live.story()
    assert (told.passes is not None) == _native(julia)
    counts = live.overview()
    assert bool(counts.provenance["native"]) == _native(julia)
    assert counts.not_deterministic == ()
    assert "What to try next" in str(told)

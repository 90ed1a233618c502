"""One process, its blocks and its errors: what ``blocks.py`` saw."""

from __future__ import annotations

from typing import Any

import pytest
from inside import Python

from mmsb.capture.embeddable import Embeddable

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def seen(shared: Python) -> Seen:
    found: Seen = shared.facts("blocks.py")
    return found


def test_the_julia_is_juliacalls(seen: Seen, usable: Embeddable) -> None:
    assert seen["host"] == "embedded"
    assert seen["julia"] == seen["version"]
    assert seen["place"] == "this process"
    assert seen["why"] == usable.reason
    assert seen["remarks"] == []
    assert seen["sigint"] == 1


def test_recorded_is_what_happens_in_blocks(seen: Seen) -> None:
    own = {name for name in seen["one"] if not name.startswith("Base.")}
    assert own >= {
        *("in_run(::Int64)", "in_block(::Int64)", "run_in_block(::Int64)", "in_macro(::Int64)"),
        *("macro_in_run(::Int64)", "in_task(::Int64)", "in_task(::Float64)", "boom(::Int64)"),
    }
    assert not own & {"between(::Int64)", "outside(::Int64)", "in_second(::Int64)"}
    assert seen["second"] == ["in_second(::Int64)"]
    assert seen["second host"] == "embedded"


def test_its_memory_derives_and_tells_while_it_is_written(seen: Seen) -> None:
    assert set(seen["heard"]) == {"code"}
    assert seen["derived"]
    assert seen["memory after stop"][0] == "state"


def test_a_scope_is_the_blocks_own(seen: Seen) -> None:
    assert [name for name in seen["one"] if name.startswith("Base.Order.")]
    assert not [name for name in seen["second"] if name.startswith("Base.")]


def test_the_macro_has_the_value_and_the_scope_of_its_expression(seen: Seen) -> None:
    assert seen["value of @mmsb"] == 2.5
    assert seen["assigned by @mmsb"] == 17
    kind, text, _ = seen["thrown in @mmsb"]
    assert (kind, text.splitlines()[0]) == ("JuliaError", "in macro 1")


def test_a_julia_exception_comes_with_julias_message_and_stack(seen: Seen) -> None:
    code, text, cause = seen["boom"]
    assert (code, cause) == ("julia-failed", "JuliaError")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "boom 7"
    assert "@ Main ./session[4]:2" in lines
    assert lines[-1] == "@ session[4]:4"  # nothing of ours below
    assert seen["syntax"][0] == "julia-failed"
    assert "ParseError" in seen["syntax"][1] or "syntax" in seen["syntax"][1]
    assert seen["unshowable"][1] == "an exception of type Odd, which cannot be shown"


def test_a_program_that_breaks_base_is_recorded_on(seen: Seen) -> None:
    assert seen["broken"][1].splitlines()[0] == "broken by the program"
    assert "after_base(::Int64)" in seen["one"]
    assert seen["state"][0] == "complete"


def test_after_stop_no_hook_is_left(seen: Seen) -> None:
    assert seen["hooks after stop"] == "0 0 false"


@pytest.mark.parametrize(
    ("what", "code", "says"),
    [
        ("nested", "state", "a recording block is open already: blocks do not nest"),
        ("nested macro", "JuliaError", "a recording block is open already: blocks do not nest"),
        ("macro in macro", "JuliaError", "a @mmsb block is open already: blocks do not nest"),
        ("two sessions", "state", "a session is open in this process (one.mmsb)"),
        ("run after stop", "state", "this session has been stopped: start another"),
        ("recording after stop", "state", "this session has been stopped: start another"),
        ("passes after stop", "state", "this session has been stopped: start another"),
        ("macro after stop", "JuliaError", "no session records this process: mmsb.start() begins"),
        ("path that exists", "usage", "one.mmsb exists already"),
        ("no such function", "unknown-name", "no code of nothing_of_the_kind was recorded"),
        ("decisions", "usage", "decisions are recorded by a second process"),
        ("apart", "usage", "apart asks in a second process"),
        ("named", "usage", "a Julia that is named gets a process of its own"),
    ],
)
def test_what_cannot_be_is_refused_by_name(seen: Seen, what: str, code: str, says: str) -> None:
    assert seen[what][0] == code
    assert seen[what][1].startswith(says)

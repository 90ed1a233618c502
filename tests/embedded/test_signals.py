"""Ctrl-C: what ``signals.py`` saw of real SIGINTs."""

from __future__ import annotations

from typing import Any

import pytest
from inside import Python


@pytest.fixture(scope="module")
def seen(shared: Python) -> dict[str, Any]:
    found: dict[str, Any] = shared.facts("signals.py")
    return found


@pytest.mark.parametrize("loop", ["arithmetic", "allocation", "tasks", "sleep", "compilation"])
def test_one_sigint_interrupts_julia_that_has_a_safepoint(seen: dict[str, Any], loop: str) -> None:
    assert seen["remarks"] == []
    assert seen[loop] == "JuliaError"  # the cause: Julia's InterruptException and its stack


def test_python_is_interrupted_as_always(seen: dict[str, Any]) -> None:
    assert seen["python"] == "interrupted"
    assert seen["block"] == "interrupted"
    assert "not reached" not in seen


def test_several_in_a_row_leave_the_session_sound(seen: dict[str, Any]) -> None:
    assert 1 <= seen["several"] <= 8
    assert seen["state"] == "complete"
    assert {"before(::Int64)", "after(::Int64)", "spin()", "turns()"} <= set(seen["functions"])

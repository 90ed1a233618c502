from __future__ import annotations

from dataclasses import dataclass

import pytest
from rich.console import Console

from mmsb.interfaces import render
from mmsb.query.answers import Answer
from mmsb.query.document import Document, Title, line, note, plain, table

WIDE = table(
    ("epoch", "what happened", "to whom"),
    [("1", "3 defined, 2 invalidated, 1 superseded", "f(::Int64), " * 6), ("22", "", "")],
    right={0},
    crop={2},
)


@dataclass(frozen=True, slots=True)
class Told(Answer):
    def document(self) -> Document:
        return (WIDE,)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_table_fits_its_terminal(width: int) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as shown:
        console.print(render._table(WIDE, width))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= width
    assert "superseded" in shown.get()
    assert any(text.startswith("   22") for text in lines)


def test_a_wide_table_keeps_its_natural_widths() -> None:
    assert render.fitted(WIDE, 500) == [5, 38, 72]


def shown(width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    console = Console(width=width, color_system=None)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(render, "_console", lambda: console)
    with console.capture() as printed:
        render.show(Told())
    return printed.get()


def test_a_cropped_table_says_where_names_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "(| less -S)" in " ".join(shown(60, monkeypatch).split())
    assert "less" not in shown(200, monkeypatch)


def test_plain_text_is_never_cropped() -> None:
    text = plain((Title("T"), note("a ", ("b", "bad")), WIDE))
    assert text.splitlines()[:3] == ["T", "─", "a b"]
    assert "f(::Int64), " * 5 in text


def test_progress_bar() -> None:
    assert render._bar(0, 0) == " …"
    assert render._bar(5, 10).count("━") == 10
    assert render._bar(20, 10).count("╌") == 0


def test_empty_parts_of_a_line_are_left_out() -> None:
    assert line("", ("a", "dim"), "") == line(("a", "dim"))

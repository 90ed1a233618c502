"""What an answer looks like, before anyone decides where: titles, notes, tables and listings.

`plain` and `html` draw a document for terminals without colour and for notebooks; the command line
draws the same blocks in colour.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

#: What a piece of text says about itself; each medium has its own colour for it.
Role = Literal["", "type", "warn", "bad", "good", "dim", "name", "head", "command"]


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    role: Role = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Title:
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Prose: may be wrapped."""

    line: Line


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines in a fixed layout: never wrapped or reordered."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with a head each; numbers are set right where ``right`` names their column.

    ``crop`` names the columns that lose their ends where a terminal is narrow; others wrap.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]
    right: frozenset[int] = frozenset()
    crop: frozenset[int] = frozenset()


Block = Title | Note | Listing | Table
Document = tuple[Block, ...]


def line(*parts: str | Span | tuple[str, Role]) -> Line:
    """A line out of texts, spans and (text, role) pairs; empty texts are left out."""
    spans = (
        part if isinstance(part, Span) else Span(part) if isinstance(part, str) else Span(*part)
        for part in parts
    )
    return tuple(span for span in spans if span.text)


def note(*parts: str | Span | tuple[str, Role]) -> Note:
    return Note(line(*parts))


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str | Line]],
    *,
    right: Iterable[int] = (),
    crop: Iterable[int] = (),
) -> Table:
    """A table whose cells are texts or lines."""
    lines = tuple(
        tuple(line(cell) if isinstance(cell, str) else cell for cell in row) for row in rows
    )
    return Table(tuple(heads), lines, frozenset(right), frozenset(crop))


def counted(count: int, what: str) -> str:
    """``1 tree``, ``2 trees``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def human(count: float) -> str:
    """``1.2 MB``."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def text_of(shown: Line) -> str:
    return "".join(span.text for span in shown)


def width_of(text: str) -> int:
    """Terminal cells that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def plain(document: Document) -> str:
    """The document as text of any width, without colour."""
    parts: list[str] = []
    for at, block in enumerate(document):
        if isinstance(block, Title):
            if at:
                parts.append("")
            parts += [block.text, "─" * width_of(block.text)]
        elif isinstance(block, Note):
            parts.append(text_of(block.line))
        elif isinstance(block, Listing):
            parts += [text_of(shown).rstrip() for shown in block.lines]
        else:
            parts += _table_lines(block)
    return "\n".join(parts)


def _table_lines(shown: Table) -> list[str]:
    cells = [list(shown.heads), *([text_of(cell) for cell in row] for row in shown.rows)]
    widths = [max(width_of(row[column]) for row in cells) for column in range(len(shown.heads))]
    return [
        "  ".join(
            _pad(text, widths[column], column in shown.right) for column, text in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - width_of(text))
    return space + text if right else text + space


_COLOURS: dict[Role, str] = {
    "type": "color:#1f7a8c",
    "warn": "color:#b07d00",
    "bad": "color:#c0392b;font-weight:bold",
    "good": "color:#2e7d32",
    "dim": "opacity:.6",
    "name": "font-weight:bold",
    "head": "font-weight:bold",
    "command": "color:#6a3fa0",
}


def html(document: Document) -> str:
    """The document for a notebook: escaped, no scripts, no style sheet."""
    return '<div class="mmsb">' + "".join(map(_block_html, document)) + "</div>"


def _block_html(block: Block) -> str:
    if isinstance(block, Title):
        return f"<h4>{escape(block.text)}</h4>"
    if isinstance(block, Note):
        return f"<p>{_line_html(block.line)}</p>"
    if isinstance(block, Listing):
        lines = "\n".join(map(_line_html, block.lines))
        return f'<pre style="line-height:1.25">{lines}</pre>'
    heads = "".join(f"<th>{escape(head)}</th>" for head in block.heads)
    rows = "".join(
        "<tr>" + "".join(_cell_html(block, at, cell) for at, cell in enumerate(row)) + "</tr>"
        for row in block.rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _cell_html(shown: Table, column: int, cell: Line) -> str:
    side = "right" if column in shown.right else "left"
    return f'<td style="text-align:{side}">{_line_html(cell)}</td>'


def _line_html(shown: Line) -> str:
    return "".join(
        f'<span style="{_COLOURS[span.role]}">{escape(span.text)}</span>'
        if span.role
        else escape(span.text)
        for span in shown
    )

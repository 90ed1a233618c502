"""Drawing for the terminal: answers in colour, errors as one line, and what takes time.

Colour and wrapping only where standard output is a terminal; anywhere else the plain text of the
answer, of any width, so that it can be searched and compared.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mmsb.base.errors import MmsbError
from mmsb.query.answers import Answer
from mmsb.query.document import (
    Block,
    Line,
    Listing,
    Note,
    Role,
    Table,
    Title,
    text_of,
    width_of,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

_STYLES: dict[Role, str] = {
    "": "",
    "type": "cyan",
    "warn": "yellow",
    "bad": "bold red",
    "good": "green",
    "dim": "dim",
    "name": "bold",
    "head": "bold",
    "command": "magenta",
}
_BAR = 20
# Columns of a narrow table: least widths of one that is cropped, of one that wraps; the gap.
_CROPPED, _WRAPPED, _GAP = 16, 24, 2
_CUT = "Cut at … to fit this terminal: through a pipe (| less -S), or with --json, names are whole."


class Tell(Protocol):
    """What is being done, and how much of how much (0 of 0 where that is not known)."""

    def __call__(self, what: str, done: int = 0, total: int = 0, /) -> None: ...


def show(answer: Answer, *, as_json: bool = False) -> None:
    """Prints an answer on standard output."""
    if as_json:
        print(to_json(answer.to_dict()))
    elif _in_colour():
        console = _console()
        document = answer.document()
        for at, block in enumerate(document):
            _draw(console, block, first=at == 0)
        if any(isinstance(block, Table) and cropped(block, console.width) for block in document):
            console.print(_CUT, style="dim")
    else:
        print(answer)


def to_json(data: Any) -> str:
    """Data as JSON: two spaces, keys in their own order."""
    return json.dumps(data, indent=2, ensure_ascii=False)


def show_error(error: MmsbError, *, as_json: bool = False) -> None:
    """One line on standard error: the sentence and its code."""
    if as_json:
        print(to_json({"error": {"code": error.code, "message": str(error)}}), file=sys.stderr)
        return
    sentence = " ".join(str(error).split())
    print(f"mmsb: {sentence} [{error.code}]", file=sys.stderr)


def say(text: str) -> None:
    """A line on standard error: what mmsb did, beside the output of a recorded program."""
    print(f"mmsb: {text}", file=sys.stderr)


@contextmanager
def telling() -> Iterator[Tell]:
    """Shows on standard error what is being done, while it is a terminal; else one line a step.

    Nothing moves while the recorded program has the terminal ("running the program").
    """
    if not sys.stderr.isatty():
        yield _plain_teller()
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    status = console.status("")

    def tell(what: str, done: int = 0, total: int = 0, /) -> None:
        if what == "running the program":
            status.stop()
            return
        status.update(f"{what}{_bar(done, total)}")
        status.start()

    try:
        yield tell
    finally:
        status.stop()


def _plain_teller() -> Tell:
    last = ""

    def tell(what: str, done: int = 0, total: int = 0, /) -> None:
        nonlocal last
        if what != last:
            last = what
            say(what)

    return tell


def _bar(done: int, total: int) -> str:
    if total <= 0:
        return " …"
    filled = min(_BAR, _BAR * done // total)
    return f"  {'━' * filled}{'╌' * (_BAR - filled)} {done} of {total}"


# Blocks.


def _in_colour() -> bool:
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty()


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, emoji=False, markup=False)


def _draw(console: Console, block: Block, *, first: bool) -> None:
    if isinstance(block, Title):
        if not first:
            console.print()
        console.print(block.text, style="bold underline")
    elif isinstance(block, Note):
        console.print(_text(block.line))
    elif isinstance(block, Listing):
        for shown in block.lines:
            console.print(_text(shown), soft_wrap=True)
    else:
        console.print(_table(block, console.width))


def _text(shown: Line) -> Text:
    from rich.text import Text

    return Text.assemble(*((span.text, _STYLES[span.role]) for span in shown))


def _table(block: Table, width: int) -> RichTable:
    from rich.table import Table as RichTable

    widths = fitted(block, width)
    drawn = RichTable(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for at, head in enumerate(block.heads):
        right, crop = at in block.right, at in block.crop
        drawn.add_column(
            head,
            justify="right" if right else "left",
            no_wrap=right or crop,
            overflow="ellipsis" if crop else "fold",
            width=widths[at],
        )
    for row in block.rows:
        drawn.add_row(*map(_text, row))
    return drawn


def cropped(block: Table, width: int) -> bool:
    """Whether a terminal so wide shows some cell without its end."""
    widths = fitted(block, width)
    return any(width_of(text_of(row[at])) > widths[at] for row in block.rows for at in block.crop)


def fitted(block: Table, width: int) -> list[int]:
    """Widths of a table's columns for a terminal: the widest gives way first, none below what it
    takes to be read."""
    texts = [[head] for head in block.heads]
    for row in block.rows:
        for at, cell in enumerate(row):
            texts[at].append(text_of(cell))
    widths = [max(map(width_of, column)) for column in texts]
    least = [
        natural
        if at in block.right
        else min(natural, _CROPPED if at in block.crop else _longest(column))
        for at, (natural, column) in enumerate(zip(widths, texts, strict=True))
    ]
    while sum(widths) + _GAP * (len(widths) - 1) > width:
        slack = [natural - low for natural, low in zip(widths, least, strict=True)]
        if max(slack) <= 0:
            break
        widths[max(range(len(widths)), key=lambda at: (slack[at] > 0, widths[at]))] -= 1
    return widths


def _longest(column: list[str]) -> int:
    words = (word for text in column for word in text.split())
    return min(_WRAPPED, max(map(width_of, words), default=1))

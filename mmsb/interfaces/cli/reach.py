"""The commands that ask what reaches what."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsb.interfaces.cli.common import (
    ASK,
    AsJson,
    Asking,
    AtEpoch,
    FunctionName,
    MemoryPath,
    answer,
)

commands = typer.Typer()

Depth = Annotated[int, typer.Option(min=1, help="How many calls away.")]


@commands.command(rich_help_panel=ASK, epilog="mmsb impact rate   ·   mmsb impact 'rate(::Any)'")
def impact(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What would go stale if a method were redefined, and the inference to be done again."""
    from mmsb.query import impact as questions

    answer(lambda m: questions.impact(m, function, at=at), memory, as_json)


@commands.command(rich_help_panel=ASK)
def cause(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """The nearest cause of a function's staleness, or of that of what it calls, with its chain."""
    from mmsb.query import cause as questions

    answer(lambda m: questions.cause(m, function, at=at), memory, as_json)


@commands.command(rich_help_panel=ASK, epilog="mmsb callers rate --depth 3 --at 5")
def callers(
    function: FunctionName,
    *,
    depth: Depth = 1,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Who calls a function."""
    from mmsb.query import callgraph

    answer(lambda m: callgraph.callers(m, function, at=at, depth=depth), memory, as_json)


@commands.command(rich_help_panel=ASK, epilog="mmsb callees total --depth 3")
def callees(
    function: FunctionName,
    *,
    depth: Depth = 1,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Whom a function calls."""
    from mmsb.query import callgraph

    answer(lambda m: callgraph.callees(m, function, at=at, depth=depth), memory, as_json)


@commands.command(rich_help_panel=ASK, epilog="mmsb reached 5 10   ·   mmsb reached 5 10 --from f")
def reached(
    old: Annotated[int, typer.Argument(metavar="OLD", help="An epoch.")],
    new: Annotated[int, typer.Argument(metavar="NEW", help="A later one.")],
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FUNCTION", help="Default: all that running code asked for."
        ),
    ] = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What became reachable by calls between two epochs, and what no longer is."""
    from mmsb.query import callgraph

    answer(lambda m: callgraph.reached(m, old, new, start=start), memory, as_json)


@commands.command(rich_help_panel=ASK)
def dominators(
    *,
    most: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """The definitions without which most inference would not have been needed."""
    from mmsb.query import dominance

    answer(lambda m: dominance.dominators(m, at=at, most=most), memory, as_json)


for _command in commands.registered_commands:
    _command.cls = Asking

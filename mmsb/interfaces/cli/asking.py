"""The commands that ask a memory: each one question, its answer shown."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from mmsb.base.model import EventKind, Stage
from mmsb.interfaces import render
from mmsb.interfaces.cli.common import (
    ASK,
    CARE,
    AnyFunction,
    AsJson,
    AtEpoch,
    AtStage,
    FunctionName,
    MemoryPath,
    answer,
    guarded,
)

commands = typer.Typer()

KindName = Enum("KindName", {kind.name.lower(): kind.name.lower() for kind in EventKind})  # type: ignore[misc]


@commands.command(rich_help_panel=ASK, epilog="mmsb log --function price --kind invalidated")
def log(
    *,
    memory: MemoryPath = None,
    function: Annotated[
        str | None, typer.Option("--function", "-f", metavar="FUNCTION", help="Only its epochs.")
    ] = None,
    stage: AtStage = None,
    kind: Annotated[KindName | None, typer.Option("--kind", "-k", help="Only such events.")] = None,
    at: AtEpoch = None,
    as_json: AsJson = False,
) -> None:
    """The timeline: what each epoch holds, beside Julia's world age."""
    from mmsb.query import history

    kinds = None if kind is None else EventKind[kind.name.upper()]
    answer(
        lambda m: history.log(m, function=function, stage=_stage(stage), kind=kinds, at=at),
        memory,
        as_json,
    )


@commands.command(rich_help_panel=ASK, epilog="mmsb show 'price(::Int64)' --at 4 --stage inferred")
def show(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    stage: AtStage = None,
    source: Annotated[
        bool,
        typer.Option("--source", help="Source lines, where the file here is the recorded one."),
    ] = False,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """A function's IR as of an epoch and a stage, in Julia's own layout."""
    from mmsb.query import ir

    answer(
        lambda m: ir.show(m, function, at=at, stage=_stage(stage), source=source), memory, as_json
    )


@commands.command(rich_help_panel=ASK, epilog="mmsb diff price 4 8 --stage inferred")
def diff(
    function: FunctionName,
    epoch1: Annotated[int, typer.Argument(metavar="EPOCH1")],
    epoch2: Annotated[int, typer.Argument(metavar="EPOCH2")],
    *,
    stage: AtStage = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What changed in a function's statements between two epochs."""
    from mmsb.query import diff as questions

    answer(
        lambda m: questions.diff(m, function, epoch1, epoch2, stage=_stage(stage)), memory, as_json
    )


@commands.command(rich_help_panel=ASK)
def why(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What invalidated or superseded a function's code."""
    from mmsb.query import why as questions

    answer(lambda m: questions.why(m, function, at=at), memory, as_json)


@commands.command(rich_help_panel=ASK)
def blame(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    stage: AtStage = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Which epoch last changed each statement of a function."""
    from mmsb.query import history

    answer(lambda m: history.blame(m, function, at=at, stage=_stage(stage)), memory, as_json)


@commands.command(rich_help_panel=ASK)
def warn(
    function: AnyFunction = None,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Where types are not known: unstable statements and runtime dispatches."""
    from mmsb.query import warn as questions

    answer(lambda m: questions.warn(m, function, at=at), memory, as_json)


# Looking after.


@commands.command(rich_help_panel=CARE)
def stats(memory: MemoryPath = None, as_json: AsJson = False) -> None:
    """What was recorded, how large it is, and what this recording cannot see."""
    from mmsb.query import overview

    answer(overview.stats, memory, as_json)


@commands.command(rich_help_panel=CARE)
def check(memory: MemoryPath = None, as_json: AsJson = False) -> None:
    """Verify every checksum and bound of a memory. Exit code 4 if it is damaged."""
    from mmsb.query import memories, overview

    found = guarded(lambda: overview.check(memories.locate(memory)), as_json)
    render.show(found, as_json=as_json)
    raise typer.Exit(0 if found.sound else 4)


def _stage(name: str | None) -> Stage | None:
    from mmsb.query import stages

    return None if name is None else stages.parse(name)

"""The command line: each command asks one question and shows its answer."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsb import __version__
from mmsb.base.errors import EnvironmentProblem, MmsbError
from mmsb.base.model import EventKind, Stage
from mmsb.interfaces import render

app = typer.Typer(
    name="mmsb",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "A semantic memory beside the Julia compiler: record what it did to a program, travel "
        "through it, ask why.\n\n"
        "    mmsb record script.jl            what did the compiler do?\n\n"
        "    mmsb log                         epoch by epoch\n\n"
        "    mmsb show 'f(::Int64)' --at 4    the IR of f, as of epoch 4\n\n"
        "    mmsb diff f 4 8                  what changed in between\n\n"
        "    mmsb why f                       what invalidated it"
    ),
)
_LOOK, _RECORD, _CARE = "Ask", "Record", "Look after"

StageName = Enum("StageName", {stage.name.lower(): stage.name.lower() for stage in Stage})  # type: ignore[misc]
KindName = Enum("KindName", {kind.name.lower(): kind.name.lower() for kind in EventKind})  # type: ignore[misc]

_NAMES = "f, Main.f, 'f(::Int64)', 'f(Int64)', 'Base.sin(::Float64)' or 'Tuple{typeof(f),Int64}'"
FunctionName = Annotated[str, typer.Argument(metavar="FUNCTION", help=_NAMES)]
AnyFunction = Annotated[str | None, typer.Argument(metavar="[FUNCTION]", help=_NAMES)]
MemoryPath = Annotated[
    Path | None,
    typer.Option(
        "--memory",
        "-m",
        metavar="PATH",
        help="The memory. Default: $MMSB_MEMORY, else the only *.mmsb here.",
        show_default=False,
    ),
]
AtEpoch = Annotated[
    int | None, typer.Option("--at", metavar="EPOCH", help="As of this epoch. Default: the last.")
]
AtStage = Annotated[
    StageName | None, typer.Option("--stage", "-s", help="Default: the latest one seen.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The answer as JSON, keys stable.")]


# Recording.


@app.command(
    rich_help_panel=_RECORD,
    context_settings={"allow_interspersed_args": False},
    epilog=(
        "mmsb record script.jl 10   ·   mmsb record -o run.mmsb -- julia --project=. -t4 script.jl"
    ),
)
def record(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="julia and its arguments, or a script and its own."),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="Default: the script's name, .mmsb."),
    ] = None,
    depth: Annotated[
        int, typer.Option(min=0, help="How many calls away from your own modules to record.")
    ] = 1,
    module: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Record this module as if it were yours. Repeatable."),
    ] = None,
    no_literals: Annotated[
        bool, typer.Option("--no-literals", help="Keep none of the program's constants.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a memory of that name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a Julia program as it always runs, and keep what the compiler did.

    Its arguments, input, output and exit code are the program's own.
    """
    from mmsb import session

    def ask() -> Any:
        with render.telling() as tell:
            return session.record(
                command,
                output,
                depth=depth,
                modules=tuple(module or ()),
                literals=not no_literals,
                replace=replace,
                progress=tell,
            )

    result = _guarded(ask, as_json)
    if as_json:
        print(render.to_json(result.to_dict()))
    else:
        render.say(result.message)
        if result.path is not None:
            render.say(f"ask it: mmsb log -m {result.path}")
    raise typer.Exit(result.exit_code)


@app.command(rich_help_panel=_RECORD)
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="Where the memory is written.")
    ] = Path("tour.mmsb"),
    as_json: AsJson = False,
) -> None:
    """Record a small program that ships with mmsb, and tell what happened.

    Installs a Julia if there is none.
    """
    from mmsb import session

    def ask() -> Any:
        with render.telling() as tell:
            return session.demo(output, progress=tell, install_progress=tell)

    made = _guarded(ask, as_json)
    if made.played and not as_json:
        print(
            f"No Julia was found ({made.decision.why}): this is a recording that ships with mmsb."
        )
    _answer(lambda memory: memory.story(), Path(made.path), as_json)


# Asking.


@app.command(rich_help_panel=_LOOK, epilog="mmsb log --function price --kind invalidated")
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
    _answer(
        lambda m: history.log(m, function=function, stage=_stage(stage), kind=kinds, at=at),
        memory,
        as_json,
    )


@app.command(rich_help_panel=_LOOK, epilog="mmsb show 'price(::Int64)' --at 4 --stage inferred")
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

    _answer(
        lambda m: ir.show(m, function, at=at, stage=_stage(stage), source=source), memory, as_json
    )


@app.command(rich_help_panel=_LOOK, epilog="mmsb diff price 4 8 --stage inferred")
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

    _answer(
        lambda m: questions.diff(m, function, epoch1, epoch2, stage=_stage(stage)), memory, as_json
    )


@app.command(rich_help_panel=_LOOK)
def why(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What invalidated or superseded a function's code."""
    from mmsb.query import why as questions

    _answer(lambda m: questions.why(m, function, at=at), memory, as_json)


@app.command(rich_help_panel=_LOOK)
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

    _answer(lambda m: history.blame(m, function, at=at, stage=_stage(stage)), memory, as_json)


@app.command(rich_help_panel=_LOOK)
def warn(
    function: AnyFunction = None,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Where types are not known: unstable statements and runtime dispatches."""
    from mmsb.query import warn as questions

    _answer(lambda m: questions.warn(m, function, at=at), memory, as_json)


# Looking after.


@app.command(rich_help_panel=_CARE)
def stats(memory: MemoryPath = None, as_json: AsJson = False) -> None:
    """What was recorded, how large it is, and what this recording cannot see."""
    from mmsb.query import overview

    _answer(overview.stats, memory, as_json)


@app.command(rich_help_panel=_CARE)
def check(memory: MemoryPath = None, as_json: AsJson = False) -> None:
    """Verify every checksum and bound of a memory. Exit code 4 if it is damaged."""
    from mmsb.query import memories, overview

    found = _guarded(lambda: overview.check(memories.locate(memory)), as_json)
    render.show(found, as_json=as_json)
    raise typer.Exit(0 if found.sound else 4)


@app.command(rich_help_panel=_CARE)
def doctor(
    install: Annotated[
        bool, typer.Option("--install", help="Install a Julia if none can be used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Every Julia that could be used, the one that is, and why. Exit code 5 if there is none."""
    from mmsb import session

    def ask() -> Any:
        with render.telling() as tell:
            return session.doctor(install=install, progress=tell)

    decision = _guarded(ask, as_json)
    if as_json:
        print(render.to_json(decision.to_dict()))
    else:
        for candidate in decision.candidates:
            mark = "→" if candidate == decision.chosen else "✓" if candidate.ok else "✗"
            place = candidate.path or "—"
            version = candidate.version or "?"
            print(f"{mark} {candidate.source}: {place}, {version}: {candidate.reason}")
        print(decision.why)
    raise typer.Exit(0 if decision.chosen is not None else 5)


# Inside.


def _print_version(asked: bool) -> None:
    if asked:
        print(f"mmsb {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="The version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


def _stage(name: Any) -> Stage | None:
    return None if name is None else Stage[name.name.upper()]


def _guarded(ask: Callable[[], Any], as_json: bool) -> Any:
    """What ``ask`` returns; an error becomes one line and its exit code."""
    try:
        return ask()
    except MmsbError as error:
        render.show_error(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    except (OSError, MemoryError) as error:
        problem = EnvironmentProblem(
            f"the machine refused: {str(error) or 'out of memory'}; check permissions and limits"
        )
        render.show_error(problem, as_json=as_json)
        raise typer.Exit(problem.exit_code) from None


def _answer(
    question: Callable[[Any], Any],
    path: Path | None,
    as_json: bool,
) -> None:
    """Opens the memory, asks, shows."""
    from mmsb.query import memories

    def ask() -> Any:
        with memories.open_memory(path) as memory:
            return question(memory)

    render.show(_guarded(ask, as_json), as_json=as_json)


def main() -> None:
    """The command ``mmsb``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal of another encoding shows what it can
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        render.show_error(EnvironmentProblem(f"the answer could not be written: {error}"))
        os._exit(EnvironmentProblem.exit_code)  # no second try to flush what cannot be written


if __name__ == "__main__":
    main()

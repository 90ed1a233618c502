"""The command line: each command asks one question and shows its answer."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsb import __version__
from mmsb.base.errors import EnvironmentProblem, UsageError
from mmsb.interfaces import render
from mmsb.interfaces.cli import asking, reach
from mmsb.interfaces.cli.common import CARE, RECORD, AsJson, answer, guarded

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
# Recording.


Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Default: the script's name, .mmsb; session.mmsb without a script.",
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Record this module as if it were yours. Repeatable."),
]
Capture = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT",
        help="One of: events (no IR), final, passes (and IR after every pass), decisions (and "
        "inlining and why, without passes; seconds to minutes more), reflect (public reflection "
        "alone).",
        show_default="final",
    ),
]
Functions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Keep the IR of this function alone. Repeatable."),
]
LeastTime = Annotated[
    float, typer.Option(min=0, help="Keep IR only of what took so long to infer.")
]
Limit = Annotated[
    int,
    typer.Option(
        min=0,
        help="Keep the first so many code objects that are compiled, and the calls; 0 is all.",
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a memory of that name.")]
Apart = Annotated[bool, typer.Option("--apart", help="Ask the compiler again in a second process.")]


def _one(captures: list[str] | None) -> str:
    """What to capture: a recording keeps one, and of two given none is left out in silence."""
    if captures and len(captures) > 1:
        raise UsageError(
            f"--capture is given {len(captures)} times ({', '.join(captures)}), and a recording "
            "keeps one; record once with each, to memories of their own (-o)"
        )
    return captures[0] if captures else "final"


@app.command(
    rich_help_panel=RECORD,
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
    output: Output = None,
    depth: Annotated[
        int, typer.Option(min=0, help="How many calls away from your own modules to record.")
    ] = 1,
    module: Modules = None,
    capture: Capture = None,
    function: Functions = None,
    min_inference_ms: LeastTime = 0.0,
    limit: Limit = 0,
    apart: Apart = False,
    no_literals: Annotated[
        bool, typer.Option("--no-literals", help="Keep none of the program's constants.")
    ] = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Run a Julia program as it always runs, and keep what the compiler did.

    Its arguments, input, output and exit code are the program's own; with --json its standard
    output goes to standard error. "julia" alone is the newest that `mmsb doctor` finds.
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
                capture=_one(capture),
                functions=tuple(function or ()),
                min_inference_ms=min_inference_ms,
                limit=limit,
                apart=apart,
                replace=replace,
                progress=tell,
                stdout=sys.stderr.fileno() if as_json else None,
            )

    result = guarded(ask, as_json)
    if as_json:
        print(render.to_json(result.to_dict()))
    else:
        render.say(result.message)
        if result.path is not None:
            render.say(f"ask it: mmsb log -m {result.path}")
    raise typer.Exit(result.exit_code)


@app.command(rich_help_panel=RECORD)
def demo(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Default: tour.mmsb, in place of an earlier one."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record a small program that ships with mmsb, and tell what happened.

    Installs a Julia if there is none.
    """
    from mmsb import session

    def ask() -> Any:
        with render.telling() as tell:
            stdout = sys.stderr.fileno() if as_json else None
            return session.demo(output, progress=tell, install_progress=tell, stdout=stdout)

    made = guarded(ask, as_json)
    if made.played and not as_json:
        print(
            f"No Julia was found ({made.decision.why}): this is a recording that ships with mmsb."
        )
    answer(lambda memory: memory.story(), Path(made.path), as_json)


app.registered_commands += asking.commands.registered_commands
app.registered_commands += reach.commands.registered_commands


# Looking after.


@app.command(rich_help_panel=CARE)
def doctor(
    install: Annotated[
        bool, typer.Option("--install", help="Install a Julia if none can be used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Every Julia that could be used, in a process of its own and inside Python, and why.

    Exit code 5 if there is none for a process of its own.
    """
    from mmsb import session

    def ask() -> Any:
        with render.telling() as tell:
            return session.doctor(install=install, progress=tell)

    diagnosis = guarded(ask, as_json)
    decision, inside = diagnosis.julia, diagnosis.embedded
    if as_json:
        print(render.to_json(diagnosis.to_dict()))
    else:
        for candidate in decision.candidates:
            mark = "→" if candidate == decision.chosen else "✓" if candidate.ok else "✗"
            place = f"{candidate.path}, {candidate.version or '?'}: " if candidate.path else ""
            print(f"{mark} {candidate.source}: {place}{candidate.reason}")
        print(decision.why)
        place = f"{inside.executable}: " if inside.executable else ""
        print(f"{'✓' if inside.ok else '✗'} inside Python: {place}{inside.reason}")
        if inside.remark:
            print(f"  {inside.remark}")
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

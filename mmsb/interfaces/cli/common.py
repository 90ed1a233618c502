"""What every command shares: the options that name a memory, a function, an epoch, a stage, and how
a question is asked and its errors are told."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mmsb.base.errors import EnvironmentProblem, MmsbError
from mmsb.interfaces import render

ASK, RECORD, CARE = "Ask", "Record", "Look after"

_NAMES = (
    "f, Main.f, 'f(::Int64)', 'f(Int64)', 'Base.sin(::Float64)', 'h(::T) where T<:Integer' or "
    "'Tuple{typeof(f),Int64}'; whatever a command printed"
)
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
    str | None,
    typer.Option(
        "--stage",
        "-s",
        metavar="STAGE",
        help="lowered, inferred, optimized, rederived, or a pass: inlining, 'pass 4', 4. "
        "Default: the latest one seen.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The answer as JSON, keys stable.")]


class Asking(TyperCommand):
    """A command whose memory comes with -m: one that stands alone is told so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for before, word in zip(["", *args], args, strict=False):
            if before not in ("-m", "--memory", "--salvage") and _names_memory(word):
                ctx.fail(f"{word} is a memory: name it with -m {shlex.quote(word)}")
        return super().parse_args(ctx, args)


def _names_memory(word: str) -> bool:
    if word.startswith("-"):
        return False
    return word.rstrip("/").endswith(".mmsb") or (Path(word) / "manifest").is_file()


def guarded(ask: Callable[[], Any], as_json: bool) -> Any:
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


def answer(
    question: Callable[[Any], Any],
    path: Path | None,
    as_json: bool,
) -> None:
    """Opens the memory, asks, shows; ends with the answer's exit code unless that is 0."""
    from mmsb.query import memories

    def ask() -> Any:
        with memories.open_memory(path) as memory:
            return question(memory)

    found = guarded(ask, as_json)
    render.show(found, as_json=as_json)
    if found.exit_code:
        raise typer.Exit(found.exit_code)

"""The commands that ask a memory: each one question, its answer shown."""

from __future__ import annotations

import shlex
from enum import Enum
from typing import Annotated, Any

import typer

from mmsb.base.errors import UsageError
from mmsb.base.model import EventKind, Stage
from mmsb.interfaces import render
from mmsb.interfaces.cli.common import (
    ASK,
    CARE,
    AnyFunction,
    AsJson,
    Asking,
    AtEpoch,
    AtStage,
    FunctionName,
    MemoryPath,
    answer,
    guarded,
)

commands = typer.Typer()

KindName = Enum("KindName", {kind.name.lower(): kind.name.lower() for kind in EventKind})  # type: ignore[misc]
_KINDS = ", ".join(kind.name.lower() for kind in EventKind)


class OrderName(str, Enum):
    time = "time"
    recorded = "recorded"


@commands.command(rich_help_panel=ASK, epilog="mmsb log --function price --kind invalidated")
def log(
    *,
    memory: MemoryPath = None,
    function: Annotated[
        str | None, typer.Option("--function", "-f", metavar="FUNCTION", help="Only its epochs.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage",
            "-s",
            metavar="STAGE",
            help="Only epochs in which this stage was seen: lowered, inferred, optimized, or a "
            "pass. Default: all.",
        ),
    ] = None,
    kind: Annotated[
        KindName | None,
        typer.Option("--kind", "-k", metavar="KIND", help=f"Only such events: {_KINDS}."),
    ] = None,
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
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Who said each stage, and whether they agree.")
    ] = False,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """A function's IR as of an epoch and a stage, in Julia's own layout."""
    from mmsb.query import ir, passes

    if provenance:
        answer(lambda m: passes.provenance(m, function, at=at), memory, as_json)
        return
    answer(
        lambda m: ir.show(m, function, at=at, stage=_stage(stage), source=source), memory, as_json
    )


@commands.command(
    rich_help_panel=ASK, epilog="mmsb diff price 4 8   ·   mmsb diff price --stages inlining sroa"
)
def diff(
    function: FunctionName,
    epoch1: Annotated[int | None, typer.Argument(metavar="[EPOCH1")] = None,
    epoch2: Annotated[int | None, typer.Argument(metavar="EPOCH2]")] = None,
    *,
    stage: AtStage = None,
    two_stages: Annotated[
        tuple[str, str] | None,
        typer.Option("--stages", metavar="OLD NEW", help="Two stages of one version instead."),
    ] = None,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What changed in a function's statements between two epochs, or two stages."""
    from mmsb.query import diff as questions
    from mmsb.query import stages

    def ask(m: Any) -> Any:
        if two_stages is not None and epoch1 is None and stage is None:
            old, new = map(stages.parse, two_stages)
            return questions.stages(m, function, old, new, at=at)
        if two_stages is None and epoch1 is not None and epoch2 is not None and at is None:
            return questions.diff(m, function, epoch1, epoch2, stage=_stage(stage))
        raise UsageError("diff takes two epochs, or --stages OLD NEW (then with --at, not --stage)")

    answer(ask, memory, as_json)


@commands.command(rich_help_panel=ASK, epilog="mmsb passes price")
def passes(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """A function's life through the compiler: each stage, and what it changed."""
    from mmsb.query import passes as questions

    options = "" if at is None else f" --at {at}"
    options += "" if memory is None else f" -m {shlex.quote(str(memory))}"
    answer(lambda m: questions.passes(m, function, at=at, options=options), memory, as_json)


@commands.command(rich_help_panel=ASK, epilog="mmsb tree   ·   mmsb tree price --depth 6")
def tree(
    function: AnyFunction = None,
    *,
    depth: Annotated[int, typer.Option(min=1, help="How many levels to show.")] = 4,
    most: Annotated[int, typer.Option(min=1, help="How many frames under each.")] = 12,
    order: Annotated[
        OrderName, typer.Option("--order", help="The slowest first, or as recorded.")
    ] = OrderName.time,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """The inference tree: who asked for whom, and how long it took."""
    from mmsb.query import tree as questions

    answer(
        lambda m: questions.tree(m, function, at=at, order=order.value, depth=depth, most=most),
        memory,
        as_json,
    )


@commands.command(rich_help_panel=ASK)
def decisions(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What the compiler decided at each statement: inlining, constants, effects, remarks."""
    from mmsb.query import decisions as questions

    answer(lambda m: questions.decisions(m, function, at=at), memory, as_json)


@commands.command(rich_help_panel=ASK)
def deps(
    function: FunctionName,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What a function's code depends on, and whose code depends on it (or on a global)."""
    from mmsb.query import deps as questions

    answer(lambda m: questions.deps(m, function, at=at), memory, as_json)


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


@commands.command(rich_help_panel=ASK, epilog="mmsb invalidations   ·   mmsb invalidations rate")
def invalidations(
    function: AnyFunction = None,
    *,
    at: AtEpoch = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """The compiler's invalidation trees, most victims first; with a function, those it is in."""
    from mmsb.query import invalidations as questions

    answer(lambda m: questions.invalidations(m, function, at=at), memory, as_json)


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
def stats(
    *,
    functions: Annotated[
        bool, typer.Option("--functions", help="Every function by its name instead.")
    ] = False,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """What was recorded, how large it is, and what this recording cannot see."""
    from mmsb.query import functions as listed
    from mmsb.query import overview

    answer(listed.functions if functions else overview.stats, memory, as_json)


@commands.command(rich_help_panel=CARE)
def check(
    *,
    against_julia: Annotated[
        bool,
        typer.Option(
            "--against-julia",
            help="Compare the final IR that ran with what the compiler gave when asked again: "
            "exit code 0 if none differs, 1 if some do, 3 if nothing could be compared.",
        ),
    ] = False,
    salvage: Annotated[
        str | None,
        typer.Option(
            metavar="OUT",
            help="Write all that is whole of a damaged memory to a new one, and say what is lost: "
            "exit code 0 if nothing is, 4 if something is.",
        ),
    ] = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Verify every checksum and bound of a memory. Exit code 4 if it is damaged."""
    from mmsb.query import memories, overview, rederived

    if against_julia:
        answer(rederived.against_julia, memory, as_json)
        return
    if salvage is not None:
        saved = guarded(lambda: overview.salvage(memories.locate(memory), salvage), as_json)
        render.show(saved, as_json=as_json)
        raise typer.Exit(saved.exit_code)
    found = guarded(lambda: overview.check(memories.locate(memory)), as_json)
    render.show(found, as_json=as_json)
    raise typer.Exit(0 if found.sound else 4)


@commands.command(rich_help_panel=CARE)
def compact(memory: MemoryPath = None, as_json: AsJson = False) -> None:
    """Compress a memory in place; it answers as before."""
    from mmsb.query import memories, overview

    done = guarded(lambda: overview.compact(memories.locate(memory)), as_json)
    render.show(done, as_json=as_json)


@commands.command(rich_help_panel=CARE, epilog="mmsb retain --epochs 100")
def retain(
    from_epoch: Annotated[
        int | None,
        typer.Option("--from", metavar="EPOCH", help="Forget what was before this epoch."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="COUNT", help="Keep so many, the last ones.")
    ] = None,
    memory: MemoryPath = None,
    as_json: AsJson = False,
) -> None:
    """Forget old epochs, for good; what an older one did shows as of the first one kept.

    Says the sizes before and after. The log is written anew: a compressed memory may grow.
    """
    from mmsb.query import memories, overview

    done = guarded(lambda: overview.retain(memories.locate(memory), from_epoch, epochs), as_json)
    render.show(done, as_json=as_json)


for _command in commands.registered_commands:
    _command.cls = Asking


def _stage(name: str | None) -> Stage | None:
    from mmsb.query import stages

    return None if name is None else stages.parse(name)

"""Blocks, errors and passes in one session, and another after it; says what it saw as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import mmsb
from mmsb.base.errors import MmsbError
from mmsb.base.schema import Column, Kind
from mmsb.capture import embeddable
from mmsb.graph.derived import Given
from mmsb.memory.memory import Memory

seen: dict[str, object] = {}


def told(name: str, ask: Callable[[], object]) -> None:
    """The error that has to come."""
    try:
        ask()
        seen[name] = None
    except Exception as problem:
        code = problem.code if isinstance(problem, MmsbError) else type(problem).__name__
        cause = type(problem.__cause__).__name__ if problem.__cause__ else ""
        seen[name] = [code, str(problem), cause]


def enter() -> None:
    with session.recording():
        pass


session = mmsb.start("one.mmsb", host="embedded")
julia = session.julia
seen["host"], seen["why"], seen["version"] = session.host, session.why, session.version
seen["remarks"] = list(session.remarks)
seen["julia"] = julia.seval("string(VERSION)")
seen["place"] = embeddable.embeddable().source
seen["sigint"] = julia.seval("Base.JLOptions().handle_signals")
# What the recorder's hooks would hold of code that is new.
HOOKS = """
begin
    unseen(x) = x + 41
    unseen(1)
    unseen(x::Int) = x
    shim = only(m for m in values(Base.loaded_modules) if nameof(m) === :MMSBShim)
    string(length(shim.INFERRED), " ", length(shim.TRACED), " ", shim.INVALIDATIONS[].on)
end
"""

julia.seval("outside(x) = x + 1; outside(1)")
session.run("in_run(x) = outside(x) * 2; in_run(1)")
with session.recording():
    julia.seval("in_block(x) = in_run(x) + 3")
    julia.in_block(2)
    session.run("run_in_block(x) = x; run_in_block(1)")
    told("nested", enter)
    told("nested macro", lambda: julia.seval("@mmsb outside(1.0)"))
julia.seval("between(x) = x - 1; between(1)")
seen["value of @mmsb"] = julia.seval("@mmsb begin in_macro(x) = x / 2; in_macro(5) end")
julia.seval("@mmsb assigned = 17")
seen["assigned by @mmsb"] = julia.assigned
told(
    "thrown in @mmsb", lambda: julia.seval('@mmsb (thrower(x) = error("in macro $x"); thrower(1))')
)
told("macro in macro", lambda: julia.seval("@mmsb @mmsb outside(2.0)"))
session.run("@mmsb macro_in_run(x) = x; @mmsb macro_in_run(1)")
told("boom", lambda: session.run('function boom(x)\n    error("boom ", x)\nend\nboom(7)'))
told("syntax", lambda: session.run("f(x = "))
told(
    "unshowable",
    lambda: session.run(
        "struct Odd <: Exception end; Base.showerror(::IO, ::Odd) = error(); throw(Odd())"
    ),
)
session.run("in_task(x) = x + 5; wait(@async in_task(1)); wait(Threads.@spawn in_task(1.0))")
with session.recording(scope="Base.Order"):
    julia.seval("Base.Order.lt(Base.Order.Reverse, 1, 2)")
with session.recording():
    julia.seval("sum(abs2, 1:3)")
told("no such function", lambda: session.passes("nothing_of_the_kind"))
seen["passes"] = len(session.passes("in_run").log().entries) > 0
told("two sessions", lambda: mmsb.start("two.mmsb", host="embedded"))
# the recorder sorts: it goes on as it was loaded
session.run('Base.sort!(v::AbstractVector; options...) = error("broken by the program")')
told("broken", lambda: session.run("after_base(x) = x + 1; after_base(1); sort!([2, 1])"))
result = session.stop()
seen["state"] = [session.result.state, session.result.message]
result.close()
seen["hooks after stop"] = julia.seval(HOOKS)
told("run after stop", lambda: session.run("1"))
told("recording after stop", enter)
told("passes after stop", lambda: session.passes("in_run"))
told("macro after stop", lambda: julia.seval("@mmsb outside(1)"))
session.stop().close()  # opens it again
told("path that exists", lambda: mmsb.start("one.mmsb", host="embedded"))
told("decisions", lambda: mmsb.start("d.mmsb", host="embedded", capture="decisions"))
told("apart", lambda: mmsb.start("d.mmsb", host="embedded", apart=True))
told("named", lambda: mmsb.start("d.mmsb", host="embedded", julia="/usr/bin/julia"))

with mmsb.start("second.mmsb", capture="events") as second:
    seen["second host"] = second.host
    heard: list[str] = []
    second.memory.subscribe(["code"], ["in_second"], lambda changed: heard.extend(changed.kinds))

    @second.memory.derive(Kind(200, "versions", (Column(0, "count", "u32", 0),)), ["code"])
    def versions(of: Given) -> dict[str, list[int]]:
        return {"count": [len(of["code"]["state"])]}

    second.run("in_second(x) = in_run(x); in_second(2)")
    now = second.memory.at()
    derived = now.subjects(now.pages("versions")) == now.subjects(now.pages("code"))
    seen["heard"], seen["derived"] = heard, derived
told("memory after stop", lambda: second.memory)


def instances(path: str) -> list[str]:
    with Memory.open(path) as memory:
        now = memory.at()
        own = [
            int(page)
            for page in now.pages("instance")
            if now.column("instance", int(page), "depth")[0] == 0
        ]
        return sorted(now.symbols([now.column("instance", page, "name")[0] for page in own]))


seen["one"], seen["second"] = instances("one.mmsb"), instances("second.mmsb")
print(json.dumps(seen))

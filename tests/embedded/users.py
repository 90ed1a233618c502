"""juliacall is used before mmsb, beside it and after it, with two threads; says what it saw."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import juliacall

julia = juliacall.Main
julia.seval("mine(x) = x + 1")
before = [julia.mine(1), str(signal.getsignal(signal.SIGINT))]

import mmsb  # noqa: E402
from mmsb.base.errors import MmsbError  # noqa: E402
from mmsb.memory.memory import Memory  # noqa: E402

# One program, unrecorded and recorded: what it says, what is inferred and compiled of it.
PROGRAM = """
module {name}
half(x) = x / 2
sums(xs) = sum(half, xs)
kinds(x) = x isa Int ? "int" : x
function told(xs)
    io = IOBuffer()
    print(io, sums(xs), ' ', map(kinds, [1, 2.5]))
    return String(take!(io))
end
const SAID = told([1, 2, 3])
end
"""
LOOKS = """
begin
    io = IOBuffer()
    functions = ({name}.half, {name}.sums, {name}.kinds, {name}.told)
    for f in functions, t in (Int, Float64, Vector{{Int}})
        for optimize in (true, false)
            println(io, code_typed(f, (t,); optimize))
        end
        println(io, f, Base.infer_effects(f, (t,)), Base.return_types(f, (t,)))
    end
    replace(String(take!(io)), "{name}" => "It")
end
"""
BUSY = """
begin
    functions = [Core.eval(Main, :($(Symbol(:busy, i))(x) = map(y -> y + $i, x))) for i in 1:30]
    @sync for f in functions
        Threads.@spawn Base.invokelatest(f, rand(3))
    end
    Threads.nthreads()
end
"""

julia.seval(PROGRAM.format(name="Plain"))
plain = [julia.Plain.SAID, julia.seval(LOOKS.format(name="Plain"))]
session = mmsb.start("out.mmsb", host="embedded")
seen: dict[str, object] = {"remarks": list(session.remarks), "why": session.why}
session.run(PROGRAM.format(name="Recorded"))
inside = [julia.Recorded.SAID, julia.seval(LOOKS.format(name="Recorded"))]
seen["threads"] = julia.seval("Threads.nthreads()")
session.run(BUSY)

# Another reader of the compiler's queue, by the name that SnoopCompile's has.
julia.seval(
    """
    begin
        id = Base.PkgId(Base.UUID("e2b509da-e806-4183-be48-004708413034"), "SnoopCompileCore")
        snoop = Module(:SnoopCompileCore)
        Core.eval(snoop, :(const snoop_inference_lock = ReentrantLock()))
        Base.loaded_modules[id] = snoop
    end
    """
)
julia.seval("lock(snoop.snoop_inference_lock)")
try:
    session.run("1")
except MmsbError as problem:
    seen["snooping"] = [problem.code, str(problem)]
julia.seval("unlock(snoop.snoop_inference_lock); delete!(Base.loaded_modules, id)")
session.run("later(x) = x - 1; later(1)")


def elsewhere() -> None:
    try:
        session.run("1")
    except MmsbError as problem:
        seen["thread"] = [problem.code, str(problem)]


thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()

child = os.fork()
if child == 0:
    try:
        session.run("1")
    except MmsbError as problem:
        os._exit(0 if "fork of the one that runs Julia" in str(problem) else 1)
    os._exit(2)
seen["fork"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
session.stop().close()

julia.seval(PROGRAM.format(name="Afterwards"))
after = [julia.Afterwards.SAID, julia.seval(LOOKS.format(name="Afterwards"))]
seen["same"] = [plain == inside, plain == after, len(str(plain[1])) > 1000]
seen["as before"] = before == [julia.mine(1), str(signal.getsignal(signal.SIGINT))]
seen["juliacall"] = sys.modules["juliacall"] is juliacall
with Memory.open("out.mmsb") as memory:
    now = memory.at()
    subjects = now.subjects(now.pages("instance"))
    seen["busy"] = len({s.split(" ")[0] for s in subjects if s.startswith("Main.busy")})
    seen["later"] = any(s.startswith("Main.later ") for s in subjects)
print(json.dumps(seen))

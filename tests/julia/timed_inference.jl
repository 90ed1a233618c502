# The compiler's own tree of what it inferred, until Julia 1.11, for test_inferred.py:
#
#     julia timed_inference.jl PROGRAM SHIM_FOLDER DEPOT
#
# A line a frame, in pre-order: how deep it is, and the shim's key of its
# instance, which is asked for when all is over. Statements at top level are left out.
const CC = Core.Compiler
CC.Timings.reset_timings()
CC.__set_measure_typeinf(true)
Base.include(Main, ARGS[1])            # which is compiled already
CC.__set_measure_typeinf(false)
const FRAMES = copy(CC.Timings._timings[1].children)

pushfirst!(LOAD_PATH, ARGS[2], "@stdlib")
pushfirst!(DEPOT_PATH, ARGS[3])
const Shim = Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))

function show_frame(t, depth)
    mi = t.mi_info.mi
    mi.def isa Method && println(depth, ' ', Base.invokelatest(Shim.instance_key, mi))
    foreach(child -> show_frame(child, depth + (mi.def isa Method)), t.children)
end
foreach(t -> show_frame(t, 0), FRAMES)

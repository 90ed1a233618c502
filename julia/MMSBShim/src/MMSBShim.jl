"""
A read-only recorder beside the Julia compiler. It notes method definitions while the program runs
and, when the program has ended, asks the compiler what it made of it. It analyses nothing, defines
no method on a type it does not own, and keeps no source text.
"""
module MMSBShim

include("buffers.jl")
include("compat.jl")
include("text.jl")
include("encode.jl")
include("origins.jl")
include("flow.jl")
include("forwarding.jl")
include("wire.jl")
include("reflect.jl")
include("passes.jl")
include("native.jl")
include("timings.jl")
include("invalidation_log.jl")
include("invalidations.jl")
include("record.jl")
include("ask.jl")
include("drain.jl")
include("apart.jl")
include("serve.jl")
include("embedded.jl")

# What runs in the observed process is compiled beforehand, as far as this Julia keeps such code.
precompile(start, (Int, String, Dict{String,String}))
precompile(finish, ())
precompile(own_memory!, ())
precompile(drain!, (Recording,))
precompile(on_method, (Any,))
precompile(serve, (Int, Int))
precompile(start_embedded, (String, Ptr{Cvoid}))
precompile(run_embedded, (String, Int))
precompile(resume_embedded, (String,))
precompile(pause_embedded, ())
precompile(open_block!, (String, String))
precompile(close_block!, ())
precompile(open_own!, (String,))
precompile(close_own!, ())
precompile(julia_ends, (Int32,))
precompile(drain_blocks!, (Recording,))
precompile(program_frames, (Vector{Union{Ptr{Nothing}, Base.InterpreterIP}},))
precompile(told, ())
precompile(drain_embedded, ())
precompile(stop_embedded, ())
precompile(passes_embedded, (String,))

include("rehearsal.jl")

end

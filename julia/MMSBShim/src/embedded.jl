# The host inside a Python process. Recorded is what happens in blocks: between `resume_embedded` and
# `pause_embedded` the hooks are on, and `drain_embedded` reads what a block brought. Outside of blocks
# no hook is.

const BLOCKS = Ref(false)         # is this a recording in blocks
const IN_BLOCK = Ref(false)       # is one open
# The world in which the recorder was loaded: what the program defines later, Base's methods too, does
# not change how it reads.
const OWN_WORLD = Ref(UInt64(0))

"""
    start_embedded(said)

Make this process ready to record. `said`: the settings as the process host has them in its
environment, `NAME=value` with zero bytes between them. Returns the first frame.
"""
function start_embedded(text::String)
    said = Dict{String,String}()
    for pair in split(text, '\0'; keepempty = false)
        name, value = split(pair, '='; limit = 2)
        said[String(name)] = String(value)
    end
    r = recording(Settings(said), Cint(-1), Cint(-1))
    RECORDING[] = r
    BLOCKS[] = true
    OWN_WORLD[] = r.first_world
    hello!(r)
    note!(r.encoder, :host, "embedded")
    atexit(pause_embedded)       # Julia may end before Python does
    return taken!(r)
end

function embedded()
    r = RECORDING[]
    r === nothing && error("no recording was started in this process")
    return r::Recording
end

"""Open a block; `modules` are recorded beside those of the start."""
function resume_embedded(modules::String)
    r = embedded()
    IN_BLOCK[] && error("a recording block is open already: blocks do not nest")
    for name in split(modules, ','; keepempty = false)
        name in r.settings.modules || push!(r.settings.modules, String(name))
    end
    r.first_world = UInt64(Base.get_world_counter())
    note!(r.encoder, :first_world, r.first_world)
    hook!(r)
    IN_BLOCK[] = true
    nothing
end

"""Close the block: from here on nothing is noted."""
function pause_embedded()
    IN_BLOCK[] || return nothing
    IN_BLOCK[] = false
    unhook!(embedded())
    nothing
end

"""
    run_embedded(code, number)

Evaluate a text at top level in Main, in a block of its own if none is open: 0 if it went well, 1 if
it threw, 2 if it was interrupted. What was thrown is in `PROBLEM`.
"""
function run_embedded(code::String, number::Int)::Int
    alone = !IN_BLOCK[]
    alone && resume_embedded("")
    try
        Base.include_string(Main, code, string("session[", number, ']'))
        return 0
    catch problem
        PROBLEM[] = (unwrap(problem), catch_backtrace())
        return unwrap(problem) isa InterruptException ? 2 : 1
    finally
        alone && pause_embedded()
    end
end
const PROBLEM = Ref{Any}(nothing)

"""What Julia says of the last exception, as bytes."""
function told()
    problem, trace = PROBLEM[]
    return said(Base.invokelatest(sprint, showerror, problem, trace)::String)
end

# Bytes for the host; rooted here until the next ones, so that it can copy them.
const SAID = Ref(UInt8[])
said(bytes::Vector{UInt8}) = (SAID[] = bytes)
said(text::String) = said(Vector{UInt8}(codeunits(text)))

"""What happened since the last time, as frames."""
function drain_embedded()
    pause_embedded()
    r = embedded()
    find_new_methods!(r)
    in_world(OWN_WORLD[], drain!, r)
    return taken!(r)
end

# Between blocks the tracer is off: methods that were defined there and used in the block are found
# by what was inferred of them.
function find_new_methods!(r::Recording)
    for ci in INFERRED
        ci isa Core.CodeInstance || continue
        mi = instance_of(ci)
        mi isa Core.MethodInstance && mi.def isa Method || continue
        root_in_scope(root_module(mi.def.module), r.loaded_before) && (r.in_scope[mi.def] = nothing)
    end
    nothing
end

function taken!(r::Recording)
    send!(r)
    bytes = r.bytes
    r.bytes = UInt8[]
    return said(bytes)
end

"""
    passes_embedded(name)

The IR after every pass of each recorded code object of that name (`f`, `f(::Int64)`, with or without
its module), as frames; no bytes if there is none.
"""
function passes_embedded(name::String)
    r = embedded()
    in_world(OWN_WORLD[], derive_again!, r, name)
    return taken!(r)
end

function derive_again!(r::Recording, name::String)
    r.native || return nothing
    s = r.settings
    found = Question[]
    for ci in keys(r.asked)
        mi = instance_of(ci)::Core.MethodInstance
        m = mi.def::Method
        name in (display_name(mi), string(module_path(m.module), '.', display_name(mi)),
                 string(m.name), function_text(m)) || continue
        d = Definition(m, UInt64(m.primary_world), OPEN_WORLD, false)
        world = min(UInt64(ci.max_world), UInt64(Base.get_world_counter()))
        push!(found, Question(mi, ci, d, world, 0))
    end
    r.settings = Settings("passes", s.depth, s.modules, String[], s.literals, UInt64(0), 0, false)
    try
        foreach(q -> ask_safely!(r, q, NO_ORDERS), in_order!(found))
    finally
        r.settings = s
    end
    forget!(r)
    nothing
end

"""The end of the recording: the last frames."""
function stop_embedded()
    pause_embedded()
    r = embedded()
    r.faults == 0 || note!(r.encoder, :faults, r.faults)
    DROPPED[] == 0 || note!(r.encoder, :dropped, DROPPED[])
    note!(r.encoder, :ended, "yes")
    bytes = taken!(r)
    RECORDING[] = nothing
    BLOCKS[] = false
    foreach(empty!, (TRACED, TRACED_AT, TRACED_ORDER, INFERRED))
    return bytes
end

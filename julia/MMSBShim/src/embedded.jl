# The host inside a Python process. Recorded is what happens in blocks: between `open_block!` and
# `pause_embedded` the hooks are on, and `drain_embedded` reads what a block brought. Outside of blocks
# no hook is.

const BLOCKS = Ref(false)         # is this a recording in blocks
const BLOCK = Ref("")             # which is open: "run", "recording", "@mmsb"; "": none
const SCOPE = String[]            # modules recorded in the open block alone
const DRAINED = Ref(0)            # how many blocks have been read
const LOST = Ref(0)               # code objects beyond the limit in the blocks so far
const LEAVE = Ref(C_NULL)         # a C function of the host's that keeps what there is
const HOME = Ref(0)               # the thread it may be called from
# The world in which the recorder was first used: what the program defines later, Base's methods too,
# does not change how it reads.
const OWN_WORLD = Ref(UInt64(0))

"""
    start_embedded(said, leave)

Make this process ready to record. `said`: the settings as the process host has them in its
environment, `NAME=value` with zero bytes between them; `leave`: called with the exit code when Julia
ends by itself. Returns the first frame.
"""
function start_embedded(text::String, leave::Ptr{Cvoid})
    said = Dict{String,String}()
    for pair in split(text, '\0'; keepempty = false)
        name, value = split(pair, '='; limit = 2)
        said[String(name)] = String(value)
    end
    r = recording(Settings(said), Cint(-1), Cint(-1))
    RECORDING[] = r
    BLOCKS[] = true
    LEAVE[] = leave
    LOST[] = DRAINED[] = 0
    if OWN_WORLD[] == 0
        OWN_WORLD[] = r.first_world
        HOME[] = Threads.threadid()
        atexit(julia_ends)
        # `@mmsb expr` in Main, unless that is a name of the program's
        isdefined(Main, Symbol("@mmsb")) ||
            Core.eval(Main, Expr(:const, Expr(:(=), Symbol("@mmsb"), var"@mmsb")))
    end
    hello!(r)
    note!(r.encoder, :host, "embedded")
    return taken!(r)
end

# `exit()` in the program ends Python too, which runs none of its own exit hooks then.
function julia_ends(code::Int32)
    RECORDING[] === nothing && return nothing
    pause_embedded()
    if Threads.threadid() == HOME[]
        ccall(LEAVE[], Cvoid, (Cint,), code)
    else                        # Python is busy in another thread, and would be waited for
        println(stderr, "mmsb: Julia ended this process from a thread that is not Python's: the ",
                "memory ends with the block before this one")
    end
    nothing
end

function embedded()
    r = RECORDING[]
    r === nothing && error("no session records this process: mmsb.start() begins one")
    return r::Recording
end

in_own_world(f, args...) = in_world(OWN_WORLD[], f, args...)

"""Open a block; `modules` are recorded beside those of the start."""
resume_embedded(modules::String) = (in_own_world(open_block!, "recording", modules); nothing)

function open_block!(name::String, modules::String)
    r = embedded()
    isempty(BLOCK[]) || error("a ", BLOCK[], " block is open already: blocks do not nest")
    r.first_world = UInt64(Base.get_world_counter())
    note!(r.encoder, :first_world, r.first_world)
    hook!(r)
    BLOCK[] = name
    for one in split(modules, ','; keepempty = false)
        String(one) in r.settings.modules || (push!(SCOPE, String(one)); push!(r.unseen, String(one)))
    end
    append!(r.settings.modules, SCOPE)
    isempty(SCOPE) || (r.visited = -1)           # their methods are there already
    nothing
end

"""Close the block: from here on nothing is noted."""
pause_embedded() = isempty(BLOCK[]) ? nothing : (in_own_world(close_block!); nothing)

function close_block!()
    BLOCK[] = ""
    unhook!(embedded())
    nothing
end

# A block of this name around what follows, unless `run` has opened one: is it ours to close?
function open_own!(name::String)
    BLOCK[] == "run" || in_own_world(open_block!, name, "")
    return BLOCK[] == name
end

"""
    @mmsb expr

Evaluate `expr` and record what the compiler does meanwhile, in the session of this process. Inside
of `session.run` that is recorded anyway.
"""
macro mmsb(code)
    quote
        local own = $open_own!("@mmsb")
        $(Expr(:tryfinally, esc(code), :(own && $close_own!())))
    end
end

# The host asks later: what there is to say is kept as frames.
function close_own!()
    pause_embedded()
    in_own_world(drain_blocks!, embedded())
    nothing
end

"""
    run_embedded(code, number)

Evaluate a text at top level in Main, in a block of its own if none is open: 0 if it went well, 1 if
it threw, 2 if it was interrupted. What was thrown is in `PROBLEM`.
"""
function run_embedded(code::String, number::Int)::Int
    alone = isempty(BLOCK[])
    alone && in_own_world(open_block!, "run", "")
    try
        Base.include_string(Main, code, string("session[", number, ']'))
        return 0
    catch problem
        PROBLEM[] = (unwrap(problem), program_frames(catch_backtrace()))
        return unwrap(problem) isa InterruptException ? 2 : 1
    finally
        alone && pause_embedded()
    end
end
const PROBLEM = Ref{Any}(nothing)

"""What Julia says of the last exception, as bytes."""
told() = said(shown(PROBLEM[]...))

# Bytes for the host; rooted here until the next ones, so that it can copy them.
const SAID = Ref(UInt8[])
said(bytes::Vector{UInt8}) = (SAID[] = bytes)
said(text::String) = said(Vector{UInt8}(codeunits(text)))

"""What happened since the last time, as frames."""
function drain_embedded()
    pause_embedded()
    r = embedded()
    in_own_world(drain_blocks!, r)
    return taken!(r)
end

function drain_blocks!(r::Recording)
    find_new_methods!(r)
    drain!(r)
    LOST[] += DROPPED[]
    DROPPED[] = 0
    if !isempty(SCOPE)
        note!(r.encoder, :scope, join(SCOPE, ','))
        resize!(r.settings.modules, length(r.settings.modules) - length(SCOPE))
        empty!(SCOPE)
        for m in collect(keys(r.in_scope))
            is_ours(r, m) || delete!(r.in_scope, m)
        end
    end
    DRAINED[] += 1
    note!(r.encoder, :blocks, DRAINED[])         # the host tells by it where a block ends
    send!(r)
    nothing
end

is_ours(r::Recording, m::Method) = root_in_scope(root_module(m.module), r.loaded_before) ||
    is_asked(m.module, r.settings.modules)

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
    in_own_world(derive_again!, r, name)
    return taken!(r)
end

function derive_again!(r::Recording, name::String)
    r.native || return nothing
    s = r.settings
    found = Question[]
    for ci in Iterators.flatten((keys(r.asked), r.ended))
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
    ended!(r, LOST[])
    bytes = taken!(r)
    RECORDING[] = nothing
    BLOCKS[] = false
    foreach(empty!, (TRACED, TRACED_AT, TRACED_ORDER, INFERRED, SCOPE))
    return bytes
end

# The record of one process: what the tracer saw, and what is asked when the program has ended.

mutable struct Recording
    fd::Cint                          # frames go here
    trace_fd::Cint                    # the file of --trace-compile, read-only; -1: none
    methods::Vector{Method}           # in the order they were defined
    offsets::Vector{Int64}            # bytes of the trace file before each
    loaded_before::Vector{Module}
    first_world::UInt64
    defined_in::Dict{UInt64,Vector{Method}}    # world → what was defined in it
    modules::Vector{String}           # recorded although not the user's
    depth::Int
    encoder::Encoder
    code_rows::UInt32                 # rows of `code` sent so far
    asked::IdDict{Core.CodeInstance,Nothing}
    faults::Int                       # questions that threw
    active::Bool
end

const RECORDING = Ref{Union{Nothing,Recording}}(nothing)
# The tracer's own vectors: it may do no more than push to them.
const TRACED = Method[]
const TRACED_AT = Int64[]
const TRACE_FD = Ref{Cint}(-1)

# Bytes of the trace file so far. 2 is SEEK_END.
trace_offset() = TRACE_FD[] < 0 ? Int64(0) :
    ccall(:lseek, Int64, (Cint, Int64, Cint), TRACE_FD[], 0, 2)

function on_method(@nospecialize(m))
    push!(TRACED, m)
    push!(TRACED_AT, trace_offset())
    nothing
end

trace_methods() = ccall(:jl_register_newmeth_tracer, Cvoid, (Ptr{Cvoid},),
                        @cfunction(on_method, Cvoid, (Any,)))
untrace_methods() = ccall(:jl_register_newmeth_tracer, Cvoid, (Ptr{Cvoid},), C_NULL)

# What the program starts must not hold the recorder's files open. F_SETFD is 2, FD_CLOEXEC 1.
close_on_exec(fd::Cint) = ccall(:fcntl, Cint, (Cint, Cint, Cint), fd, 2, 1)

note!(e::Encoder, key, value) =
    add!(e.tables.recording, symbol_id!(e, String(key)), symbol_id!(e, string(value)))

"""
    start(fd, trace_path, depth, modules, literals)

Begin to record into the pipe `fd`. Until `finish`, only method definitions are noted.
"""
function start(fd::Int, trace_path::String, depth::Int, modules::Vector{String}, literals::Bool)
    RECORDING[] === nothing || error("MMSBShim is recording already: one recording at a time")
    LITERALS[] = literals
    trace_fd = isempty(trace_path) ? Cint(-1) :
        ccall(:open, Cint, (Cstring, Cint), trace_path, Base.Filesystem.JL_O_RDONLY)
    foreach(close_on_exec, (Cint(fd), trace_fd))
    TRACE_FD[] = trace_fd
    sizehint!(TRACED, 1 << 14)
    sizehint!(TRACED_AT, 1 << 14)
    before = filter(m -> m !== Main, Base.loaded_modules_array())
    r = Recording(fd, trace_fd, TRACED, TRACED_AT, before, Base.get_world_counter(),
                  Dict{UInt64,Vector{Method}}(), modules, depth, Encoder(), 0,
                  IdDict{Core.CodeInstance,Nothing}(), 0, true)
    RECORDING[] = r
    hello!(r)
    send!(r.fd, r.encoder.tables)
    atexit(finish)
    trace_methods()
    # last, in a frame of its own: from here on what is defined and compiled is the program's
    note!(r.encoder, :trace_start, trace_offset())
    send!(r.fd, r.encoder.tables)
    nothing
end

function hello!(r::Recording)
    e = r.encoder
    note!(e, :julia, VERSION)
    note!(e, :tier, "reflect")
    note!(e, :origin, ORIGIN)
    note!(e, :threads, Threads.nthreads())
    note!(e, :depth, r.depth)
    note!(e, :modules, join(r.modules, ','))
    note!(e, :literals, LITERALS[])
    note!(e, :first_world, r.first_world)
end

"""Stop, ask for everything in scope, send it. Runs after the program's own exit hooks."""
function finish()
    r = RECORDING[]
    (r === nothing || !r.active) && return nothing
    r.active = false
    untrace_methods()
    note!(r.encoder, :trace_end, trace_offset())
    try
        in_world(r.first_world, drain!, r)
        r.faults == 0 || note!(r.encoder, :faults, r.faults)
        note!(r.encoder, :ended, "yes")
    catch problem
        note!(r.encoder, :fault, sprint(showerror, problem))
    end
    send!(r.fd, r.encoder.tables)
    ccall(:close, Cint, (Cint,), r.fd)
    RECORDING[] = nothing
    nothing
end

in_order(methods) = sort!(methods, by = m -> (UInt64(m.primary_world), method_key(m)))

# Every method of the recorded roots, and the others that came after the recording began: they may
# have invalidated something.
function methods_in_scope(r::Recording)
    found = IdDict{Method,Nothing}()
    late = IdDict{Method,Nothing}()
    asked = IdDict{Module,Bool}()
    consider = m -> begin
        m isa Method || return nothing
        root = root_module(m.module)
        old = m.primary_world <= r.first_world
        # what is the user's came after the recording began; what was asked for by name need not
        wanted = get!(() -> is_asked(m.module, r.modules), asked, m.module)
        old && !wanted && return nothing
        if wanted || root_in_scope(root, r.loaded_before)
            found[m] = nothing
        elseif !old && root !== @__MODULE__()
            late[m] = nothing
        end
        nothing
    end
    visit_methods(consider)
    foreach(consider, r.methods)
    return in_order(collect(keys(found))), in_order(collect(keys(late)))
end

function method!(e::Encoder, d::Definition)
    m = d.method
    add!(e.tables.method, symbol_id!(e, method_key(m)), symbol_id!(e, m.name),
         symbol_id!(e, module_path(m.module)), type_id!(e, m.sig), file_id!(e, m.file),
         Int32(m.line), d.first, d.last, UInt32(m.nargs), UInt8(d.deleted))
    nothing
end

function instance!(e::Encoder, mi::Core.MethodInstance, depth::Int)
    m = mi.def::Method
    add!(e.tables.instance, symbol_id!(e, instance_key(mi)), symbol_id!(e, method_key(m)),
         type_id!(e, mi.specTypes), symbol_id!(e, display_name(mi)), UInt32(depth),
         symbol_id!(e, module_path(m.module)), symbol_id!(e, hashed(static_text(mi.specTypes))))
    nothing
end

function events!(e::Encoder, r::Recording, in_scope::IdDict{Method,Definition})
    seen = IdDict{Method,Nothing}()
    for (k, m) in enumerate(r.methods)
        haskey(in_scope, m) || continue
        seen[m] = nothing
        add!(e.tables.event, EVENTS.defined, symbol_id!(e, method_key(m)),
             UInt64(m.primary_world), r.offsets[k] % UInt64, NONE_U64)
    end
    for m in in_order(collect(keys(in_scope)))
        d = in_scope[m]
        # a package image brings its methods without the tracer
        haskey(seen, m) || add!(e.tables.event, EVENTS.loaded, symbol_id!(e, method_key(m)),
                                d.first, OPEN_WORLD, NONE_U64)
        d.deleted && add!(e.tables.event, EVENTS.deleted, symbol_id!(e, method_key(m)),
                          d.last + 1, OPEN_WORLD, NONE_U64)
    end
    nothing
end

function questions_of(r::Recording, mi, d::Definition, now::UInt64, depth::Int)
    found = Question[]
    in_shim(mi) && return found
    for ci in code_instances(mi)
        # asked already, or dead before the recording began
        (haskey(r.asked, ci) || ci.max_world < r.first_world) && continue
        q = question(mi, ci, d, now, depth)
        q === nothing || push!(found, q)
    end
    return sort!(found, by = q -> (UInt64(q.ci.min_world), q.world))
end

# The shim's own code, and others' code compiled for its types.
in_shim(mi::Core.MethodInstance) = root_module((mi.def::Method).module) === @__MODULE__() ||
    occursin("MMSBShim.", instance_key(mi))

function drain!(r::Recording)
    load_sha!()
    find_images!()
    e = r.encoder
    now = UInt64(Base.get_world_counter())
    scope = IdDict{Method,Definition}()
    methods, late = methods_in_scope(r)
    for d in definitions(methods)
        scope[d.method] = d
        method!(e, d)
        d.deleted && push!(get!(() -> Method[], r.defined_in, d.last + 1), d.method)
    end
    for m in Iterators.flatten((methods, late))
        push!(get!(() -> Method[], r.defined_in, UInt64(m.primary_world)), m)
    end
    level = Question[]
    for (m, d) in scope, mi in specializations(m), q in questions_of(r, mi, d, now, 0)
        is_root(r, q) && push!(level, q)
    end
    causes!(e, late, level, scope)
    events!(e, r, scope)
    depth = 0
    while !isempty(level)
        level = drain_level!(r, level, scope, now, depth)
        depth += 1
    end
    note!(e, :last_world, now)
    nothing
end

# Methods out of scope that were defined in the world after a recorded code object's last.
function causes!(e::Encoder, late, level, scope)
    capped = Set{UInt64}(UInt64(q.ci.max_world) + 1 for q in level if q.ci.max_world != OPEN_WORLD)
    for d in definitions(filter(m -> UInt64(m.primary_world) in capped, late))
        scope[d.method] = d
        method!(e, d)
    end
    nothing
end

# A question the compiler or the encoder throws at costs that answer alone, and is counted.
function ask_safely!(r::Recording, q::Question)
    e = r.encoder
    before = map(rows, answer_tables(e))
    empty!(e.causes)
    empty!(e.candidates)
    q.ci.max_world == OPEN_WORLD ||
        append!(e.candidates, get(r.defined_in, UInt64(q.ci.max_world) + 1, Method[]))
    try
        final = ask!(e, q, r.code_rows)
        for m in in_order(collect(keys(e.causes)))
            add!(e.tables.cause, r.code_rows, symbol_id!(e, method_key(m)))
        end
        r.code_rows += 0x00000001
        return final
    catch problem
        foreach(truncate!, answer_tables(e), before)
        r.faults += 1
        r.faults == 1 && note!(e, :first_fault, string(typeof(problem), " for ", instance_key(q.mi)))
        return nothing
    end
end

# Tables whose rows belong to one answer, unlike ids, which are written once for all.
answer_tables(e::Encoder) = (e.tables.code, e.tables.body, e.tables.statement, e.tables.operand,
                             e.tables.block, e.tables.edge, e.tables.call, e.tables.slot,
                             e.tables.cause)

# What is recorded by itself: new code, code that something ended, and all of what was asked for by
# name. Other code that was compiled before is recorded where recorded code calls it.
is_root(r::Recording, q::Question) =
    !in_image(q.ci) || q.ci.max_world != OPEN_WORLD ||
    is_asked((q.mi.def::Method).module, r.modules)

# Asks one level's questions in the order of their keys; returns those of the level below.
function drain_level!(r::Recording, level, scope, now::UInt64, depth::Int)
    e = r.encoder
    sort!(level, by = q -> (instance_key(q.mi), q.definition.first, UInt64(q.ci.min_world), q.world))
    note!(e, :questions, length(level))
    callees = IdDict{Core.MethodInstance,Nothing}()
    sent = Dict{String,Nothing}()
    for q in level
        r.asked[q.ci] = nothing
        key = instance_key(q.mi)
        haskey(sent, key) || instance!(e, q.mi, depth)
        sent[key] = nothing
        final = ask_safely!(r, q)
        final === nothing || foreach(mi -> callees[mi] = nothing, invoked(final))
        rows(e.tables.operand) > 100_000 && send!(r.fd, e.tables)
    end
    send!(r.fd, e.tables)
    depth < r.depth || return Question[]
    return callee_questions!(r, callees, scope, now, depth + 1)
end

function callee_questions!(r::Recording, callees, scope, now::UInt64, depth::Int)
    below = Question[]
    outside = Method[]
    for mi in keys(callees)
        haskey(scope, mi.def::Method) || in_shim(mi) || push!(outside, mi.def::Method)
    end
    for d in definitions(sort!(unique(outside), by = method_key))
        scope[d.method] = d
        method!(r.encoder, d)
    end
    for mi in keys(callees)
        in_shim(mi) || append!(below, questions_of(r, mi, scope[mi.def::Method], now, depth))
    end
    return below
end

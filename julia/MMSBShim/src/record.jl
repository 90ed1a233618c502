# One recording: what is noted while the program runs, and when it begins and ends.

"""What to record, as the host asked for it."""
struct Settings
    capture::String              # "reflect", "events", "final", "passes" or "decisions"
    depth::Int                   # calls away from the user's modules
    modules::Vector{String}      # recorded although not the user's
    functions::Vector{String}    # if any: bodies of these alone
    literals::Bool
    least_ns::UInt64             # bodies only of what took so long to infer; 0: of all
    limit::Int                   # code objects taken from the compiler's queue; 0: all
    apart::Bool                  # ask again in a second process
end

function Settings(said::Dict{String,String})
    words(name, by) = map(String, filter(!isempty, split(get(said, name, ""), by)))
    wanted = get(said, "MMSB_CAPTURE", "final")
    ms = parse(Float64, get(said, "MMSB_MIN_MS", "0"))
    return Settings(wanted, parse(Int, get(said, "MMSB_DEPTH", "1")), words("MMSB_MODULES", ','),
                    words("MMSB_FUNCTIONS", '\n'), get(said, "MMSB_LITERALS", "1") == "1",
                    round(UInt64, 1e6 * ms), parse(Int, get(said, "MMSB_LIMIT", "0")),
                    get(said, "MMSB_APART", "") == "1")
end

mutable struct Recording
    settings::Settings
    native::Bool                      # the compiler's own logs are read
    fd::Cint                          # frames go here; -1: to `bytes`
    bytes::Vector{UInt8}
    trace_fd::Cint                    # the file of --trace-compile, read-only; -1: none
    loaded_before::Vector{Module}
    first_world::UInt64
    defined_in::Dict{UInt64,Vector{Method}}    # world → what was defined in it
    in_scope::IdDict{Method,Nothing}           # of the recorded modules
    late::IdDict{Method,Nothing}               # others, that came after the recording began
    visited::Int                               # loaded modules when all methods were last visited
    announced::IdDict{Method,UInt64}           # sent already, with the last world that was said
    encoder::Encoder
    code_rows::UInt32                 # rows of `code` sent so far
    tree_rows::UInt32                 # rows of `inference`
    order::UInt64                     # code objects taken from the queue
    asked::IdDict{Core.CodeInstance,UInt64}    # sent already, with the last world that was said
    rows_of::IdDict{Core.CodeInstance,UInt32}  # their rows
    over::Vector{Definition}          # sent before, with their ends: no longer in the tables above
    ended::Vector{Core.CodeInstance}  # of them, the code objects
    chosen::Vector{Question}          # code whose decisions are wanted
    unknown::Vector{String}           # of the functions asked for, those that nothing was named so far
    unseen::Vector{String}            # of the modules
    faults::Int                       # questions that threw
    forked::Bool                      # this is the second process
    active::Bool
end

const RECORDING = Ref{Union{Nothing,Recording}}(nothing)
# The tracer's own vectors: it may do no more than push to them.
const TRACED = Method[]
const TRACED_AT = Int64[]             # bytes of the trace file before each
const TRACED_ORDER = Int64[]          # code objects inferred before each
const TRACE_FD = Ref{Cint}(-1)

# Bytes of the trace file so far. 2 is SEEK_END.
trace_offset() = TRACE_FD[] < 0 ? Int64(0) :
    ccall(:lseek, Int64, (Cint, Int64, Cint), TRACE_FD[], 0, 2)

function on_method(@nospecialize(m))
    push!(TRACED, m)
    push!(TRACED_AT, trace_offset())
    push!(TRACED_ORDER, length(INFERRED))
    nothing
end

trace_methods() = ccall(:jl_register_newmeth_tracer, Cvoid, (Ptr{Cvoid},),
                        @cfunction(on_method, Cvoid, (Any,)))
untrace_methods() = ccall(:jl_register_newmeth_tracer, Cvoid, (Ptr{Cvoid},), C_NULL)

# What the program starts must not hold the recorder's files open. F_SETFD is 2, FD_CLOEXEC 1.
close_on_exec(fd::Cint) = ccall(:fcntl, Cint, (Cint, Cint, Cint), fd, 2, 1)

note!(e::Encoder, key::Symbol, @nospecialize(value)) =
    (add!(e.tables.recording, symbol_id!(e, String(key)), symbol_id!(e, string(value)::String)); nothing)

# One frame of every table that has rows; the tables are empty afterwards.
send!(r::Recording) = r.fd < 0 ? append!(r.bytes, frame_bytes(r.encoder.tables)) :
    send!(r.fd, r.encoder.tables)

function recording(settings::Settings, fd::Cint, trace_fd::Cint)
    RECORDING[] === nothing ||
        error("MMSBShim is recording already, and a process has one recording at a time: end it first")
    native = NATIVE_KNOWN && settings.capture != "reflect"
    LITERALS[] = settings.literals
    TRACE_FD[] = trace_fd
    foreach(empty!, (TRACED, TRACED_AT, TRACED_ORDER))
    foreach(v -> sizehint!(v, 1 << 14), (TRACED, TRACED_AT, TRACED_ORDER))
    before = filter(m -> m !== Main, Base.loaded_modules_array())
    return Recording(settings, native, fd, UInt8[], trace_fd, before, Base.get_world_counter(),
                     Dict{UInt64,Vector{Method}}(), IdDict{Method,Nothing}(),
                     IdDict{Method,Nothing}(), -1, IdDict{Method,UInt64}(), Encoder(), 0, 0, 0,
                     IdDict{Core.CodeInstance,UInt64}(), IdDict{Core.CodeInstance,UInt32}(),
                     Definition[], Core.CodeInstance[], Question[], copy(settings.functions), copy(settings.modules),
                     0, false, true)
end

# The hooks, last of them the tracer: from here on what is defined and compiled is the program's.
function hook!(r::Recording)
    if r.native
        start_queue!()
        try
            start_invalidations!()
        catch               # the log has another reader: then neither is ours
            stop_timings!()
            stop_queue!()
            rethrow()
        end
    end
    trace_methods()
    nothing
end

function unhook!(r::Recording)
    untrace_methods()
    r.native || return nothing
    stop_timings!() || note!(r.encoder, :fault,
        "another user measured inference while this recording ran")
    stop_queue!() || note!(r.encoder, :fault,
        "another user took the compiler's queue of inferred code while this recording ran")
    stop_invalidations!() || note!(r.encoder, :fault, LOG_TAKEN)
    nothing
end

"""
    start(fd, trace_path, said)

Begin to record into the pipe `fd` what the settings `said` name. Until `finish`, only method
definitions and the compiler's own logs are noted.
"""
function start(fd::Int, trace_path::String, said::Dict{String,String})
    trace_fd = isempty(trace_path) ? Cint(-1) :
        ccall(:open, Cint, (Cstring, Cint), trace_path, Base.Filesystem.JL_O_RDONLY)
    foreach(close_on_exec, (Cint(fd), trace_fd))
    r = RECORDING[] = recording(Settings(said), Cint(fd), trace_fd)
    hello!(r)
    send!(r)
    atexit(finish)
    hook!(r)
    note!(r.encoder, :trace_start, trace_offset())     # a frame of its own: it costs no definition
    send!(r)
    nothing
end

function hello!(r::Recording)
    e, s = r.encoder, r.settings
    note!(e, :julia, VERSION)
    note!(e, :tier, r.native ? "native" : "reflect")
    note!(e, :capture, r.native ? s.capture : "reflect")
    note!(e, :origin, ORIGIN)
    note!(e, :threads, Threads.nthreads())
    note!(e, :depth, s.depth)
    note!(e, :modules, join(s.modules, ','))
    isempty(s.functions) || note!(e, :functions, join(s.functions, ' '))
    s.least_ns == 0 || note!(e, :min_inference_ms, s.least_ns / 1e6)
    note!(e, :literals, s.literals)
    note!(e, :first_world, r.first_world)
    (r.native || s.capture == "reflect") || note!(e, :tier_reason,
        string("the inside of Julia ", VERSION, " is not known: public reflection alone is used"))
end

const LOG_TAKEN = "another user took Julia's invalidation log while this recording ran"

"""Stop, ask for everything in scope, send it. Runs after the program's own exit hooks."""
function finish()
    r = RECORDING[]
    (r === nothing || !r.active) && return nothing
    r.active = false
    unhook!(r)
    note!(r.encoder, :trace_end, trace_offset())
    symbol_id!(r.encoder, LOG_TAKEN)           # what is said after a fork has been said before
    apart = r.native && (r.settings.apart || r.settings.capture == "decisions")
    # a second process, which has all that this one has, asks; this one stays as it is
    apart && run_apart(() -> (r.forked = true; last_words!(r)), r.encoder, r.fd) ||
        last_words!(r)
    send!(r)
    ccall(:close, Cint, (Cint,), r.fd)
    RECORDING[] = nothing
    nothing
end

function last_words!(r::Recording)
    try
        in_world(r.first_world, drain!, r)
        r.settings.capture == "decisions" && r.forked && decide_all!(r)
        ended!(r, DROPPED[])
    catch problem
        note!(r.encoder, :fault, problem isa InterruptException ? INTERRUPTED : sprint(showerror, problem))
    end
    send!(r)
    nothing
end

function ended!(r::Recording, dropped::Int)
    r.faults == 0 || note!(r.encoder, :faults, r.faults)
    dropped == 0 || note!(r.encoder, :dropped, dropped)
    isempty(r.unseen) || note!(r.encoder, :modules_not_seen, join(r.unseen, ' '))
    isempty(r.unknown) || note!(r.encoder, :functions_not_seen, join(r.unknown, ' '))
    note!(r.encoder, :ended, "yes")
end

const INTERRUPTED = "interrupted: what had not been asked for is not recorded"

fault_text(@nospecialize(problem)) = String(first(split(sprint(showerror, problem), '\n')))

# A question that threw; the first is told.
function failed!(r::Recording, what::String)
    r.faults += 1
    r.faults == 1 && note!(r.encoder, :first_fault, what)
    nothing
end

# What the shadow compiler decides of all that was asked for; in the second process alone.
function decide_all!(r::Recording)
    decide! = load_shadow!()
    for q in r.chosen
        still_alive()
        wrong = Base.invokelatest(decide!, r.encoder, q.mi, q.world, r.rows_of[q.ci])::String
        isempty(wrong) || failed!(r, wrong)
        rows(r.encoder.tables.decision) > 100_000 && send!(r)
    end
    nothing
end

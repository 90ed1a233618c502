# Work in a second process: a fork of this one, made when the program has ended. What is done there
# (other compiler methods, compiled code, caches) the observed process never sees.

# What may be said of the second process. In a recording the words are interned before the fork:
# afterwards the ids that this process would give are those the other one gave to something else.
const APART_NOT_STARTED = "the second process could not be started: this system refuses to fork, or compiled code is shared with a fork"
const APART_FAILED = "the second process failed: what it had not sent is not recorded"
const APART_KILLED = "the second process was ended by a signal: what it had not sent is not recorded"
const APART_STUCK = "the second process stood still and was ended (a thread of the program held a lock when it was forked): what it had not sent is not recorded"
const APART_WORDS = ("fault", APART_NOT_STARTED, APART_FAILED, APART_KILLED, APART_STUCK, INTERRUPTED)

# Seconds of silence after which the second process is ended (SIGALRM, 14), and rounds of 2 ms
# without any time of a processor: a lock that a thread of the program held when it was forked is
# held there for ever. (Rounds, since a program that was stopped for an hour has not waited.)
const APART_PATIENCE = 1800
const STILL_ROUNDS = 15_000

# Only the forking thread lives on in a fork. A collection there waits for each other thread as it
# was: one that rested is no obstacle, one that ran is. Helpers of the collector are not waited for.
# So where a thread ran there are no collections, and no more memory is used than half of what was free.
const COLLECTS = Ref(true)
const MOST_MEMORY = Ref(typemax(UInt))

function still_alive()
    ccall(:alarm, Cuint, (Cuint,), APART_PATIENCE)
    COLLECTS[] || Sys.maxrss() < MOST_MEMORY[] || error("the second process ran out of memory, which it ",
        "could not collect since threads of the program were running to its end: what it had not sent is not recorded")
    nothing
end

# Are all threads but this one at rest, as threads without a task are? Waits up to a second for it.
function threads_rest()::Bool
    isdir("/proc/self/task") || return Threads.nthreads() == 1
    for _ in 1:100
        running_threads() <= 1 && return true
        Base.Libc.systemsleep(0.01)
        GC.safepoint()
    end
    return false
end

function running_threads()
    n = 0
    for task in readdir("/proc/self/task")
        fields = process_fields(string("/proc/self/task/", task, "/stat"))
        n += !isempty(fields) && fields[1] == "R"
    end
    return n
end

# Of a line of /proc what follows the name: first the state; none where the process is gone.
function process_fields(path::String)
    line = try
        read(path, String)
    catch
        return SubString{String}[]
    end
    return split(line[something(findlast(isequal(')'), line), 0) + 1:end])
end

# Ticks of a processor that a process has had, or -1.
function ticks_of(pid::Cint)
    fields = process_fields(string("/proc/", pid, "/stat"))
    return length(fields) < 13 ? -1 : parse(Int, fields[12]) + parse(Int, fields[13])
end

"""
    run_apart(work, e, fd) -> Bool

Send what is in the encoder's tables, run `work()` in a fork of this process and wait for it. `work` sends frames of its
own, and may not yield, print or touch a stream: the event loop is the other process's. Afterwards
this process may say no word that was not said before. False if it could not be forked; a `fault` is
noted then, and if the fork did not end well.
"""
function run_apart(@nospecialize(work), e::Encoder, fd::Cint)::Bool
    foreach(word -> symbol_id!(e, word), APART_WORDS)
    send!(fd, e.tables)
    pid = forked(work)
    fault = pid < 0 ? APART_NOT_STARTED : outcome(pid)
    fault === nothing || note!(e, :fault, fault)
    return pid >= 0
end

"""
    read_apart(work) -> bytes

Run `work(fd)` in a fork of this process; what it wrote to `fd`. Throws if it did not end well.
"""
function read_apart(@nospecialize(work))::Vector{UInt8}
    ends = Cint[0, 0]
    ccall(:pipe, Cint, (Ptr{Cint},), ends) == 0 || error(APART_NOT_STARTED)
    foreach(close_on_exec, ends)
    bytes = UInt8[]
    pid = forked(() -> work(ends[2]))
    ccall(:close, Cint, (Cint,), ends[2])
    fault = pid < 0 ? APART_NOT_STARTED : outcome(pid, ends[1], bytes)
    ccall(:close, Cint, (Cint,), ends[1])
    fault === nothing || error(fault)
    return bytes
end

# Julia's JIT writes machine code through /proc/self/mem, which it opens once: in a fork that still is
# the memory of the first process. Its number here, or -1 where there is none.
function memory_fd()::Cint
    Sys.islinux() || return Cint(-1)
    for name in readdir("/proc/self/fd")
        link = try
            readlink(string("/proc/self/fd/", name))
        catch
            ""                       # the one that reads the folder
        end
        startswith(link, "/proc/") && endswith(link, "/mem") && return parse(Cint, name)
    end
    return Cint(-1)
end

# In a fork, before anything is compiled: our own memory under that number. O_RDWR is 2.
function own_memory!(fd::Cint)::Bool
    fd < 0 && return false
    own = ccall(:open, Cint, (Cstring, Cint), "/proc/self/mem", 2)
    return own >= 0 && ccall(:dup2, Cint, (Cint, Cint), own, fd) == fd
end

# The second process's number, or -1. No collection may be under way in a thread that it will not have.
function forked(@nospecialize(work))::Cint
    memory = memory_fd()
    memory < 0 && return Cint(-1)
    own_memory!(Cint(-1))                    # compiled from here on, as this function is
    COLLECTS[] = threads_rest()
    MOST_MEMORY[] = UInt(Sys.maxrss() + Sys.free_memory() ÷ 2)
    collecting = GC.enable(false)
    pid = ccall(:fork, Cint, ())
    if pid == 0
        own_memory!(memory) || ccall(:_exit, Cvoid, (Cint,), 1)
        apart(work, collecting)
    end
    GC.enable(collecting)
    return pid
end

function apart(@nospecialize(work), collecting::Bool)
    status = 1
    try
        # PR_SET_PDEATHSIG, SIGKILL: without the observed process there is nothing to say
        Sys.islinux() && ccall(:prctl, Cint, (Cint, Culong), 1, 9)
        ccall(:signal, Ptr{Cvoid}, (Cint, Ptr{Cvoid}), 14, C_NULL)
        still_alive()
        first_to_go()
        COLLECTS[] && GC.enable(collecting)
        work()
        status = 0
    catch
    end
    ccall(:_exit, Cvoid, (Cint,), status)
end

# Where memory runs out, this process is ended and not the program.
function first_to_go()
    fd = ccall(:open, Cint, (Cstring, Cint), "/proc/self/oom_score_adj", 1)      # O_WRONLY
    fd < 0 && return nothing
    ccall(:write, Cssize_t, (Cint, Cstring, Csize_t), fd, "1000", 4)
    ccall(:close, Cint, (Cint,), fd)
    nothing
end

# How the process ended: nothing, or a fault. Polls, so that other threads may collect meanwhile and
# an interrupt arrives; WNOHANG is 1.
function outcome(pid::Cint, source::Cint = Cint(-1), bytes::Vector{UInt8} = UInt8[])
    status = Ref{Cint}(0)
    fault = nothing
    ticks, still = -1, 0
    reading = source >= 0
    try
        while true
            if reading
                reading = read_more!(bytes, source)
            else
                found = ccall(:waitpid, Cint, (Cint, Ptr{Cint}, Cint), pid, status, 1)
                found == pid && break
                found < 0 && Base.Libc.errno() != Base.Libc.EINTR && break   # someone else reaped it
                Base.Libc.systemsleep(0.002)
            end
            GC.safepoint()
            still += 1
            still % 500 == 0 || continue
            now = ticks_of(pid)
            now == ticks || (still = 0)
            ticks = now
            (still < STILL_ROUNDS || fault !== nothing) && continue
            fault = APART_STUCK
            ccall(:kill, Cint, (Cint, Cint), pid, 9)
        end
    catch problem
        ccall(:kill, Cint, (Cint, Cint), pid, 9)
        ccall(:waitpid, Cint, (Cint, Ptr{Cint}, Cint), pid, status, 0)
        problem isa InterruptException || rethrow()
        fault = INTERRUPTED
    end
    fault === nothing || return fault
    signal = status[] & 0x7f
    signal == 0 || return APART_KILLED
    return (status[] >> 8) & 0xff == 0 ? nothing : APART_FAILED
end

# What is ready to read, waiting up to 20 ms for it; false at the end. POLLIN is 1, in a pollfd of
# Cint and two Cshort.
function read_more!(bytes::Vector{UInt8}, source::Cint)
    ready = Int32[source, 1]
    ccall(:poll, Cint, (Ptr{Int32}, Culong, Cint), ready, 1, 20) > 0 || return true
    part = Vector{UInt8}(undef, 1 << 16)
    n = ccall(:read, Cssize_t, (Cint, Ptr{UInt8}, Csize_t), source, part, length(part))
    n < 0 && return Base.Libc.errno() == Base.Libc.EINTR
    append!(bytes, view(part, 1:Int(n)))
    return n > 0
end

# The shadow compiler is the whole compiler again, compiled for one use: without the efforts of LLVM
# and of inlining that takes a third of the time.
"""
    load_shadow!() -> decide!

Load the shadow compiler into this process: only ever in a fork. What it returns is to be called
through `Base.invokelatest`.
"""
function load_shadow!()
    set_option!(:opt_level, 0)
    Base.include(@__MODULE__, joinpath(@__DIR__, "interpreter.jl"))
    set_option!(:can_inline, 0)            # after our interpreter has read what it is
    return Base.invokelatest(getfield, @__MODULE__, :decide!)
end

function set_option!(name::Symbol, value::Int)
    k = Base.fieldindex(Base.JLOptions, name, false)
    k == 0 && return nothing
    T = fieldtype(Base.JLOptions, k)
    at = cglobal(:jl_options, Base.JLOptions) + fieldoffset(Base.JLOptions, k)
    unsafe_store!(Ptr{T}(at), T(value))
    nothing
end

# Work in a second process: a fork of this one, made when the program has ended. What is done there
# (other compiler methods, compiled code, caches) the observed process never sees.

# What may be said of the second process. In a recording the words are interned before the fork:
# afterwards the ids that this process would give are those the other one gave to something else.
const APART_NOT_STARTED = "the second process could not be started: this system refuses to fork, or compiled code is shared with a fork"
const APART_FAILED = "the second process failed: what it had not sent is not recorded"
const APART_KILLED = "the second process was ended by a signal: what it had not sent is not recorded"
const APART_WORDS = ("fault", APART_NOT_STARTED, APART_FAILED, APART_KILLED)

# Seconds of silence after which the second process is ended (SIGALRM, 14): a lock that a thread of
# the program held when it was forked is held there for ever.
const APART_PATIENCE = 1800
still_alive() = (ccall(:alarm, Cuint, (Cuint,), APART_PATIENCE); nothing)

# Only the forking thread lives on in a fork. A collection there waits for the helpers of the
# collector, and for threads that were running.
collects_alone() = Threads.nthreads() == 1 &&
    (!isdefined(Threads, :ngcthreads) || Threads.ngcthreads() == 1)

"""
    run_apart(work, e, fd) -> Bool

Send what is in the encoder's tables, run `work()` in a fork of this process and wait for it. `work` sends frames of its
own, and may not yield, print or touch a stream: the event loop is the other process's. Afterwards
this process may say no word that was not said before. False, and a `fault`, if the fork did not end well.
"""
function run_apart(@nospecialize(work), e::Encoder, fd::Cint)::Bool
    foreach(word -> symbol_id!(e, word), APART_WORDS)
    send!(fd, e.tables)
    pid = forked(work)
    fault = pid < 0 ? APART_NOT_STARTED : outcome(pid)
    fault === nothing || note!(e, :fault, fault)
    return fault === nothing
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
        collects_alone() && GC.enable(collecting)
        work()
        status = 0
    catch
    end
    ccall(:_exit, Cvoid, (Cint,), status)
end

# How the process ended: nothing, or a fault. Polls, so that other threads may collect meanwhile and
# an interrupt arrives; WNOHANG is 1.
function outcome(pid::Cint, source::Cint = Cint(-1), bytes::Vector{UInt8} = UInt8[])
    status = Ref{Cint}(0)
    over = false
    try
        while source >= 0 && read_more!(bytes, source)
            GC.safepoint()
        end
        while true
            found = ccall(:waitpid, Cint, (Cint, Ptr{Cint}, Cint), pid, status, 1)
            found == pid && break
            found < 0 && Base.Libc.errno() != Base.Libc.EINTR && break   # someone else reaped it
            Base.Libc.systemsleep(0.002)
            GC.safepoint()
        end
        over = true
    finally
        over || ccall(:kill, Cint, (Cint, Cint), pid, 9)
    end
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

# Code to evaluate, sent by a Python session: u32 bytes, then the text; answered by u8 (1: it threw),
# u32 bytes, the message. The end of the pipe ends the session.

function read_exactly(fd::Cint, n::Int)
    bytes = Vector{UInt8}(undef, n)
    done = 0
    GC.@preserve bytes while done < n
        got = ccall(:read, Cssize_t, (Cint, Ptr{UInt8}, Csize_t), fd, pointer(bytes, done + 1), n - done)
        if got < 0
            Base.Libc.errno() == Base.Libc.EINTR && continue
            return nothing
        end
        got == 0 && return nothing
        done += got
    end
    return bytes
end

function answer(fd::Cint, failed::Bool, text::String)
    io = IOBuffer()
    write(io, UInt8(failed), htol(UInt32(ncodeunits(text))), text)
    return write_all(fd, take!(io))
end

"""Evaluate code in Main as it comes, at top level, until the pipe ends."""
function serve(code_fd::Int, reply_fd::Int)
    input, output = Cint(code_fd), Cint(reply_fd)
    foreach(close_on_exec, (input, output))
    count = 0
    while true
        head = read_exactly(input, 4)
        head === nothing && return nothing
        bytes = read_exactly(input, Int(ltoh(reinterpret(UInt32, head)[1])))
        bytes === nothing && return nothing
        count += 1
        failed, text = false, ""
        try
            Base.include_string(Main, String(bytes), string("session[", count, ']'))
        catch problem
            failed, text = true, shown(unwrap(problem), program_frames(catch_backtrace()))
        end
        answer(output, failed, text) || return nothing
    end
end

unwrap(@nospecialize(problem)) = problem isa LoadError ? unwrap(problem.error) : problem

# The stack down to the code that was sent: below it are ours.
function program_frames(trace)
    frames = stacktrace(trace)
    last = findlast(f -> f.func === Symbol("top-level scope") &&
                         startswith(String(f.file), "session["), frames)
    return last === nothing ? frames : frames[1:last]
end

# As Julia shows it; the program may have given its exceptions a `showerror` that throws.
function shown(@nospecialize(problem), frames)
    try
        return Base.invokelatest(sprint, showerror, problem, frames)::String
    catch
        return string("an exception of type ", typeof(problem), ", which cannot be shown")
    end
end

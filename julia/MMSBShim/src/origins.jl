# Where a statement came from: the calls it was inlined through, its line, the lowered statement.

# The frames of a body's statement in hand, and those of the one before with the scope of each:
# neighbours come mostly of the same calls.
struct Trail
    method::Method
    frames::Vector{Frame}
    before::Vector{Frame}
    scopes::Vector{UInt32}
end
Trail(m::Method) = Trail(m, Frame[], Frame[], UInt32[])

# (scope, line, origin) of the statement whose frames the trail has in hand.
function locate!(e::Encoder, t::Trail)::Tuple{UInt32,Int32,UInt32}
    m, frames = t.method, t.frames
    isempty(frames) && return (SELF, typemin(Int32), NONE)
    n = length(frames)
    same = shared_scopes(t)
    resize!(t.scopes, n)
    t.scopes[1] = SELF
    for k in same + 1:n
        k == 1 && continue
        caller, callee = frames[k - 1], frames[k]
        parent = k == 2 ? NONE : t.scopes[k - 1]
        line = k == 2 ? own_line(m, caller) : caller.line
        t.scopes[k] = scope_id!(e, parent, callee.method, callee.file, line, caller.origin)
    end
    resize!(t.before, n)
    copyto!(t.before, frames)
    inner = frames[n]
    scope = t.scopes[n]
    if n == 1
        inner.file === m.file && return (SELF, own_line(m, inner), inner.origin)
        # a lowered statement that had no line of its own, as 1.10 leaves a return behind a call
        inner.file === :none && return (SELF, typemin(Int32), inner.origin)
        # code of another file without an inlined frame: a macro's
        scope = scope_id!(e, NONE, Symbol("macro expansion"), inner.file, Int32(0), inner.origin)
    end
    origin = inner.origin == NONE ? reinterpret(UInt32, inner.line) : inner.origin
    return (scope, inner.line, origin)
end

# How many of the scopes of the statement before are this one's: a scope is where its frame was
# called and which method it is.
function shared_scopes(t::Trail)
    most = min(length(t.frames), length(t.scopes))
    for k in 1:most
        a, b = t.frames[k], t.before[k]
        (a.method === b.method && a.file === b.file) || return k - 1
        (a.line == b.line && a.origin == b.origin) || return k
    end
    return most
end

own_line(m::Method, f::Frame) = f.file === m.file ? f.line - Int32(m.line) : f.line

# Where each statement of a body came from: (scope, line, origin) by statement number.
function places(e::Encoder, m::Method, src::Core.CodeInfo, stage::UInt8, lowered_count::Int, tagged::Bool)
    in_place = stage == STAGES.lowered ||
        (stage == STAGES.inferred && length(src.code) == lowered_count)
    trail = Trail(m)
    found = Vector{Tuple{UInt32,Int32,UInt32}}(undef, length(src.code))
    for pc in 1:length(src.code)
        frames_at!(trail.frames, src, pc, tagged)
        scope, line, origin = locate!(e, trail)
        # what inference leaves in place is the lowered statement itself
        found[pc] = (scope, line, in_place ? place(pc) : origin)
    end
    return found
end

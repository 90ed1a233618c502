# Up to 1.11 the compiler can time its inference: it keeps a tree with a frame for each time that it
# inferred something, constants propagated into it included, while a switch of its own is on. Later
# Julias keep the times in their code objects (compat.jl).

const TIMER = Ref(UInt64(0))      # when ours began: a tree that began at another time is not ours
const TIMINGS = Any[]             # frames that running code asked for, kept until they are read

function start_timings!()
    HAS_TIMINGS || return nothing
    measures_inference() && error("MMSBShim cannot record: another tool measures inference ",
                                 "(SnoopCompileCore.@snoop_inference does), and a process has ",
                                 "one such tree; record when it has ended")
    CC.Timings.reset_timings()
    TIMER[] = first(CC.Timings._timings).start_time
    measure_inference!(true)
    nothing
end

"""Stop to measure. False where somebody else had begun anew meanwhile."""
function stop_timings!()
    HAS_TIMINGS || return true
    timings = CC.Timings._timings
    (isempty(timings) || first(timings).start_time != TIMER[]) && return false
    measure_inference!(false)
    # whatever inference was interrupted in stays above the root
    foreach(unfinished -> append!(TIMINGS, unfinished.children), timings)
    CC.Timings.reset_timings()
    return true
end

# Which code object of the queue is whose frame's.
mutable struct Matching
    taken::Vector{Tuple{Core.CodeInstance,UInt64}}
    places::IdDict{Core.MethodInstance,Vector{Int}}      # in `taken`, of what has no frame yet
    done::BitVector
    next::Int                     # the first that is not done
end

# What was measured, with the code objects that were made; what was made unmeasured follows.
function timed_frames(taken::Vector{Tuple{Core.CodeInstance,UInt64}})
    m = Matching(taken, IdDict{Core.MethodInstance,Vector{Int}}(), falses(length(taken)), 1)
    for (k, (ci, _)) in enumerate(taken)
        push!(get!(() -> Int[], m.places, instance_of(ci)), k)
    end
    frames = InferenceFrame[]
    foreach(timing -> timed_frame!(frames, timing, 0, m), TIMINGS)
    empty!(TIMINGS)
    for (k, (ci, order)) in enumerate(taken)
        m.done[k] || push!(frames, InferenceFrame(0, instance_of(ci), ci, INFERENCES.normal, order,
                                                  NONE_U64, NONE_U64))
    end
    return frames
end

# Writes a frame and those below it; returns the time they took together.
function timed_frame!(frames, timing, parent::Int, m::Matching)::UInt64
    info, inclusive = timing.mi_info, UInt64(timing.time)
    mi = info.mi::Core.MethodInstance
    known = mi.def isa Method                # a statement at top level is nobody's code
    known && in_shim(mi) && return inclusive
    known && push!(frames, InferenceFrame(parent, mi, nothing, INFERENCES.normal, 0, 0, 0))
    place = length(frames)
    for below in timing.children
        inclusive += timed_frame!(frames, below, known ? place : 0, m)
    end
    known || return inclusive
    kind = is_propagated(info) ? INFERENCES.constant : INFERENCES.normal
    k = kind == INFERENCES.normal ? match!(m, mi) : 0
    code, order = k == 0 ? (nothing, next_order(m)) : m.taken[k]
    code === nothing || (TIMES[code] = (inclusive, UInt64(timing.time), NONE_U64))
    frames[place] = InferenceFrame(parent, mi, code, kind, order, inclusive, timing.time)
    return inclusive
end

function match!(m::Matching, mi::Core.MethodInstance)
    places = get(m.places, mi, nothing)
    (places === nothing || isempty(places)) && return 0
    k = popfirst!(places)
    m.done[k] = true
    return k
end

# Where in the queue a frame stands that left nothing in it: before what is not made yet.
function next_order(m::Matching)::UInt64
    while m.next <= length(m.done) && m.done[m.next]
        m.next += 1
    end
    m.next <= length(m.taken) && return m.taken[m.next][2]
    return isempty(m.taken) ? UInt64(0) : m.taken[end][2]
end

# Does a frame know more of its arguments than their types say?
function is_propagated(info)
    plain = CC.matching_cache_argtypes(CC.fallback_lattice, info.mi)[1]
    for k in 1:min(info.nargs, length(info.slottypes), length(plain))
        CC.is_lattice_equal(CC.fallback_lattice, info.slottypes[k], plain[k]) || return true
    end
    return false
end

# The passive tier: what the compiler itself inferred, in its order. The compiler pushes each code
# object to a vector of ours as it is inferred; nothing is read until the program is quiet, and
# nothing that the compiler keeps or does is changed.

const INFERRED = Any[]           # rooted here, since the compiler's own reference is no root
const CANARY = Ref{Any}(nothing)  # a code object of the shim's
const DROPPED = Ref(0)           # beyond the limit that was asked for

# Who else uses a hook of which a process has one, or nothing.
function other_user()
    ccall(:jl_generating_output, Cint, ()) == 0 || return "package precompilation"
    snoop = get(Base.loaded_modules, SNOOP_COMPILE_CORE, nothing)
    snoop === nothing && return nothing
    # it may have been loaded after the world this runs in
    held = Base.invokelatest(isdefined, snoop, :snoop_inference_lock) &&
        Base.invokelatest(islocked, Base.invokelatest(getfield, snoop, :snoop_inference_lock))
    return held ? "SnoopCompileCore.@snoop_inference" : nothing
end
const SNOOP_COMPILE_CORE =
    Base.PkgId(Base.UUID("e2b509da-e806-4183-be48-004708413034"), "SnoopCompileCore")

function start_queue!()
    other = other_user()
    other === nothing || error("MMSBShim cannot record: ", other, " uses the compiler's queue of ",
                               "inferred code, and a process has one; record when it has ended")
    CANARY[] = first_code_object()       # found now: what that compiles is not the program's
    empty!(INFERRED)
    sizehint!(INFERRED, 1 << 16)
    DROPPED[] = 0
    start_timings!()
    ccall(:jl_set_newly_inferred, Cvoid, (Any,), INFERRED)
    track_inferred!(true)
    nothing
end

# True if the queue was ours to the end: a code object we push ourselves has to arrive.
function stop_queue!()
    n = length(INFERRED)
    canary = CANARY[]
    ccall(:jl_push_newly_inferred, Cvoid, (Any,), canary)
    ours = length(INFERRED) > n && INFERRED[end] === canary
    ours || return false             # another's by now: not ours to take away
    pop!(INFERRED)
    track_inferred!(false)
    return true
end

first_code_object() = first(code_instances(first(specializations(first(methods(other_user))))))

# What was inferred since the last call, in the compiler's order: native, complete, not the shim's.
# `first_order` is the place of the first of them in the whole queue.
function take_inferred!(first_order::UInt64, limit::Int)
    found = Tuple{Core.CodeInstance,UInt64}[]
    for k in 1:length(INFERRED)
        ci = INFERRED[k]
        ci isa Core.CodeInstance && is_native(ci) && is_complete(ci) || continue
        mi = instance_of(ci)
        (mi isa Core.MethodInstance && mi.def isa Method) || continue
        if limit > 0 && first_order + k > limit
            DROPPED[] += 1
        else
            push!(found, (ci, first_order + UInt64(k - 1)))
        end
    end
    return found
end

# What a code object depends on: its forward edges, as inference left them.
function dependencies!(e::Encoder, code::UInt32, ci::Core.CodeInstance)
    HAS_EDGES && isdefined(ci, :edges) || return nothing
    edges = ci.edges
    k = 1
    while k <= length(edges)
        isassigned(edges, k) || (k += 1; continue)
        edge = edges[k]
        if edge isa Int                       # |n| methods fit a call of the type that follows
            depend!(e, code, DEPENDENCIES.dispatch, type_text(edges[k + 1]))
            k += 2
        elseif edge isa Type && k < length(edges)
            target = edges[k + 1]
            mi = instance_of(target)
            mi isa Core.MethodInstance && mi.def isa Method ?
                depend!(e, code, DEPENDENCIES.invoke, instance_key(mi)) :
                depend!(e, code, DEPENDENCIES.dispatch, type_text(edge))
            k += 2
        else
            depend!(e, code, edge)
            k += 1
        end
    end
    nothing
end

function depend!(e::Encoder, code::UInt32, @nospecialize(edge))
    mi = instance_of(edge)
    if mi isa Core.MethodInstance
        mi.def isa Method && depend!(e, code, DEPENDENCIES.code, instance_key(mi))
    elseif edge isa Core.Binding
        depend!(e, code, DEPENDENCIES.binding, binding_key(edge.globalref))
    elseif edge isa Method
        depend!(e, code, DEPENDENCIES.code, method_key(edge))
    end
    nothing
end
depend!(e::Encoder, code::UInt32, kind::UInt8, target::String) =
    (add!(e.tables.dependency, code, kind, symbol_id!(e, target)); nothing)

binding_key(g::GlobalRef) = string(module_path(g.mod), '.', short_symbol(g.name))

# Code objects that an edge leads to.
function callees(ci::Core.CodeInstance)
    found = Core.CodeInstance[]
    if HAS_EDGES && isdefined(ci, :edges)
        for k in 1:length(ci.edges)
            isassigned(ci.edges, k) && ci.edges[k] isa Core.CodeInstance && push!(found, ci.edges[k])
        end
    end
    return found
end

"""One frame of the inference tree; frames are in pre-order."""
struct InferenceFrame
    parent::Int                   # its place among the frames; 0: running code asked
    instance::Core.MethodInstance
    code::Union{Nothing,Core.CodeInstance}
    kind::UInt8                   # of INFERENCES
    order::UInt64                 # in the queue
    inclusive::UInt64             # ns
    exclusive::UInt64
end

# Who asked for whom: the place in `taken` of each code object's parent, 0 where running code asked.
# Whoever asks is done later than what it asked for: the parent is the first one after it that
# depends on it.
function parents(taken::Vector{Tuple{Core.CodeInstance,UInt64}})
    parent = zeros(Int, length(taken))
    number = IdDict{Core.CodeInstance,Int}()
    for (k, (ci, _)) in enumerate(taken)
        number[ci] = k
        for callee in callees(ci)
            at = get(number, callee, 0)
            0 < at < k && parent[at] == 0 && (parent[at] = k)
        end
    end
    return parent
end

# The frames of what was taken, by its own edges and times.
function linked_frames(taken::Vector{Tuple{Core.CodeInstance,UInt64}})
    parent = parents(taken)
    children = [Int[] for _ in taken]
    for k in 1:length(taken)
        parent[k] == 0 || push!(children[parent[k]], k)
    end
    frames = InferenceFrame[]
    place = zeros(Int, length(taken))
    waiting = Int[]
    for root in 1:length(taken)
        parent[root] == 0 || continue
        push!(waiting, root)
        while !isempty(waiting)
            k = pop!(waiting)
            ci, order = taken[k]
            inclusive, exclusive, _ = times(ci)
            push!(frames, InferenceFrame(parent[k] == 0 ? 0 : place[parent[k]], instance_of(ci), ci,
                                         INFERENCES.normal, order, inclusive, exclusive))
            place[k] = length(frames)
            append!(waiting, reverse(children[k]))
        end
    end
    return frames
end

# Writes the frames; `sent` rows went before. Returns how many have been sent now.
function inference_tree!(e::Encoder, frames::Vector{InferenceFrame},
                         code_rows::IdDict{Core.CodeInstance,UInt32}, sent::UInt32)
    for f in frames
        add!(e.tables.inference, f.parent == 0 ? NONE : sent + UInt32(f.parent - 1),
             symbol_id!(e, instance_key(f.instance)),
             f.code === nothing ? NONE : get(code_rows, f.code, NONE), f.kind, f.order,
             f.inclusive, f.exclusive)
    end
    return sent + UInt32(length(frames))
end

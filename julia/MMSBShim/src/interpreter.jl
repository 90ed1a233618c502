# The shadow compiler: Julia's own, run once more under an owner of its own, with a note taken at
# every decision. Not part of the module as it is loaded: `load_shadow!` includes it, in a fork.
#
# Nothing of the compiler is written anew. Each function below that decides something is given one
# more method for each of its own, the same but for our interpreter's type, which calls the
# compiler's and takes a note of arguments and answer.

# Owner of the code objects of one session and world: compared by value, never `nothing`.
struct ShadowOwner
    session::UInt64
    world::UInt64
end

struct Note
    kind::UInt8
    callee::Any              # an instance, a function's type, or nothing
    outcome::UInt32
    cost::UInt32
    threshold::UInt32
    reason::String
    effects::UInt32
    type::Any                # a lattice element, or nothing
end
Note(kind::UInt8, @nospecialize(callee); outcome = NONE, cost = NONE, threshold = NONE, reason = "",
     effects = 0x00000000, type = nothing) =
    Note(kind, callee, outcome % UInt32, cost % UInt32, threshold % UInt32, reason, effects, type)

# What was noted of one inference of one instance, without constants. Statements are lowered ones.
mutable struct Book
    frame::Any                               # its InferenceState, while it may still be running
    said::Dict{Int,Vector{Note}}             # a statement's last visit by inference
    lost::Dict{Int,CC.Effects}               # all visits together, as inference merges them
    chosen::Vector{Tuple{Int,Note}}          # the inliner's, in its order
end
Book(frame) = Book(frame, Dict{Int,Vector{Note}}(), Dict{Int,CC.Effects}(), Tuple{Int,Note}[])

# What inlining an instance, or its inference with constants, costs.
struct Cost
    cost::UInt32
    threshold::UInt32
    refused::String          # why not, whatever it costs
end

# A candidate the inliner looked at.
struct Candidate
    statement::Int
    instance::Core.MethodInstance
    item::Any                # the inliner's answer
    flag::Any                # of the statement
    source::Any              # key of its cost
end

# What is being optimised.
mutable struct Desk
    instance::Union{Nothing,Core.MethodInstance}    # nothing: inference with constants
    statement::Int
    call::Any                                       # type of the function called there
    constants::Dict{Int,Tuple{Any,Any}}             # calls of constant result: function, result
    length::Int                                     # the last of these
    candidates::Vector{Candidate}
end

const NATIVE = CC.NativeInterpreter(UInt(Base.get_world_counter()))
const RESULTS = typeof(CC.get_inference_cache(NATIVE))

struct RecordingInterpreter <: CC.AbstractInterpreter
    world::UInt
    owner::ShadowOwner
    inference::CC.InferenceParams
    optimization::CC.OptimizationParams
    results::RESULTS
    code::IdDict{Core.MethodInstance,Core.CodeInstance}     # where owners do not exist
    books::IdDict{Core.MethodInstance,Book}
    running::Vector{Book}
    costs::IdDict{Any,Cost}
    desk::Desk
end
RecordingInterpreter(world::UInt64, session::UInt64) = RecordingInterpreter(
    world, ShadowOwner(session, world), CC.InferenceParams(NATIVE), CC.OptimizationParams(NATIVE),
    RESULTS(), IdDict{Core.MethodInstance,Core.CodeInstance}(), IdDict{Core.MethodInstance,Book}(),
    Book[], IdDict{Any,Cost}(), 
    Desk(nothing, 0, nothing, Dict{Int,Tuple{Any,Any}}(), 0, Candidate[]))

# --- what every interpreter must say ------------------------------------------------------------

CC.InferenceParams(i::RecordingInterpreter) = i.inference
CC.OptimizationParams(i::RecordingInterpreter) = i.optimization
CC.get_inference_cache(i::RecordingInterpreter) = i.results

if isdefined(CC, :get_inference_world)
    CC.get_inference_world(i::RecordingInterpreter) = i.world
else
    CC.get_world_counter(i::RecordingInterpreter) = i.world
end

if isdefined(CC, :cache_owner)
    CC.cache_owner(i::RecordingInterpreter) = i.owner
else
    struct ShadowCode
        found::IdDict{Core.MethodInstance,Core.CodeInstance}
    end
    const ShadowView = CC.WorldView{ShadowCode}
    CC.code_cache(i::RecordingInterpreter) = CC.WorldView(ShadowCode(i.code), i.world)
    CC.haskey(v::ShadowView, mi::Core.MethodInstance) = haskey(v.cache.found, mi)
    CC.get(v::ShadowView, mi::Core.MethodInstance, default) = get(v.cache.found, mi, default)
    CC.getindex(v::ShadowView, mi::Core.MethodInstance) = v.cache.found[mi]
    CC.setindex!(v::ShadowView, ci::Core.CodeInstance, mi::Core.MethodInstance) =
        (v.cache.found[mi] = ci; v)
end

# Code that is a constant is optimised too: how it came to be one is what is asked.
isdefined(CC, :result_is_constabi) &&
    (CC.result_is_constabi(::RecordingInterpreter, ::CC.InferenceResult) = false)

# No backedges: what they end would be logged as an invalidation of the program's code.
if hasmethod(CC.finish!, Tuple{CC.AbstractInterpreter,CC.InferenceState,UInt,UInt64})
    CC.finish!(i::RecordingInterpreter, frame::CC.InferenceState, ::UInt, before::UInt64) =
        invoke(CC.finish!, Tuple{CC.AbstractInterpreter,CC.InferenceState,UInt,UInt64},
               i, frame, typemax(UInt), before)
end

# Where debug info does not name statements, inference is given lowered code whose lines do.
if ORIGIN == "tagged"
    function CC.InferenceState(result::CC.InferenceResult, cache::Symbol, i::RecordingInterpreter)
        src = CC.retrieve_code_info(result.linfo, i.world)
        src === nothing && return nothing
        return CC.InferenceState(result, tagged(src), cache, i)
    end
end

# --- taps ----------------------------------------------------------------------------------------

ours(@nospecialize(t)) = t === CC.AbstractInterpreter ? RecordingInterpreter :
    t === CC.InliningState ? CC.InliningState{RecordingInterpreter} : t

"""One method of a compiler's function for our interpreter beside each that could take it."""
function tap!(name::Symbol, @nospecialize(before), @nospecialize(after))
    isdefined(CC, name) || return nothing
    f = getfield(CC, name)
    for m in collect(methods(f))
        m.sig isa DataType || continue
        theirs = Any[m.sig.parameters[2:end]...]
        mine = map(ours, theirs)
        (mine == theirs || any(is_vararg, theirs)) && continue
        names = [Symbol(:argument, k) for k in 1:length(mine)]
        arguments = Any[:($(names[k])::$(mine[k])) for k in 1:length(mine)]
        for k in 1:length(mine)                  # as theirs is, so that no more is compiled
            (m.nospecialize >> (k - 1)) & 1 == 1 && (arguments[k] = :(@nospecialize($(arguments[k]))))
        end
        isempty(Base.kwarg_decl(m)) || pushfirst!(arguments, Expr(:parameters, :(keywords...)))
        call = Expr(:call, :invoke, f, :(Tuple{$(theirs...)}), names...)
        isempty(Base.kwarg_decl(m)) || insert!(call.args, 2, Expr(:parameters, :(keywords...)))
        target = Expr(:call, Expr(:., :CC, QuoteNode(name)), arguments...)
        body = quote
            $(before === nothing ? nothing : :($before(Any[$(names...)])))
            answer = $call
            $(after === nothing ? nothing : :($after(answer, Any[$(names...)])))
            return answer
        end
        Core.eval(@__MODULE__, Expr(:function, target, body))
    end
    nothing
end

argument(::Type{T}, arguments::Vector{Any}) where {T} =
    (k = findfirst(a -> a isa T, arguments); k === nothing ? nothing : arguments[k])

function interpreter_of(arguments::Vector{Any})::RecordingInterpreter
    i = argument(RecordingInterpreter, arguments)
    return i === nothing ? argument(CC.InliningState, arguments).interp : i
end

has_constants(result::CC.InferenceResult) =
    (given = result.overridden_by_const; given !== nothing && CC.any(given))

# The book of the frame an event belongs to, and its statement; nothing for inference with constants.
function open_book(arguments::Vector{Any})
    frame = argument(CC.InferenceState, arguments)
    (frame === nothing || has_constants(frame.result)) && return nothing
    i = interpreter_of(arguments)
    book = get(i.books, frame.linfo, nothing)
    if book === nothing || book.frame !== frame
        book = i.books[frame.linfo] = Book(frame)
        push!(i.running, book)
    end
    return (book, Int(frame.currpc))
end

function say!(arguments::Vector{Any}, note::Note)
    place = open_book(arguments)
    place === nothing || push!(get!(() -> Note[], place[1].said, place[2]), note)
    nothing
end

# --- inference -----------------------------------------------------------------------------------

function on_visit(arguments::Vector{Any})
    place = open_book(arguments)
    place === nothing || delete!(place[1].said, place[2])
    nothing
end

function on_effects(answer, arguments::Vector{Any})
    effects = argument(CC.Effects, arguments)
    effects === CC.EFFECTS_TOTAL && return nothing
    if isdefined(CC, :EFFECT_FREE_GLOBALLY) && effects.effect_free === CC.EFFECT_FREE_GLOBALLY
        effects = CC.Effects(effects; effect_free = CC.ALWAYS_TRUE)
    end
    place = open_book(arguments)
    place === nothing && return nothing
    lost, pc = place[1].lost, place[2]
    lost[pc] = CC.merge_effects(get(lost, pc, CC.EFFECTS_TOTAL), effects)
    nothing
end

const WIDER = "[constprop] Discarded because"
function on_remark(answer, arguments::Vector{Any})
    text = string(arguments[end])::String
    startswith(text, WIDER) && discard_last!(arguments)
    say!(arguments, Note(DECISIONS.remark, nothing, reason = text))
end

# The last evaluation with constants was not of use.
function discard_last!(arguments::Vector{Any})
    place = open_book(arguments)
    place === nothing && return nothing
    notes = get(place[1].said, place[2], Note[])
    k = findlast(n -> n.kind in (DECISIONS.const_prop, DECISIONS.concrete_eval, DECISIONS.semi_concrete), notes)
    k === nothing && return nothing
    n = notes[k]
    notes[k] = Note(n.kind, n.callee, outcome = 0, type = n.type, reason = "the result was wider than without constants")
    nothing
end

function on_constants(kind::UInt8, @nospecialize(answer), arguments::Vector{Any})
    mi = argument(Core.MethodInstance, arguments)
    mi === nothing && (mi = instance_of(argument(CC.MethodCallResult, arguments).edge))
    note = answer === nothing ?
        Note(kind, mi, outcome = 0, reason = "no result") :
        Note(kind, mi, outcome = 1, type = answer.rt, reason = answer.rt === Union{} ? "never returns" : "")
    say!(arguments, note)
end
on_const_prop(answer, arguments) = on_constants(DECISIONS.const_prop, answer, arguments)
on_concrete(answer, arguments) = on_constants(DECISIONS.concrete_eval, answer, arguments)
on_semi_concrete(answer, arguments) = on_constants(DECISIONS.semi_concrete, answer, arguments)

tap!(:abstract_eval_statement_expr, on_visit, nothing)
tap!(:merge_effects!, nothing, on_effects)
tap!(:add_remark!, nothing, on_remark)
tap!(:const_prop_call, nothing, on_const_prop)
tap!(:concrete_eval_call, nothing, on_concrete)
tap!(:semi_concrete_eval_call, nothing, on_semi_concrete)

include("inliner.jl")
include("decisions.jl")

# Asking the shadow compiler, and its notes as rows of `decision`. Included by interpreter.jl.

const SESSION = Ref{UInt64}(0)
const SHADOW = Ref{Union{Nothing,RecordingInterpreter}}(nothing)

# One interpreter a world: what it inferred of another is not valid there.
function shadow_of(world::UInt64)
    known = SHADOW[]
    (known !== nothing && known.world == world) && return known
    SESSION[] += 1
    return SHADOW[] = RecordingInterpreter(world, SESSION[])
end

const SOURCE_NOT_REQUIRED = 0x00
if hasmethod(CC.typeinf_ext, Tuple{CC.AbstractInterpreter,Core.MethodInstance,UInt8})
    infer_once(i::RecordingInterpreter, mi) = CC.typeinf_ext(i, mi, SOURCE_NOT_REQUIRED)
else
    infer_once(i::RecordingInterpreter, mi) = CC.typeinf_ext(i, mi)
end

# What is known of an instance; it was inferred already if something before called it.
function consult!(i::RecordingInterpreter, mi::Core.MethodInstance)
    try
        CC.get(CC.code_cache(i), mi, nothing) === nothing && infer_once(i, mi)
    finally
        foreach(book -> book.frame = nothing, i.running)
        empty!(i.running)
        i.desk.instance = nothing
    end
    return get(i.books, mi, nothing)
end

# What a statement left of the effects that its function ended without: the others are as if proven.
function left_effects(i::RecordingInterpreter, mi::Core.MethodInstance, effects::CC.Effects)
    total = CC.EFFECTS_TOTAL
    ci = CC.get(CC.code_cache(i), mi, nothing)
    ended = ci === nothing ? CC.EFFECTS_UNKNOWN : CC.decode_effects(ci.ipo_purity_bits)
    left = map(fieldnames(CC.Effects)) do f
        getfield(ended, f) === getfield(total, f) ? getfield(total, f) : getfield(effects, f)
    end
    return CC.encode_effects(CC.Effects(left...))
end

# Lowered statement and note, in the order of kind, statement and decision.
function collected(i::RecordingInterpreter, mi::Core.MethodInstance, book::Book)
    found = Tuple{Int,Note}[]
    for (pc, notes) in book.said, note in notes
        push!(found, (pc, note))
    end
    append!(found, book.chosen)
    for (pc, effects) in book.lost
        bits = left_effects(i, mi, effects)
        bits == CC.encode_effects(CC.EFFECTS_TOTAL) || push!(found, (pc, Note(DECISIONS.effect, nothing, effects = bits)))
    end
    # (numbers, since Julia comes with their sorting compiled)
    keys = Int[]
    for (k, (pc, note)) in enumerate(found)
        push!(keys, Int(note.kind) << 56 | pc << 28 | k)
    end
    sort!(keys)
    return [found[key & (1 << 28 - 1)] for key in keys]
end

callee_id!(e::Encoder, @nospecialize(callee)) = callee === nothing ? NONE :
    symbol_id!(e, callee isa Core.MethodInstance ? instance_key(callee) : type_text(callee))

"""
    decide!(e, mi, world, code) -> String

The rows of `decision` of one instance, as it is compiled in `world`; `code` is the row of its code
object. What went wrong, if the compiler or the encoder threw: it then has none.
"""
function decide!(e::Encoder, mi::Core.MethodInstance, world::UInt64, code::UInt32)::String
    before = rows(e.tables.decision)
    try
        i = shadow_of(world)
        book = consult!(i, mi)
        book === nothing || decisions!(e, i, mi, book, code)
        return ""
    catch problem
        problem isa InterruptException && rethrow()
        truncate!(e.tables.decision, before)
        return string(fault_text(problem), " for the decisions about ", instance_key(mi))
    end
end

function decisions!(e::Encoder, i::RecordingInterpreter, mi::Core.MethodInstance, book::Book, code::UInt32)
    m = mi.def::Method
    src = lowered_of(mi, UInt64(i.world))
    trail = Trail(m)
    for (pc, note) in collected(i, mi, book)
        known = src isa Core.CodeInfo && 1 <= pc <= length(src.code)
        known && frames_at!(trail.frames, src, pc, false)
        scope = known ? locate!(e, trail)[1] : SELF
        add!(e.tables.decision, code, note.kind, known ? place(pc) : NONE, scope,
             callee_id!(e, note.callee), note.outcome, note.cost, note.threshold,
             isempty(note.reason) ? NONE : symbol_id!(e, note.reason), note.effects,
             note.type === nothing ? NONE : type_id!(e, note.type))
    end
    nothing
end

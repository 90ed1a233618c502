# Control flow, calls and slots of a body: who may follow whom, and who is called.

function blocks!(e::Encoder, src::Core.CodeInfo)
    cfg = CC.compute_basic_blocks(src.code)
    edges = 0
    for (k, b) in enumerate(cfg.blocks)
        low, high = block_range(b)
        add!(e.tables.block, (low - 1) % UInt32, (high - 1) % UInt32)
        for s in b.succs
            add!(e.tables.edge, (k - 1) % UInt32, (s - 1) % UInt32)
            edges += 1
        end
    end
    return length(cfg.blocks), edges
end

function slots!(e::Encoder, src::Core.CodeInfo)
    for k in 1:length(src.slotnames)
        type = slot_type(src, k)
        add!(e.tables.slot, symbol_id!(e, src.slotnames[k]), type === nothing ? NONE : type_id!(e, type))
    end
    return length(src.slotnames)
end

struct Unknown end
const UNKNOWN = Unknown()

# Type of an operand, as far as the statements say; `Any` where they do not.
function operand_type(src::Core.CodeInfo, sparams, @nospecialize(x))
    x isa Core.SSAValue && return (t = statement_type(src, x.id); t === nothing ? Any : widen(t))
    if x isa Core.SlotNumber
        t = slot_type(src, x.id)
        return t === nothing ? Any : widen(t)
    end
    nameof(typeof(x)) === :TypedSlot && return widen(x.typ)
    nameof(typeof(x)) === :Argument && return (t = slot_type(src, x.n); t === nothing ? Any : widen(t))
    if x isa GlobalRef
        value = constant(x.mod, x.name, UNKNOWN)
        return value === UNKNOWN ? Any : value_type(value)
    end
    if x isa Expr
        if x.head === :static_parameter && x.args[1] <= length(sparams)
            return value_type(sparams[x.args[1]])
        end
        return Any
    end
    x isa QuoteNode && return value_type(x.value)
    return value_type(x)
end
value_type(@nospecialize(v)) = v isa Type && !is_vararg(v) ? Type{v} : typeof(v)

const DISPATCHING = r"_apply|_call_latest|_call_in_world|invokelatest|invoke_in_world"
called_name(f::DataType) = is_function_type(f) ? String(function_name(f)) : ""

# Which methods of the world that ended this code one of its calls can reach.
function note_causes!(e::Encoder, @nospecialize(signature))
    for m in e.candidates
        haskey(e.causes, m) && continue
        same_function(signature, m.sig) || continue
        typeintersect(signature, m.sig) === Union{} || (e.causes[m] = nothing)
    end
    nothing
end

# A quick no before types are intersected: both name a function, and not the same one.
function same_function(@nospecialize(call), @nospecialize(sig))
    a, b = first_parameter(call), first_parameter(sig)
    return !(a isa DataType && b isa DataType && isconcretetype(a) && isconcretetype(b)) || a === b
end
function first_parameter(@nospecialize(t))
    u = Base.unwrap_unionall(t)
    return u isa DataType && length(u.parameters) > 0 ? u.parameters[1] : Any
end

# (kind, callee, signature) of a call.
function call_target(e::Encoder, src::Core.CodeInfo, sparams::Core.SimpleVector,
                     st::Expr)::NTuple{3,UInt32}
    types = Any[operand_type(src, sparams, a) for a in st.args]
    f = types[1]
    called = symbol_id!(e, type_text(f))
    if f isa DataType && (f <: Core.Builtin || f === Core.IntrinsicFunction)
        # these look a method up when the program runs, as a call does
        dispatches = f.name.module === Core && occursin(DISPATCHING, called_name(f))
        return (dispatches ? CALLS.unresolved : CALLS.builtin, called, NONE)
    end
    signature = try
        Tuple{types...}
    catch
        return (CALLS.unresolved, NONE, NONE)     # a splat's Vararg in the middle
    end
    matched = get(e.matches, signature, missing)
    if matched === missing
        matched = e.matches[signature] = matching_methods(signature, e.world[])
    end
    matched === nothing || note_causes!(e, signature)
    id = type_id!(e, signature)
    (matched === nothing || length(matched)::Int != 1) && return (CALLS.unresolved, called, id)
    return (CALLS.resolved, symbol_id!(e, method_key(matched[1])), id)
end

function calls!(e::Encoder, src::Core.CodeInfo, mi::Core.MethodInstance, stage::UInt8)
    stage == STAGES.lowered && return 0
    n = 0
    for (pc, st) in enumerate(src.code)
        st isa Expr && st.head === :(=) && (st = st.args[2])
        st isa Expr || continue
        if st.head === :invoke
            callee = instance_of(st.args[1])
            key = callee === nothing ? NONE : symbol_id!(e, instance_key(callee))
            add!(e.tables.call, place(pc), CALLS.invoke, key, NONE)
        elseif st.head === :foreigncall
            add!(e.tables.call, place(pc), CALLS.foreign, NONE, NONE)
        elseif st.head === :call
            kind, callee, signature = call_target(e, src, mi.sparam_vals, st)
            if stage == STAGES.optimized && kind != CALLS.builtin
                kind = CALLS.dynamic
            end
            add!(e.tables.call, place(pc), kind % UInt8, callee, signature)
        else
            continue
        end
        n += 1
    end
    return n
end

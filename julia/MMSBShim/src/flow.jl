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
function operand_type(e::Encoder, src::Core.CodeInfo, mi::Core.MethodInstance, @nospecialize(x))
    x isa Core.SSAValue && return (t = statement_type(src, x.id); t === nothing ? Any : widen(t))
    if x isa Core.SlotNumber
        t = slot_type(src, x.id)
        return t === nothing ? Any : widen(t)
    end
    x isa TypedSlotNode && return widen(x.typ)
    if x isa ArgumentNode
        t = slot_type(src, x.n)
        return t === nothing ? argument_type(mi, x.n) : widen(t)
    end
    x isa GlobalRef && return global_type(e, x)
    if x isa Expr
        if x.head === :static_parameter && x.args[1]::Int <= length(mi.sparam_vals)
            return value_type(mi.sparam_vals[x.args[1]::Int])
        end
        return Any
    end
    x isa QuoteNode && return value_type(x.value)
    return value_type(x)
end

# Of code whose slots have no types left. What a `Vararg` takes is a tuple.
function argument_type(mi::Core.MethodInstance, n::Int)
    types = Base.unwrap_unionall(mi.specTypes)
    (types isa DataType && mi.def isa Method) || return Any
    given, m = types.parameters, mi.def::Method
    if m.isva && n == m.nargs
        return any(is_vararg, given) ? Any : Base.rewrap_unionall(Tuple{given[n:end]...}, mi.specTypes)
    end
    return n <= length(given) && !is_vararg(given[n]) ?
        Base.rewrap_unionall(given[n], mi.specTypes) : Any
end

value_type(@nospecialize(v)) = v isa Type && !is_vararg(v) ? Type{v} : typeof(v)

function global_type(e::Encoder, x::GlobalRef)
    known = get(e.globals, x, nothing)
    known === nothing || return known
    value = constant(x.mod, x.name, UNKNOWN)
    return e.globals[x] = value === UNKNOWN ? Any : value_type(value)
end

# Builtins that look a method up when the program runs, as a call does.
const DISPATCHING = r"_apply|_call_latest|_call_in_world|invokelatest|invoke_in_world"
dispatches(f::DataType) = f.name.module === Core && is_function_type(f) &&
    occursin(DISPATCHING, String(function_name(f)))

# The methods of the world that ended this code, if any did.
function candidates!(c::Candidates, methods::Vector{Method})
    empty!(c.seen)
    c.methods === methods && return nothing
    forget!(c)
    c.methods = methods
    for m in methods
        f = first_parameter(m.sig)
        if f isa DataType && isconcretetype(f)
            haskey(c.of, f) || (c.of[f] = Method[])
            push!(c.of[f]::Vector{Method}, m)
        else
            push!(c.of_any, m)
        end
    end
    nothing
end

function forget!(c::Candidates)
    foreach(empty!, (c.of, c.of_any, c.seen))
    c.methods = NO_METHODS
    nothing
end

# Which methods of the world that ended this code one of its calls can reach.
function note_causes!(e::Encoder, @nospecialize(signature))
    c = e.candidates
    (isempty(c.methods) || haskey(c.seen, signature)) && return nothing
    c.seen[signature] = nothing
    f = first_parameter(signature)
    if f isa DataType && isconcretetype(f)
        note_causes!(e, signature, c.of_any)
        note_causes!(e, signature, get(c.of, f, NO_METHODS)::Vector{Method})
    else
        note_causes!(e, signature, c.methods)
    end
    nothing
end

function note_causes!(e::Encoder, @nospecialize(signature), methods::Vector{Method})
    for m in methods
        haskey(e.causes, m) && continue
        typeintersect(signature, m.sig) === Union{} || (e.causes[m] = nothing)
    end
    nothing
end

function first_parameter(@nospecialize(t))
    u = Base.unwrap_unionall(t)
    return u isa DataType && length(u.parameters) > 0 ? u.parameters[1] : Any
end

# (kind, callee, signature) of a call.
function call_target(e::Encoder, src::Core.CodeInfo, mi::Core.MethodInstance,
                     st::Expr)::NTuple{3,UInt32}
    f = operand_type(e, src, mi, st.args[1])
    if f isa DataType && (f <: Core.Builtin || f === Core.IntrinsicFunction)
        of = forwarded(e, src, mi, f, st)
        of === nothing || return method_target(e, of[1], of[2])
        return (dispatches(f) ? CALLS.unresolved : CALLS.builtin, name_id!(e, f), NONE)
    end
    types = Vector{Any}(undef, length(st.args))
    types[1] = f
    for k in 2:length(types)
        types[k] = operand_type(e, src, mi, st.args[k])
    end
    return method_target(e, types, nothing)
end

# The same of a function and its arguments' types; `method` where the call itself names one.
function method_target(e::Encoder, types::Vector{Any}, method::Union{Nothing,Method})::NTuple{3,UInt32}
    signature = try
        Tuple{types...}
    catch
        return (CALLS.unresolved, NONE, NONE)     # a splat's Vararg in the middle
    end
    matches = get!(() -> IdDict{Any,Any}(), e.matches, e.world[])
    matched = get(matches, signature, missing)
    if matched === missing
        matched = matches[signature] = matching_methods(signature, e.world[])
    end
    matched === nothing || note_causes!(e, signature)
    id = type_id!(e, signature)
    if method === nothing
        (matched === nothing || length(matched::Vector{Method}) != 1) &&
            return (CALLS.unresolved, name_id!(e, types[1]), id)
        method = matched[1]
    end
    return (CALLS.resolved, name_id!(e, method), id)
end

# A call of an instance by name: the statement itself, or by what it has `modifyfield!` do.
is_invoke(st::Expr) = st.head === :invoke || st.head === :invoke_modify

function calls!(e::Encoder, src::Core.CodeInfo, mi::Core.MethodInstance, stage::UInt8)
    stage == STAGES.lowered && return 0
    n = 0
    for (pc, st) in enumerate(src.code)
        st isa Expr && st.head === :(=) && (st = st.args[2])
        st isa Expr || continue
        if is_invoke(st)
            callee = instance_of(st.args[1])
            key = callee === nothing ? NONE : name_id!(e, callee)
            add!(e.tables.call, place(pc), CALLS.invoke, key, NONE)
        elseif st.head === :foreigncall
            add!(e.tables.call, place(pc), CALLS.foreign, NONE, NONE)
        elseif st.head === :call
            kind, callee, signature = call_target(e, src, mi, st)
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

# Builtins that call what they are handed: `f(xs...)`, `invoke(f, …)`, `invokelatest(f, …)`,
# `modifyfield!(x, name, f, …)`. Whom they call is the function's business, not the builtin's.

# The types of the call that a builtin makes, the function's first, and the method where it names one;
# nothing where it makes none, or of a function that is not known.
function forwarded(e::Encoder, src::Core.CodeInfo, mi::Core.MethodInstance, f::DataType, st::Expr)
    (f.name.module === Core && is_function_type(f)) || return nothing
    name = String(function_name(f))
    operand(k) = operand_type(e, src, mi, st.args[k])
    n = length(st.args)
    first = name in ("_apply_iterate", "_apply_in_world", "invoke_in_world", "_call_in_world",
                     "_call_in_world_total", "memoryrefmodify!") ? 3 :
        name in ("modifyfield!", "modifyglobal!") ? 4 :
        name in ("_apply", "_apply_pure", "_apply_latest", "invoke", "invokelatest", "_call_latest") ? 2 : 0
    0 < first <= n || return nothing
    called = operand(first)
    is_known_function(called) || return nothing
    types = Any[called]
    if startswith(name, "_apply")
        foreach(k -> splat!(types, operand(k)), first+1:n)
    elseif occursin("modify", name)
        push!(types, Any)                # what is there before
        first < n && push!(types, operand(first + 1))
    elseif name == "invoke"
        n < 3 && return nothing
        foreach(k -> push!(types, operand(k)), 4:n)
        return types, invoked_method(e, called, operand(3))
    else
        foreach(k -> push!(types, operand(k)), first+1:n)
    end
    return types, nothing
end

# What a name or a constant stands for, or a closure; not a builtin, which has no methods.
is_known_function(@nospecialize(t)) = t isa DataType &&
    (isconcretetype(t) ? !(t <: Core.Builtin || t === Core.IntrinsicFunction) : named_type(t) !== nothing)

# T of Type{T}.
function named_type(@nospecialize(t))
    (t isa DataType && t.name === Base.unwrap_unionall(Type).name) || return nothing
    return t.parameters[1] isa Type ? t.parameters[1] : nothing
end

# The arguments that a container stands for in a call. After one of unknown length anything may come.
function splat!(types::Vector{Any}, @nospecialize(container))
    if is_vararg(types[end])
        types[end] = Vararg{Any}
    elseif container isa DataType && container.name === Tuple.name
        append!(types, container.parameters)
    elseif container isa DataType && container <: NamedTuple && isconcretetype(container)
        splat!(types, container.parameters[2])
    else
        push!(types, container isa DataType && container <: Array ? Vararg{eltype(container)} : Vararg{Any})
    end
    nothing
end

# The method that `invoke` with a constant tuple of types takes.
function invoked_method(e::Encoder, @nospecialize(f), @nospecialize(given))
    asked = named_type(given)
    (asked isa DataType && asked.name === Tuple.name) || return nothing
    m = method_for(Tuple{f, asked.parameters...}, e.world[])
    return m isa Method ? m : nothing
end

# The reflect tier: what can be asked of any Julia from 1.5, late. Nothing here runs while the
# observed program does.

# --- keys: the same in every process ----------------------------------------------------------------

# One Dict each for the session; keys are asked for often.
const METHOD_KEYS = IdDict{Method,String}()
const INSTANCE_KEYS = IdDict{Core.MethodInstance,String}()

"""A method's stable key: module, name, signature."""
method_key(m::Method) = get!(METHOD_KEYS, m) do
    string(module_path(m.module), '.', m.name, ' ', type_text(m.sig))
end

"""A method instance's stable key: its method's, and the types it is specialised for."""
instance_key(mi::Core.MethodInstance) = get!(INSTANCE_KEYS, mi) do
    m = mi.def
    m isa Method || return string("toplevel ", module_path(m))
    string(method_key(m), " @ ", type_text(mi.specTypes))
end

# The function's name, with its module unless that is one everyone knows.
function function_text(m::Method)
    s = Base.unwrap_unionall(m.sig)
    f = s isa DataType && length(s.parameters) > 0 ? s.parameters[1] : nothing
    home, name = m.module, name_in_code(string(m.name))
    if f isa DataType && is_function_type(f)
        home, name = f.name.module, name_in_code(string(function_name(f)))
    elseif f isa DataType && f.name === Base.unwrap_unionall(Type).name
        made = Base.unwrap_unionall(f.parameters[1])
        made isa DataType && ((home, name) = (made.name.module, string(made.name.name)))
    end
    return home in (Main, Base, Core) ? name : string(module_path(home), '.', name)
end

# As people write it: f(::Int64, ::Vararg{Any})
function display_name(mi::Core.MethodInstance)
    s = Base.unwrap_unionall(mi.specTypes)
    parameters = s isa DataType ? s.parameters : Core.svec()
    called = length(parameters) > 0 ? called_text(mi.def, parameters[1]) : function_text(mi.def)
    texts = [string("::", type_text(parameters[k], Scope(), true)) for k in 2:length(parameters)]
    return string(called, '(', join(texts, ", "), ')')
end

# A constructor of a type with parameters, and a call of a value, are told apart from the type's own
# constructors: P{Int64}(…), (::P)(…).
function called_text(m::Method, @nospecialize(t))
    t isa DataType || return function_text(m)
    if t.name === Base.unwrap_unionall(Type).name
        made = t.parameters[1]
        (made isa DataType && length(made.parameters) > 0) || return function_text(m)
        return replace(type_text(made, Scope(), true), ", " => ",")
    end
    (t <: Function || t <: Core.Builtin || is_function_type(t)) && return function_text(m)
    return string("(::", replace(type_text(t, Scope(), true), ", " => ","), ')')
end

# A name with blanks or brackets as code has it.
name_in_code(name::String) = occursin(r"[\s(){}\[\],;\"]", name) ? string("var\"", name, '"') : name

# The line `--trace-compile` writes for an instance is its type as `jl_static_show` prints it.
function static_text(@nospecialize(t))
    io = IOStream("<memory>")
    ccall(:ios_mem, Ptr{Cvoid}, (Ptr{UInt8}, Csize_t), io.ios, 0)
    ccall(:jl_static_show, Csize_t, (Ptr{Cvoid}, Any), io.ios, t)
    seekstart(io)
    return read(io, String)
end

# --- scope --------------------------------------------------------------------------------------------

# Base's parent is Main on some Julias.
root_module(m::Module) =
    (m === Base || m === Core || parentmodule(m) === m) ? m : root_module(parentmodule(m))

is_stdlib(m::Module) = (p = pathof(m); p !== nothing && startswith(p, Sys.STDLIB))

# Asked for by name: "Dates" is all of that root, "Base.Sort" that part of Base.
is_asked(m::Module, asked::Vector{String}) = !isempty(asked) && (module_path(m) in asked ||
    (root_module(m) !== m && is_asked(parentmodule(m), asked)))

# Root modules whose code is recorded by itself: the user's.
function root_in_scope(root::Module, loaded_before)
    root === @__MODULE__() && return false
    return !(root in loaded_before) && !is_stdlib(root) && root !== Base && root !== Core
end

struct Definition            # a method, with the worlds in which it was the one called
    method::Method
    first::UInt64
    last::UInt64
    deleted::Bool
end

# When each method stopped being called: its deletion, or a successor with the same signature.
function definitions(methods::Vector{Method})
    find_ends!(methods)
    # only what was replaced has a successor
    names = IdDict{Symbol,Nothing}()
    for m in methods
        may_be_replaced(m) && (names[m.name] = nothing)
    end
    by_signature = Dict{String,Vector{Method}}()
    for m in methods
        haskey(names, m.name) && push!(get!(() -> Method[], by_signature, type_text(m.sig)), m)
    end
    successors = IdDict{Method,UInt64}()
    for same in values(by_signature)
        sort!(same, by = m -> UInt64(m.primary_world))
        next = OPEN_WORLD
        for k in length(same):-1:1
            world = UInt64(same[k].primary_world)
            k < length(same) && same[k + 1].primary_world > world &&
                (next = UInt64(same[k + 1].primary_world))
            successors[same[k]] = next
        end
    end
    found = Definition[]
    for m in methods
        last = deleted_world(m) == OPEN_WORLD ? OPEN_WORLD : deleted_world(m)
        next = get(successors, m, OPEN_WORLD)
        replaced = next == OPEN_WORLD ? OPEN_WORLD : next - 1
        # what succeeded it may be none of these methods
        deleted = last < replaced && !is_succeeded(m, last + 1)
        push!(found, Definition(m, UInt64(m.primary_world), min(last, replaced), deleted))
    end
    return found
end

# --- asking -------------------------------------------------------------------------------------------

struct Question              # one code object and where it is to be asked
    mi::Core.MethodInstance
    ci::Core.CodeInstance
    definition::Definition
    world::UInt64
    depth::Int
end

# The worlds in which a code object could run, or nothing if there are none.
function question(mi, ci, d::Definition, now::UInt64, depth::Int)
    low = max(UInt64(ci.min_world), d.first)
    high = min(UInt64(ci.max_world), d.last, now)
    low <= high || return nothing
    return Question(mi, ci, d, high, depth)
end

function same_statements(a::Core.CodeInfo, b::Core.CodeInfo)
    length(a.code) == length(b.code) || return false
    for k in 1:length(a.code)
        opcode(a.code[k]) === opcode(b.code[k]) || return false
    end
    return true
end

function body!(e::Encoder, code::UInt32, stage::UInt8, provenance::UInt8, mi::Core.MethodInstance,
               src::Core.CodeInfo, at::Vector{Tuple{UInt32,Int32,UInt32}})
    for pc in 1:length(src.code)
        statement!(e, src, pc, at[pc])
    end
    nblocks, nedges = blocks!(e, src)
    ncalls = calls!(e, src, mi, stage)
    nslots = slots!(e, src)
    add!(e.tables.body, code, stage, provenance, length(src.code) % UInt32, nblocks % UInt32,
         nedges % UInt32, ncalls % UInt32, nslots % UInt32)
    nothing
end

# The reflect tier: asks for the three stages of one code object. Returns the optimised code, or
# nothing.
function ask_reflected!(r, q::Question, orders)
    e, m, code = r.encoder, q.mi.def::Method, r.code_rows
    inferred = infer(q.mi, q.world, false)
    optimized = infer(q.mi, q.world, true)
    returns = optimized === nothing ? q.ci.rettype : optimized[2]
    code!(r, q, orders, type_id!(e, returns), KEPT.unknown, REDERIVED.not_asked)
    src = lowered_of(q.mi, q.world)
    src isa Core.CodeInfo || return nothing
    n = length(src.code)
    body!(e, code, STAGES.lowered, PROVENANCES.reflected, q.mi, src,
          places(e, m, src, STAGES.lowered, n, false))
    inferred === nothing && return nothing
    body!(e, code, STAGES.inferred, PROVENANCES.reflected, q.mi, inferred[1],
          places(e, m, inferred[1], STAGES.inferred, n, false))
    optimized === nothing && return nothing
    final = optimized[1]
    with_origin = infer_tagged(q.mi, src, q.world)
    tagged = with_origin !== nothing && same_statements(final, with_origin)
    at = places(e, m, tagged ? with_origin : final, STAGES.optimized, n, tagged)
    body!(e, code, STAGES.optimized, PROVENANCES.reflected, q.mi, final, at)
    return final
end

# Instances that optimised code calls by name.
function invoked(src::Core.CodeInfo)
    found = Core.MethodInstance[]
    for st in src.code
        st isa Expr && st.head === :(=) && (st = st.args[2])
        st isa Expr && is_invoke(st) || continue
        mi = instance_of(st.args[1])
        mi isa Core.MethodInstance && mi.def isa Method && push!(found, mi)
    end
    return found
end

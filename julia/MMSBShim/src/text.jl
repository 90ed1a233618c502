# The canonical text of types, lattice elements and literals. Text never depends on loaded
# aliases, `show` methods, addresses or hashes: full module paths, union members sorted by text,
# type variables by name (`?T` where free).

const LONG_TEXT = 64     # bytes of a string or symbol kept as they are; beyond: length and hash
const DEPTH_LIMIT = 8    # nesting of structs written out

# SHA.sha256, loaded when the record is drained so that the observed program never sees it
const SHA256 = Ref{Any}(nothing)
function load_sha!()
    SHA256[] === nothing || return nothing
    id = Base.PkgId(Base.UUID("ea8e919c-243c-51af-8825-aaa63cd721ce"), "SHA")
    push!(LOAD_PATH, "@stdlib")
    try
        SHA256[] = getfield(Base.require(id), :sha256)
    finally
        pop!(LOAD_PATH)
    end
    nothing
end
hex_digest(bytes) = bytes2hex(Base.invokelatest(SHA256[], bytes)::Vector{UInt8})::String
hashed(s::String) = string(ncodeunits(s), ':', hex_digest(Vector{UInt8}(codeunits(s))))
too_long(s::String) = ncodeunits(s) > LONG_TEXT || !isvalid(s)

# Names of the program's own files, which code may hold as literals (`@info` and `@__FILE__` put them
# there): the path, its folder, the name, the name without its ending. Kept by hash, as files are.
const FILE_NAMES = Set{String}()
function hide_file!(path::String)
    (isabspath(path) && !occursin("/share/julia/", path)) || return String[]
    name = basename(path)
    hidden = String[path, dirname(path), name, first(splitext(name))]
    union!(FILE_NAMES, hidden)
    return hidden
end
by_hash(s::String) = too_long(s) || s in FILE_NAMES

# Texts found in the reading that goes on; they hold for its world, and are let go with it.
const MODULE_PATHS = IdDict{Module,String}()
const DATA_NAMES = IdDict{DataType,String}()
const TYPE_TEXTS = IdDict{DataType,String}()
forget_texts!() = foreach(empty!, (MODULE_PATHS, DATA_NAMES, TYPE_TEXTS))

# A module or type whose name now means another (it was defined again) is told apart from that.
const REPLACED = "′"
const REPLACED_NAMES = IdDict{Any,Bool}()

function is_replaced(@nospecialize(x), home::Module, name::Symbol, same)::Bool
    known = get(REPLACED_NAMES, x, nothing)
    known === nothing || return known
    now = constant(home, name, nothing)
    return REPLACED_NAMES[x] = now !== nothing && !same(now)
end

function module_path(m::Module)::String
    known = get(MODULE_PATHS, m, nothing)
    known === nothing || return known
    parent = parentmodule(m)
    (parent === m || m === Base || m === Core || m === Main) && return String(nameof(m))
    mark = is_replaced(m, parent, nameof(m), now -> now === m || !(now isa Module)) ? REPLACED : ""
    # Base's parent is Main on some Julias; its path is its own
    return MODULE_PATHS[m] = string(module_path(parent), '.', nameof(m), mark)
end

type_replaced(name::Core.TypeName) = is_replaced(name, name.module, name.name, now -> begin
    t = now isa Type ? Base.unwrap_unionall(now) : nothing
    !(t isa DataType) || t.name === name || t.name.name !== name.name
end)

short_symbol(s::Symbol) = (t = String(s); too_long(t) ? hashed(t) : t)

# Names of type variables in scope; a shadowed name gets a number.
const Scope = Vector{Pair{TypeVar,String}}

function var_text(v::TypeVar, scope::Scope)
    for k in length(scope):-1:1
        scope[k].first === v && return scope[k].second
    end
    return string('?', v.name)
end

function bound_text(v::TypeVar, name::String, scope::Scope, short::Bool)
    lower = v.lb === Union{} ? "" : string(type_text(v.lb, scope, short), "<:")
    upper = v.ub === Any ? "" : string("<:", type_text(v.ub, scope, short))
    return string(lower, name, upper)
end

# A variable's name with as many primes as keep it apart from those around it.
function free_name(name::String, scope::Scope)
    for k in 1:length(scope)
        scope[k].second == name && return free_name(string(name, '\'')::String, scope)
    end
    return name
end

function unionall_text(t::UnionAll, scope::Scope, short::Bool)
    wheres = String[]
    inner = copy(scope)
    body = t
    while body isa UnionAll
        v = body.var
        name = free_name(String(v.name), inner)
        push!(wheres, bound_text(v, name, inner, short))
        push!(inner, Pair{TypeVar,String}(v, name))
        body = body.body
    end
    return string(type_text(body, inner, short), " where {", join(wheres, ", "), "}")
end

function union_text(t::Union, scope::Scope, short::Bool)
    members = String[]
    for m in Base.uniontypes(t)
        push!(members, type_text(m, scope, short))
    end
    sort!(members)
    return string("Union{", join(members, ", "), "}")
end

function vararg_text(@nospecialize(element), @nospecialize(count), scope::Scope, short::Bool)
    e = type_text(element, scope, short)
    count === nothing ? string("Vararg{", e, "}") :
        string("Vararg{", e, ", ", param_text(count, scope, short), "}")
end

function param_text(@nospecialize(p), scope::Scope, short::Bool)
    (p isa Type || p isa TypeVar || is_vararg(p)) && return type_text(p, scope, short)
    # names in a type (a NamedTuple's) are no literals: what a type is called must not change when a
    # file of such a name is met
    p isa Symbol && return name_text(p)
    p isa Tuple{Vararg{Symbol}} && return names_text(p)
    return literal_text(p, 0, short)
end
name_text(s::Symbol) = string(':', short_symbol(s))
function names_text(@nospecialize(names))
    texts = String[]                 # a loop: `map` would be compiled for each length
    for k in 1:nfields(names)
        push!(texts, name_text(getfield(names, k)::Symbol))
    end
    return string('(', join(texts, ", "), ",)")
end

function data_name(t::DataType, short::Bool)::String
    short && return make_data_name(t, true)
    known = get(DATA_NAMES, t, nothing)
    return known === nothing ? (DATA_NAMES[t] = make_data_name(t, false)) : known
end

function make_data_name(t::DataType, short::Bool)::String
    name = t.name
    if is_function_type(t)
        return string("typeof(", module_path(name.module), '.', function_name(t), ')')
    end
    mark = type_replaced(name) ? REPLACED : ""
    hide = short && (name.module === Core || name.module === Main ||
                     (name.module === Base && Base.isexported(Base, name.name)))
    return hide ? string(name.name, mark) : string(module_path(name.module), '.', name.name, mark)
end

"""Canonical text of a type; `short` leaves out the modules everyone knows."""
function type_text(@nospecialize(t), scope::Scope = Scope(), short::Bool = false)::String
    t === Union{} && return "Union{}"
    t isa TypeVar && return var_text(t, scope)
    if is_vararg(t)
        element, count = vararg_parts(t)
        return vararg_text(element, count, scope, short)
    end
    t isa UnionAll && return unionall_text(t, scope, short)
    t isa Union && return union_text(t, scope, short)
    t isa DataType || return string("?", nameof(typeof(t)))
    (short || !isempty(scope)) && return data_text(t, scope, short)
    known = get(TYPE_TEXTS, t, nothing)
    return known === nothing ? (TYPE_TEXTS[t] = data_text(t, scope, false)) : known
end

function data_text(t::DataType, scope::Scope, short::Bool)::String
    name = data_name(t, short)
    params = t.parameters
    (length(params) == 0 && t.name !== Tuple.name) && return name
    texts = [param_text(params[k], scope, short) for k in 1:length(params)]
    return string(name, '{', join(texts, ", "), '}')
end

# A module's constant of this name, or `default`. Bindings belong to worlds, and the shim runs in an
# old one: this asks in the newest.
constant(m::Module, name::Symbol, default) =
    Base.invokelatest(isdefined, m, name)::Bool && Base.invokelatest(isconst, m, name)::Bool ?
    Base.invokelatest(getfield, m, name) : default

# The type of a function that a module knows by name; not a closure's, not Colon.
function is_function_type(t::DataType)
    (t <: Function && length(t.parameters) == 0 && isdefined(t, :instance)) || return false
    m, name = t.name.module, function_name(t)
    return typeof(constant(m, name, nothing)) === t
end

primitive_hex(@nospecialize(x)) = (r = Ref{Any}(x); GC.@preserve r begin
    n = sizeof(typeof(x))
    p = Ptr{UInt8}(ccall(:jl_value_ptr, Ptr{Cvoid}, (Any,), x))
    string("0x", bytes2hex(reverse!([unsafe_load(p, k) for k in 1:n])))
end)

# Not compiled for each type: what Base's own `string` needs is not the recorder's to have compiled.
@noinline dispatched_text(@nospecialize(x)) = string(x)::String

function number_text(@nospecialize(x))::Union{Nothing,String}
    x isa Bool && return x ? "true" : "false"
    x isa Union{Int8,Int16,Int32,Int64,Int128} && return string(x)
    x isa Union{UInt8,UInt16,UInt32,UInt64,UInt128} && return primitive_hex(x)
    if x isa Union{Float16,Float32,Float64}
        return isnan(x) ? primitive_hex(x) : dispatched_text(x)
    end
    x isa Char && return string('\'', primitive_hex(x), '\'')
    x === nothing && return "nothing"
    return nothing
end

is_structural(@nospecialize(x)) =
    (isstructtype(typeof(x)) && !is_mutable(x)) || x isa Exception

# The text of a value inside a type or a Const. Whitelist; everything else is its type alone.
function literal_text(@nospecialize(x), depth::Int = 0, short::Bool = false)::String
    x isa Type && return type_text(x, Scope(), short)
    x isa Module && return module_path(x)
    x isa Symbol && return string(':', by_hash(String(x)) ? hashed(String(x)) : String(x))
    x isa String && return by_hash(x) ? string("String:", hashed(x)) : repr(x)
    LITERALS[] || return string("::", type_text(typeof(x), Scope(), short))
    number = number_text(x)
    number === nothing || return number
    T = typeof(x)
    x isa Core.IntrinsicFunction && return string("Core.Intrinsics.", intrinsic_name(x))
    is_function_type(T) && return string(module_path(T.name.module), '.', function_name(T))
    x isa Ptr && return string("::", type_text(T, Scope(), short))
    isprimitivetype(T) && return string(type_text(T, Scope(), short), '(', primitive_hex(x), ')')
    if is_structural(x) && depth < DEPTH_LIMIT
        fields = String[]            # a loop: a comprehension would be compiled for each type
        for k in 1:nfields(x)
            push!(fields, isdefined(x, k) ? literal_text(getfield(x, k), depth + 1, short) : "#undef")
        end
        x isa Tuple && return string('(', join(fields, ", "), ",)")
        return string(type_text(T, Scope(), short), '(', join(fields, ", "), ')')
    end
    return string("::", type_text(T, Scope(), short))
end

# A constant that inference found: what it names is a fact, what it holds a literal.
constant_text(@nospecialize(x)) =
    LITERALS[] || x isa Type || x isa Module || is_function_type(typeof(x)) ? literal_text(x) :
    string("::", type_text(typeof(x)))

"""Text and lattice class of an inferred type or lattice element."""
function lattice_text(@nospecialize(t))::Tuple{String,UInt8,String}
    if t isa Type || t isa TypeVar || is_vararg(t)
        text = type_text(t)
        class = t === Union{} ? LATTICE.bottom : t isa Union ? LATTICE.union :
            (t isa DataType && isconcretetype(t)) ? LATTICE.concrete : LATTICE.abstract
        return (text, class, text)
    end
    widened = type_text(widen(t))
    name = String(nameof(typeof(t)))
    if name == "Const"
        return (string("Const(", constant_text(t.val), ')'), LATTICE.const_, widened)
    elseif name == "PartialStruct"
        fields = join(String[lattice_text(f)[1]::String for f in t.fields::Vector{Any}], ", ")
        return (string("PartialStruct(", type_text(t.typ), ", [", fields, "])"),
                LATTICE.partial, widened)
    elseif name == "PartialTypeVar" || name == "PartialOpaque"
        return (string(name, '(', widened, ')'), LATTICE.partial, widened)
    elseif name in ("Conditional", "InterConditional", "MustAlias", "InterMustAlias")
        return (string(name, '(', widened, ')'), LATTICE.conditional, widened)
    end
    return (string(name, '(', widened, ')'), LATTICE.other, widened)
end

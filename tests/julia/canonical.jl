# What Julia itself says of its code, in a canonical text of the tests' own. Nothing of MMSBShim is
# used here: this file is the other side of the comparison. `rebuild.py` writes the same text from a
# memory alone; its docstring has the grammar.
#
# The program under test includes this file as its last act, when MMSB_CANONICAL names it:
# MMSB_KEYS holds the instances to ask for, a key a line behind a ' ' or, where they are asked for pass
# by pass too, a '>'; MMSB_ANSWERS is written.
module Canonical

include("instances.jl")

include("left.jl")

import SHA

const CC = Core.Compiler
const OLD = VERSION < v"1.7"          # Vararg is a type, methods live in tables of their functions
const LONG = 64
const NESTED = 8

# --- text ---------------------------------------------------------------------------------------

function escape(s::String)
    io = IOBuffer()
    for b in codeunits(s)
        (0x20 <= b < 0x7f && b != UInt8('%')) ? write(io, b) : print(io, '%', string(b, base = 16, pad = 2))
    end
    return String(take!(io))
end

is_long(s::String) = ncodeunits(s) > LONG || !isvalid(s)
digest(s::String) = string(ncodeunits(s), ':', bytes2hex(SHA.sha256(Vector{UInt8}(codeunits(s)))))
name_text(s::Symbol) = is_long(String(s)) ? digest(String(s)) : String(s)
path_text(m::Module) = join(map(String, fullname(m)), '.')

# --- types: modules in full, members of a union by text, free variables marked ------------------------

singleton_name(t::DataType) = VERSION < v"1.12-" ? t.name.mt.name : t.name.singletonname

function names_a_function(t::DataType)
    t <: Function && isempty(t.parameters) && isdefined(t, :instance) || return false
    m, name = t.name.module, singleton_name(t)
    return isdefined(m, name) && isconst(m, name) && getfield(m, name) === t.instance
end

if OLD
    function vararg(@nospecialize(t))
        own = TypeVar[]
        while t isa UnionAll
            push!(own, t.var)
            t = t.body
        end
        t isa DataType && t.name.name === :Vararg && t.name.module === Core || return nothing
        element, count = t.parameters
        any(v -> v === element, own) && (element = element.ub)
        return any(v -> v === count, own) ? (element,) : (element, count)
    end
else
    function vararg(@nospecialize(t))
        t isa Core.TypeofVararg || return nothing
        element = isdefined(t, :T) ? t.T : Any
        return isdefined(t, :N) ? (element, t.N) : (element,)
    end
end

struct Names
    bound::Vector{Pair{TypeVar,String}}
    free::Vector{TypeVar}
end
Names() = Names(Pair{TypeVar,String}[], TypeVar[])

function variable(v::TypeVar, names::Names)
    at = findlast(p -> p.first === v, names.bound)
    at === nothing || return names.bound[at].second
    any(f -> f === v, names.free) || push!(names.free, v)
    alike = filter(f -> f.name === v.name, names.free)
    return string('?', v.name, "'"^(findfirst(f -> f === v, alike) - 1))
end

function quantified(t::UnionAll, names::Names)
    inner = Names(copy(names.bound), names.free)
    clauses = String[]
    while t isa UnionAll
        v = t.var
        name = String(v.name)
        while any(p -> p.second == name, inner.bound)
            name *= "'"
        end
        low = v.lb === Union{} ? "" : type_text(v.lb, inner) * "<:"
        high = v.ub === Any ? "" : "<:" * type_text(v.ub, inner)
        push!(clauses, low * name * high)
        push!(inner.bound, v => name)
        t = t.body
    end
    return string(type_text(t, inner), " where {", join(clauses, ", "), "}")
end

is_typelike(@nospecialize(p)) = p isa Type || p isa TypeVar || vararg(p) !== nothing
parameter(@nospecialize(p), names) = is_typelike(p) ? type_text(p, names) : value_text(p, 0)

function type_text(@nospecialize(t), names::Names = Names())::String
    t === Union{} && return "Union{}"
    t isa TypeVar && return variable(t, names)
    v = vararg(t)
    if v !== nothing
        return string("Vararg{", join([parameter(p, names) for p in v], ", "), "}")
    elseif t isa UnionAll
        return quantified(t, names)
    elseif t isa Union
        members = Any[]
        while t isa Union
            push!(members, t.a)
            t = t.b
        end
        push!(members, t)
        return string("Union{", join(sort!([type_text(m, names) for m in members]), ", "), "}")
    end
    t = t::DataType
    names_a_function(t) && return string("typeof(", path_text(t.name.module), '.', singleton_name(t), ')')
    head = string(path_text(t.name.module), '.', t.name.name)
    isempty(t.parameters) && t.name !== Tuple.name && return head
    return string(head, '{', join([parameter(p, names) for p in t.parameters], ", "), '}')
end

# --- values -------------------------------------------------------------------------------------------

bits(@nospecialize(x)) = (box = Ref{Any}(x); GC.@preserve box begin
    p = Ptr{UInt8}(ccall(:jl_value_ptr, Ptr{Cvoid}, (Any,), x))
    join([string(unsafe_load(p, k), base = 16, pad = 2) for k in sizeof(typeof(x)):-1:1])
end)

mutates(@nospecialize(x)) = OLD ? typeof(x).mutable : ismutable(x)
# What is written out field by field. The rest is opaque: known by its type.
is_open(@nospecialize(x)) = isstructtype(typeof(x)) && (!mutates(x) || x isa Exception) &&
    !(x isa Core.CodeInfo) && parentmodule(typeof(x)) !== CC

function intrinsic(f::Core.IntrinsicFunction)
    for name in sort!(names(Core.Intrinsics, all = true))
        isdefined(Core.Intrinsics, name) && getfield(Core.Intrinsics, name) === f &&
            return string("Core.Intrinsics.", name)
    end
    return "Core.Intrinsics.unknown"
end

number(@nospecialize(x)) =
    x isa Bool ? string(x) :
    x isa Union{Int8,Int16,Int32,Int64,Int128} ? string(x) :
    x isa Union{Float16,Float32,Float64} && !isnan(x) ? string(x) :
    x isa Char ? string("'0x", bits(x), "'") :
    x isa Union{UInt8,UInt16,UInt32,UInt64,UInt128,Float16,Float32,Float64} ? string("0x", bits(x)) :
    x === nothing ? "nothing" : nothing

# A loop: a comprehension would be compiled anew for every type.
function fields_of(write, @nospecialize(x), depth::Int)
    found = String[]
    for k in 1:nfields(x)
        push!(found, isdefined(x, k) ? write(getfield(x, k), depth + 1) : "#undef")
    end
    return found
end

# A value inside a type or a constant's lattice element.
function value_text(@nospecialize(x), depth::Int)::String
    T = typeof(x)
    x isa Type && return type_text(x)
    x isa Module && return path_text(x)
    x isa Symbol && return string(':', name_text(x))
    x isa String && return is_long(x) ? string("String:", digest(x)) : repr(x)
    n = number(x)
    n === nothing || return n
    x isa Core.IntrinsicFunction && return intrinsic(x)
    names_a_function(T) && return string(path_text(T.name.module), '.', singleton_name(T))
    x isa Ptr && return string("::", type_text(T))
    isprimitivetype(T) && return string(type_text(T), "(0x", bits(x), ")")
    isstructtype(T) && (!mutates(x) || x isa Exception) && depth < NESTED ||
        return string("::", type_text(T))
    fields = join(fields_of(value_text, x, depth), ", ")
    return x isa Tuple ? string('(', fields, ",)") : string(type_text(T), '(', fields, ')')
end

function lattice(@nospecialize(t))::String
    is_typelike(t) && return type_text(t)
    name = nameof(typeof(t))
    name === :Const && return string("Const(", value_text(t.val, 0), ')')
    if name === :PartialStruct
        return string("PartialStruct(", type_text(t.typ), ", [", join(map(lattice, t.fields), ", "), "])")
    end
    return string(name, '(', type_text(CC.widenconst(t)), ')')
end

# A statement's type, and what it widens to where that says more.
function annotation(@nospecialize(t))
    is_typelike(t) && return escape(type_text(t))
    return escape(string(lattice(t), " ~ ", type_text(CC.widenconst(t))))
end

# --- operands -------------------------------------------------------------------------------------------

method_key(m::Method) = string(path_text(m.module), '.', m.name, ' ', type_text(m.sig))
instance_key(mi) = mi.def isa Method ?
    string(method_key(mi.def), " @ ", type_text(mi.specTypes)) : string("toplevel ", path_text(mi.def))

instance(@nospecialize(x)) =
    x isa Core.MethodInstance ? x :
    x isa Core.CodeInstance ? instance(x.def) :
    nameof(typeof(x)) === :ABIOverride ? instance(x.def) : nothing

list(values, depth) = join([isassigned(values, k) ? operand(values[k], depth) : "#undef"
                            for k in 1:length(values)], ' ')
text(kind, s::String) = string(kind, is_long(s) ? "#" * digest(s) : ":" * escape(s))

function operand(@nospecialize(x), depth::Int = 0)::String
    x isa Core.SSAValue && return string('%', numbered(1, x.id))
    x isa Core.SlotNumber && return string('$', x.id)
    kind = nameof(typeof(x))
    kind === :TypedSlot && return string('$', x.id, "::", escape(lattice(x.typ)))
    kind === :Argument && parentmodule(typeof(x)) in (Core, CC) && return string('_', x.n)
    x isa GlobalRef && return string("g:", escape(string(path_text(x.mod), '.', name_text(x.name))))
    is_typelike(x) && return string("t:", escape(type_text(x)))
    x isa Module && return string("m:", path_text(x))
    x isa Method && return string("M:", escape(method_key(x)))
    instance(x) === nothing || return string("I:", escape(instance_key(instance(x))))
    x isa Expr && return string('(', name_text(x.head), ' ', list(x.args, depth + 1), ')')
    x isa QuoteNode && return string("'", operand(x.value, depth + 1))
    x isa Core.SimpleVector && return string("svec(", list(Any[x...], depth + 1), ')')
    x isa LineNumberNode && return string("line:", x.line)
    kind === :Const && parentmodule(typeof(x)) in (Core, CC) &&
        return string("(Const ", operand(x.val, depth + 1), ')')
    x isa String && return text("str", x)
    x isa Symbol && return text("sym", String(x))
    return data(x, depth)
end

function data(@nospecialize(x), depth::Int)::String
    T = typeof(x)
    type = escape(type_text(T))
    x isa Core.IntrinsicFunction && return string("f:", intrinsic(x))
    names_a_function(T) && return string("f:", type)
    x === nothing && return "nothing"
    x isa Ptr && return string("opaque:", type)
    isprimitivetype(T) && return string("bits:", type, ':', bits(x))
    is_open(x) && depth < NESTED || return string("opaque:", type)
    return string('{', join([type; fields_of(operand, x, depth)], ' '), '}')
end

# --- statements -------------------------------------------------------------------------------------------

# Inside the optimiser a statement has a number and a place, and jumps name blocks: (the place of a
# number, the first of a block, the last of a block). Elsewhere numbers are places.
const NUMBERS = Ref{Any}(nothing)
# Dead code may name what is gone: 0.
numbered(table, n) = NUMBERS[] === nothing ? Int(n) : get(NUMBERS[][table], n, 0)

jump(pc) = string("->", numbered(2, pc))
incoming(phi) = join([string("<-", numbered(3, phi.edges[k]), ' ',
                             isassigned(phi.values, k) ? operand(phi.values[k]) : "#undef")
                      for k in 1:length(phi.edges)], ' ')

words(head, rest) = isempty(rest) ? head : string(head, ' ', rest)

function statement(@nospecialize(st))::String
    kind = nameof(typeof(st))
    if st isa Expr
        a = st.args
        st.head === :gotoifnot && return string("gotoifnot ", operand(a[1]), ' ', jump(a[2]))
        st.head === :enter && return string("enter ", jump(a[1]))
        st.head === :unreachable && return "unreachable"
        return words(name_text(st.head), list(a, 0))
    end
    st === nothing && return "nothing"
    st isa Core.GotoNode && return string("goto ", jump(st.label))
    kind === :GotoIfNot && return string("gotoifnot ", operand(st.cond), ' ', jump(st.dest))
    kind === :ReturnNode && return isdefined(st, :val) ? string("return ", operand(st.val)) : "unreachable"
    kind === :EnterNode &&
        return string("enter ", jump(st.catch_dest), isdefined(st, :scope) ? " " * operand(st.scope) : "")
    kind === :NewvarNode && return string("newvar ", operand(st.slot))
    kind === :UpsilonNode && return isdefined(st, :val) ? string("upsilon ", operand(st.val)) : "upsilon"
    kind === :PhiCNode && return words("phic", list(st.values, 0))
    kind === :PhiNode && return words("phi", incoming(st))
    kind === :PiNode && return string("pi ", operand(st.val), " t:", annotation(st.typ))
    return string("value ", operand(st))
end

function line(src, pc)
    st = src.code[pc]
    target = ""
    if st isa Expr && st.head === :(=) && st.args[1] isa Core.SlotNumber
        target = string('$', st.args[1].id, " = ")
        st = st.args[2]
    end
    types = src.ssavaluetypes
    note = types isa Vector && isassigned(types, pc) ? annotation(types[pc]) : "-"
    return string(target, statement(st), " :: ", note)
end

function body(io::IO, stage, src)
    println(io, "## ", stage)
    for b in CC.compute_basic_blocks(src.code).blocks
        println(io, "B ", Int(b.stmts.start), ' ', Int(b.stmts.stop), " -> ",
                join(sort!([Int(s) for s in b.succs]), ' '))
    end
    for pc in 1:length(src.code)
        println(io, line(src, pc))
    end
end

VERSION < v"1.10-" || include("canonical_passes.jl")

# --- asking -------------------------------------------------------------------------------------------------

function lowered(mi, world)
    m = mi.def
    isdefined(m, :generator) || return Base.uncompressed_ast(m)
    src = VERSION < v"1.10-" ? CC.get_staged(mi) : CC.get_staged(mi, UInt(world))
    # for types that the generator is not to see there is what `@generated` falls back to
    return src === nothing && isdefined(m, :source) ? Base.uncompressed_ast(m) : src
end

function inferred(mi, world, optimize::Bool)
    m = mi.def
    if VERSION < v"1.6-"
        return CC.typeinf_code(m, mi.specTypes, mi.sparam_vals, optimize, CC.Params(UInt(world)))
    end
    interp = CC.NativeInterpreter(UInt(world))
    VERSION < v"1.11-" && return CC.typeinf_code(interp, m, mi.specTypes, mi.sparam_vals, optimize)
    isdefined(Base, :invoke_interp_compiler) || return CC.typeinf_code(interp, mi, optimize)
    return Base.invoke_interp_compiler(nothing, :typeinf_code, interp, mi, optimize)
end

# The compiler's own final IR as far as it kept any, and what it says of the result.
native(io::IO, mi) = foreach(((k, (ci, inferred)),) -> native(io, ci, inferred, k == 1 ? "" : " $k"),
                             enumerate(LEFT[mi]))
function native(io::IO, ci, inferred, number)
    kept = CC.use_const_api(ci) ? "constant" : inferred === nothing ? "discarded" : "kept"
    if kept == "kept"
        src = inferred isa Core.CodeInfo ? inferred : Base._uncompressed_ir(ci, inferred)
        body(io, "native$number", src)
    end
    println(io, "## code", number, "\n", kept, "\nreturns ", annotation(ci.rettype), "\neffects ", ci.ipo_purity_bits)
    hasfield(typeof(ci), :exctype) && println(io, "throws ", annotation(ci.exctype))
    nothing
end

function answer(io::IO, mi, world, pass_by_pass::Bool)
    println(io, "@@ ", escape(instance_key(mi)))
    VERSION < v"1.10-" || native(io, mi)
    src = lowered(mi, world)
    src isa Core.CodeInfo && body(io, "lowered", src)
    for (stage, optimize) in (("inferred", false), ("optimized", true))
        found = inferred(mi, world, optimize)
        src, type = found isa Core.CodeInfo ? (found, found.rettype) : found isa Tuple ? found : (nothing, Any)
        src isa Core.CodeInfo || continue
        body(io, stage, src)
        optimize && println(io, "## returns\n", annotation(type))
    end
    pass_by_pass && passes(io, mi, world)
end

# --- finding an instance by its key -----------------------------------------------------------------------

function find_instances(wanted::Set{String})
    prefixes = Set(String(first(split(key, " @ "))) for key in wanted)
    found = Dict{String,Core.MethodInstance}()
    consider(m) = m isa Method && escape(method_key(m)) in prefixes &&
        entries(m.specializations) do mi
            key = escape(instance_key(mi))
            key in wanted && (found[key] = mi)
            nothing
        end
    for table in tables()
        Base.visit(m -> (consider(m); nothing), table)
    end
    return found
end

function main(keys_file, answers_file)
    asked = readlines(keys_file)
    keys = String[chop(key, head = 1, tail = 0) for key in asked]
    world = Base.get_world_counter()
    found = find_instances(Set(keys))
    open(answers_file, "w") do io
        for (key, line) in zip(keys, asked)
            known = haskey(found, key) && (VERSION < v"1.10-" || haskey(LEFT, found[key]))
            known ? answer(io, found[key], world, line[1] == '>') :
                println(io, "@@ ", key, "\n## missing")
        end
    end
end

end

Canonical.main(ENV["MMSB_KEYS"], ENV["MMSB_ANSWERS"])

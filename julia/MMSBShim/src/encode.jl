# Compiler objects to rows. One Encoder holds the tables of the current frame and the interned ids.

const LITERALS = Ref(true)

# Methods defined in one world, by the function that each is a method of.
mutable struct Candidates
    methods::Vector{Method}
    of::IdDict{Any,Any}                        # vectors of methods
    of_any::Vector{Method}                     # of no single function
    seen::IdDict{Any,Nothing}                  # signatures looked at for the code in hand
end
Candidates() = Candidates(NO_METHODS, IdDict{Any,Any}(), Method[], IdDict{Any,Nothing}())
const NO_METHODS = Method[]

# What one operand is, where it holds no other.
struct Leaf
    tag::UInt8
    value::UInt32
    type::UInt32
end

struct Encoder
    tables::Tables
    ids::Interner
    # What was found of an object before; between two recordings' readings nothing is kept.
    names::IdDict{Any,UInt32}                  # object → symbol of what names it
    leaves::IdDict{Any,Leaf}
    globals::IdDict{GlobalRef,Any}             # → type of the value
    matches::Dict{UInt64,IdDict{Any,Any}}      # world → signature → methods
    world::Base.RefValue{UInt64}               # asked for; used to resolve calls
    candidates::Candidates                     # defined in the world after the code's last
    causes::IdDict{Method,Nothing}             # those of them that its calls can reach
    # While IR inside the optimiser is written: the place of each SSA value in the listing, and the
    # first and last place of each block. Empty for a CodeInfo, whose numbers are places.
    place::Vector{Int}
    first_of::Vector{Int}
    last_of::Vector{Int}
end
Encoder() = Encoder(Tables(), Interner(), IdDict{Any,UInt32}(), IdDict{Any,Leaf}(),
                    IdDict{GlobalRef,Any}(), Dict{UInt64,IdDict{Any,Any}}(), Ref(UInt64(0)),
                    Candidates(), IdDict{Method,Nothing}(), Int[], Int[], Int[])

forget!(e::Encoder) = (foreach(empty!, (e.names, e.leaves, e.globals, e.matches)); forget!(e.candidates))

renumber(places::Vector{Int}, n::Int) = 1 <= n <= length(places) ? places[n] : n

# --- ids -----------------------------------------------------------------------------------------

function symbol_id!(e::Encoder, text::String)::UInt32
    known = get(e.ids.symbols, text, NONE)
    known == NONE || return known
    id = length(e.ids.symbols) % UInt32
    e.ids.symbols[text] = id
    append!(e.tables.heap.byte, codeunits(text))
    add!(e.tables.symbol, e.ids.heap_bytes, ncodeunits(text) % UInt32)
    e.ids.heap_bytes += ncodeunits(text)
    return id
end

# The symbol of what names an object: of the program's names themselves, of modules, methods,
# instances and types.
function name_id!(e::Encoder, @nospecialize(x))::UInt32
    known = get(e.names, x, NONE)::UInt32
    known == NONE || return known
    text = x isa Symbol ? short_symbol(x) : x isa Core.MethodInstance ? instance_key(x) :
        x isa Method ? method_key(x) : x isa Module ? module_path(x) : type_text(x)
    return e.names[x] = symbol_id!(e, text)
end
symbol_id!(e::Encoder, s::Symbol) = name_id!(e, s)

function type_id!(e::Encoder, @nospecialize(t))::UInt32
    known = get(e.ids.types, t, NONE)::UInt32
    known == NONE || return known
    row = lattice_text(t)
    id = get(e.ids.type_rows, row, NONE)
    if id == NONE
        id = length(e.ids.type_rows) % UInt32
        e.ids.type_rows[row] = id
        add!(e.tables.type, symbol_id!(e, row[1]), row[2], symbol_id!(e, row[3]))
    end
    e.ids.types[t] = id
    return id
end

function file_id!(e::Encoder, file::Symbol)::UInt32
    known = get(e.ids.files, file, NONE)
    known == NONE || return known
    id = length(e.ids.files) % UInt32
    e.ids.files[file] = id
    name = String(file)
    for hidden in hide_file!(name)               # a literal that says it is a file's name from now on
        delete!(e.leaves, hidden)
        delete!(e.leaves, Symbol(hidden))
    end
    path = find_file(name)
    bytes = path === nothing ? UInt8[] : read(path)
    content = path === nothing ? "" : hex_digest(bytes)
    add!(e.tables.file, symbol_id!(e, content),
         symbol_id!(e, hex_digest(Vector{UInt8}(codeunits(stable_name(name))))),
         count(==(0x0a), bytes) % UInt32, symbol_id!(e, path === nothing ? "" : path))
    return id
end

function find_file(name::String)::Union{Nothing,String}
    found = try
        Base.find_source_file(name)
    catch
        nothing      # a name that is no path ("REPL[1]", "none")
    end
    (found isa String && isfile(found)) ? abspath(found) : nothing
end

# The part of a file's name that is the same on every machine and in every folder.
function stable_name(name::String)
    for root in (Sys.STDLIB, Sys.BINDIR)
        startswith(name, root) && return relpath(name, root)
    end
    return isabspath(name) ? relpath(name, pwd()) : name
end

function scope_id!(e::Encoder, parent::UInt32, method::Symbol, file::Symbol, line::Int32,
                   origin::UInt32)::UInt32
    key = (parent, symbol_id!(e, method), file_id!(e, file), reinterpret(UInt32, line), origin)
    known = get(e.ids.scopes, key, NONE)
    known == NONE || return known
    id = length(e.ids.scopes) % UInt32
    e.ids.scopes[key] = id
    add!(e.tables.scope, key[1], key[2], key[3], line, origin)
    return id
end

# --- operands --------------------------------------------------------------------------------------

function set!(t::OperandTable, row::Int, tag::UInt8, value::UInt32, type::UInt32, start::Int,
              count::Int)
    t.tag[row + 1] = tag
    t.value[row + 1] = value
    t.type[row + 1] = type
    t.start[row + 1] = start % UInt32
    t.count[row + 1] = count % UInt32
    nothing
end
set!(t::OperandTable, row::Int, tag::UInt8, value::UInt32 = NONE, type::UInt32 = NONE) =
    set!(t, row, tag, value, type, 0, 0)

function operands!(e::Encoder, values, depth::Int = 0)
    start = grow!(e.tables.operand, length(values))
    for k in 1:length(values)
        if isassigned(values, k)
            operand!(e, start + k - 1, values[k], depth)
        else
            set!(e.tables.operand, start + k - 1, TAGS.none)
        end
    end
    return start
end

place(pc::Int) = pc <= 0 ? NONE : (pc - 1) % UInt32

# A statement number (1-based) jumped to, 0 for none; a φ-node's predecessor, by its last statement,
# 0 for the entry.
jump!(e::Encoder, row::Int, pc::Int) =
    set!(e.tables.operand, row, TAGS.target, place(renumber(e.first_of, pc)))
predecessor!(e::Encoder, row::Int, pc::Int) =
    set!(e.tables.operand, row, TAGS.edge, place(renumber(e.last_of, pc)))

# Places of this body, trees, and then what is the same wherever it stands.
function operand!(e::Encoder, row::Int, @nospecialize(x), depth::Int)
    t = e.tables.operand
    x isa Core.SSAValue && return set!(t, row, TAGS.ssa, place(renumber(e.place, x.id)))
    x isa ArgumentNode && return set!(t, row, TAGS.argument, x.n % UInt32)
    x isa Core.SlotNumber && return set!(t, row, TAGS.slot, place(x.id))
    x isa Expr && return nested!(e, row, TAGS.expr, name_id!(e, x.head), NONE, x.args, depth)
    x isa QuoteNode && return quoted!(e, row, x, depth)
    known = get(e.leaves, x, nothing)
    if known === nothing
        tree!(e, row, x, depth) && return nothing
        known = e.leaves[x] = leaf(e, x)
    end
    at = known::Leaf
    return set!(t, row, at.tag, at.value, at.type)
end

function nested!(e::Encoder, row::Int, tag::UInt8, value::UInt32, type::UInt32, values, depth::Int)
    start = operands!(e, values, depth + 1)
    set!(e.tables.operand, row, tag, value, type, start, length(values))
end

function quoted!(e::Encoder, row::Int, x::QuoteNode, depth::Int)
    start = grow!(e.tables.operand, 1)
    operand!(e, start, x.value, depth + 1)
    set!(e.tables.operand, row, TAGS.quote_, NONE, NONE, start, 1)
end

# Other trees: what holds operands.
function tree!(e::Encoder, row::Int, @nospecialize(x), depth::Int)
    if x isa Core.SimpleVector
        nested!(e, row, TAGS.svec, NONE, NONE, Any[x...], depth)
    elseif nameof(typeof(x)) === :Const && parentmodule(typeof(x)) in (Core, CC)
        nested!(e, row, TAGS.expr, symbol_id!(e, "Const"), NONE, Any[x.val], depth)
    elseif is_leaf(x)
        return false
    elseif depth < DEPTH_LIMIT
        type = type_id!(e, typeof(x))
        fields = Vector{Any}(undef, nfields(x))
        for k in 1:nfields(x)
            isdefined(x, k) && (fields[k] = getfield(x, k))
        end
        nested!(e, row, TAGS.struct_, NONE, type, fields, depth)
    else
        set!(e.tables.operand, row, TAGS.opaque, NONE, type_id!(e, typeof(x)))
    end
    return true
end

is_reference(@nospecialize(x)) = x isa GlobalRef || x isa Type || x isa TypeVar || is_vararg(x) ||
    x isa Module || x isa Method || x isa TypedSlotNode || instance_of(x) !== nothing

# Is this operand one row? All but structs whose fields are facts of the program.
is_leaf(@nospecialize(x)) = is_reference(x) || x isa LineNumberNode || x isa String || x isa Symbol ||
    x isa Core.IntrinsicFunction || is_function_type(typeof(x)) || x isa Ptr ||
    isprimitivetype(typeof(x)) || x === nothing || !is_structural(x) || opaque_struct(x)

# Compiler-internal structs whose inside is not the program's.
opaque_struct(@nospecialize(x)) = x isa Core.CodeInfo || parentmodule(typeof(x)) === CC

leaf(e::Encoder, @nospecialize(x))::Leaf =
    is_reference(x) ? reference(e, x) :
    x isa LineNumberNode ? Leaf(TAGS.line, x.line % UInt32, x.file === nothing ? NONE : file_id!(e, x.file)) :
    x isa String ? text_leaf(e, TAGS.string, x) :
    x isa Symbol ? text_leaf(e, TAGS.symbol, String(x)) : literal(e, x)

# What names something of the program.
function reference(e::Encoder, @nospecialize(x))::Leaf
    x isa GlobalRef && return Leaf(TAGS.global_,
        symbol_id!(e, string(module_path(x.mod), '.', short_symbol(x.name))), NONE)
    x isa Module && return Leaf(TAGS.module_, name_id!(e, x), NONE)
    x isa Method && return Leaf(TAGS.method, name_id!(e, x), NONE)
    x isa TypedSlotNode && return Leaf(TAGS.slot, place(x.id), type_id!(e, x.typ))
    mi = instance_of(x)
    mi === nothing || return Leaf(TAGS.instance, name_id!(e, mi), NONE)
    return Leaf(TAGS.type, NONE, type_id!(e, x))
end

function text_leaf(e::Encoder, tag::UInt8, text::String)::Leaf
    if by_hash(text)
        prefix = tag == TAGS.symbol ? "Symbol:" : "String:"
        return Leaf(TAGS.long, symbol_id!(e, string(prefix, hashed(text))), NONE)
    elseif !LITERALS[]
        return Leaf(TAGS.redacted, NONE, type_id!(e, tag == TAGS.symbol ? Symbol : String))
    end
    return Leaf(tag, symbol_id!(e, text), NONE)
end

# What is data. Nothing here is an address.
function literal(e::Encoder, @nospecialize(x))::Leaf
    T = typeof(x)
    type = type_id!(e, T)
    x isa Core.IntrinsicFunction && return Leaf(TAGS.function_,
        symbol_id!(e, string("Core.Intrinsics.", intrinsic_name(x))), type)
    is_function_type(T) && return Leaf(TAGS.function_, symbol_id!(e, literal_text(x)), type)
    x isa Ptr && return Leaf(TAGS.opaque, NONE, type)
    number = number_text(x)
    (number === nothing && !isprimitivetype(T)) && return Leaf(TAGS.opaque, NONE, type)
    LITERALS[] || return Leaf(TAGS.redacted, NONE, type)
    return Leaf(TAGS.literal, symbol_id!(e, number === nothing ? primitive_hex(x) : number), type)
end

# --- statements ------------------------------------------------------------------------------------

# Node types of every version get one name each.
function opcode(@nospecialize(st))::Symbol
    st isa Expr && return st.head
    st isa Core.GotoNode && return :goto
    st isa GotoIfNotNode && return :gotoifnot
    st isa ReturnNode && return isdefined(st, :val) ? :return : :unreachable
    st isa Core.PhiNode && return :phi
    st isa Core.PiNode && return :pi
    st isa EnterNode && return :enter
    st isa Core.NewvarNode && return :newvar
    st isa Core.UpsilonNode && return :upsilon
    st isa Core.PhiCNode && return :phic
    return st === nothing ? :nothing : :value
end

# The operands of a statement: their first row and how many they are.
function contents!(e::Encoder, @nospecialize(st))::Tuple{Int,Int}
    if st isa Expr
        st.head === :gotoifnot && return branch!(e, st.args[1], st.args[2]::Int)
        st.head === :enter && return target!(e, st.args[1]::Int)
        st.head === :unreachable && return grow!(e.tables.operand, 0), 0
        return operands!(e, st.args), length(st.args)
    end
    st isa Core.GotoNode && return target!(e, st.label)
    st isa GotoIfNotNode && return branch!(e, st.cond, st.dest)
    st isa ReturnNode && return isdefined(st, :val) ? single!(e, st.val) : (grow!(e.tables.operand, 0), 0)
    st isa Core.PhiNode && return phi!(e, st)
    st isa Core.PiNode && return pi!(e, st.val, st.typ)
    if st isa EnterNode
        isdefined(st, :scope) || return target!(e, st.catch_dest)
        start = grow!(e.tables.operand, 2)
        jump!(e, start, st.catch_dest)
        operand!(e, start + 1, st.scope, 0)
        return start, 2
    end
    st isa Core.NewvarNode && return single!(e, st.slot)
    st isa Core.UpsilonNode && return isdefined(st, :val) ? single!(e, st.val) : (grow!(e.tables.operand, 0), 0)
    st isa Core.PhiCNode && return operands!(e, st.values), length(st.values)
    st === nothing && return grow!(e.tables.operand, 0), 0
    return single!(e, st)
end

function single!(e::Encoder, @nospecialize(x))
    start = grow!(e.tables.operand, 1)
    operand!(e, start, x, 0)
    return start, 1
end

function target!(e::Encoder, pc::Int)
    start = grow!(e.tables.operand, 1)
    jump!(e, start, pc)
    return start, 1
end

function branch!(e::Encoder, @nospecialize(condition), pc::Int)
    start = grow!(e.tables.operand, 2)
    operand!(e, start, condition, 0)
    jump!(e, start + 1, pc)
    return start, 2
end

function phi!(e::Encoder, st::Core.PhiNode)
    n = length(st.edges)
    start = grow!(e.tables.operand, 2n)
    for k in 1:n
        row = start + 2k - 2
        predecessor!(e, row, Int(st.edges[k]))
        isassigned(st.values, k) ? operand!(e, row + 1, st.values[k], 0) :
            set!(e.tables.operand, row + 1, TAGS.none)
    end
    return start, 2n
end

is_lattice(@nospecialize(x)) = !(x isa Type) && parentmodule(typeof(x)) === CC

# A π-node's type may be any lattice element, which elsewhere is data.
function pi!(e::Encoder, @nospecialize(value), @nospecialize(type))
    start = grow!(e.tables.operand, 2)
    operand!(e, start, value, 0)
    set!(e.tables.operand, start + 1, TAGS.type, NONE, type_id!(e, type))
    return start, 2
end

# `at`: (scope, line, origin).
function statement!(e::Encoder, src, pc::Int, at::Tuple{UInt32,Int32,UInt32})
    st = statement_at(src, pc)
    slot = SELF
    if st isa Expr && st.head === :(=) && st.args[1] isa Core.SlotNumber
        slot = place((st.args[1]::Core.SlotNumber).id)
        st = st.args[2]
    end
    start, count = contents!(e, st)
    type = statement_type(src, pc)
    type_row = type === nothing ? NONE : type_id!(e, type)
    add!(e.tables.statement, name_id!(e, opcode(st)), type_row, start % UInt32, count % UInt32,
         slot, at[1], at[2], at[3], statement_flags(src, pc))
    nothing
end

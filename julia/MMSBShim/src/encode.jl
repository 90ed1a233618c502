# Compiler objects to rows. One Encoder holds the tables of the current frame and the interned ids.

const LITERALS = Ref(true)

struct Encoder
    tables::Tables
    ids::Interner
    world::Base.RefValue{UInt64}               # asked for; used to resolve calls
    matches::IdDict{Any,Any}                   # signature → method, within one world
    candidates::Vector{Method}                 # defined in the world after the code's last
    causes::IdDict{Method,Nothing}             # those of them that its calls can reach
    # While IR inside the optimiser is written: the place of each SSA value in the listing, and the
    # first and last place of each block. Empty for a CodeInfo, whose numbers are places.
    place::Vector{Int}
    first_of::Vector{Int}
    last_of::Vector{Int}
end
Encoder() = Encoder(tables(), Interner(), Ref(UInt64(0)), IdDict{Any,Any}(), Method[],
                     IdDict{Method,Nothing}(), Int[], Int[], Int[])

renumber(places::Vector{Int}, n::Int) = 1 <= n <= length(places) ? places[n] : n

# --- ids -----------------------------------------------------------------------------------------

function symbol_id!(e::Encoder, text::String)::UInt32
    known = get(e.ids.symbols, text, NONE)
    known == NONE || return known
    id = length(e.ids.symbols) % UInt32
    e.ids.symbols[text] = id
    append!(e.tables.heap.columns.byte, codeunits(text))
    add!(e.tables.symbol, e.ids.heap_bytes, ncodeunits(text) % UInt32)
    e.ids.heap_bytes += ncodeunits(text)
    return id
end
symbol_id!(e::Encoder, s::Symbol) = symbol_id!(e, short_symbol(s))

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
    hide_file!(String(file))
    name = String(file)
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

function reserve!(t::Table, n::Int)
    start = rows(t)
    foreach(c -> resize!(c, start + n), Tuple(t.columns))
    return start
end

function set!(t::Table, row::Int, tag::UInt8, value::UInt32 = NONE, type::UInt32 = NONE,
              start::Int = 0, count::Int = 0)
    c = t.columns
    c.tag[row + 1] = tag
    c.value[row + 1] = value
    c.type[row + 1] = type
    c.start[row + 1] = start % UInt32
    c.count[row + 1] = count % UInt32
    nothing
end

function operands!(e::Encoder, values, depth::Int = 0)
    start = reserve!(e.tables.operand, length(values))
    for k in 1:length(values)
        if isassigned(values, k)
            operand!(e, start + k - 1, values[k], depth)
        else
            set!(e.tables.operand, start + k - 1, TAGS.none)
        end
    end
    return start
end

struct Jump          # a statement number (1-based) jumped to; 0 is none
    pc::Int
end
struct Pred          # a φ-node's predecessor, by its last statement; 0 is the entry
    pc::Int
end

place(pc::Int) = pc <= 0 ? NONE : (pc - 1) % UInt32

function nested!(e::Encoder, row::Int, tag::UInt8, value::UInt32, type::UInt32, values, depth::Int)
    start = operands!(e, values, depth + 1)
    set!(e.tables.operand, row, tag, value, type, start, length(values))
end

function text!(e::Encoder, row::Int, tag::UInt8, text::String)
    if by_hash(text)
        prefix = tag == TAGS.symbol ? "Symbol:" : "String:"
        set!(e.tables.operand, row, TAGS.long, symbol_id!(e, string(prefix, hashed(text))))
    elseif !LITERALS[]
        set!(e.tables.operand, row, TAGS.redacted, NONE, type_id!(e, tag == TAGS.symbol ? Symbol : String))
    else
        set!(e.tables.operand, row, tag, symbol_id!(e, text))
    end
end

# References: what names something of the program.
function reference!(e::Encoder, row::Int, @nospecialize(x))
    t = e.tables.operand
    if x isa Core.SSAValue
        set!(t, row, TAGS.ssa, place(renumber(e.place, x.id)))
    elseif isdefined(Core, :Argument) && x isa Core.Argument || nameof(typeof(x)) === :Argument
        set!(t, row, TAGS.argument, x.n % UInt32)
    elseif x isa Core.SlotNumber
        set!(t, row, TAGS.slot, place(x.id))
    elseif nameof(typeof(x)) === :TypedSlot
        set!(t, row, TAGS.slot, place(x.id), type_id!(e, x.typ))
    elseif x isa GlobalRef
        set!(t, row, TAGS.global_, symbol_id!(e, string(module_path(x.mod), '.', short_symbol(x.name))))
    elseif x isa Jump
        set!(t, row, TAGS.target, place(renumber(e.first_of, x.pc)))
    elseif x isa Pred
        set!(t, row, TAGS.edge, place(renumber(e.last_of, x.pc)))
    elseif x isa Type || x isa TypeVar || is_vararg(x)
        set!(t, row, TAGS.type, NONE, type_id!(e, x))
    elseif x isa Module
        set!(t, row, TAGS.module_, symbol_id!(e, module_path(x)))
    elseif x isa Method
        set!(t, row, TAGS.method, symbol_id!(e, method_key(x)))
    elseif instance_of(x) !== nothing
        mi = instance_of(x)::Core.MethodInstance
        set!(t, row, TAGS.instance, symbol_id!(e, instance_key(mi)))
    else
        return false
    end
    return true
end

# Trees: what holds other operands.
function tree!(e::Encoder, row::Int, @nospecialize(x), depth::Int)
    if x isa Expr
        nested!(e, row, TAGS.expr, symbol_id!(e, x.head), NONE, x.args, depth)
    elseif x isa QuoteNode
        nested!(e, row, TAGS.quote_, NONE, NONE, Any[x.value], depth)
    elseif x isa Core.SimpleVector
        nested!(e, row, TAGS.svec, NONE, NONE, Any[x...], depth)
    elseif x isa LineNumberNode
        file = x.file === nothing ? NONE : file_id!(e, x.file)
        set!(e.tables.operand, row, TAGS.line, x.line % UInt32, file)
    elseif nameof(typeof(x)) === :Const && parentmodule(typeof(x)) in (Core, CC)
        nested!(e, row, TAGS.expr, symbol_id!(e, "Const"), NONE, Any[x.val], depth)
    else
        return false
    end
    return true
end

# Literals: what is data. Nothing here is an address.
function literal!(e::Encoder, row::Int, @nospecialize(x), depth::Int)
    t = e.tables.operand
    x isa String && return text!(e, row, TAGS.string, x)
    x isa Symbol && return text!(e, row, TAGS.symbol, String(x))
    T = typeof(x)
    type = type_id!(e, T)
    if x isa Core.IntrinsicFunction
        set!(t, row, TAGS.function_, symbol_id!(e, string("Core.Intrinsics.", intrinsic_name(x))), type)
    elseif is_function_type(T)
        set!(t, row, TAGS.function_, symbol_id!(e, literal_text(x)), type)
    elseif x isa Ptr
        set!(t, row, TAGS.opaque, NONE, type)
    elseif (number = number_text(x)) !== nothing || isprimitivetype(T)
        if LITERALS[]
            text = number === nothing ? primitive_hex(x) : number
            set!(t, row, TAGS.literal, symbol_id!(e, text), type)
        else
            set!(t, row, TAGS.redacted, NONE, type)
        end
    elseif is_structural(x) && depth < DEPTH_LIMIT && !opaque_struct(x)
        fields = Vector{Any}(undef, nfields(x))
        for k in 1:nfields(x)
            isdefined(x, k) && (fields[k] = getfield(x, k))
        end
        nested!(e, row, TAGS.struct_, NONE, type, fields, depth)
    else
        set!(t, row, TAGS.opaque, NONE, type)
    end
    nothing
end

# Compiler-internal structs whose inside is not the program's.
opaque_struct(@nospecialize(x)) = x isa Core.CodeInfo || parentmodule(typeof(x)) === CC

function operand!(e::Encoder, row::Int, @nospecialize(x), depth::Int)
    reference!(e, row, x) && return nothing
    tree!(e, row, x, depth) && return nothing
    literal!(e, row, x, depth)
    nothing
end

# --- statements ------------------------------------------------------------------------------------

# Opcode and operands of a statement; node types of every version get one name each.
function parts(@nospecialize(st))::Tuple{Symbol,Any}
    if st isa Expr
        head = st.head
        head === :gotoifnot && return (:gotoifnot, Any[st.args[1], Jump(st.args[2])])
        head === :return && return (:return, st.args)
        head === :unreachable && return (:unreachable, Any[])
        head === :enter && return (:enter, Any[Jump(st.args[1])])
        return (head, st.args)
    end
    kind = nameof(typeof(st))
    st isa Core.GotoNode && return (:goto, Any[Jump(st.label)])
    kind === :GotoIfNot && return (:gotoifnot, Any[st.cond, Jump(st.dest)])
    kind === :ReturnNode &&
        return isdefined(st, :val) ? (:return, Any[st.val]) : (:unreachable, Any[])
    kind === :EnterNode &&
        return (:enter, isdefined(st, :scope) ? Any[Jump(st.catch_dest), st.scope] : Any[Jump(st.catch_dest)])
    kind === :NewvarNode && return (:newvar, Any[st.slot])
    kind === :UpsilonNode && return (:upsilon, isdefined(st, :val) ? Any[st.val] : Any[])
    kind === :PhiCNode && return (:phic, st.values)
    kind === :PiNode && return (:pi, Any[st.val, st.typ])
    kind === :PhiNode && return (:phi, phi_operands(st))
    st === nothing && return (:nothing, Any[])
    return (:value, Any[st])
end

function phi_operands(st)
    values = Vector{Any}(undef, 2 * length(st.edges))
    for k in 1:length(st.edges)
        values[2k - 1] = Pred(Int(st.edges[k]))
        isassigned(st.values, k) && (values[2k] = st.values[k])
    end
    return values
end

# A π-node's type may be a lattice element; anything else that is one is data.
is_lattice(@nospecialize(x)) = !(x isa Type) && parentmodule(typeof(x)) === CC

function statement!(e::Encoder, src, pc::Int, at)
    st = statement_at(src, pc)
    slot = SELF
    if st isa Expr && st.head === :(=) && st.args[1] isa Core.SlotNumber
        slot = place(st.args[1].id)
        st = st.args[2]
    end
    opcode, values = parts(st)
    if opcode === :pi && is_lattice(values[2])
        start = reserve!(e.tables.operand, 2)
        operand!(e, start, values[1], 0)
        set!(e.tables.operand, start + 1, TAGS.type, NONE, type_id!(e, values[2]))
    else
        start = operands!(e, values)
    end
    type = statement_type(src, pc)
    type_row = type === nothing ? NONE : type_id!(e, type)
    scope, line, origin = at
    add!(e.tables.statement, symbol_id!(e, opcode), type_row, start % UInt32,
         length(values) % UInt32, slot, scope, line, origin, statement_flags(src, pc))
    nothing
end

# (scope, line, origin) of a statement. `lines`: the method's own first line.
function locate!(e::Encoder, m::Method, frames::Vector{Frame})
    isempty(frames) && return (SELF, typemin(Int32), NONE)
    root = frames[1]
    scope = SELF
    for k in 2:length(frames)
        caller, callee = frames[k - 1], frames[k]
        line = k == 2 ? own_line(m, caller) : caller.line
        scope = scope_id!(e, scope == SELF ? NONE : scope, callee.method, callee.file, line, caller.origin)
    end
    inner = frames[end]
    if length(frames) == 1
        inner.file === m.file && return (SELF, own_line(m, inner), inner.origin)
        # a lowered statement that had no line of its own, as 1.10 leaves a return behind a call
        inner.file === :none && return (SELF, typemin(Int32), inner.origin)
        # code of another file without an inlined frame: a macro's
        scope = scope_id!(e, NONE, Symbol("macro expansion"), inner.file, Int32(0), inner.origin)
    end
    origin = inner.origin == NONE ? reinterpret(UInt32, inner.line) : inner.origin
    return (scope, inner.line, origin)
end

own_line(m::Method, f::Frame) = f.file === m.file ? f.line - Int32(m.line) : f.line

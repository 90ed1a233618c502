# Typed column buffers. CONTRACT holds the literals of mmsb/base/wire.py; a test holds them equal.

const WIRE_VERSION = 2
const NONE = 0xffffffff
const SELF = 0xfffffffe          # statement.scope and statement.slot: none, but said
const OPEN_WORLD = typemax(UInt64)
const NONE_U64 = typemax(UInt64)   # a time or place that is not known

const CONTRACT = (
    (0, :heap, ((:byte, UInt8),)),
    (1, :symbol, ((:offset, UInt64), (:length, UInt32))),
    (2, :type, ((:name, UInt32), (:lattice, UInt8), (:widened, UInt32))),
    (3, :file, ((:content, UInt32), (:name, UInt32), (:lines, UInt32), (:path, UInt32))),
    (4, :scope, ((:parent, UInt32), (:method, UInt32), (:file, UInt32), (:line, Int32),
                 (:origin, UInt32))),
    (5, :event, ((:kind, UInt8), (:subject, UInt32), (:world, UInt64), (:offset, UInt64),
                 (:order, UInt64))),
    (7, :recording, ((:key, UInt32), (:value, UInt32))),
    (16, :method, ((:key, UInt32), (:name, UInt32), (:module, UInt32), (:signature, UInt32),
                   (:file, UInt32), (:line, Int32), (:world, UInt64), (:last_world, UInt64),
                   (:arguments, UInt32), (:deleted, UInt8))),
    (17, :instance, ((:key, UInt32), (:method, UInt32), (:signature, UInt32), (:name, UInt32),
                     (:depth, UInt32), (:module, UInt32), (:trace, UInt32))),
    (18, :code, ((:instance, UInt32), (:method_world, UInt64), (:min_world, UInt64),
                 (:max_world, UInt64), (:asked_world, UInt64), (:return_type, UInt32),
                 (:cached, UInt8), (:provenance, UInt8), (:exception_type, UInt32),
                 (:return_lattice, UInt32), (:effects, UInt32), (:kept, UInt8),
                 (:rederived, UInt8), (:order, UInt64), (:inclusive_ns, UInt64),
                 (:exclusive_ns, UInt64), (:compile_ns, UInt64))),
    (25, :body, ((:code, UInt32), (:stage, UInt8), (:provenance, UInt8), (:statements, UInt32), (:blocks, UInt32),
                 (:edges, UInt32), (:calls, UInt32), (:slots, UInt32))),
    (19, :statement, ((:opcode, UInt32), (:type, UInt32), (:operands, UInt32),
                      (:operand_count, UInt32), (:slot, UInt32), (:scope, UInt32), (:line, Int32),
                      (:origin, UInt32), (:flags, UInt32))),
    (20, :operand, ((:tag, UInt8), (:value, UInt32), (:type, UInt32), (:start, UInt32),
                    (:count, UInt32))),
    (21, :block, ((:first, UInt32), (:last, UInt32))),
    (22, :edge, ((:source, UInt32), (:target, UInt32))),
    (23, :call, ((:statement, UInt32), (:kind, UInt8), (:callee, UInt32), (:signature, UInt32))),
    (24, :slot, ((:name, UInt32), (:type, UInt32))),
    (26, :cause, ((:code, UInt32), (:method, UInt32))),
    (27, :dependency, ((:code, UInt32), (:kind, UInt8), (:target, UInt32))),
    (28, :inference, ((:parent, UInt32), (:instance, UInt32), (:code, UInt32), (:kind, UInt8),
                      (:order, UInt64), (:inclusive_ns, UInt64), (:exclusive_ns, UInt64))),
    (29, :invalidation_tree, ((:parent, UInt32), (:node, UInt8), (:cause, UInt8),
                              (:subject, UInt32), (:depth, UInt32), (:code, UInt32),
                              (:world, UInt64), (:lost_ns, UInt64))),
    (30, :decision, ((:code, UInt32), (:kind, UInt8), (:origin, UInt32), (:scope, UInt32),
                     (:callee, UInt32), (:outcome, UInt32), (:cost, UInt32),
                     (:threshold, UInt32), (:reason, UInt32), (:effects, UInt32),
                     (:type, UInt32))),
)

# mmsb/base/model.py, the same numbers
const TAGS = (none = 0x00, ssa = 0x01, argument = 0x02, slot = 0x03, global_ = 0x04,
              sparam = 0x05, literal = 0x06, type = 0x07, string = 0x08, symbol = 0x09,
              long = 0x0a, struct_ = 0x0b, svec = 0x0c, expr = 0x0d, target = 0x0e, edge = 0x0f,
              instance = 0x10, module_ = 0x11, quote_ = 0x12, opaque = 0x13, function_ = 0x14,
              line = 0x15, redacted = 0x16, method = 0x17)
const LATTICE = (concrete = 0x00, abstract = 0x01, union = 0x02, const_ = 0x03, partial = 0x04,
                 conditional = 0x05, bottom = 0x06, other = 0x07)
const EVENTS = (defined = 0x00, deleted = 0x06, loaded = 0x08)
const STAGES = (lowered = 0x00, inferred = 0x01, optimized = 0x02, convert = 0x03,
                slot2reg = 0x04, compact1 = 0x05, inlining = 0x06, compact2 = 0x07, sroa = 0x08,
                adce = 0x09, compact3 = 0x0a, rederived = 0x0b)
const PROVENANCES = (native = 0x00, rederived = 0x01, shadow = 0x02, reflected = 0x03)
const DEPENDENCIES = (code = 0x00, invoke = 0x01, dispatch = 0x02, binding = 0x03)
const CAUSES = (inserted = 0x00, deleted = 0x01, binding = 0x02, loaded = 0x03, unknown = 0x04,
                bound = 0x05)
const TREE_NODES = (root = 0x00, callee = 0x01, missing = 0x02, caller = 0x03)
const INFERENCES = (normal = 0x00, constant = 0x01)
const KEPT = (discarded = 0x00, kept = 0x01, constant = 0x02, unknown = 0x03)
const REDERIVED = (not_asked = 0x00, equal = 0x01, differs = 0x02, alone = 0x03)
const DECISIONS = (inlined = 0x00, not_inlined = 0x01, union_split = 0x02, constant = 0x03,
                   const_prop = 0x04, concrete_eval = 0x05, semi_concrete = 0x06, effect = 0x07,
                   remark = 0x08)
const CALLS = (invoke = 0x00, dynamic = 0x01, builtin = 0x02, foreign = 0x04, resolved = 0x05,
               unresolved = 0x06)

# A table: its fields are its columns. Each is a type of its own with the methods it needs, so that
# all of it can be compiled beforehand.
#
# add!(table, values…): one row, values in the contract's order and of its types; returns the row's
# 0-based number. grow!: rows to be filled; returns how many there were.
abstract type Table end

struct_name(kind::Symbol) = Symbol(join(map(uppercasefirst, split(String(kind), '_'))), :Table)

function table_code(id::Int, kind::Symbol, columns::Vector{Any})
    T = struct_name(kind)
    fields, empties, arguments, pushes, resizes = Any[], Any[], Any[], Any[], Any[]
    for (k, (name, type)) in enumerate(columns)
        value, column = Symbol(:value, k), :(getfield(t, $k))
        push!(fields, :($name::Vector{$type}))
        push!(empties, :($type[]))
        push!(arguments, :($value::$type))
        push!(pushes, :(push!($column, $value)))
        push!(resizes, :(resize!($column, n)))
    end
    return quote
        mutable struct $T <: Table
            $(fields...)
        end
        $T() = $T($(empties...))
        table_id(::$T) = $(UInt16(id))
        rows(t::$T) = length(getfield(t, 1))
        function add!(t::$T, $(arguments...))
            row = rows(t)
            $(pushes...)
            return row % UInt32
        end
        function truncate!(t::$T, n::Int)
            $(resizes...)
            nothing
        end
        function grow!(t::$T, n::Int)
            start = rows(t)
            truncate!(t, start + n)
            return start
        end
    end
end

function tables_code(entries::Vector{Any})
    code, fields, empties = Expr(:block), Any[], Any[]
    for (id, kind, columns) in entries
        push!(code.args, table_code(id, kind, Any[columns...]))
        push!(fields, :($kind::$(struct_name(kind))))
        push!(empties, :($(struct_name(kind))()))
    end
    push!(code.args, :(mutable struct Tables; $(fields...); end), :(Tables() = Tables($(empties...))))
    return code
end

eval(tables_code(Any[CONTRACT...]))
all_tables(t::Tables) = Table[getfield(t, k) for k in 1:fieldcount(Tables)]

# Everything that is written once and referred to by id lives as long as the recording.
mutable struct Interner
    symbols::Dict{String,UInt32}
    types::IdDict{Any,UInt32}
    type_rows::Dict{Tuple{String,UInt8,String},UInt32}
    files::Dict{Symbol,UInt32}
    scopes::Dict{NTuple{5,UInt32},UInt32}
    heap_bytes::UInt64
end
Interner() = Interner(Dict{String,UInt32}(), IdDict{Any,UInt32}(),
                      Dict{Tuple{String,UInt8,String},UInt32}(), Dict{Symbol,UInt32}(),
                      Dict{NTuple{5,UInt32},UInt32}(), 0)

"""Print the contract, a line a column: id, kind, column, Julia type. The test compares it."""
function print_contract(io::IO = stdout)
    for (id, kind, columns) in CONTRACT, (column, type) in columns
        println(io, id, ' ', kind, ' ', column, ' ', type)
    end
    for (group, values) in (("Tag", TAGS), ("Lattice", LATTICE), ("EventKind", EVENTS),
                            ("Stage", STAGES), ("CallKind", CALLS), ("Provenance", PROVENANCES),
                            ("Dependency", DEPENDENCIES), ("Cause", CAUSES),
                            ("TreeNode", TREE_NODES), ("Inference", INFERENCES), ("Kept", KEPT),
                            ("Rederived", REDERIVED), ("Decision", DECISIONS))
        for name in keys(values)
            println(io, group, ' ', uppercase(rstrip(string(name), '_')), ' ', Int(values[name]))
        end
    end
end

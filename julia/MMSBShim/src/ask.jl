# One code object: its own row, and its IR as far as it was asked for.

# The row of a code object; `returns` and `kept` are what was found of it. Returns its number.
function code!(r::Recording, q::Question, orders, returns::UInt32, kept::UInt8, rederived::UInt8)
    e, ci = r.encoder, q.ci
    row = r.code_rows
    inclusive, exclusive, compile = times(ci)
    native = r.native
    exception = native ? exception_type(ci) : nothing
    add!(e.tables.code, symbol_id!(e, instance_key(q.mi)), q.definition.first,
         UInt64(ci.min_world), UInt64(ci.max_world), q.world,
         returns == NONE ? type_id!(e, ci.rettype) : returns, UInt8(in_image(ci)),
         native ? PROVENANCES.native : PROVENANCES.reflected,
         exception === nothing ? NONE : type_id!(e, exception),
         native ? type_id!(e, return_lattice(ci)) : NONE, native ? effect_bits(ci) : UInt32(0),
         kept, rederived, get(orders, ci, NONE_U64),
         native ? inclusive : NONE_U64, native ? exclusive : NONE_U64, native ? compile : NONE_U64)
    native && dependencies!(e, row, ci)
    r.asked[ci] = UInt64(ci.max_world)
    r.rows_of[ci] = row
    r.code_rows += 0x00000001
    return row
end

# Says all that is wanted of a code object; returns its final code, or nothing.
function ask!(r::Recording, q::Question, orders)
    e = r.encoder
    e.world[] = q.world
    r.native || return ask_reflected!(r, q, orders)
    if !has_body(r, q) || r.settings.capture == "events"
        _, kept = native_source(q.mi, q.ci)
        code!(r, q, orders, NONE, kept, REDERIVED.not_asked)
        return nothing
    end
    return ask_native!(r, q, orders)
end

# Is the IR of this code wanted?
function has_body(r::Recording, q::Question)
    s = r.settings
    if !isempty(s.functions)
        names = names_of(q.mi)
        any(in(s.functions), names) || return false
        filter!(!in(names), r.unknown)
    end
    s.least_ns == 0 && return true
    inclusive, _, _ = times(q.ci)
    return inclusive != NONE_U64 && inclusive >= s.least_ns
end

# As people name it: f, Main.f, f(::Int64), Main.f(::Int64).
function names_of(mi::Core.MethodInstance)
    m = mi.def::Method
    display = display_name(mi)
    home = string(module_path(m.module), '.')
    return (string(m.name), function_text(m), string(home, m.name), display, string(home, display))
end

# Is the compiler asked for this code again? Not for code of packages' images that something ended
# before this recording's compiler came to it: it is asked in worlds of which nothing else is known,
# which takes longer than all the rest.
is_asked_again(r::Recording, q::Question, orders) =
    haskey(orders, q.ci) || q.depth > 0 || !in_image(q.ci) ||
    is_asked((q.mi.def::Method).module, r.settings.modules)

function ask_native!(r::Recording, q::Question, orders)
    e, row, m = r.encoder, r.code_rows, q.mi.def::Method
    native, kept = native_source(q.mi, q.ci)
    src = lowered_of(q.mi, q.world)
    if !(src isa Core.CodeInfo)
        code!(r, q, orders, NONE, kept, REDERIVED.not_asked)
        return nothing
    end
    n = length(src.code)
    body!(e, row, STAGES.lowered,
          isdefined(m, :generator) ? PROVENANCES.rederived : PROVENANCES.native, q.mi, src,
          places(e, m, src, STAGES.lowered, n, false))
    derived = !is_asked_again(r, q, orders) ? nothing :
        derive!(e, row, q.mi, src, q.world, r.settings.capture == "passes")
    if derived === nothing
        native === nothing || body!(e, row, STAGES.optimized, PROVENANCES.native, q.mi, native,
                                    places(e, m, native, STAGES.optimized, n, false))
        code!(r, q, orders, NONE, kept, REDERIVED.not_asked)
        return native
    end
    final = derived[1]
    at = places(e, m, final, STAGES.optimized, n, TAGGED)
    outcome = REDERIVED.alone
    if native === nothing
        body!(e, row, STAGES.optimized, PROVENANCES.rederived, q.mi, final, at)
    else
        outcome = compared!(e, row, q.mi, native, final, at, n)
    end
    code!(r, q, orders, NONE, kept, outcome)
    r.settings.capture == "decisions" && push!(r.chosen, q)
    return native === nothing ? final : native
end

# Writes the native IR, and the re-derived beside it where the two are not the same facts.
function compared!(e::Encoder, row::UInt32, mi::Core.MethodInstance, native::Core.CodeInfo,
                   derived::Core.CodeInfo, at::Vector, n::Int)
    m = mi.def::Method
    # up to 1.11 the native IR knows lines alone; the tagged IR knows the statements
    alike = !TAGGED || same_statements(native, derived)
    tables = Table[e.tables.statement, e.tables.operand, e.tables.block, e.tables.edge, e.tables.call,
                   e.tables.slot, e.tables.body]
    start = map(rows, tables)
    body!(e, row, STAGES.optimized, PROVENANCES.native, mi, native,
          TAGGED && alike ? at : places(e, m, native, STAGES.optimized, n, false))
    middle = map(rows, tables)
    body!(e, row, STAGES.rederived, PROVENANCES.rederived, mi, derived, at)
    same_rows(e, start, middle) || return REDERIVED.differs
    foreach(truncate!, tables, middle)
    return REDERIVED.equal
end

# Do two bodies, written one behind the other, say the same? Operand lists are compared where they
# lie: each begins as far behind its body's first.
function same_rows(e::Encoder, start, middle)
    s, o = e.tables.statement, e.tables.operand
    n, k = middle[1] - start[1], middle[2] - start[2]
    (rows(e.tables.statement) - middle[1] == n && rows(e.tables.operand) - middle[2] == k) ||
        return false
    for column in (s.opcode, s.type, s.operand_count, s.slot, s.scope, s.line, s.origin)
        same_part(column, start[1], middle[1], n) || return false
    end
    for column in (o.tag, o.value, o.type, o.count)
        same_part(column, start[2], middle[2], k) || return false
    end
    return true
end

function same_part(column::Vector, a::Int, b::Int, n::Int)
    for k in 1:n
        column[a + k] == column[b + k] || return false
    end
    return true
end

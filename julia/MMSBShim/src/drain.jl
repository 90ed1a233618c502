# Reading what there is to say: which methods, which of their code objects, in which order.

in_order(methods) = sort!(methods, by = m -> (UInt64(m.primary_world), method_key(m)))

# Methods of the recorded roots, and the others that came after the recording began: they may have
# invalidated something. All methods are visited at first and when a package was loaded; otherwise
# the tracer has seen what is new.
function find_methods!(r::Recording)
    kinds = IdDict{Module,UInt8}()
    loaded = length(Base.loaded_modules)
    over = IdDict{Method,Nothing}()
    loaded == r.visited || foreach(d -> over[d.method] = nothing, r.over)
    consider = m -> begin
        (m isa Method && !haskey(over, m)) || return nothing
        kind = get(kinds, m.module, 0xff)
        kind == 0xff && (kind = kinds[m.module] = kind_of(r, m.module))
        old = m.primary_world <= r.first_world
        # what is the user's came after the recording began; what was asked for by name need not
        if kind == ASKED_FOR || (kind == USERS && !old)
            r.in_scope[m] = nothing
        elseif kind == OTHERS && !old
            r.late[m] = nothing
        end
        nothing
    end
    if loaded != r.visited
        r.visited = loaded
        visit_methods(consider)
    end
    foreach(consider, TRACED)
    nothing
end

const ASKED_FOR, USERS, OTHERS, OURS = 0x00, 0x01, 0x02, 0x03
function kind_of(r::Recording, m::Module)::UInt8
    if is_asked(m, r.settings.modules)
        filter!(name -> !is_asked(m, [name]), r.unseen)
        return ASKED_FOR
    end
    root = root_module(m)
    root_in_scope(root, r.loaded_before) && return USERS
    return root === @__MODULE__() ? OURS : OTHERS
end

function method!(e::Encoder, d::Definition)
    m = d.method
    add!(e.tables.method, symbol_id!(e, method_key(m)), symbol_id!(e, m.name),
         symbol_id!(e, module_path(m.module)), type_id!(e, m.sig), file_id!(e, m.file),
         Int32(m.line), d.first, d.last, UInt32(m.nargs), UInt8(d.deleted))
    nothing
end

function instance!(e::Encoder, mi::Core.MethodInstance, depth::UInt32)
    m = mi.def::Method
    # a line of the trace names what has machine code; out of scope little has
    named = depth != NONE || any(has_machine_code, code_instances(mi))
    trace = named ? hashed(static_text(mi.specTypes)) : ""
    add!(e.tables.instance, symbol_id!(e, instance_key(mi)), symbol_id!(e, method_key(m)),
         type_id!(e, mi.specTypes), symbol_id!(e, display_name(mi)), depth,
         symbol_id!(e, module_path(m.module)), symbol_id!(e, trace))
    nothing
end

# Definitions as the tracer saw them, then what came without it.
function events!(r::Recording, scope::IdDict{Method,Definition})
    e = r.encoder
    seen = IdDict{Method,Nothing}()
    for (k, m) in enumerate(TRACED)
        haskey(scope, m) || continue
        seen[m] = nothing
        add!(e.tables.event, EVENTS.defined, symbol_id!(e, method_key(m)),
             UInt64(m.primary_world), TRACED_AT[k] % UInt64,
             r.native ? r.order + UInt64(TRACED_ORDER[k]) : NONE_U64)
    end
    for m in in_order(collect(keys(scope)))
        d = scope[m]
        known = get(r.announced, m, nothing)
        # a package image brings its methods without the tracer
        haskey(seen, m) || known !== nothing ||
            add!(e.tables.event, EVENTS.loaded, symbol_id!(e, method_key(m)), d.first, OPEN_WORLD,
                 NONE_U64)
        known == d.last && continue
        d.deleted && add!(e.tables.event, EVENTS.deleted, symbol_id!(e, method_key(m)),
                          d.last + 1, OPEN_WORLD, NONE_U64)
    end
    nothing
end

# A method's row, once and again when its end is known.
function announce!(r::Recording, d::Definition)
    get(r.announced, d.method, nothing) == d.last && return nothing
    method!(r.encoder, d)
    nothing
end

function questions_of(r::Recording, mi, d::Definition, now::UInt64, depth::Int)
    found = Question[]
    for ci in code_instances(mi)
        # asked already, or dead before the recording began
        (haskey(r.asked, ci) || ci.max_world < r.first_world || !is_complete(ci)) && continue
        q = question(mi, ci, d, now, depth)
        q === nothing || push!(found, q)
    end
    return sort!(found, by = q -> (UInt64(q.ci.min_world), q.world))
end

# The shim's own code, and others' code compiled for its types.
in_shim(mi::Core.MethodInstance) = root_module((mi.def::Method).module) === @__MODULE__() ||
    occursin("MMSBShim.", instance_key(mi))

"""Ask for all that is new since the last time, and send it. Nothing of the program runs meanwhile."""
function drain!(r::Recording)
    load_sha!()
    find_images!()
    e = r.encoder
    now = UInt64(Base.get_world_counter())
    taken = r.native ? take_inferred!(r.order, r.settings.limit) : NO_CODE
    orders = IdDict{Core.CodeInstance,UInt64}(taken)
    frames = HAS_TIMINGS && r.native ? timed_frames(taken) : nothing
    find_methods!(r)
    scope = IdDict{Method,Definition}()
    foreach(d -> scope[d.method] = d, definitions(r, in_order(collect(keys(r.in_scope)))))
    for m in Iterators.flatten((keys(r.in_scope), keys(r.late)))
        haskey(r.announced, m) || push!(get!(() -> Method[], r.defined_in, UInt64(m.primary_world)), m)
    end
    for (m, d) in scope
        d.deleted && push!(get!(() -> Method[], r.defined_in, d.last + 1), m)
    end
    foreach(m -> announce!(r, scope[m]), in_order(collect(keys(scope))))
    level = Question[]
    for (m, d) in scope, mi in specializations(m)
        found = questions_of(r, mi, d, now, 0)
        (any(q -> is_root(r, q, orders), found) && !in_shim(mi)) || continue
        # an instance's code of the images too: it may be valid where other code of it has ended
        append!(level, filter!(q -> in_image(q.ci) || is_root(r, q, orders), found))
    end
    causes!(r, level, scope)
    events!(r, scope)
    foreach(((m, d),) -> r.announced[m] = d.last, scope)
    depth = 0
    while !isempty(level)
        level = drain_level!(r, level, scope, now, depth, orders)
        depth += 1
    end
    changed!(r)
    r.native && drain_native!(r, taken, frames, orders, scope, now)
    note!(e, :last_world, now)
    BLOCKS[] && forget_ended!(r, scope)
    forget!(r)
    nothing
end
const NO_CODE = Tuple{Core.CodeInstance,UInt64}[]

# What the compiler itself inferred beyond the scope, who asked for whom, what was invalidated.
function drain_native!(r::Recording, taken, frames, orders, scope, now::UInt64)
    e = r.encoder
    rest = Question[]
    outside = Method[]
    left = Core.CodeInstance[ci for (ci, _) in taken if !haskey(r.asked, ci)]
    append!(left, cached_dependents(r))
    filter!(ci -> !in_shim(instance_of(ci)::Core.MethodInstance), left)
    for ci in left
        m = (instance_of(ci)::Core.MethodInstance).def::Method
        haskey(scope, m) || push!(outside, m)
    end
    for d in definitions(r, unique(outside))
        scope[d.method] = d
    end
    for ci in left
        mi = instance_of(ci)::Core.MethodInstance
        q = question(mi, ci, scope[mi.def::Method], now, 0)
        q === nothing || push!(rest, q)
    end
    in_order!(rest)
    sent = Dict{String,Nothing}()
    for q in rest
        announce!(r, q.definition)
        r.announced[q.definition.method] = q.definition.last
        key = instance_key(q.mi)
        (haskey(sent, key) || any(ci -> haskey(r.asked, ci), code_instances(q.mi))) ||
            instance!(e, q.mi, NONE)
        sent[key] = nothing
        code!(r, q, orders, NONE, KEPT.unknown, REDERIVED.not_asked)
    end
    frames === nothing && (frames = linked_frames(filter(t -> haskey(r.rows_of, t[1]), taken)))
    r.tree_rows = inference_tree!(e, frames, r.rows_of, r.tree_rows)
    take_invalidations!(e, (mi, world) -> ended_row(r, mi, world))
    r.order += UInt64(length(INFERRED))
    empty!(INFERRED)
    send!(r)
    nothing
end

# Valid code of the images that a redefinition of recorded methods would end, whoever calls it: their
# own, and what stands on it. Without this, what is cached and nothing recorded calls would be missing.
function cached_dependents(r::Recording)
    found = IdDict{Core.CodeInstance,Nothing}()
    HAS_EDGES || return keys(found)
    seen = IdDict{Core.MethodInstance,Nothing}()
    todo = Core.MethodInstance[]
    reach!(mi) = haskey(seen, mi) || (seen[mi] = nothing; push!(todo, mi))
    is_told(ci) = ci.max_world == OPEN_WORLD && haskey(r.asked, ci)
    # What an instance has of code that was asked for and holds is the last that is said of it.
    wanted!(mi, ci) = in_image(ci) && ci.max_world == OPEN_WORLD && is_native(ci) && is_complete(ci) &&
        !any(is_told, code_instances(mi)) && (found[ci] = nothing)
    for m in keys(r.in_scope), mi in specializations(m)
        reach!(mi)
        foreach(ci -> wanted!(mi, ci), code_instances(mi))
    end
    while !isempty(todo)
        for ci in backedges(pop!(todo))
            mi = instance_of(ci)::Core.MethodInstance
            (mi.def isa Method && ci.max_world == OPEN_WORLD) || continue
            reach!(mi)
            wanted!(mi, ci)
        end
    end
    return keys(found)
end

# The row of an instance's code object that was valid until this world, or NONE.
function ended_row(r::Recording, mi::Core.MethodInstance, world::UInt64)
    for ci in code_instances(mi)
        UInt64(ci.max_world) + 1 == world && haskey(r.rows_of, ci) && return r.rows_of[ci]
    end
    return NONE
end

# Code sent before that has been invalidated since: its row again, with its last world.
function changed!(r::Recording)
    again = Question[]
    for (ci, last) in r.asked
        last == UInt64(ci.max_world) && continue
        mi = instance_of(ci)::Core.MethodInstance
        m = mi.def::Method
        d = Definition(m, UInt64(m.primary_world), OPEN_WORLD, false)
        push!(again, Question(mi, ci, d, UInt64(ci.max_world), 0))
    end
    for q in in_order!(again)
        code!(r, q, NO_ORDERS, NONE, KEPT.unknown, REDERIVED.not_asked)
    end
    nothing
end
const NO_ORDERS = IdDict{Core.CodeInstance,UInt64}()

# The definitions of methods, as they ended if they did before.
definitions(r::Recording, methods::Vector{Method}) = map(definitions(methods)) do d
    k = is_replaced_method(d.method) ? findlast(was -> was.method === d.method, r.over) : nothing
    return k === nothing ? d : r.over[k]
end

# Between two drains nothing is held that the program's own tables do not hold.
function forget!(r::Recording)
    foreach(empty!, (TRACED, TRACED_AT, TRACED_ORDER, METHOD_KEYS, INSTANCE_KEYS, r.defined_in))
    forget_texts!()
    forget!(r.encoder)
    nothing
end

# What has ended and was sent with its end is not looked at again.
function forget_ended!(r::Recording, scope::IdDict{Method,Definition})
    for ci in [ci for (ci, last) in r.asked if last != OPEN_WORLD]
        foreach(table -> delete!(table, ci), (r.asked, r.rows_of, TIMES))
        push!(r.ended, ci)
    end
    for (m, d) in scope
        (d.last == OPEN_WORLD || !haskey(r.announced, m)) && continue
        push!(r.over, d)
        foreach(table -> delete!(table, m), (r.in_scope, r.announced))
    end
    empty!(r.late)                    # nothing asked later ended in their worlds
    nothing
end

# Methods out of scope that were defined in the world after a recorded code object's last.
function causes!(r::Recording, level, scope)
    capped = Set{UInt64}(UInt64(q.ci.max_world) + 1 for q in level if q.ci.max_world != OPEN_WORLD)
    late = [m for m in keys(r.late) if UInt64(m.primary_world) in capped]
    for d in definitions(r, in_order(late))
        haskey(scope, d.method) && continue
        scope[d.method] = d
        announce!(r, d)
    end
    nothing
end

# A question the compiler or the encoder throws at costs that answer alone, and is counted.
function ask_safely!(r::Recording, q::Question, orders)
    e = r.encoder
    before = map(rows, answer_tables(e))
    empty!(e.causes)
    candidates!(e.candidates, q.ci.max_world == OPEN_WORLD ? NO_METHODS :
                get(r.defined_in, UInt64(q.ci.max_world) + 1, NO_METHODS))
    row = r.code_rows
    try
        final = ask!(r, q, orders)
        for m in in_order(collect(keys(e.causes)))
            add!(e.tables.cause, row, symbol_id!(e, method_key(m)))
        end
        return final
    catch problem
        problem isa InterruptException && rethrow()
        foreach(truncate!, answer_tables(e), before)
        r.code_rows = row
        delete!(r.rows_of, q.ci)
        failed!(r, string(fault_text(problem), " for ", instance_key(q.mi)))
        return nothing
    end
end

# Tables whose rows belong to one answer, unlike ids, which are written once for all.
answer_tables(e::Encoder) = Table[
    e.tables.code, e.tables.body, e.tables.statement, e.tables.operand, e.tables.block,
    e.tables.edge, e.tables.call, e.tables.slot, e.tables.cause, e.tables.dependency]

# What is recorded by itself: new code, code that something ended, and all of what was asked for by
# name. Other code that was compiled before is recorded where recorded code calls it.
is_root(r::Recording, q::Question, orders) =
    haskey(orders, q.ci) || !(in_image(q.ci) || (r.native && (BLOCKS[] || r.settings.limit > 0))) ||
    q.ci.max_world != OPEN_WORLD ||
    is_asked((q.mi.def::Method).module, r.settings.modules)

in_order!(questions::Vector{Question}) = sort!(questions,
    by = q -> (instance_key(q.mi), q.definition.first, UInt64(q.ci.min_world), q.world))

# Asks one level's questions in the order of their keys; returns those of the level below.
function drain_level!(r::Recording, level, scope, now::UInt64, depth::Int, orders)
    e = r.encoder
    in_order!(level)
    note!(e, :questions, length(level))
    callees = IdDict{Core.MethodInstance,Nothing}()
    sent = Dict{String,Nothing}()
    for q in level
        key = instance_key(q.mi)
        haskey(sent, key) || instance!(e, q.mi, UInt32(depth))
        sent[key] = nothing
        r.forked && still_alive()
        final = ask_safely!(r, q, orders)
        final === nothing || foreach(mi -> callees[mi] = nothing, invoked(final))
        rows(e.tables.operand) > 100_000 && send!(r)
    end
    send!(r)
    depth < r.settings.depth || return Question[]
    return callee_questions!(r, callees, scope, now, depth + 1)
end

function callee_questions!(r::Recording, callees, scope, now::UInt64, depth::Int)
    below = Question[]
    outside = Method[]
    for mi in keys(callees)
        haskey(scope, mi.def::Method) || in_shim(mi) || push!(outside, mi.def::Method)
    end
    for d in definitions(r, sort!(unique(outside), by = method_key))
        scope[d.method] = d
        announce!(r, d)
        r.announced[d.method] = d.last
    end
    for mi in keys(callees)
        in_shim(mi) || append!(below, questions_of(r, mi, scope[mi.def::Method], now, depth))
    end
    return below
end

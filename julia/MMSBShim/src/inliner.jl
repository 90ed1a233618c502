# The shadow compiler's inliner: what was done at each call, and why. Included by interpreter.jl.

statements_of(ir) = hasfield(typeof(ir.stmts), :stmt) ? ir.stmts.stmt : ir.stmts.inst
# The lowered statement of a statement of IR in which nothing is inlined yet.
function lowered_at(ir, idx::Int)
    lines = ir.stmts.line
    return Int(length(lines) == length(statements_of(ir)) ? lines[idx] : lines[3idx - 2])
end

function on_optimize(arguments::Vector{Any})
    i = interpreter_of(arguments)
    result = argument(CC.InferenceResult, arguments)
    i.desk.instance = has_constants(result) ? nothing : result.linfo
    empty!(i.desk.candidates)
    empty!(i.desk.constants)
    i.desk.instance === nothing && return nothing
    get!(() -> Book(nothing), i.books, i.desk.instance)       # nothing was said while it was inferred
    note_constants!(i.desk, argument(CC.OptimizationState, arguments))
end
on_optimized(answer, arguments::Vector{Any}) = (interpreter_of(arguments).desk.instance = nothing; nothing)

# Calls whose result inference knows. The first `compact!` puts it in their place, where nothing else
# comes of them.
function note_constants!(desk::Desk, opt)
    src = opt.src
    desk.length = 0
    for pc in 1:length(src.code)
        st, type = src.code[pc], statement_type(src, pc)
        st isa Expr && st.head === :(=) && (st = st.args[2])
        (type isa Core.Const && st isa Expr && st.head === :call) || continue
        origin = ORIGIN == "tagged" ? Int(src.codelocs[pc]) : pc
        desk.length = max(desk.length, origin)
        desk.constants[origin] = (CC.widenconst(CC.argextype(st.args[1], src, opt.sptypes)), type)
    end
    nothing
end

# --- what it costs ---------------------------------------------------------------------------------

function on_cost(answer, arguments::Vector{Any})
    opt = argument(CC.OptimizationState, arguments)
    opt === nothing && return nothing            # a function of that name that ends inference
    i = interpreter_of(arguments)
    result = argument(CC.InferenceResult, arguments)
    threshold = cost_threshold(i.optimization, opt, result)
    counted = UInt32(opt.src.inlining_cost)
    refused = CC.is_declared_noinline(opt.src) ? "declared @noinline" :
        result.result === Union{} && counted == typemax(UInt16) ? "never returns" : ""
    if counted == typemax(UInt16) && isempty(refused)
        ir = argument(CC.IRCode, arguments)
        counted = UInt32(full_cost(ir, i.optimization, opt.linfo))
        # (what holds a try block counts as infinitely dear)
        refused = counted == typemax(UInt16) ? string("cost beyond counting over ", threshold) :
            counted > threshold ? string("cost ", counted, " over ", threshold) : "not inlineable"
    end
    found = Cost(counted == typemax(UInt16) ? NONE : counted, threshold % UInt32, refused)
    i.costs[result] = found
    has_constants(result) || (i.costs[opt.linfo] = found)
    nothing
end

# How dear a function of this kind may be. The compiler keeps only the verdict.
function cost_threshold(p::CC.OptimizationParams, opt, result)
    allowed = base = Int(p.inline_cost_threshold)
    returned = CC.widenconst(result.result)
    returned <: Tuple && returned !== Union{} && !isconcretetype(returned) && (allowed += p.inline_tupleret_bonus)
    CC.is_declared_inline(opt.src) && (allowed += 19base)
    m = opt.linfo.def
    favoured = m isa Method && m.module in (Base, Core) && m.name in (:iterate, :unsafe_convert, :cconvert)
    return favoured ? allowed + 4base : allowed
end

if hasmethod(CC.inline_cost, Tuple{CC.IRCode,CC.OptimizationParams,Int})
    full_cost(ir, p, mi) = CC.inline_cost(ir, p, typemax(Int))
else
    function full_cost(ir, p, mi)
        given = Base.unwrap_unionall(mi.specTypes).parameters
        unions = any(t -> Base.unwrap_unionall(t) isa Union, given)
        return CC.inline_cost(ir, p, unions, typemax(Int))
    end
end

# --- what was done -----------------------------------------------------------------------------------

# Before a statement is looked at: where we are, and what is called there.
function on_statement(arguments::Vector{Any})
    ir, idx = argument(CC.IRCode, arguments), argument(Int, arguments)
    desk = interpreter_of(arguments).desk
    st = statements_of(ir)[idx]
    desk.statement = idx
    desk.call = st isa Expr && st.head === :call ? callee_type(ir, st) : nothing
    nothing
end
callee_type(ir, st::Expr) = isempty(st.args) ? nothing : CC.widenconst(argument_type(st.args[1], ir))
# (the name of a C function is an expression of its own, which has no type)
argument_type(@nospecialize(a), ir) =
    a isa Expr && !(a.head in (:static_parameter, :boundscheck, :copyast)) ? Any : CC.argextype(a, ir)

# A builtin that was replaced by its result on the spot.
function on_simple(answer, arguments::Vector{Any})
    i, ir = interpreter_of(arguments), argument(CC.IRCode, arguments)
    desk = i.desk
    (desk.instance === nothing || desk.call === nothing || answer !== nothing) && return nothing
    is_value(statements_of(ir)[desk.statement]) || return nothing
    choose!(i, ir, desk.statement, Note(DECISIONS.constant, desk.call, type = ir.stmts.type[desk.statement]))
end
is_value(@nospecialize(st)) = !(st isa Expr || st isa Core.SSAValue || st isa Core.Argument ||
    st isa Core.SlotNumber || nameof(typeof(st)) in (:PhiNode, :PiNode))

function choose!(i::RecordingInterpreter, ir, idx::Int, note::Note)
    push!(i.books[i.desk.instance].chosen, (lowered_at(ir, idx), note))
    nothing
end

const FLAG = typeof(CC.IR_FLAG_NULL)
function on_candidate(answer, arguments::Vector{Any})
    desk = interpreter_of(arguments).desk
    desk.instance === nothing && return nothing
    found = argument(CC.InferenceResult, arguments)
    if found === nothing && isdefined(CC, :VolatileInferenceResult)
        found = argument(CC.VolatileInferenceResult, arguments)
        found === nothing || (found = found.inf_result)
    end
    mi = argument(Core.MethodInstance, arguments)
    if mi === nothing
        given = arguments[1]                    # a result of evaluation at compile time
        mi = instance_of(hasfield(typeof(given), :edge) ? given.edge : given.mi)
    end
    push!(desk.candidates, Candidate(desk.statement, mi, answer, argument(FLAG, arguments),
                                     found === nothing ? mi : found))
    nothing
end

const NO_ITEMS = Any[]
const NO_NOTES = Note[]

# When all calls have been looked at: what became of each.
function on_todo(todo, arguments::Vector{Any})
    i, ir = interpreter_of(arguments), argument(CC.IRCode, arguments)
    desk = i.desk
    desk.instance === nothing && return nothing
    plan = Dict{Int,Vector{Any}}()
    for (idx, item) in todo
        # what a splat made into statements of their own counts for all of them
        push!(get!(() -> Any[], plan, min(idx, length(statements_of(ir)) + 1)), item)
    end
    for candidate in desk.candidates
        note = verdict(i, ir, candidate, plan)
        note === nothing || choose!(i, ir, candidate.statement, note)
    end
    for idx in 1:length(statements_of(ir))
        haskey(plan, idx) || note_dispatch!(i, ir, idx)
        for item in get(plan, idx, NO_ITEMS)
            note_split!(i, ir, idx, item)
        end
    end
    settle_constants!(i, ir)
    empty!(desk.candidates)
    nothing
end

function settle_constants!(i::RecordingInterpreter, ir)
    statements = statements_of(ir)
    settled = Set{Int}()
    for idx in 1:length(statements)
        statements[idx] isa Expr && push!(settled, lowered_at(ir, idx))
    end
    book = i.books[i.desk.instance]
    for (pc, _) in book.chosen
        push!(settled, pc)
    end
    for pc in 1:i.desk.length
        (haskey(i.desk.constants, pc) && !(pc in settled)) || continue
        callee, type = i.desk.constants[pc]
        for note in get(book.said, pc, NO_NOTES)
            note.callee isa Core.MethodInstance && (callee = note.callee)
        end
        push!(book.chosen, (pc, Note(DECISIONS.constant, callee, type = type)))
    end
    nothing
end

is_kind(@nospecialize(item), name::Symbol) = nameof(typeof(item)) === name
function is_planned(plan, idx::Int, mi::Core.MethodInstance)
    for item in get(plan, idx, NO_ITEMS)
        is_kind(item, :InliningTodo) && item.mi === mi && return true
        is_kind(item, :UnionSplit) || continue
        for case in item.cases
            is_kind(case.item, :InliningTodo) && case.item.mi === mi && return true
        end
    end
    return false
end

function verdict(i::RecordingInterpreter, ir, c::Candidate, plan)
    st, type = statements_of(ir)[c.statement], ir.stmts.type[c.statement]
    known = get(i.costs, c.source, get(i.costs, c.instance, nothing))
    cost, threshold = known === nothing ? (NONE, NONE) : (known.cost, known.threshold)
    split = haskey(plan, c.statement)
    if is_kind(c.item, :InliningTodo)
        (is_planned(plan, c.statement, c.instance) ||
         is_planned(plan, length(statements_of(ir)) + 1, c.instance)) &&
            return Note(DECISIONS.inlined, c.instance, cost = cost, threshold = threshold, type = type)
        return nothing                           # the call is dispatched: said there
    end
    still_call = st isa Expr && st.head === :call && !split
    if is_kind(c.item, :ConstantCase) || (is_kind(c.item, :InvokeCase) && is_value(st))
        return still_call ? nothing : Note(DECISIONS.constant, c.instance, type = type)
    end
    still_call && return nothing
    return Note(DECISIONS.not_inlined, c.instance, cost = cost, threshold = threshold,
                reason = why_not(i, ir, c, known), type = type)
end

is_cached(i::RecordingInterpreter, mi::Core.MethodInstance) =
    (ci = CC.get(CC.code_cache(i), mi, nothing); ci !== nothing && ci.inferred !== nothing)

function why_not(i::RecordingInterpreter, ir, c::Candidate, known)
    i.optimization.inlining || return "inlining is switched off"
    c.flag isa Unsigned && CC.is_stmt_noinline(c.flag) && return "declared @noinline at the call"
    known === nothing || isempty(known.refused) || return known.refused
    ir.stmts.type[c.statement] isa Core.Const && return "its result is known, and cannot stand in code"
    # not in the cache yet when its caller was optimised
    haskey(i.books, c.instance) && i.books[c.instance].frame !== nothing && !is_cached(i, c.instance) &&
        return "recursive"
    m = c.instance.def
    m isa Method && isdefined(m, :source) && m.source !== nothing && CC.is_declared_noinline(m) &&
        return "declared @noinline"
    return known === nothing ? "no source: not inferred for these types" : "no source: discarded"
end

function note_split!(i::RecordingInterpreter, ir, idx::Int, @nospecialize(item))
    is_kind(item, :UnionSplit) || return nothing
    st = statements_of(ir)[idx]
    callee = st isa Expr ? callee_type(ir, st) : nothing
    covered = hasfield(typeof(item), :handled_all_cases) ? item.handled_all_cases & item.fully_covered : item.fully_covered
    choose!(i, ir, idx, Note(DECISIONS.union_split, callee, outcome = length(item.cases),
                             reason = covered ? "every case" : "other cases fall through",
                             type = ir.stmts.type[idx]))
end

# --- calls that are left to the running program ---------------------------------------------------

const COUNTED = 100           # methods, of those that match a dynamic call

function note_dispatch!(i::RecordingInterpreter, ir, idx::Int)
    st = statements_of(ir)[idx]
    (st isa Expr && st.head === :call) || return nothing
    types = Any[argument_type(a, ir) for a in st.args]
    any(t -> t === Union{}, types) && return nothing                  # never reached
    f = CC.widenconst(types[1])
    if f isa DataType && (f <: Core.Builtin || f === Core.IntrinsicFunction)
        dispatches(f) || return nothing
        reason = "dynamic dispatch: by a builtin"
    else
        reason = string("dynamic dispatch: ", matches_text(i, ir.stmts.info[idx], types))
    end
    choose!(i, ir, idx, Note(DECISIONS.not_inlined, f, reason = reason, type = ir.stmts.type[idx]))
end

function matches_text(i::RecordingInterpreter, @nospecialize(info), types::Vector{Any})
    parts = CC.nsplit(info)
    if parts isa Int && parts > 0
        n = 0
        for k in 1:parts
            n += Int(CC.length(CC.getsplit(info, k)))
        end
        n > 0 && return counted_text(n)
    end
    isconcretetype(CC.widenconst(types[1])) || CC.isconstType(CC.widenconst(types[1])) ||
        return "the function is not known"
    signature = try
        Tuple{Any[CC.widenconst(t) for t in types]...}
    catch
        return "of arguments of unknown number"
    end
    found = Base._methods_by_ftype(signature, COUNTED, i.world)
    return found isa Vector ? counted_text(length(found)) : string("more than ", COUNTED, " methods match")
end
counted_text(n::Int) = n == 0 ? "no method matches" : n == 1 ? "1 method matches" : string(n, " methods match")

tap!(:optimize, on_optimize, on_optimized)
tap!(:finish, nothing, on_cost)
tap!(:process_simple!, on_statement, on_simple)
tap!(:resolve_todo, nothing, on_candidate)
tap!(:semiconcrete_result_item, nothing, on_candidate)
tap!(:concrete_result_item, nothing, on_candidate)
tap!(:assemble_inline_todo!, nothing, on_todo)

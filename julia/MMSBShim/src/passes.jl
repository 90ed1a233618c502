# The re-derive tier: the native compiler asked again, in its own world, and its IR read after every
# pass. It runs after the program has ended, or when a person asks.

# IR inside the optimiser as a list of statements: nodes that a pass inserted stand where they will
# be put. `order` is the SSA value at each place; the rest turns numbers of the IR into places.
struct Listing{I}
    ir::I
    order::Vector{Int}
    place::Vector{Int}
    first_of::Vector{Int}
    last_of::Vector{Int}
end

function Listing(ir)
    n = CC.length(ir.stmts)
    nodes = ir.new_nodes.info
    before, after = Dict{Int,Vector{Int}}(), Dict{Int,Vector{Int}}()
    for k in 1:CC.length(nodes)
        info = CC.getindex(nodes, k)
        push!(get!(() -> Int[], info.attach_after ? after : before, Int(info.pos)), n + k)
    end
    order, place = Int[], zeros(Int, n + CC.length(nodes))
    last_at = zeros(Int, n)      # the place of a statement and of what is attached behind it
    for id in 1:n
        append!(order, get(before, id, ()))
        push!(order, id)
        append!(order, get(after, id, ()))
        last_at[id] = length(order)
    end
    for (at, id) in enumerate(order)
        place[id] = at
    end
    first_of, last_of = Int[], Int[]
    for k in 1:CC.length(ir.cfg.blocks)
        low, high = block_range(CC.getindex(ir.cfg.blocks, k))
        push!(first_of, low == 1 ? 1 : last_at[low - 1] + 1)
        push!(last_of, last_at[high])
    end
    return Listing(ir, order, place, first_of, last_of)
end

stream_of(l::Listing, id::Int) = (n = CC.length(l.ir.stmts);
    id <= n ? (l.ir.stmts, id) : (l.ir.new_nodes.stmts, id - n))
statement_at(l::Listing, pc::Int) = ((s, k) = stream_of(l, l.order[pc]); raw_statement(s, k))
# (after the first pass there are no types: they come back with the next)
statement_type(l::Listing, pc::Int) = ((s, k) = stream_of(l, l.order[pc]);
    k <= length(s.type) ? s.type[k] : nothing)
statement_flags(l::Listing, pc::Int) =
    ((s, k) = stream_of(l, l.order[pc]); (s.flag[k] % UInt32)::UInt32)
frames_at!(frames::Vector{Frame}, l::Listing, pc::Int, tagged::Bool) =
    ((s, k) = stream_of(l, l.order[pc]); frames_of!(frames, l.ir, s, k, tagged))

function blocks!(e::Encoder, l::Listing)
    edges = 0
    for k in 1:length(l.first_of)
        add!(e.tables.block, (l.first_of[k] - 1) % UInt32, (l.last_of[k] - 1) % UInt32)
        for s in CC.getindex(l.ir.cfg.blocks, k).succs
            add!(e.tables.edge, (k - 1) % UInt32, (s - 1) % UInt32)
            edges += 1
        end
    end
    return length(l.first_of), edges
end

# The IR after one pass, written as a body. Calls and slots are those of the stages around it.
function pass!(e::Encoder, code::UInt32, stage::UInt8, m::Method, ir, tagged::Bool)
    l = Listing(ir)
    append!(e.place, l.place)
    # after the first pass jumps still name statements; from the second on, blocks
    append!(e.first_of, stage == STAGES.convert ? l.place : l.first_of)
    append!(e.last_of, stage == STAGES.convert ? l.place : l.last_of)
    try
        trail = Trail(m)
        for pc in 1:length(l.order)
            frames_at!(trail.frames, l, pc, tagged)
            statement!(e, l, pc, locate!(e, trail))
        end
        nblocks, nedges = blocks!(e, l)
        add!(e.tables.body, code, stage, PROVENANCES.rederived, length(l.order) % UInt32,
             nblocks % UInt32, nedges % UInt32, UInt32(0), UInt32(0))
    finally
        foreach(empty!, (e.place, e.first_of, e.last_of))
    end
    nothing
end

const PASS_STAGES = (STAGES.convert, STAGES.slot2reg, STAGES.compact1, STAGES.inlining,
                     STAGES.compact2, STAGES.sroa, STAGES.adce, STAGES.compact3)

# Infers an instance anew and optimises it, in the order in which the compiler does. Writes the
# inferred body, and every pass if asked; returns the final code and the return type, or nothing.
function derive!(e::Encoder, code::UInt32, mi::Core.MethodInstance, src::Core.CodeInfo,
                 world::UInt64, passes::Bool)
    m = mi.def::Method
    n = length(src.code)
    interp = CC.NativeInterpreter(UInt(world))
    frame = new_frame(interp, mi, src)
    (frame !== nothing && finish_inference(interp, frame)) || return nothing
    body!(e, code, STAGES.inferred, PROVENANCES.rederived, mi, frame.src,
          places(e, m, frame.src, STAGES.inferred, n, TAGGED))
    returns = widen(return_lattice(frame))
    drop_dead_branches!(frame)
    opt = in_typeinf_world(CC.OptimizationState, frame, interp)
    if !passes && is_constant(interp, frame)
        return constant_code(interp, mi, frame), returns
    end
    constant = is_constant(interp, frame) ? constant_code(interp, mi, frame) : nothing
    ir = nothing
    for k in 1:length(PASS_STAGES)
        ir, changed = run_pass(k, ir, opt)
        changed || continue
        passes && pass!(e, code, PASS_STAGES[k], m, ir, TAGGED)
    end
    constant === nothing || return constant, returns
    return finish_optimization(interp, opt, ir, frame), returns
end

# The IR inside the optimiser, in the text of `canonical.jl`: Julia's answer to "optimise until pass k".
# Part of that file's module.

const PASSES = ("convert", "slot2reg", "compact1", "inlining", "compact2", "sroa", "adce", "compact3")

# What is left of an instance after pass k: what `Base.code_ircode(…; optimize_until = k)` asks for.
if VERSION >= v"1.11-"
    ir_after(mi, world, k) = first(Base.invoke_interp_compiler(
        nothing, :typeinf_ircode, CC.NativeInterpreter(UInt(world)), mi, k))
else
    # Until 1.10 inference takes impossible branches away only where the result is to be optimised and
    # cached: `code_ircode` keeps them. This is how the compiler goes on for the code generator.
    function ir_after(mi, world, k)
        interp = CC.NativeInterpreter(UInt(world))
        result = CC.InferenceResult(mi, CC.typeinf_lattice(interp))
        frame = CC.InferenceState(result, :global, interp)
        CC.typeinf_nocycle(interp, frame) || return nothing
        cycle = frame.callers_in_cycle
        for caller in (isempty(cycle) ? [frame] : cycle)
            CC.finish(caller, interp)
        end
        opt = result.src
        return CC.run_passes(opt.src, opt, result, k)
    end
end

# A list of statements: nodes that a pass inserted stand where the next compaction will put them.
function listed(ir)
    count = length(raw(ir.stmts))
    info = ir.new_nodes.info
    at = [[(pc, 1, pc) for pc in 1:count];
          [(Int(info[k].pos), info[k].attach_after ? 2 : 0, count + k) for k in 1:length(info)]]
    order = [id for (_, _, id) in sort!(at)]
    place = invperm(order)
    home = [pos for (pos, _, _) in sort!(at)]
    first_of = [searchsortedfirst(home, b.stmts.start) for b in ir.cfg.blocks]
    last_of = [searchsortedlast(home, b.stmts.stop) for b in ir.cfg.blocks]
    code, types = Any[], Vector{Any}(undef, length(order))
    for (pc, id) in enumerate(order)
        stream, k = id <= count ? (ir.stmts, id) : (ir.new_nodes.stmts, id - count)
        push!(code, raw(stream)[k])
        k <= length(stream.type) && (types[pc] = stream.type[k])   # the first pass has no types yet
    end
    return (code = code, ssavaluetypes = types), (place, first_of, last_of)
end
raw(stream) = hasfield(typeof(stream), :stmt) ? stream.stmt : stream.inst

function ir_body(io::IO, stage, ir)
    src, (place, first_of, last_of) = listed(ir)
    println(io, "## ", stage)
    for (k, b) in enumerate(ir.cfg.blocks)
        println(io, "B ", first_of[k], ' ', last_of[k], " -> ", join(sort!([Int(s) for s in b.succs]), ' '))
    end
    # the first pass leaves jumps to statements, the second makes them jumps to blocks
    NUMBERS[] = stage == "convert" ? (place, place, place) : (place, first_of, last_of)
    for pc in 1:length(src.code)
        println(io, line(src, pc))
    end
    NUMBERS[] = nothing
    nothing
end

function passes(io::IO, mi, world)
    for (k, stage) in enumerate(PASSES)
        ir = ir_after(mi, world, k)
        ir === nothing || ir_body(io, stage, ir)
    end
end

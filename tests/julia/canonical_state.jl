# A program that dumps its own state, for a run to be compared with another: results, the code that
# was compiled while it ran, and what the compiler makes of its functions. Sorted; no address, no
# number that a process gives. Environment: STATE_FILE, where to; STATE_STOPS, to end the recorder first.
module State

include("instances.jl")

const STRIPPED = (r"0x[0-9a-f]+|\b\d{5,}\b|align \d+" => "N", r"([A-Za-z#\]\"])_\d+" => s"\1_N", r"#\d+" => "#N")
stripped(text) = foldl(replace, STRIPPED; init = text)

of_recorder(text) = occursin("MMSB", text) || occursin("Main.State", text)

is_open(ci) = ci.max_world == typemax(ci.max_world)

# Every code object there is: its instance, and whether it is valid.
function all_code()
    found = IdDict{Any,Any}()
    each_instance() do mi
        isdefined(mi, :cache) || return nothing
        ci = mi.cache
        while true
            found[ci] = (mi, is_open(ci))
            isdefined(ci, :next) || break
            ci = ci.next
        end
        nothing
    end
    return found
end

# All that a code object says of itself, but for its worlds' numbers and its IR.
function line(mi, ci)
    constant = isdefined(ci, :rettype_const) ? string(typeof(ci.rettype_const)) : "-"
    effects = hasfield(typeof(ci), :ipo_purity_bits) ? ci.ipo_purity_bits : 0
    kept = isdefined(ci, :inferred) && ci.inferred !== nothing ? "kept" : "-"
    open = is_open(ci) ? "open" : "ended"
    machine = ci.invoke == C_NULL ? "-" : "machine code"
    m = mi.def
    named = m isa Method ? string(m.module, '.', m.name) : "top level"
    return stripped(join((named, mi.specTypes, ci.rettype, constant, effects, kept, open, machine), " | "))
end

shim() = only(m for m in Base.loaded_modules_array() if nameof(m) === :MMSBShim)

# Do the recorder's hooks still see anything? Counts of code, methods and log entries they got.
function hooks_left()
    s = shim()
    counted() = (length(s.INFERRED), length(s.TRACED), length(s.INVALIDATIONS[].list))
    before = counted()
    Base.eval(Main, :(after_the_end(x) = x + 0.125; calls_it(x) = after_the_end(x); calls_it(1.0)))
    Base.eval(Main, :(after_the_end(x) = x + 0.25; calls_it(1.0)))
    return counted() .- before
end

end

State.all_code()                                   # compiled from here on
const BEFORE = State.all_code()
include("decided.jl")
fixed(x) = x - 1                                   # ends what called it
const RESULTS = Any[calls_fixed(3), calls_dear(2.0), splits(Ref{Union{Int,String}}("four")), late(Any['b'])]
sort!(rand(100); by = x -> -x)
const MIDDLE = State.all_code()
const STOPS = haskey(ENV, "STATE_STOPS")
STOPS && Base.invokelatest(State.shim().finish)
const AFTER = State.all_code()

const HOOKS = STOPS ? Base.invokelatest(State.hooks_left) : (0, 0, 0)

import InteractiveUtils
open(ENV["STATE_FILE"], "w") do io
    println(io, "results | ", RESULTS)
    println(io, "hooks | ", join(HOOKS, ' '))
    for (f, types) in CALLED
        println(io, "typed | ", f, " | ", State.stripped(replace(string(code_typed(f, types)), '\n' => ' ')))
        text = sprint(io -> InteractiveUtils.code_llvm(io, f, types; debuginfo = :none))
        println(io, "llvm | ", f, " | ", State.stripped(replace(text, '\n' => ' ')))
    end
    # what came while the program ran, what came as the recorder ended, what ended that was there
    for (what, old, new) in (("code", BEFORE, MIDDLE), ("added", MIDDLE, AFTER))
        lines = [State.line(mi, ci) for (ci, (mi, _)) in new if !haskey(old, ci)]
        foreach(l -> State.of_recorder(l) || println(io, what, " | ", l), sort!(lines))
    end
    ended = [State.line(mi, ci) for (ci, (mi, open)) in BEFORE if open && !State.is_open(ci)]
    foreach(l -> println(io, "ended | ", l), sort!(ended))
end

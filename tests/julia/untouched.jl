# What starting the recorder does to a plain process. Prints: code objects whose end is set, before
# and after; entries of the invalidation log (-1 where this Julia has none).
module Untouched

include("instances.jl")

function ended()
    n = 0
    each_instance() do mi
        isdefined(mi, :cache) || return nothing
        ci = mi.cache
        while true
            n += ci.max_world != typemax(ci.max_world)
            isdefined(ci, :next) || break
            ci = ci.next
        end
        nothing
    end
    return n
end

ended()     # compile what counts
const LOGS = VERSION >= v"1.10"
const BEFORE = ended()
const LOG = LOGS ? ccall(:jl_debug_method_invalidation, Any, (Cint,), 1) : nothing

end

if haskey(ENV, "MMSB_INVALIDATE")      # the test's own proof that it can fail
    @eval Base.:(==)(x::Int, y::Int) = Base.eq_int(x, y)
end
include(ENV["MMSB_LOADER"])

let
    logged = Untouched.LOGS ? length(Untouched.LOG) : -1
    Untouched.LOGS && ccall(:jl_debug_method_invalidation, Any, (Cint,), 0)
    println(Untouched.BEFORE, ' ', Untouched.ended(), ' ', logged)
end
println(count(m -> nameof(m) === :MMSBShim, Base.loaded_modules_array()))

# What starting the recorder does to a plain process. Prints: code objects that were open and are
# ended; entries of the invalidation log (-1 where this Julia has none); recorders that were loaded.
module Untouched

include("instances.jl")

# Every code object that is still open.
function open_code()
    found = IdDict{Any,Nothing}()
    each_instance() do mi
        isdefined(mi, :cache) || return nothing
        ci = mi.cache
        while true
            ci.max_world == typemax(ci.max_world) && (found[ci] = nothing)
            isdefined(ci, :next) || break
            ci = ci.next
        end
        nothing
    end
    return found
end

ended(before) = count(ci -> ci.max_world != typemax(ci.max_world), keys(before))

const BEFORE = open_code()
const LOGS = VERSION >= v"1.10"
const LOG = LOGS ? ccall(:jl_debug_method_invalidation, Any, (Cint,), 1) : nothing

end

include(ENV["MMSB_LOADER"])
if haskey(ENV, "MMSB_INVALIDATE")      # the test's own proof that it can fail
    @eval Base.dirname(path::AbstractString) = splitdir(path)[1]
end

let logged = Untouched.LOGS ? length(Untouched.LOG) : -1
    Untouched.LOGS && ccall(:jl_debug_method_invalidation, Any, (Cint,), 0)
    shims = count(m -> nameof(m) === :MMSBShim, Base.loaded_modules_array())
    println(length(Untouched.BEFORE), ' ', Untouched.ended(Untouched.BEFORE), ' ', logged, ' ', shims)
end

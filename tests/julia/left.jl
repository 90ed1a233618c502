# What the compiler had left of its own work when the program was done: what is run here makes the
# code generator drop more. An instance's code object that callers use, with its final IR or nothing.
const LEFT = IdDict{Core.MethodInstance,Any}()
VERSION < v"1.10-" || each_instance() do mi
    isdefined(mi, :cache) || return nothing
    ci, found = mi.cache, nothing
    while true
        native = !hasfield(typeof(ci), :owner) || ci.owner === nothing
        valid = ci.max_world == typemax(ci.max_world)
        # of several that were inferred, the last that was made; without any, what stands for it
        better = found === nothing || (!isdefined(found, :inferred) && isdefined(ci, :inferred))
        native && valid && better && (found = ci)
        isdefined(ci, :next) || break
        ci = ci.next
    end
    found === nothing || (LEFT[mi] = (found, isdefined(found, :inferred) ? found.inferred : nothing))
    nothing
end

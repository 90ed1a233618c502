# What the compiler had left of its own work when the program was done: what is run here makes the
# code generator drop more. An instance's code objects that are valid, each with its final IR or
# nothing; of several, an image's and the program's own, callers may use either.
const LEFT = IdDict{Core.MethodInstance,Any}()
VERSION < v"1.10-" || each_instance() do mi
    isdefined(mi, :cache) || return nothing
    ci, found = mi.cache, Any[]
    while true
        native = !hasfield(typeof(ci), :owner) || ci.owner === nothing
        valid = ci.max_world == typemax(ci.max_world)
        native && valid && push!(found, (ci, isdefined(ci, :inferred) ? ci.inferred : nothing))
        isdefined(ci, :next) || break
        ci = ci.next
    end
    isempty(found) || (LEFT[mi] = found)
    nothing
end

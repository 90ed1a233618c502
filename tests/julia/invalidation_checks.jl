# Included by invalidation_trees.jl: what the log's reader makes of odd logs and of other readers.
# A line is a name and what came of it.
method_log(on) = ccall(:jl_debug_method_invalidation, Any, (Cint,), on)

shown(trees, unknown) = string(join([string(keys(Shim.CAUSES)[t.cause + 1], ':', length(t.children)) for t in trees], ' '),
                               " unknown ", unknown)

function what_it_throws(f)
    try
        f()
        return "nothing"
    catch problem
        return sprint(showerror, problem)
    end
end

@noinline callee(x) = x
@noinline caller(x) = callee(x)
caller(1)
const CALLEE = first(Base.specializations(which(callee, (Int,))))
const CALLER = first(Base.specializations(which(caller, (Int,))))
const METHOD = which(callee, (Int,))

parsed(log...) = shown(Shim.read_log(Any[log...])...)
println("empty ", parsed())
println("tag ", parsed(CALLER, Int32(1), CALLEE, "not yet invented", METHOD, "jl_method_table_insert"))
println("item ", parsed(3.5, :symbol, "text", nothing))
println("cut ", parsed(CALLER, Int32(1)))
println("number ", parsed(CALLER))
println("cache ", parsed(CALLEE, "invalidate_mt_cache"))
println("unaffected ", parsed(CALLER, Int32(1), CALLEE, "jl_method_table_insert", CALLER,
                            "jl_method_table_insert", METHOD, "jl_method_table_insert"))

undefined = Vector{Any}(undef, 3)
undefined[1:2] = Any[CALLER, "verify_methods"]
println("undefined ", shown(Shim.read_log(undefined)...))
undefined = Vector{Any}(undef, 2)
println("nothing at all ", shown(Shim.read_log(undefined)...))

Shim.start_invalidations!()
println("twice ", what_it_throws(Shim.start_invalidations!))
println("stopped ", Shim.stop_invalidations!(), ' ', Shim.stop_invalidations!())

list = method_log(1)
push!(list, CALLER)
println("another reads ", what_it_throws(Shim.start_invalidations!))
println("and still does ", method_log(1) === list)
method_log(0)

Shim.start_invalidations!()
method_log(0)
println("turned off ", Shim.stop_invalidations!())
Shim.start_invalidations!()
method_log(0)
list = method_log(1)
push!(list, CALLER)
println("taken over ", Shim.stop_invalidations!(), ' ', method_log(1) === list)
method_log(0)

before = Shim.edge_log()
if before !== nothing
    before[] = Any[]
    println("another reads images ", what_it_throws(Shim.start_invalidations!))
    before[] = nothing
    Shim.start_invalidations!()
    Shim.stop_invalidations!()
    println("images' log is off ", before[] === nothing)
end

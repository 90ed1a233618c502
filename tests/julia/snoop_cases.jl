# The shapes of SnoopCompile's documented examples of invalidation: its docstring, its explanation of
# the two classes, its tests. In the form of invalidation_cases.jl.

#= docstring =#
f(x::Int) = 1
f(x::Bool) = 2
applyf(container) = f(container[1])
callapplyf(container) = applyf(container)
callapplyf(Any[1])
#-
f(::AbstractFloat) = 3

#= more_specific_still =#
f(x::Int) = 1
f(x::Bool) = 2
f(::AbstractFloat) = 3
applyf(container) = f(container[1])
callapplyf(container) = applyf(container)
callapplyf(Any[1.0f0])
#-
f(::Float32) = 4

#= multi_caller =#
mc(x, y) = false
mc(x::Int, y::Int) = x === y
mc(x::Symbol, y::Symbol) = x === y
mcc(container, y) = mc(container[1], y)
mcc(container, y, extra) = mc(container[1], y) + extra
mccc1(container, y) = mcc(container, y)
mccc2(container, y) = mcc(container, y, 10)
for value in (1, 2)
    mccc1(Any[1], value); mccc2(Any[1], value)
end
mccc1(Any[:sym], 1); mccc2(Any[:sym], 1)
#-
mc(x::AbstractFloat, y::Int) = x == y

#= deletion =#
f(x::Int) = 1
f(x::Bool) = 2
applyf(container) = f(container[1])
callapplyf(container) = applyf(container)
callapplyf(Any[1]); callapplyf(Any[true]); f(true)
#-
Base.delete_method(which(f, (Bool,)))

#= overwriting =#
Base.@irrational twopi 6.2831853071795864769 2 * big(pi)
Float64(twopi), Float32(twopi), BigFloat(twopi)
#-
Base.@irrational twopi 6.2831853071795864769 2 * big(pi)

#= union_list =#
op(a, b) = a + b
function runop(list)
    acc = 0
    for item in list
        acc = op(acc, item)
    end
    return acc
end
runop(Union{Int,String}[1, 2])
#-
op(a, b::String) = a + length(b)

#= classes =#
f(x::Integer) = false
g1(x::Signed) = f(x)
g2(x::Number) = f(x)
g3(x::Ref{Any}) = f(x[]::Signed)
g1(1); g2(1); g3(Ref{Any}(1))
#-
f(x::Signed) = true

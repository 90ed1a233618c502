# Small programs for which test_invalidation_trees.py says by hand what became invalid. Each runs in
# a module of its own name. `#-` parts what is compiled from what is done to it.

#= overwritten =#
@noinline g(x) = x + 1
@noinline f(x) = g(x) * 2
top(x) = f(x) - 1
top(1)
#-
g(x) = x + 5

#= gap_filled =#
f(x::Int) = 1
f(x::Bool) = 2
applyf(container) = f(container[1])
callapplyf(container) = applyf(container)
callapplyf(Any[1])
#-
f(::AbstractFloat) = 3

#= more_specific =#
@noinline g(x) = 1
@noinline f(x) = g(x) + 1
f(1); f("text")
#-
g(x::Int) = 2

#= deleted =#
@noinline g(x) = 1
@noinline g(x::Int) = 2
@noinline f(x) = g(x) + 1
f(1); f("text")
#-
Base.delete_method(which(g, (Int,)))

#= unrelated =#
@noinline g(x) = 1
f(x) = g(x) + 1
f(1)
#-
g(x::String) = 3
h(x) = 4
h(1)

#= mutual =#
@noinline ev(n) = n == 0 ? true : od(n - 1)
@noinline od(n) = n == 0 ? false : ev(n - 1)
ev(4)
#-
od(n) = n == 0 ? false : ev(n - 1) | false

#= two_callers =#
@noinline g(x) = x + 1
@noinline left(x) = g(x) * 2
@noinline right(x) = g(x) * 3
both(x) = left(x) + right(x)
both(1)
#-
g(x) = x + 5

#= twice =#
@noinline g(x) = x + 1
f(x) = g(x) * 2
f(1)
#-
g(x) = x + 5
f(1)
g(x) = x + 6

#= constant =#
const K = 1
@noinline fk() = K + 1
gk() = fk() * 10
gk()
#-
const K = 2

#= struct_again =#
struct P
    x::Int
end
@noinline mk(x) = P(x)
usesit(x) = mk(x).x
usesit(1)
#-
struct P
    x::Float64
end

#= through_using =#
module Home
export K
const K = 1
end
using .Home
fk() = K + 1
fk()
#-
Core.eval(Home, :(const K = 2))

#= value_comes =#
early() = newcomer(1)
try early() catch end
#-
newcomer(x) = x

#= untyped_global =#
G = 1
fg() = G
fg()
#-
G = "text"

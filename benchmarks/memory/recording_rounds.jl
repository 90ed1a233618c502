# So many rounds; in each, so many methods of 60 lines are defined and compiled anew, in turn, with one
# line changed.

function lines(constant)
    body = Expr(:block)
    for at in 1:60
        push!(body.args, :(x = x * $(at == 30 ? constant : at) + y))
    end
    push!(body.args, :(return x))
    return body
end

rounds, methods = parse.(Int, ARGS)
for round in 1:rounds, at in 1:methods
    name = Symbol("redefined", at)
    @eval $name(x::Int, y::Int) = $(lines(1000 * at + round))
    precompile(getfield(Main, name), (Int, Int))
end

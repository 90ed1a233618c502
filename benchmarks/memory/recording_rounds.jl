# Methods of 60 lines, each defined and compiled anew in every round, in turn, with one line changed.

function lines(constant)
    body = Expr(:block)
    for at in 1:60
        push!(body.args, :(x = x * $(at == 30 ? constant : at) + y))
    end
    push!(body.args, :(return x))
    return body
end

for round in 1:parse(Int, get(ARGS, 1, "15")), at in 1:30
    name = Symbol("redefined", at)
    @eval $name(x::Int, y::Int) = $(lines(1000 * at + round))
    precompile(getfield(Main, name), (Int, Int))
end

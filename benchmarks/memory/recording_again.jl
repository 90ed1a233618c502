# A method of 60 lines of which one changes: defined and compiled anew so often.

function lines(constant)
    body = Expr(:block)
    for at in 1:60
        push!(body.args, :(x = x * $(at == 30 ? constant : at) + y))
    end
    push!(body.args, :(return x))
    return body
end

for at in 1:parse(Int, get(ARGS, 1, "1000"))
    @eval redefined(x::Int, y::Int) = $(lines(1000 + at))
    precompile(redefined, (Int, Int))
end

# Exercises Base and the standard library widely. What Julia compiles for it, and what that calls,
# is the set on which the memory is compared with Julia.
using Dates, LinearAlgebra, Printf, Random

function strings(words)
    joined = join(sort(words; by = length), ", ")
    upper = uppercase(replace(joined, "a" => "o"))
    found = match(r"(\w+), (\w+)", joined)
    parts = split(lowercase(upper), ", ")
    return (lpad(upper, 60), found === nothing ? "" : found.captures[1], strip("  x "),
            parse(Int, "42") + parse(Float64, "1.5"), repr(parts), string(1, 'c', 2.5, :sym),
            startswith(joined, "x"), occursin("pear", joined), reverse(joined), titlecase("ab cd"))
end

function collections(n)
    counts = Dict{String,Int}()
    for k in 1:n
        key = string("k", k % 7)
        counts[key] = get(counts, key, 0) + k
    end
    delete!(counts, "k3")
    pairs = sort(collect(counts); by = last, rev = true)
    set = union(Set([1, 2, 3]), Set([3, 4])) ∩ Set(2:9)
    queue = push!(Any[1, "two", 3.0], nothing)
    filter!(x -> x !== nothing, queue)
    merged = merge(Dict(:a => 1), Dict(:b => 2))
    return (pairs, sort(collect(set)), length(queue), sum(values(merged)), haskey(counts, "k1"))
end

function arrays(n)
    a = [sin(i) * j for i in 1:n, j in 1:n]
    b = a .+ a' .* 2
    s = svdvals(b * b')
    q = lu(b + n * I)
    x = q \ ones(n)
    return (maximum(abs, s), norm(x), sort(vec(b); alg = MergeSort)[1], cumsum(1:n)[end],
            findall(>(0), b)[1], reduce(max, map(abs, b)), mapreduce(x -> x^2, +, b),
            hcat(x, x)[1, 2], dot(x, x), tr(b), det(b), reshape(a, :)[end], any(isnan, a))
end

function iterators(n)
    total = 0
    for (k, (a, b)) in enumerate(zip(1:n, Iterators.reverse(1:n)))
        total += k * a - b
    end
    total += sum(Iterators.take(Iterators.cycle([1, 2, 3]), n))
    total += sum(x * y for x in 1:3 for y in 1:x if isodd(y))
    parts = collect(Iterators.partition(1:n, 3))
    return (total, length(parts), foldl(-, 1:n), accumulate(+, 1:4), collect(Iterators.product(1:2, 1:2)))
end

function tryit(values)
    out = String[]
    for v in values
        try
            push!(out, string(sqrt(parse(Float64, v))))
        catch e
            push!(out, sprint(showerror, e))
        finally
            push!(out, ".")
        end
    end
    return join(out)
end

function channels(n)
    c = Channel{Int}(2)
    t = @async begin
        for k in 1:n
            put!(c, k)
        end
        close(c)
    end
    total = sum(collect(c))
    wait(t)
    return total + fetch(@async 1)
end

function io_and_dates()
    b = IOBuffer()
    @printf(b, "%5.2f|%-4d|%s\n", 3.14159, 42, "x")
    print(b, Date(2024, 2, 29) + Month(12), ' ', DateTime(2020, 1, 1, 12) - DateTime(2019))
    show(b, Dict(1 => [2, 3]))
    text = String(take!(b))
    lines = collect(eachline(IOBuffer("a\nb\nc")))
    return (text, lines, Dates.format(Date(2020, 5, 17), "yyyy-mm-dd"), dayofweek(Date(2021, 1, 1)))
end

function numbers()
    r = MersenneTwister(1)
    return (gcd(12, 18), big(2)^70 % 97, 3 // 4 + 1 // 3, complex(1, 2) * im, round(2.567; digits = 1),
            rand(r, 1:6), shuffle(r, [1, 2, 3])[1] > 0, bitstring(UInt8(5)), hypot(3, 4),
            evalpoly(2, (1, 2, 3)), divrem(-7, 3), typemax(Int8), parse(BigInt, "123"), exp(1im * pi))
end

report(x) = println(summary(x), ' ', hash(string(x)) != 0)

function main()
    report(strings(["pear", "fig", "banana"]))
    report(collections(30))
    report(tryit(["4", "-1", "x"]))
    "part" in ARGS && return
    report(arrays(4))
    report(iterators(10))
    report(channels(5))
    report(io_and_dates())
    report(numbers())
end

main()
haskey(ENV, "MMSB_CANONICAL") && include(ENV["MMSB_CANONICAL"])

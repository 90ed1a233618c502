# A small program with something of everything a compiler is asked to do. `mmsb demo` records it;
#
#     mmsb record -o tour.mmsb examples/tour.jl
#
# does the same by hand. Nothing in it depends on time, chance or addresses, so two recordings of
# it are equal. With `spawn` as an argument it works in tasks as well.

# --- 1. A callee, its callers, and what they are used for ------------------------------------------

@noinline rate(x) = x + 1                    # stays a call: callers depend on this definition
price(x) = 2 * rate(x)
function total(items)
    sum = 0
    for item in items
        sum += price(item)
    end
    return sum
end

kind(x) = "a value"                          # a more specific method follows below
label(x) = string(kind(x), " of ", x)
labels(xs) = join([label(x) for x in xs], ", ")

# --- 2. Types: concrete, union, abstract ------------------------------------------------------------

struct Point{T<:Real}
    x::T
    y::T
end
Base.:+(a::Point, b::Point) = Point(a.x + b.x, a.y + b.y)
norm2(p::Point) = p.x^2 + p.y^2

abstract type Animal end
struct Dog <: Animal end
struct Cat <: Animal end
noise(::Dog) = "woof"
noise(::Cat) = "meow"
chorus(animals) = join([noise(a) for a in animals], " ")      # the element type decides: a dispatch

halve(n) = iseven(n) ? n ÷ 2 : n / 2                          # Int64 or Float64: a union
classify(x) = x isa Int ? x + 1 : x isa Float64 ? floor(x) : 0   # a branch for each type
present(xs) = count(x -> x !== nothing, xs)
unstable(n) = (s = 0; for k in 1:n; s += halve(k); end; s)    # `s` loses its type

# --- 3. Control flow --------------------------------------------------------------------------------

fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2)
even(n) = n == 0 ? true : odd(n - 1)
odd(n) = n == 0 ? false : even(n - 1)

function collatz(n)
    steps = 0
    while n != 1
        n = iseven(n) ? n ÷ 2 : 3n + 1
        steps += 1
    end
    return steps
end

function sieve(n)
    prime = fill(true, n)
    prime[1] = false
    for p in 2:isqrt(n)
        prime[p] || continue
        for multiple in p*p:p:n
            prime[multiple] = false
        end
    end
    return findall(prime)
end

function checked(f, x)
    try
        return f(x)
    catch problem
        return problem isa DomainError ? -1 : -2
    end
end

function bisect(f, low, high)
    while high - low > 1e-6
        middle = (low + high) / 2
        f(middle) > 0 ? (high = middle) : (low = middle)
    end
    return low
end

# --- 4. Calls: inlined, kept, closures, keywords, any number of arguments -----------------------------

square(x) = x * x
hypotenuse(a, b) = sqrt(square(a) + square(b))     # both are inlined

@noinline deep1(x) = deep2(x) + 1                  # none is inlined: a chain of callers
@noinline deep2(x) = deep3(x) * 2
@noinline deep3(x) = deep4(x) - 3
@noinline deep4(x) = x ⊻ 5

adder(n) = x -> x + n
function counter()
    count = 0
    return () -> (count += 1)                      # a captured variable that is written: a box
end
scale(x; by = 2, offset = 0) = x * by + offset
scaled(xs) = map(x -> scale(x; by = 3), xs)
addall(first, rest...) = isempty(rest) ? first : first + addall(rest...)
polynomial(x) = @. 3x^2 + 2x + 1

function matmul(a, b)
    c = zeros(eltype(a), size(a, 1), size(b, 2))
    for i in axes(a, 1), j in axes(b, 2), k in axes(a, 2)
        c[i, j] += a[i, k] * b[k, j]
    end
    return c
end

function wordcount(text)
    counts = Dict{String,Int}()
    for word in split(lowercase(text))
        counts[String(word)] = get(counts, String(word), 0) + 1
    end
    return sort!(collect(counts))
end

tree(depth) = depth == 0 ? nothing : (tree(depth - 1), tree(depth - 1))
leaves(::Nothing) = 1
leaves(t::Tuple) = leaves(t[1]) + leaves(t[2])

function in_tasks(n)
    tasks = [Threads.@spawn(fib(k)) for k in 1:n]
    return sum(fetch(t)::Int for t in tasks)
end

# --- 5. Run ------------------------------------------------------------------------------------------

function everything()
    next = counter()
    next()
    return (
        norm2(Point(1, 2) + Point(3, 4)), norm2(Point(0.5, 1.5)), chorus(Animal[Dog(), Cat()]),
        classify(1), classify(2.5), classify("?"), present([1, nothing, 3]), unstable(5),
        fib(12), even(10), collatz(27), length(sieve(100)), checked(sqrt, -1.0), checked(sin, "x"),
        round(bisect(x -> x^2 - 2, 0.0, 2.0), digits = 3), hypotenuse(3, 4), hypotenuse(3.0, 4.0),
        deep1(7), adder(2)(40), next(), scale(5, offset = 1), sum(scaled([1, 2, 3])),
        addall(1, 2, 3, 4), sum(polynomial([1.0, 2.0])), matmul([1 2; 3 4], [5 6; 7 8])[2, 2],
        length(wordcount("the cat and the dog and the bird")), leaves(tree(2)),
    )
end

println("everything    ", everything())
println("total         ", total([1, 2, 3]))
println("labels        ", labels([1, 2]))
"spawn" in ARGS && println("in tasks      ", in_tasks(8))

# A callee is redefined, and now gives a Float64: its callers have to be compiled anew.
rate(x) = x / 2
println("total again   ", total([1, 2, 3]))

# A more specific method: callers with an Int64 no longer reach the general one.
kind(x::Int) = "an integer"
println("labels again  ", labels([1, 2]))

# A method for a whole family of types: who counted on there being only two is invalidated.
noise(::Animal) = "…"
struct Fish <: Animal end
println("a fish says   ", noise(Fish()))

# The twelve programs of which test_twelve_programs.py says by hand what the compiler makes.

# 1. a callee is defined again
@noinline g(x) = x + 1
@noinline f(x) = g(x) * 2
top(x) = f(x) - 1
top(1)
g(x) = x + 5
println("1 ", top(1))

# 2. a union is split
us(::Int) = 1
@noinline us(x::String) = length(x)
usc(r) = us(r[])
usc(Ref{Union{Int,String}}(1))

# 3. a constant goes through a call
cp(n) = n == 0 ? 1 : "a"
cpc() = cp(0)
cpc()

# 4. a callee is inlined
inl(x) = x * 2
inlc(x) = inl(x) + 1
inlc(1)

# 5. a type that is not stable
ti(x) = x > 0 ? 1 : 1.0
tic(x) = ti(x) + 1
tic(1)

# 6. recursion: into itself, and between two
fact(n) = n <= 1 ? 1 : n * fact(n - 1)
fact(4)
@noinline ev(n) = n == 0 ? true : od(n - 1)
@noinline od(n) = n == 0 ? false : ev(n - 1)
ev(4)
od(n) = n == 0 ? false : ev(n - 1) | false

# 7. try and catch
tr(x) = try
    sqrt(x)
catch
    0.0
end
tr(1.0)

# 8. closures: one that keeps a value, one that changes a variable
clo(x) = y -> x + y
clo(1)(2)
function boxed(x)
    count = 0
    add = () -> (count += x)
    add()
    return count
end
boxed(1)

# 9. keywords
kw(x; a = 1) = x + a
kwc(x) = kw(x; a = 2)
kwc(1)

# 10. a generated function
@generated gen(x) = x <: Integer ? :(x + 1) : :(x * 2)
gen(1)
gen(1.0)

# 11. an argument that is not specialised on
ns(@nospecialize x) = x === nothing
ns(1)
ns("text")

# 12. globals: untyped, typed, constant
G = 1
fg() = G + 1
fg()
G = 2.0
fg()
global TG::Int = 1
ftg() = TG + 1
ftg()
const K = 1
@noinline fk() = K + 1
gk() = fk() * 10
gk()
const K = 2
println("12 ", gk())

# Uses five registered packages, then Base and the standard library as driver.jl does: what Julia
# compiles for it is the large set on which the memory is compared with Julia.
using CSV, DataStructures, JSON3, MacroTools, StaticArrays

struct Reading
    name::String
    value::Float64
    tags::Vector{String}
end
JSON3.StructTypes.StructType(::Type{Reading}) = JSON3.StructTypes.Struct()

function json()
    text = """{"name": "a", "value": 1.5, "tags": ["x", "y"], "inner": {"k": [1, null, true]}}"""
    read = JSON3.read(text)
    back = JSON3.read(JSON3.write(Reading("b", 2.0, ["z"])), Reading)
    pretty = sprint(io -> JSON3.pretty(io, read))
    return (read.inner.k[1], back.value, length(pretty), JSON3.read("[1, 2.5, \"c\"]")[3])
end

function tables()
    file = CSV.File(IOBuffer("a,b,c,d\n1,2.5,x,2020-01-02\n3,,y,2021-03-04\n"))
    out = IOBuffer()
    CSV.write(out, file; delim = ';')
    rows = [(row.a, row.c) for row in CSV.Rows(IOBuffer("a,c\n1,x\n"))]
    return (sum(file.a), length(take!(out)), rows[1][2], length(file))
end

function structures()
    heap = BinaryMinHeap([3, 1, 2])
    push!(heap, 0)
    queue = PriorityQueue("a" => 2, "b" => 1)
    deque = Deque{Int}()
    pushfirst!(push!(deque, 1), 2)
    counts = counter(["x", "y", "x"])
    sets = IntDisjointSets(5)
    union!(sets, 1, 3)
    sorted = SortedDict(2 => "b", 1 => "a")
    ordered = OrderedDict(:b => 1, :a => 2)
    list = cons(1, cons(2, nil()))
    return (pop!(heap), first(queue), length(deque), counts["x"], in_same_set(sets, 1, 3),
            first(sorted), collect(keys(ordered)), sum(list), DefaultDict(0)["none"])
end

function expressions()
    tree = :(function f(x; y = 1) where {T}
        x + y
    end)
    parts = splitdef(tree)
    walked = MacroTools.postwalk(x -> x isa Int ? x + 1 : x, :(1 + 2 * g(3)))
    found = @capture(:(a + b), x_ + y_) ? (x, y) : nothing
    return (parts[:name], walked, found, MacroTools.prettify(tree) isa Expr)
end

function small()
    a = @SMatrix [1.0 2.0; 3.0 4.0]
    v = SVector(1.0, 2.0)
    m = MVector{3}(1, 2, 3)
    m[2] = 5
    return (a * v, inv(a), a \ v, sum(m), map(x -> 2x, v), vcat(v, v), a', reverse(v), norm_of(v))
end
norm_of(v) = sqrt(sum(abs2, v))

for exercise in (json, tables, structures, expressions, small)
    println(exercise, ' ', hash(string(exercise())) != 0)
end
include("driver.jl")

# Loading and first use of three large packages, as a person's first minute with them is.
using CSV, JSON3, DataStructures

table = CSV.File(IOBuffer("a,b,c\n1,2.5,x\n3,4.5,y\n"))
CSV.write(IOBuffer(), table)
sum(row.a for row in table)

text = JSON3.write(Dict("a" => [1, 2, 3], "b" => Dict("c" => 1.5), "d" => nothing))
JSON3.read(text).b.c

sorted = SortedDict(1 => "a", 2 => "b")
queue = PriorityQueue{String,Int}("a" => 1, "b" => 2)
heap = BinaryMinHeap([3, 1, 2])
(first(sorted), peek(queue), pop!(heap))
sort(collect(OrderedDict(i => string(i) for i in 1:10)), by = last)

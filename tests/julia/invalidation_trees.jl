# Runs programs with the compiler's invalidation log on, and prints the trees the shim makes of it.
#
#     julia invalidation_trees.jl FOLDER DEPOT cases FILE     every case of the file, each in a module
#     julia invalidation_trees.jl FOLDER DEPOT program FILE   one program, in Main
#     julia invalidation_trees.jl FOLDER DEPOT checks FILE    the file itself
#
# FOLDER holds the shim's package; what Julia compiles of it goes into DEPOT.
#
# A line a row of `invalidation_tree`:  indent kind cause depth world code lost subject
pushfirst!(LOAD_PATH, ARGS[1], "@stdlib")
pushfirst!(DEPOT_PATH, ARGS[2])
const Shim = Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))
popfirst!(DEPOT_PATH)
popfirst!(LOAD_PATH)
popfirst!(LOAD_PATH)

# What a recording has of an invalidated instance: here, whether a code object ended there.
code_row_of(mi, world) = any(ci -> ci.max_world == world - 1, Shim.code_instances(mi)) ? 0x00000000 : Shim.NONE

function print_trees(e)
    t = e.tables.invalidation_tree
    heap = String(copy(e.tables.heap.byte))
    symbol(id) = id == Shim.NONE ? "-" :
        String(codeunits(heap)[e.tables.symbol.offset[id + 1] .+ (1:Int(e.tables.symbol.length[id + 1]))])
    indent = Int[]
    for k in 1:length(t.node)
        push!(indent, t.parent[k] == Shim.NONE ? 0 : indent[t.parent[k] + 1] + 1)
        println(repeat("  ", indent[k]), keys(Shim.TREE_NODES)[t.node[k] + 1], ' ',
                keys(Shim.CAUSES)[t.cause[k] + 1], ' ', Int(t.depth[k]), ' ',
                t.world[k] == 0 ? "-" : "world", ' ', t.code[k] == Shim.NONE ? "-" : "code", ' ',
                t.lost_ns[k] == Shim.NONE_U64 ? "-" : "lost", ' ', symbol(t.subject[k]))
    end
    r = e.tables.recording
    foreach(k -> println("note ", symbol(r.key[k]), ' ', symbol(r.value[k])), 1:length(r.key))
    flush(stdout)
end

function trees_of(action)
    Shim.start_invalidations!()
    action()
    e = Shim.Encoder()
    Shim.take_invalidations!(e, code_row_of)
    print_trees(e)
    Shim.stop_invalidations!() || println("turned off by another")
end

function cases(text)
    for part in split(text, r"^#= "m)[2:end]
        name, body = split(part, " =#\n", limit = 2)
        before, after = split(body, "#-\n", limit = 2)
        home = Core.eval(Main, Expr(:module, true, Symbol(name), Expr(:block)))
        println("case ", name)
        Base.invokelatest(include_string, home, String(before), String(name))
        Base.invokelatest(trees_of, () -> try
            include_string(home, String(after), String(name))
        catch                    # 1.10 does not define a struct again
        end)
    end
end

if ARGS[3] == "cases"
    cases(read(ARGS[4], String))
elseif ARGS[3] == "checks"
    include(ARGS[4])
else
    trees_of(() -> include_string(Main, read(ARGS[4], String), "program"))
end

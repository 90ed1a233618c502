# SnoopCompile's own trees, in the text of test_invalidation_trees.py, for test_snoopcompile.py:
#
#     julia --project=WITH_SNOOPCOMPILE snoopcompile_trees.jl CASES
#     julia --project=WITH_SNOOPCOMPILE snoopcompile_trees.jl --packages FOLDER PROGRAM    FOLDER: a load path
using SnoopCompileCore

# Logs are taken before SnoopCompile and what it needs are loaded: they bring methods of their own.
const LOGS = Pair{String,Any}[]

function snoop(name, home, text)
    push!(LOGS, name => @snoop_invalidations include_string(home, text, name))
end

if ARGS[1] == "--packages"
    pushfirst!(LOAD_PATH, ARGS[2])
    snoop("packages", Main, read(ARGS[3], String))
    popfirst!(LOAD_PATH)
else
    for part in split(read(ARGS[1], String), r"^#= "m)[2:end]
        name, body = split(part, " =#\n", limit = 2)
        before, after = split(body, "#-\n", limit = 2)
        home = Core.eval(Main, Expr(:module, true, Symbol(name), Expr(:block)))
        Base.invokelatest(include_string, home, String(before), String(name))
        Base.invokelatest(snoop, String(name), home, String(after))
    end
end

using SnoopCompile

const MODULES = r"\b(Main\.\w+|Main|Core|Base|\w+)\.(?=\w)"
plain(t) = replace(string(t), MODULES => "")
function signature(@nospecialize(sig))
    s = Base.unwrap_unionall(sig)
    f = s.parameters[1]
    name = f <: Function ? string(f.name.singletonname) : plain(f)
    return string(name, '(', join(map(plain, s.parameters[2:end]), ", "), ')')
end
of(x::Method) = signature(x.sig)
of(x::Core.MethodInstance) = signature(x.specTypes)
of(x::Core.Binding) = string(x.globalref.name)
of(x::Type) = signature(x)
of(x::Vector{Method}) = of(first(x))
of(::Nothing) = "-"

function callers(node, place, more)
    println("  "^place, "CALLER ", of(node.mi), ' ', node.depth + more)
    foreach(child -> callers(child, place + 1, more), node.children)
end

causes = (inserting = "INSERTED", deleting = "DELETED")
function show_tree(tree, cause, subject)
    println("ROOT ", cause, ' ', of(subject))
    for (edge, node) in tree.mt_backedges
        if edge isa Core.Binding
            callers(node, 1, 1)          # SnoopCompile counts those from 0
        else
            println("  MISSING ", of(edge), " 0")
            callers(node, 2, 0)
        end
    end
    for node in tree.backedges
        println("  CALLEE ", of(node.mi), " 0")
        foreach(child -> callers(child, 2, 0), node.children)
    end
end

# The deleted method an edge was of; SnoopCompile finds it when it joins the two kinds of log.
function deleted(log, edges)
    for tree in SnoopCompile.invalidation_trees(log)
        tree.reason === :deleting && first(first(edges)) in map(first, tree.mt_backedges) && return tree.method
    end
    return nothing
end

println("# SnoopCompile ", pkgversion(SnoopCompile), ", Julia ", VERSION)
for (name, log) in LOGS
    println("case ", name)
    for tree in SnoopCompile.invalidation_trees_logmeths(log.logmeths)
        isempty(tree) || show_tree(tree, causes[tree.reason], tree.method)
    end
    for tree in SnoopCompile.invalidation_trees_logedges(log.logedges)
        isempty(tree) && continue
        cause = tree.reason === :deleting ? deleted(log, tree.mt_backedges) : tree.methods
        show_tree(tree, "LOADED", cause)
    end
end

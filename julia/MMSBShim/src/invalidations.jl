# The compiler's own invalidation log: on, off, and its trees (invalidation_log.jl) as rows.

# --- the log on and off ---------------------------------------------------------------------------------

mutable struct InvalidationLog
    list::Vector{Any}                       # the runtime's own; it is not reference counted
    edges::Union{Nothing,Vector{Any}}       # of package images, where Julia keeps that apart (1.12)
    last_world::UInt64                      # of the last cause read
    on::Bool
end

const INVALIDATIONS = Ref{Union{Nothing,InvalidationLog}}(nothing)

method_log(on::Bool) = ccall(:jl_debug_method_invalidation, Any, (Cint,), on)

function other_reader()
    name = any(m -> nameof(m) === :SnoopCompileCore, Base.loaded_modules_array()) ?
        "SnoopCompileCore" : "another tool"
    error("Julia's invalidation log is on already: ", name, " is recording, and the log has one ",
          "reader. End that recording (`@snoop_invalidations`) first, or record there without mmsb.")
end

"""Turn the log on. Throws where somebody else has it on, as far as that can be seen."""
function start_invalidations!()
    HAS_INVALIDATION_LOG || return nothing
    (INVALIDATIONS[] === nothing || !INVALIDATIONS[].on) || error("the invalidation log is read already: one recording at a time")
    edges = edge_log()
    (edges === nothing || edges[] === nothing) || other_reader()
    list = method_log(true)::Vector{Any}
    isempty(list) || other_reader()
    edges === nothing || (edges[] = Any[])
    log = InvalidationLog(list, edges === nothing ? nothing : edges[]::Vector{Any}, UInt64(0), true)
    return INVALIDATIONS[] = log
end

"""
Turn the log off; what it says can still be taken. False where somebody else had done so meanwhile:
what came after is missing.
"""
function stop_invalidations!()
    log = INVALIDATIONS[]
    (log === nothing || !log.on) && return true
    log.on = false
    now = method_log(true)::Vector{Any}
    ours = now === log.list
    # a list that is not ours and holds something is somebody's: it stays on
    (ours || isempty(now)) && method_log(false)
    edges = edge_log()
    edges === nothing && return ours
    edges[] === log.edges || return false
    edges[] = nothing
    return ours
end

# --- to rows --------------------------------------------------------------------------------------------

"""
    take_invalidations!(e, code_row_of)

Write the trees of what the log says since it was last taken; a log that is on stays on. `code_row_of(instance, world)`
is the row of the code object of an instance that the cause of that world ended, or NONE.
"""
function take_invalidations!(e::Encoder, code_row_of)
    log = INVALIDATIONS[]
    log === nothing && return nothing
    items = copy(log.list)
    empty!(log.list)
    if log.edges !== nothing
        append!(items, log.edges)
        empty!(log.edges)
    end
    trees, unknown = read_log(items)
    unknown == 0 || add!(e.tables.recording, symbol_id!(e, "unknown_log_tags"), symbol_id!(e, string(unknown)))
    find_worlds!(trees, log)
    names = binding_names(trees)
    counted = IdDict{Core.CodeInstance,Nothing}()
    for tree in trees
        (isempty(tree.children) || is_ours(tree.subject) || ours_alone(tree.children)) && continue
        subject = tree.subject === nothing ? NONE : symbol_id!(e, subject_key(tree.subject, names))
        root = add!(e.tables.invalidation_tree, NONE, TREE_NODES.root, tree.cause, subject,
                    UInt32(0), NONE, tree.world, NONE_U64)
        foreach(node -> node!(e, node, tree, root, code_row_of, counted), tree.children)
    end
    nothing
end

function node!(e::Encoder, node::LogNode, tree::LogTree, parent::UInt32, code_row_of, counted)
    is_ours(node.subject) && return nothing
    row_of, lost = NONE, NONE_U64
    if node.kind == TREE_NODES.caller
        ended = node.code === nothing ? ended_code(node.subject, tree.world) : node.code
        ended === nothing || (lost = lost_time(ended, counted))
        (node.code !== nothing || tree.world == 0) || (row_of = code_row_of(node.subject, tree.world))
    end
    row = add!(e.tables.invalidation_tree, parent, node.kind, tree.cause,
               symbol_id!(e, subject_key(node.subject, nothing)), UInt32(node.depth), row_of,
               tree.world, lost)
    foreach(child -> node!(e, child, tree, row, code_row_of, counted), node.children)
    nothing
end

# What its own inference took, without its callees', and once though the log may name it under each
# of its callees: so that sums count nothing twice.
function lost_time(ci::Core.CodeInstance, counted)
    own = times(ci)[2]
    (own == NONE_U64 || !haskey(counted, ci)) || return UInt64(0)
    counted[ci] = nothing
    return own
end

# The code object that a cause of this world ended.
function ended_code(mi::Core.MethodInstance, world::UInt64)
    world == 0 && return nothing
    for ci in code_instances(mi)
        ci.max_world == world - 1 && return ci
    end
    return nothing
end

# The recorder's own code, which is no part of the program.
is_ours(@nospecialize(x)) =
    x isa Method ? root_module(x.module) === @__MODULE__() :
    x isa Core.MethodInstance && (x.def isa Method ? in_shim(x) : x.def === @__MODULE__())
ours_alone(node::LogNode) =
    is_ours(node.subject) || (node.kind != TREE_NODES.caller && !isempty(node.children) && ours_alone(node.children))
function ours_alone(nodes::Vector{LogNode})
    for node in nodes
        ours_alone(node) || return false
    end
    return true
end

subject_key(@nospecialize(x), names)::String =
    x isa Method ? method_key(x) :
    x isa Core.MethodInstance ? instance_key(x) :
    x isa Module ? module_path(x) :
    x isa Type ? type_text(x) :
    is_partition(x) ? get(names, x, "unknown") :
    is_binding(x) ? binding_key(x.globalref) : string("?", nameof(typeof(x)))

# A deletion has no world on 1.12, nor has a binding that came from another module: it is the first
# world since the causes before in which something of the tree ended.
function find_worlds!(trees::Vector{LogTree}, log::InvalidationLog)
    for tree in trees
        tree.cause == CAUSES.loaded && continue
        # a deletion is of a later world than what came before; a binding that follows another need not be
        after = tree.cause == CAUSES.deleted ? log.last_world + 1 : log.last_world
        tree.world == 0 && (tree.world = first_end(tree.children, after, UInt64(0)))
        log.last_world = max(log.last_world, tree.world)
    end
    nothing
end

function first_end(nodes::Vector{LogNode}, after::UInt64, found::UInt64)::UInt64
    for node in nodes
        if node.kind == TREE_NODES.caller
            for ci in code_instances(node.subject)
                ended = ci.max_world == OPEN_WORLD ? UInt64(0) : UInt64(ci.max_world) + 1
                (ended >= after && ended > 1 && (found == 0 || ended < found)) && (found = ended)
            end
        end
        found = first_end(node.children, after, found)
    end
    return found
end

# A partition does not know its binding: every module is searched for those that are asked for.
function binding_names(trees::Vector{LogTree})
    names = IdDict{Any,String}()
    wanted = IdDict{Any,Nothing}()
    seen = IdDict{Module,Nothing}()
    roots = Module[Main]
    for tree in trees
        is_partition(tree.subject) || continue
        wanted[tree.subject] = nothing
        foreach(node -> push_modules!(roots, node), tree.children)     # they may be of no other module
    end
    isempty(wanted) && return names
    foreach(m -> name_partitions!(names, wanted, seen, m), append!(roots, Base.loaded_modules_array()))
    for tree in trees
        is_partition(tree.subject) && !haskey(names, tree.subject) && name_by_use!(names, tree)
    end
    return names
end

# The partition of a name without a value is gone when it has one: then what became invalid names a
# binding that began where the partition ended.
function name_by_use!(names, tree::LogTree)
    for node in tree.children
        mi = node.subject
        (node.kind == TREE_NODES.caller && mi isa Core.MethodInstance && mi.def isa Method) || continue
        src = lowered_of(mi, tree.world)
        src isa Core.CodeInfo || continue
        for st in src.code, g in globals_of!(GlobalRef[], st)
            begins_in(g, tree.world) && return names[tree.subject] = binding_key(g)
        end
    end
    nothing
end

function globals_of!(found::Vector{GlobalRef}, @nospecialize(x))
    x isa GlobalRef && push!(found, x)
    x isa ReturnNode && isdefined(x, :val) && globals_of!(found, x.val)
    x isa GotoIfNotNode && globals_of!(found, x.cond)
    x isa Expr && foreach(part -> globals_of!(found, part), x.args)
    return found
end

function begins_in(g::GlobalRef, world::UInt64)
    partition = isdefined(g.binding, :partitions) ? g.binding.partitions : nothing
    while partition !== nothing
        UInt64(partition.min_world) == world && return true
        partition = isdefined(partition, :next) ? partition.next : nothing
    end
    return false
end

push_modules!(roots, node::LogNode) =
    node.subject isa Core.MethodInstance && node.subject.def isa Method &&
    push!(roots, node.subject.def.module)

function name_partitions!(names, wanted, seen, home::Module)
    haskey(seen, home) && return nothing
    seen[home] = nothing
    for b in module_bindings(home)
        partition = isdefined(b, :partitions) ? b.partitions : nothing
        while partition !== nothing
            haskey(wanted, partition) && (names[partition] = binding_key(b.globalref))
            partition = isdefined(partition, :next) ? partition.next : nothing
        end
        value = constant(b.globalref.mod, b.globalref.name, nothing)
        value isa Module && parentmodule(value) === home && name_partitions!(names, wanted, seen, value)
    end
    nothing
end

# From the compiler's own invalidation log to trees; pure. The log is a flat list in which the reason
# follows its items (Julia's src/gf.c, src/staticdata_utils.c, base/invalidation.jl, base/staticdata.jl):
#
#     instance depth …                      what became invalid, in pre-order; depth 0: the caller of a
#                                           call nothing fitted, 1: what calls the replaced instance
#     signature                             closes depth 0: the call
#     instance "jl_method_table_…"          closes depth 1: the replaced instance
#     method   "jl_method_table_…"          ends the group: the cause
#     instance "jl_maybe_log_binding_…"     one of the above had a method that names the binding
#     partition "jl_maybe_log_binding_…"    ends the group: the binding's old value
#     edge "insert_backedges_callee" x m    a package image's edge no longer holds since the methods m;
#                                           x: its number (≤ 1.11) or the code that has it (1.12)
#     code "verify_methods" y               that code is stale; y: the edge's number or the stale callee
#     method "method_globalref" code _      code of a method that names a replaced binding

# --- trees ----------------------------------------------------------------------------------------------

mutable struct LogNode
    kind::UInt8                                     # of TREE_NODES
    subject::Any                                    # instance, or the call's type
    depth::Int
    code::Union{Nothing,Core.CodeInstance}          # where the log names it
    children::Vector{LogNode}
end
LogNode(kind, @nospecialize(subject), depth, code = nothing) =
    LogNode(kind, subject, depth, code, LogNode[])

mutable struct LogTree
    cause::UInt8                                    # of CAUSES
    subject::Any        # method, binding or a partition of one, module; nothing: the log says none
    world::UInt64                                   # of the cause; 0: not known
    children::Vector{LogNode}
end

mutable struct LogReader
    log::Vector{Any}
    at::Int
    trees::Vector{LogTree}
    open::Vector{LogNode}                           # from the top to the node written last
    tops::Vector{LogNode}                           # nothing has closed these yet
    closed::Vector{LogNode}                         # of the group whose cause comes
    stale::IdDict{Any,LogNode}                      # image code (1.12) or instance → its node
    numbered::Dict{Int32,LogNode}                   # ≤ 1.11: edges of the image that is loaded
    unknown::Int                                    # items no rule fits
end

"""
    read_log(log) -> (trees, unknown)

The trees of a log, in its order, and how many of its items were of no known kind. Pure.
"""
function read_log(log::Vector{Any})
    r = LogReader(log, 1, LogTree[], LogNode[], LogNode[], LogNode[], IdDict{Any,LogNode}(),
                  Dict{Int32,LogNode}(), 0)
    while r.at <= length(log)
        step!(r)
    end
    isempty(r.closed) && isempty(r.tops) || end_group!(r, CAUSES.unknown, nothing, UInt64(0))
    return r.trees, r.unknown
end

# An element may be undefined: 1.10 writes NULL where there is no cause.
item(r::LogReader, k::Int) =
    r.at + k <= length(r.log) && isassigned(r.log, r.at + k) ? r.log[r.at + k] : nothing

function step!(r::LogReader)
    x, tag = item(r, 0), item(r, 1)
    mi = x isa Core.CodeInstance || x isa Core.MethodInstance || is_abi_override(x) ? instance_of(x) : nothing
    if tag == "insert_backedges_callee"
        broken_edge!(r, x, item(r, 2), item(r, 3))
        r.at += 4
    elseif tag == "verify_methods"
        stale_code!(r, x, item(r, 2))
        r.at += 3
    elseif tag == "method_globalref"
        stale_source!(r, x, item(r, 2))
        r.at += 4
    elseif mi !== nothing && tag isa Int32
        invalidated!(r, mi, Int(tag))
        r.at += 2
    elseif mi !== nothing && tag isa String
        close_callee!(r, mi, tag)
        r.at += 2
    elseif x isa Type
        close!(r, LogNode(TREE_NODES.missing, x, 0))
        r.at += 1
    elseif tag isa String && (x isa Method || is_partition(x))
        cause!(r, x, tag)
        r.at += 2
    else
        r.unknown += 1
        r.at += 1
    end
    nothing
end

is_abi_override(@nospecialize(x)) = nameof(typeof(x)) === :ABIOverride
is_partition(@nospecialize(x)) = nameof(typeof(x)) === :BindingPartition
# Had the name no value before?
is_unbound(@nospecialize(x)) = (kind = (x.kind & 0x0f) % UInt8;
    Base.is_some_guard(kind) || kind == Base.PARTITION_KIND_DECLARED)
is_binding(@nospecialize(x)) = nameof(typeof(x)) === :Binding

function invalidated!(r::LogReader, mi, depth::Int)
    node = LogNode(TREE_NODES.caller, mi, depth)
    while !isempty(r.open) && r.open[end].depth >= depth
        pop!(r.open)
    end
    push!(isempty(r.open) ? r.tops : r.open[end].children, node)
    push!(r.open, node)
    nothing
end

function close!(r::LogReader, top::LogNode)
    top.children = r.tops
    push!(r.closed, top)
    r.tops = LogNode[]
    empty!(r.open)
    nothing
end

function close_callee!(r::LogReader, mi, tag::String)
    if tag == "jl_method_table_insert"
        # 1.10 writes this of every later instance too, once anything became invalid
        isempty(r.tops) || close!(r, LogNode(TREE_NODES.callee, mi, 0))
    elseif tag == "jl_method_table_disable"
        close!(r, LogNode(TREE_NODES.callee, mi, 0))
    elseif !(tag == "invalidate_mt_cache" || tag == "jl_maybe_log_binding_invalidation")
        r.unknown += 1        # the first two say nothing of code
    end
    nothing
end

function cause!(r::LogReader, @nospecialize(x), tag::String)
    if is_partition(x)
        end_group!(r, is_unbound(x) ? CAUSES.bound : CAUSES.binding, x, x.max_world == OPEN_WORLD ? UInt64(0) : UInt64(x.max_world) + 1)
    elseif tag == "jl_method_table_insert"
        world = UInt64(x.primary_world)
        # what a method replaced was disabled just before
        if !isempty(r.trees) && r.trees[end].cause == CAUSES.deleted && r.trees[end].world == 0 &&
           r.trees[end].subject.sig == x.sig
            r.trees[end].world = world
        end
        end_group!(r, CAUSES.inserted, x, world)
    elseif tag == "jl_method_table_disable"
        last = deleted_world(x)
        end_group!(r, CAUSES.deleted, x, last == OPEN_WORLD ? UInt64(0) : last + 1)
    else
        r.unknown += 1
    end
    nothing
end

function end_group!(r::LogReader, cause::UInt8, @nospecialize(subject), world::UInt64)
    append!(r.closed, r.tops)
    push!(r.trees, LogTree(cause, subject, world, r.closed))
    r.closed = LogNode[]
    r.tops = LogNode[]
    empty!(r.open)
    nothing
end

# --- package images -------------------------------------------------------------------------------------

# One tree for each thing that broke edges, and in it one node for each edge.
function loaded_tree!(r::LogReader, @nospecialize(subject))
    for tree in r.trees
        tree.cause == CAUSES.loaded && tree.subject === subject && return tree
    end
    world = subject isa Method ? UInt64(subject.primary_world) : UInt64(0)
    push!(r.trees, LogTree(CAUSES.loaded, subject, world, LogNode[]))
    return r.trees[end]
end

function edge_node!(tree::LogTree, @nospecialize(edge))
    for node in tree.children
        node.subject === edge && return node
    end
    kind = edge isa Core.MethodInstance ? TREE_NODES.callee : TREE_NODES.missing
    push!(tree.children, LogNode(kind, edge, 0))
    return tree.children[end]
end

function broken_edge!(r::LogReader, @nospecialize(edge), @nospecialize(owner), @nospecialize(matches))
    edge isa Core.CodeInstance && (edge = instance_of(edge))
    if owner isa Int32              # what has it comes in `verify_methods`
        isempty(r.stale) || (empty!(r.stale); empty!(r.numbered))        # another image
        r.numbered[owner] = edge_node!(loaded_tree!(r, edge_breaker(edge, nothing, matches)), edge)
    elseif owner isa Core.CodeInstance
        tree = loaded_tree!(r, edge_breaker(edge, owner, matches))
        parent = is_binding(edge) ? tree.children : edge_node!(tree, edge).children
        node = LogNode(TREE_NODES.caller, instance_of(owner), edge isa Type ? 0 : 1, owner)
        push!(parent, node)
        haskey(r.stale, owner) || (r.stale[owner] = node)
    else
        r.unknown += 1
    end
    nothing
end

# What broke an edge: a binding; of the methods that fit now and did not then, the most specific; the
# method that is gone. Where none of these is left, the image is all that can be named.
function edge_breaker(@nospecialize(edge), owner, @nospecialize(matches))
    is_binding(edge) && return edge          # (`matches` is then of another edge)
    matches isa Method && return matches
    if matches isa Vector
        for k in 1:length(matches)
            isassigned(matches, k) && matches[k] isa Method && return matches[k]
        end
    end
    edge isa Core.MethodInstance && return edge.def
    gone = owner === nothing ? nothing : replaced_target(owner, edge)
    gone === nothing || return gone
    return owner === nothing ? nothing : root_module((instance_of(owner)::Core.MethodInstance).def.module)
end

# The method among the targets of a call (`signature` and then what it led to) that is gone.
function replaced_target(owner::Core.CodeInstance, @nospecialize(signature))
    edges = owner.edges
    at = findfirst(k -> edges[k] === signature, 1:length(edges))
    at === nothing && return nothing
    for k in at + 1:length(edges)
        target = edges[k]
        mi = target isa Core.CodeInstance || target isa Core.MethodInstance ? instance_of(target) : nothing
        m = mi === nothing ? target : mi.def
        m isa Method || return nothing
        is_replaced_method(m) && return m
    end
    return nothing
end

function stale_code!(r::LogReader, @nospecialize(code), @nospecialize(cause))
    code === cause && return nothing         # stale by its own edges, which came before
    mi = instance_of(code)
    owner = code isa Core.CodeInstance ? code : nothing
    if cause isa Int32
        parent = get(r.numbered, cause, nothing)
        depth = parent === nothing || parent.kind == TREE_NODES.missing ? 0 : 1
    else
        parent = cause === nothing ? nothing : get(r.stale, cause, nothing)
        depth = parent === nothing ? 1 : parent.depth + 1
    end
    if parent === nothing
        haskey(r.stale, code) && return nothing
        # stale through code that was so before the log was on
        tree = loaded_tree!(r, root_module(mi.def.module))
        callee = cause isa Core.CodeInstance || cause isa Core.MethodInstance ? instance_of(cause) : nothing
        parent = callee === nothing ? nothing : edge_node!(tree, callee)
    end
    node = LogNode(TREE_NODES.caller, mi, depth, owner)
    push!(parent === nothing ? tree.children : parent.children, node)
    haskey(r.stale, code) || (r.stale[code] = node)
    nothing
end

function stale_source!(r::LogReader, @nospecialize(m), @nospecialize(code))
    binding = m isa Method ? replaced_binding(m) : nothing
    tree = loaded_tree!(r, binding === nothing ? root_module(m.module) : binding)
    node = LogNode(TREE_NODES.caller, instance_of(code), 1, code)
    push!(tree.children, node)
    haskey(r.stale, code) || (r.stale[code] = node)
    nothing
end

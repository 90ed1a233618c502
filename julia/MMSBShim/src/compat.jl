# Every difference between Julia versions that the shim knows of; the only file that tests VERSION.

import Libdl

const CC = Core.Compiler

# --- values -------------------------------------------------------------------------------------

if VERSION < v"1.7"
    is_mutable(@nospecialize(x)) = typeof(x).mutable
    is_vararg(@nospecialize(t)) = (u = Base.unwrap_unionall(t); u isa DataType && u.name === Vararg.body.body.name)
    function vararg_parts(@nospecialize(t))
        own = TypeVar[]                      # Vararg{T} is Vararg{T,N} where N
        while t isa UnionAll
            push!(own, t.var)
            t = t.body
        end
        element, n = t.parameters
        any(v -> v === element, own) && (element = element.ub)
        (element, any(v -> v === n, own) ? nothing : n)
    end
else
    is_mutable(@nospecialize(x)) = ismutable(x)
    is_vararg(@nospecialize(t)) = t isa Core.TypeofVararg
    vararg_parts(@nospecialize(t)) =
        (isdefined(t, :T) ? t.T : Any, isdefined(t, :N) ? t.N : nothing)
end

# IR nodes that moved between modules, or are not there: of those no value is an instance.
struct NoSuchNode end
node_type(name::Symbol) = isdefined(Core, name) ? getfield(Core, name) :
    isdefined(CC, name) ? getfield(CC, name) : NoSuchNode
const ArgumentNode = node_type(:Argument)
const TypedSlotNode = node_type(:TypedSlot)
const GotoIfNotNode = node_type(:GotoIfNot)
const ReturnNode = node_type(:ReturnNode)
const EnterNode = node_type(:EnterNode)

function_name(t::DataType) = VERSION < v"1.12-" ? t.name.mt.name : t.name.singletonname
# (a type that a recursion limited is found while its cycle is inferred)
widen(@nospecialize(t)) = CC.widenconst(isdefined(CC, :ignorelimited) ? CC.ignorelimited(t) : t)

const INTRINSICS = IdDict{Any,String}()
function intrinsic_name(f::Core.IntrinsicFunction)
    if isempty(INTRINSICS)
        for name in names(Core.Intrinsics, all = true)
            value = getfield(Core.Intrinsics, name)
            value isa Core.IntrinsicFunction && (INTRINSICS[value] = String(name))
        end
    end
    return get(INTRINSICS, f, "unknown")
end

# --- methods, instances, code objects --------------------------------------------------------------

# Worlds in which a method can be called: its first, and its last. Since 1.12 a method says only that
# it was replaced or deleted, and its entry in the method table when; `find_ends!` reads those.
deleted_world(m::Method) =
    hasfield(Method, :deleted_world) ? UInt64(m.deleted_world) : get(ENDS, m, OPEN_WORLD)
const ENDS = IdDict{Method,UInt64}()

function find_ends!(methods)
    empty!(ENDS)
    (VERSION >= v"1.12-" && any(is_replaced_method, methods)) || return nothing
    for m in methods
        is_replaced_method(m) && (ENDS[m] = OPEN_WORLD)
    end
    each_entry(Core.methodtable.defs) do entry
        m = entry.func
        m isa Method && haskey(ENDS, m) && (ENDS[m] = UInt64(entry.max_world))
        nothing
    end
    nothing
end

function each_entry(f, @nospecialize(x))
    if x isa Core.TypeMapEntry
        while x isa Core.TypeMapEntry
            f(x)
            x = x.next
        end
    elseif x isa Core.TypeMapLevel
        for field in (:arg1, :targ, :name1, :tname, :list, :any)
            isdefined(x, field) && each_entry(f, getfield(x, field))
        end
    elseif nameof(typeof(x)) === :GenericMemory || x isa Vector
        for k in 1:length(x)
            isassigned(x, k) && each_entry(f, x[k])
        end
    end
    nothing
end

function specializations(m::Method)
    isdefined(Base, :specializations) &&
        return Core.MethodInstance[mi for mi in Base.specializations(m) if mi !== nothing]
    found = Core.MethodInstance[]
    specs = m.specializations
    if specs isa Core.SimpleVector           # 1.5 leaves slots unassigned: never iterate blindly
        for k in 1:length(specs)
            isassigned(specs, k) && specs[k] isa Core.MethodInstance && push!(found, specs[k])
        end
    elseif specs isa Core.MethodInstance
        push!(found, specs)
    elseif specs !== nothing
        collect_entries!(found, specs)
    end
    return found
end

# ≤ 1.5: specializations hang in a TypeMap
function collect_entries!(found, @nospecialize(map))
    if map isa Core.TypeMapEntry
        entry = map
        while true
            entry.func isa Core.MethodInstance && push!(found, entry.func)
            entry.next isa Core.TypeMapEntry || break
            entry = entry.next
        end
    elseif map isa Core.TypeMapLevel
        for field in (:arg1, :targ, :name1, :tname)
            isdefined(map, field) || continue
            part = getfield(map, field)
            part isa Vector || continue
            for k in 1:length(part)
                isassigned(part, k) && collect_entries!(found, part[k])
            end
        end
        isdefined(map, :list) && collect_entries!(found, map.list)
        isdefined(map, :any) && collect_entries!(found, map.any)
    end
    nothing
end

# The native compiler's own code objects of an instance, oldest first.
function code_instances(mi::Core.MethodInstance)
    found = Core.CodeInstance[]
    isdefined(mi, :cache) || return found
    ci = mi.cache
    while true
        native = !hasfield(Core.CodeInstance, :owner) || ci.owner === nothing
        native && push!(found, ci)
        isdefined(ci, :next) || break
        ci = ci.next
    end
    return reverse!(found)
end

# What stands on an instance's code. Earlier Julias do not say which code object, nor on what it stands.
const HAS_EDGES = hasfield(Core.CodeInstance, :edges)
function backedges(mi::Core.MethodInstance)
    found = Core.CodeInstance[]
    (HAS_EDGES && isdefined(mi, :backedges)) || return found
    for edge in mi.backedges             # among the types of calls by `invoke`
        edge isa Core.CodeInstance && push!(found, edge)
    end
    return found
end

instance_of(@nospecialize(x)) =
    x isa Core.MethodInstance ? x :
    x isa Core.CodeInstance ? instance_of(x.def) :
    hasfield(typeof(x), :def) ? instance_of(getfield(x, :def)) : nothing

# Visits every method of every function reachable from loaded modules.
function visit_methods(f)
    if isdefined(Core, :methodtable) || isdefined(Core, :GlobalMethods)
        table = isdefined(Core, :methodtable) ? Core.methodtable : Core.GlobalMethods
        Base.visit(f, table)
        return nothing
    end
    seen_tables = IdDict{Any,Nothing}()
    seen_modules = IdDict{Module,Nothing}()
    foreach(m -> visit_module(f, m, seen_tables, seen_modules), Base.loaded_modules_array())
    visit_module(f, Main, seen_tables, seen_modules)
    visit_table(f, DataType.name.mt, seen_tables)
    nothing
end

function visit_table(f, @nospecialize(mt), seen)
    (mt === nothing || haskey(seen, mt)) && return nothing
    seen[mt] = nothing
    Base.visit(f, mt)
    nothing
end

function visit_module(f, m::Module, tables, modules)
    haskey(modules, m) && return nothing
    modules[m] = nothing
    for name in names(m, all = true, imported = true)
        (isdefined(m, name) && !Base.isdeprecated(m, name)) || continue
        x = getfield(m, name)
        if x isa Module
            parentmodule(x) === m && visit_module(f, x, tables, modules)
            continue
        end
        T = Base.unwrap_unionall(x isa Type ? x : typeof(x))
        T isa DataType && isdefined(T.name, :mt) && visit_table(f, T.name.mt, tables)
    end
    nothing
end

# Does a package's image hold what was compiled for it? Until 1.8 it holds what was inferred.
const IMAGES_HOLD_CODE = VERSION >= v"1.9-"

# --- was it compiled before this process? ---------------------------------------------------------

# Where the system image and package images lie, for Julias without `jl_object_in_image`.
const IMAGES = Tuple{UInt,UInt}[]
const IN_IMAGE = Ref{Ptr{Cvoid}}(C_NULL)
function find_images!()
    empty!(IMAGES)
    for path in Libdl.dllist()
        handle = Libdl.dlopen(path, throw_error = false)
        handle === nothing && continue
        known = Libdl.dlsym(handle, :jl_object_in_image, throw_error = false)
        known === nothing || return (IN_IMAGE[] = known; nothing)
        start = Libdl.dlsym(handle, :jl_system_image_data, throw_error = false)
        bytes = Libdl.dlsym(handle, :jl_system_image_size, throw_error = false)
        (start === nothing || bytes === nothing) && continue
        push!(IMAGES, (UInt(start), UInt(start) + unsafe_load(Ptr{Csize_t}(bytes))))
    end
    nothing
end

function in_image(@nospecialize(x))
    IN_IMAGE[] == C_NULL || return ccall(IN_IMAGE[], UInt8, (Any,), x) != 0
    p = UInt(ccall(:jl_value_ptr, Ptr{Cvoid}, (Any,), x))
    return any(range -> range[1] <= p < range[2], IMAGES)
end

# --- worlds ---------------------------------------------------------------------------------------

# Runs in the world of the recording's begin: what the program defined since has not made the shim's
# compiled code invalid there. Bindings of later worlds are asked for by `constant`.
in_world(world::UInt64, f, args...) = isdefined(Base, :invoke_in_world) ?
    Base.invoke_in_world(UInt(world), f, args...) : f(args...)

# --- asking the compiler -----------------------------------------------------------------------------

lowered(m::Method) = Base.uncompressed_ast(m)
function lowered_of(mi::Core.MethodInstance, world::UInt64)
    m = mi.def::Method
    isdefined(m, :generator) || return lowered(m)
    return VERSION < v"1.10" ? CC.retrieve_code_info(mi) : CC.retrieve_code_info(mi, UInt(world))
end

in_typeinf_world(f, args...) = VERSION < v"1.10" ? f(args...) :
    (v = Any[f, args...]; ccall(:jl_call_in_typeinf_world, Any, (Ptr{Any}, Cint), v, length(v)))

# (CodeInfo, return type), or nothing where inference gives none.
function infer(mi::Core.MethodInstance, world::UInt64, optimize::Bool)
    m = mi.def::Method
    if VERSION < v"1.6"
        answer = CC.typeinf_code(m, mi.specTypes, mi.sparam_vals, optimize, CC.Params(UInt(world)))
    elseif VERSION < v"1.11-"
        answer = in_typeinf_world(CC.typeinf_code, CC.NativeInterpreter(UInt(world)), m,
                                  mi.specTypes, mi.sparam_vals, optimize)
    else
        answer = in_typeinf_world(CC.typeinf_code, CC.NativeInterpreter(UInt(world)), mi, optimize)
    end
    answer isa Core.CodeInfo && return (answer, answer.rettype)
    (answer isa Tuple && answer[1] isa Core.CodeInfo) && return (answer[1], answer[2])
    return nothing
end

# How the origin of an optimised statement is known on this Julia.
const ORIGIN = VERSION >= v"1.12-" ? "debuginfo" :
    VERSION < v"1.6" || v"1.10" <= VERSION ? "tagged" : "lines"

# A copy of lowered code with one line node per statement, so that `codelocs` name statements.
function tagged(src::Core.CodeInfo)
    copied = copy(src)
    nodes = Any[]
    for pc in 1:length(src.code)
        loc = src.codelocs[pc]
        push!(nodes, loc == 0 ? unknown_line() : without_parent(src.linetable[loc]))
    end
    copied.linetable = nodes
    copied.codelocs = Int32[1:length(src.code);]
    return copied
end

if VERSION < v"1.6"
    unknown_line() = Core.LineInfoNode(:unknown, :none, 0, 0)
    without_parent(node) = Core.LineInfoNode(node.method, node.file, node.line, 0)
elseif VERSION < v"1.12-"
    unknown_line() = Core.LineInfoNode(Main, :unknown, :none, Int32(0), Int32(0))
    without_parent(node) =
        Core.LineInfoNode(node.module, node.method, node.file, Int32(node.line), Int32(0))
end

# The same question of tagged code. Its statements equal those of `infer`; the caller checks that.
function infer_tagged(mi::Core.MethodInstance, src::Core.CodeInfo, world::UInt64)
    ORIGIN == "tagged" || return nothing
    return VERSION < v"1.6" ? infer_tagged_old(mi, tagged(src), world) :
        infer_tagged_new(mi, tagged(src), world)
end

function infer_tagged_old(mi::Core.MethodInstance, src::Core.CodeInfo, world::UInt64)
    ccall(:jl_typeinf_begin, Cvoid, ())
    try
        result = CC.InferenceResult(mi)
        frame = CC.InferenceState(result, src, false, CC.Params(UInt(world)))
        (frame !== nothing && CC.typeinf(frame)) || return nothing
        opt = CC.OptimizationState(frame)
        CC.optimize(opt, result.result)
        return opt.src
    finally
        ccall(:jl_typeinf_end, Cvoid, ())
    end
end

# `:global` optimises as `infer` does; it writes nothing, since `infer` has left a code object for
# these worlds in the cache.
function infer_tagged_new(mi::Core.MethodInstance, src::Core.CodeInfo, world::UInt64)
    interp = CC.NativeInterpreter(UInt(world))
    result = in_typeinf_world(CC.InferenceResult, mi, CC.typeinf_lattice(interp))
    frame = in_typeinf_world(CC.InferenceState, result, src, :global, interp)
    (frame !== nothing && in_typeinf_world(CC.typeinf, interp, frame)) || return nothing
    return frame.src
end

# --- where a statement came from --------------------------------------------------------------------

"""
One inlined frame, outermost first: the method's name, its file, the line, and the lowered statement
(0-based; NONE where only the line is known).
"""
struct Frame
    method::Symbol
    file::Symbol
    line::Int32
    origin::UInt32
end

# (the code of a generated function names its file instead: that is no name of ours to keep)
is_file_name(s::String) = occursin('/', s) || endswith(s, ".jl")
frame_method(@nospecialize(def)) =
    def isa Symbol ? (is_file_name(String(def)) ? Symbol("generated code") : def) : def isa Method ? def.name :
    def isa Core.MethodInstance ? frame_method(def.def) :
    def isa Core.CodeInstance ? frame_method(def.def) :
    hasfield(typeof(def), :def) ? frame_method(getfield(def, :def)) : :unknown

# The frames are put into a vector of the caller's, outermost first; none where the compiler kept
# nothing.
frames_at(src::Core.CodeInfo, pc::Int, tagged::Bool) = frames_at!(Frame[], src, pc, tagged)

if VERSION >= v"1.12-"
    debug_frames!(frames::Vector{Frame}, info, pc::Int, method::Symbol, origin::UInt32) =
        debug_frames!(frames, info, map(Int, CC.getdebugidx(info, pc)), method, origin)
    # `method`, `origin`: of the outermost frame; a table of lines within says its file and line,
    # and what macros it came from
    function debug_frames!(frames::Vector{Frame}, info, (line, edge, edge_pc)::NTuple{3,Int},
                           method::Symbol, origin::UInt32)
        table = info.linetable
        if table === nothing || line <= 0
            push!(frames, Frame(method, CC.IRShow.debuginfo_file1(info), max(line, 0), origin))
        else
            debug_frames!(frames, table::Core.DebugInfo, line, method,
                          origin == NONE ? (line - 1) % UInt32 : origin)
        end
        edge == 0 && return frames
        inner = info.edges[edge]::Core.DebugInfo
        return debug_frames!(frames, inner, edge_pc, frame_method(inner.def), NONE)
    end
    function frames_at!(frames::Vector{Frame}, src::Core.CodeInfo, pc::Int, tagged::Bool)
        empty!(frames)
        return debug_frames!(frames, src.debuginfo, pc, frame_method(src.debuginfo.def), NONE)
    end
    function frames_of!(frames::Vector{Frame}, ir, stmts, k::Int, tagged::Bool)
        empty!(frames)
        at = (Int(stmts.line[3k - 2]), Int(stmts.line[3k - 1]), Int(stmts.line[3k]))
        return debug_frames!(frames, ir.debuginfo, at, frame_method(ir.debuginfo.def), NONE)
    end
else
    frames_at!(frames::Vector{Frame}, src::Core.CodeInfo, pc::Int, tagged::Bool) =
        line_frames!(frames, src.linetable, pc <= length(src.codelocs) ? Int(src.codelocs[pc]) : 0, tagged)
    frames_of!(frames::Vector{Frame}, ir, stmts, k::Int, tagged::Bool) =
        line_frames!(frames, ir.linetable, Int(stmts.line[k]), tagged)
    function line_frames!(frames::Vector{Frame}, linetable, loc::Int, tagged::Bool)
        empty!(frames)
        while loc != 0
            node = linetable[loc]::Core.LineInfoNode
            outermost = node.inlined_at == 0
            origin = outermost && tagged ? (loc - 1) % UInt32 : NONE
            push!(frames, Frame(frame_method(node.method), node.file, node.line % Int32, origin))
            loc = Int(node.inlined_at)
        end
        return reverse!(frames)
    end
end

statement_at(src::Core.CodeInfo, pc::Int) = src.code[pc]
statement_flags(src::Core.CodeInfo, pc::Int) =
    pc <= length(src.ssaflags) ? UInt32(src.ssaflags[pc]) : UInt32(0)
statement_type(src::Core.CodeInfo, pc::Int) =
    src.ssavaluetypes isa Vector && pc <= length(src.ssavaluetypes) ? src.ssavaluetypes[pc] : nothing
slot_type(src::Core.CodeInfo, slot::Int) =
    isdefined(src, :slottypes) && src.slottypes isa Vector && slot <= length(src.slottypes) ?
    src.slottypes[slot] : nothing

block_range(b) = (Int(b.stmts.start), Int(b.stmts.stop))

# Inference looks at up to this many methods for a call, and ties the caller to no more.
const MATCH_LIMIT = VERSION < v"1.9" ? 4 : 3

# The methods that fit a call of this type at this world, or nothing where they are too many to tie
# the caller to them.
function matching_methods(@nospecialize(signature), world::UInt64)::Union{Nothing,Vector{Method}}
    found = Base._methods_by_ftype(signature, MATCH_LIMIT, UInt(world))
    found isa Vector || return nothing
    return Method[(VERSION < v"1.6" ? match[3] : match.method)::Method for match in found]
end

# The method that `invoke` of this signature takes, or something else where there is none.
method_for(@nospecialize(signature), world::UInt64) = VERSION < v"1.7" ?
    ccall(:jl_gf_invoke_lookup, Any, (Any, UInt), signature, UInt(world)) :
    ccall(:jl_gf_invoke_lookup, Any, (Any, Any, UInt), signature, nothing, UInt(world))

# --- asking again, pass by pass -------------------------------------------------------------------

# The compilers whose insides are known. Another Julia is asked through public reflection alone.
const NATIVE_KNOWN = v"1.10" <= VERSION < v"1.13-"
const TAGGED = ORIGIN == "tagged"

if VERSION >= v"1.11-"
    raw_statement(stmts, k::Int) = stmts.stmt[k]
else
    raw_statement(stmts, k::Int) = stmts.inst[k]
end

# A frame that is neither cached nor optimised. Up to 1.11 the code is tagged with its own numbers.
if VERSION >= v"1.12-"
    function new_frame(interp, mi::Core.MethodInstance, ::Core.CodeInfo)
        result = in_typeinf_world(CC.InferenceResult, mi, CC.typeinf_lattice(interp))
        return in_typeinf_world(CC.InferenceState, result, :no, interp)
    end
else
    function new_frame(interp, mi::Core.MethodInstance, src::Core.CodeInfo)
        result = in_typeinf_world(CC.InferenceResult, mi, CC.typeinf_lattice(interp))
        return in_typeinf_world(CC.InferenceState, result, tagged(src), :no, interp)
    end
end

function finish_inference(interp, frame)
    in_typeinf_world(CC.typeinf, interp, frame)
    return in_typeinf_world(CC.is_inferred, frame)::Bool
end

# Up to 1.10 inference takes branches away that cannot be, but only in a frame that it is to optimise.
if VERSION < v"1.11-"
    function drop_dead_branches!(frame)
        src = frame.src
        reached(pc) = frame.bb_vartables[CC.block_for_inst(frame.cfg, pc)] !== nothing
        for (pc, st) in enumerate(src.code)
            st isa Core.GotoIfNot && reached(pc) || continue
            widen(CC.argextype(st.cond, src, frame.sptypes)) === Bool || continue
            if !reached(pc + 1)
                src.code[pc] = Core.GotoNode(st.dest)
            elseif !reached(st.dest)
                src.code[pc] = nothing
            end
        end
        nothing
    end
else
    drop_dead_branches!(frame) = nothing
end

return_lattice(frame) = CC.ignorelimited(frame.result.result)

# Is the whole function a constant, of which the compiler keeps no code?
if VERSION >= v"1.12-"
    is_constant(interp, frame) =
        in_typeinf_world(CC.result_is_constabi, interp, frame.result)::Bool
    constant_code(interp, mi, frame) =
        in_typeinf_world(CC.codeinfo_for_const, interp, mi, frame.result.result.val)
else
    is_constant(interp, frame) = false
    constant_code(interp, mi, frame) = nothing
end

# Pass k of the optimiser: (IR, whether the pass ran). The order is `run_passes` in the compiler.
function run_pass(k::Int, ir, opt)
    src = opt.src
    k == 1 && return in_typeinf_world(CC.convert_to_ircode, src, opt), true
    k == 2 && return in_typeinf_world(CC.slot2reg, ir, src, opt), true
    (k == 3 || k == 5) && return in_typeinf_world(CC.compact!, ir), true
    k == 4 && return in_typeinf_world(CC.ssa_inlining_pass!, ir, opt.inlining,
                                      src.propagate_inbounds), true
    k == 6 && return in_typeinf_world(CC.sroa_pass!, ir, opt.inlining), true
    k == 7 && return dead_code(in_typeinf_world(CC.adce_pass!, ir, opt.inlining)), true
    ADCE_CHANGED[] || return ir, false
    VERSION >= v"1.11-" && return in_typeinf_world(CC.compact!, ir, true), true
    return in_typeinf_world(CC.compact!, ir), true
end

# Since 1.11 the pass says whether it changed anything; otherwise the last compaction is left out.
const ADCE_CHANGED = Ref(true)
function dead_code(@nospecialize(answer))
    VERSION < v"1.11-" && return answer
    ADCE_CHANGED[] = getfield(answer, 2)
    return getfield(answer, 1)
end

function finish_optimization(interp, opt, ir, frame)
    VERSION >= v"1.11-" &&
        in_typeinf_world(CC.ipo_dataflow_analysis!, interp, opt, ir, frame.result)
    in_typeinf_world(CC.finish, interp, opt, ir, frame.result)
    VERSION >= v"1.11-" && VERSION < v"1.12-" &&
        return in_typeinf_world(CC.ir_to_codeinf!, opt, frame, frame.edges)
    return in_typeinf_world(CC.ir_to_codeinf!, opt)
end

# --- what a code object says of itself ------------------------------------------------------------

is_native(ci::Core.CodeInstance) = !hasfield(Core.CodeInstance, :owner) || ci.owner === nothing
# (1.12 pushes a code object to the queue when it is inferred and fills it when it is optimised)
is_complete(ci::Core.CodeInstance) =
    !hasfield(Core.CodeInstance, :debuginfo) || isdefined(ci, :debuginfo)

function track_inferred!(on::Bool)
    if VERSION < v"1.12-"
        CC.track_newly_inferred.x = on
        on || ccall(:jl_set_newly_inferred, Cvoid, (Any,), CC.newly_inferred)
    elseif !on
        ccall(:jl_set_newly_inferred, Cvoid, (Any,), nothing)
    end
    nothing
end

has_machine_code(ci::Core.CodeInstance) = ci.invoke != C_NULL
exception_type(ci::Core.CodeInstance) =
    hasfield(Core.CodeInstance, :exctype) && isdefined(ci, :exctype) ? ci.exctype : nothing
effect_bits(ci::Core.CodeInstance) =
    hasfield(Core.CodeInstance, :ipo_purity_bits) ? UInt32(ci.ipo_purity_bits) : UInt32(0)

# What callers see of the result: a constant and partly known structs too.
function return_lattice(ci::Core.CodeInstance)
    VERSION >= v"1.12-" && return CC.cached_return_type(ci)
    isdefined(ci, :rettype_const) || return ci.rettype
    known = ci.rettype_const
    (known isa Vector{Any} && !(Vector{Any} <: ci.rettype)) && return CC.PartialStruct(ci.rettype, known)
    is_lattice(known) && return known
    return CC.Const(known)
end

# The final IR that the compiler kept, and whether it kept any.
function native_source(mi::Core.MethodInstance, ci::Core.CodeInstance)
    CC.use_const_api(ci) && return nothing, KEPT.constant
    inferred = isdefined(ci, :inferred) ? ci.inferred : nothing
    inferred isa Core.CodeInfo && return inferred, KEPT.kept
    (inferred isa String || inferred isa Vector{UInt8}) || return nothing, KEPT.discarded
    return ccall(:jl_uncompress_ir, Any, (Any, Any, Any), mi.def, ci, inferred)::Core.CodeInfo, KEPT.kept
end

# (inference with callees, without, code generation) in ns; NONE_U64 where this Julia keeps none.
if VERSION >= v"1.12-"
    function times(ci::Core.CodeInstance)
        ns(bits) = (s = Float64(reinterpret(Float16, bits)); isfinite(s) ? round(UInt64, 1e9 * s) : NONE_U64)
        return ns(ci.time_infer_total), ns(ci.time_infer_self), ns(ci.time_compile)
    end
else
    times(ci::Core.CodeInstance) = get(TIMES, ci, UNTIMED)
end
const UNTIMED = (NONE_U64, NONE_U64, NONE_U64)
const TIMES = IdDict{Core.CodeInstance,Tuple{UInt64,UInt64,UInt64}}()     # as measured (timings.jl)

# Can the compiler measure its inference (until 1.11)?
const HAS_TIMINGS = VERSION >= v"1.10-" && VERSION < v"1.12-" && isdefined(CC, :__measure_typeinf__)
measures_inference() = CC.__measure_typeinf__[]
measure_inference!(on::Bool) = (CC.__set_measure_typeinf(on); nothing)

# --- the invalidation log ---------------------------------------------------------------------------

# (until 1.5 its switch is a variable, which cannot be called)
const HAS_INVALIDATION_LOG = VERSION >= v"1.10-"

# Where package images' own log is kept: a Ref of it, nothing while it is off. No such place before 1.12.
function edge_log()
    home = isdefined(Base, :ReinferUtils) ? Base.ReinferUtils :
        isdefined(Base, :StaticData) ? Base.StaticData : Base
    return isdefined(home, :_jl_debug_method_invalidation) ? home._jl_debug_method_invalidation : nothing
end

# Replaced or deleted.
is_replaced_method(m::Method) = hasfield(Method, :dispatch_status) ? iszero(m.dispatch_status) :
    deleted_world(m) != OPEN_WORLD

# (older Julias are not asked: their methods are told apart by their signatures)
may_be_replaced(m::Method) = VERSION < v"1.10-" || is_replaced_method(m)

# Did a method of the same signature begin in this world?
function is_succeeded(m::Method, world::UInt64)
    VERSION < v"1.10-" && return false
    found = Base._methods_by_ftype(m.sig, -1, UInt(world))
    found isa Vector || return false
    for match in found
        (match.method.primary_world == world && match.method.sig == m.sig) && return true
    end
    return false
end

module_bindings(m::Module) = Any[b for b in ccall(:jl_module_get_bindings, Any, (Any,), m) if b !== nothing]

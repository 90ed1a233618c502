# Every method instance and code object there is, found without MMSBShim.

function entries(visit, @nospecialize(x))
    if x isa Core.MethodInstance
        visit(x)
    elseif x isa Core.SimpleVector || x isa Vector || nameof(typeof(x)) === :GenericMemory
        for k in 1:length(x)
            isassigned(x, k) && entries(visit, x[k])
        end
    elseif x isa Core.TypeMapEntry
        while x isa Core.TypeMapEntry
            entries(visit, x.func)
            x = x.next
        end
    elseif x isa Core.TypeMapLevel
        for field in fieldnames(Core.TypeMapLevel)
            field === :key || !isdefined(x, field) || entries(visit, getfield(x, field))
        end
    end
    nothing
end

function tables()
    for name in (:methodtable, :GlobalMethods)
        isdefined(Core, name) && return Any[getfield(Core, name)]
    end
    found, modules, todo = Any[], Module[], Module[Main; Base.loaded_modules_array()]
    while !isempty(todo)
        m = pop!(todo)
        m in modules && continue
        push!(modules, m)
        for name in names(m, all = true)
            (isdefined(m, name) && !Base.isdeprecated(m, name)) || continue
            x = getfield(m, name)
            x isa Module && push!(todo, x)
            t = Base.unwrap_unionall(x isa Type ? x : typeof(x))
            t isa DataType && isdefined(t.name, :mt) && push!(found, t.name.mt)
        end
    end
    return unique(objectid, found)
end

# Calls `visit` with every method instance of every method.
function each_instance(visit)
    for table in tables()
        Base.visit(table) do m
            m isa Method && entries(visit, m.specializations)
            nothing
        end
    end
end

# While the recorder's own image is made it reads some of its own code once, so that what reading
# takes is compiled beforehand, and not in the program's time. What `precompile` is told reaches only
# what is called by name. Nothing of the reading stays.

const REHEARSED = (find_file, type_text, contents!, ask_safely!)

function rehearse(capture::String)
    settings = Settings(Dict("MMSB_CAPTURE" => capture, "MMSB_MODULES" => "MMSBShim"))
    r = recording(settings, Cint(-1), Cint(-1))
    hello!(r)
    r.visited = length(Base.loaded_modules)          # no one else's methods
    drain!(r)
    scope, level = IdDict{Method,Definition}(), Question[]
    now, orders = UInt64(Base.get_world_counter()), IdDict{Core.CodeInstance,UInt64}()
    for f in REHEARSED, d in definitions(collect(methods(f)))
        scope[d.method] = d
        announce!(r, d)
        for mi in specializations(d.method), ci in code_instances(mi)
            q = question(mi, ci, d, now, 0)
            q === nothing || push!(level, q)
        end
    end
    drain_level!(r, level, scope, now, 0, orders)
    foreach(t -> truncate!(t, rows(t)), all_tables(r.encoder.tables))
    forget!(r)
    nothing
end

function rehearse()
    SHA256[] = zeros_for_digest
    foreach(rehearse, NATIVE_KNOWN ? ("events", "final", "passes", "reflect") : ("reflect",))
    SHA256[] = nothing
    IN_IMAGE[] = C_NULL
    ADCE_CHANGED[] = true
    foreach(empty!, (IMAGES, FILE_NAMES, REPLACED_NAMES, INTRINSICS))
    nothing
end
zeros_for_digest(bytes::Vector{UInt8}) = zeros(UInt8, 32)    # (SHA is loaded when it is needed)

ccall(:jl_generating_output, Cint, ()) != 0 && IMAGES_HOLD_CODE && rehearse()

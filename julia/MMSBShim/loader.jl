# `julia -L loader.jl script.jl`: starts the recorder and leaves everything else as it was. It runs
# in a module of its own, so that Main looks up no name for it; and the environment is what the
# program would have had without it.
Core.eval(Core.Module(:MMSBLoader), :(let settings = ENV, here = $(Base.@__DIR__)
    if haskey(settings, "MMSB_FD") && settings["MMSB_HOST"] == string(ccall(:getppid, Cint, ()))
        fd = parse(Int, pop!(settings, "MMSB_FD"))
        pop!(settings, "MMSB_HOST")
        libraries = pop!(settings, "MMSB_LD_LIBRARY_PATH", nothing)
        if libraries !== nothing
            isempty(libraries) ? delete!(settings, "LD_LIBRARY_PATH") :
                (settings["LD_LIBRARY_PATH"] = libraries)
        end
        trace = pop!(settings, "MMSB_TRACE", "")
        said = Dict{String,String}()
        for name in ("MMSB_CAPTURE", "MMSB_DEPTH", "MMSB_MODULES", "MMSB_FUNCTIONS",
                     "MMSB_LITERALS", "MMSB_MIN_MS", "MMSB_LIMIT", "MMSB_APART")
            haskey(settings, name) && (said[name] = pop!(settings, name))
        end
        code, reply = pop!(settings, "MMSB_CODE_FD", ""), pop!(settings, "MMSB_REPLY_FD", "")
        depot = pop!(settings, "MMSB_DEPOT", "")
        pushfirst!(LOAD_PATH, dirname(here), "@stdlib")
        isempty(depot) || pushfirst!(DEPOT_PATH, depot)
        shim = try
            Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))
        finally
            isempty(depot) || popfirst!(DEPOT_PATH)
            popfirst!(LOAD_PATH)
            popfirst!(LOAD_PATH)
        end
        # what a module without a cache defined is of a later world than this code
        found(name) = Base.invokelatest(getfield, shim, name)
        Base.invokelatest(found(:start), fd, trace, said)
        isempty(code) || Base.invokelatest(found(:serve), parse(Int, code), parse(Int, reply))
    end
end))

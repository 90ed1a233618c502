# The instances that SnoopCompile saw inferred, for test_inferred.py:
#
#     julia --project=WITH_SNOOPCOMPILE snoopcompile_inference.jl PROGRAM SHIM_FOLDER
#
# A line an instance, by the shim's key, which is asked for when all is over.
using SnoopCompileCore

tinf = @snoop_inference include(ARGS[1]);

using SnoopCompile
pushfirst!(LOAD_PATH, ARGS[2], "@stdlib")
const Shim = Base.require(Base.PkgId(Base.UUID("6d0a2f3e-7f0b-4d8c-9b52-3c6f1d2a9e41"), "MMSBShim"))

println("# SnoopCompile ", pkgversion(SnoopCompile), ", Julia ", VERSION)
instances = [Core.Compiler.get_ci_mi(node.ci) for node in SnoopCompile.flatten(tinf)]
filter!(mi -> mi.def isa Method && mi.def.name !== :ROOT, instances)
foreach(println, sort!([Base.invokelatest(Shim.instance_key, mi) for mi in instances]))

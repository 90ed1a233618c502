# The compiler's own tests of its inlining, as every Julia brings them: little but compilation.
let base = joinpath(Sys.BINDIR, Base.DATAROOTDIR, "julia"),
    places = [joinpath(base, "Compiler", "test"), joinpath(base, "test", "compiler")],
    folder = first(filter(folder -> isfile(joinpath(folder, "inline.jl")), places))

    cd(() -> Base.include(Main, joinpath(folder, "inline.jl")), folder)
end

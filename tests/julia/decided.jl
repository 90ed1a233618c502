# What the compiler decides about each of these is written by hand in test_decisions.py. With an
# argument: what Julia's own reflection says of them, as lines of tab-separated fields.

@noinline fixed(x) = x + 1
calls_fixed(x) = fixed(x) * 2

small(x) = x * 3
calls_small(x) = small(x) + 1
keeps_small(x) = @noinline(small(x)) + 1

function dear(x)
    for k in 1:10
        x = sqrt(x * x + k) / (x + 2.0) + x * k - 3.0
        x = cbrt(x * x + 1.0) / (x + 7.0) + x * k - 5.0
        x = hypot(x, 2.0) / (x + 9.0) + x * k - 11.0
    end
    return x
end
calls_dear(x) = dear(x) + 1.0
takes_dear(x) = @inline(dear(x)) + 1.0

countdown(n) = n <= 0 ? 0 : countdown(n - 1) + 1

kind(::Int) = 1
@noinline kind(s::String) = ncodeunits(s)
splits(r) = kind(r[])

chosen(n) = n == 0 ? 1 : "a"
knows() = chosen(0)

scaled(x, k) = k > 10 ? string(x) : x * k
given(x) = scaled(x, 3)

@generated grown(x) = x <: Integer ? :(x + 1) : :(x * 2)
calls_grown(x) = grown(x)

@noinline anything(@nospecialize x) = x === nothing
calls_anything(x) = anything(x)

late(v) = fixed_or(v[1])
fixed_or(x::Int) = x
fixed_or(x::String) = ncodeunits(x)
fixed_or(x::Float64) = 2x
fixed_or(x::Char) = 'a'
fixed_or(x::Symbol) = 0

const BOX = Ref(0)
bumps(x) = (BOX[] = x; nothing)
fails(x) = x > 0 ? x : throw(ArgumentError("negative"))

# recursion that inference ends by making a type wider
wrapped(x, n) = n == 0 ? x : unwrapped((x,), n - 1)
unwrapped(x, n) = n == 1 ? wrapped((x, 1), n) : wrapped(x, n)

const CALLED = [(calls_fixed, (Int,)), (calls_small, (Int,)), (keeps_small, (Int,)),
    (calls_dear, (Float64,)), (takes_dear, (Float64,)), (countdown, (Int,)),
    (splits, (Base.RefValue{Union{Int,String}},)), (knows, ()), (given, (Int,)),
    (calls_grown, (Int,)), (calls_anything, (Int,)), (late, (Vector{Any},)), (bumps, (Int,)),
    (fails, (Int,)), (dear, (Float64,)), (small, (Int,))]

if isempty(ARGS)
    calls_fixed(1), calls_small(1), keeps_small(1), calls_dear(1.0), takes_dear(1.0), countdown(3)
    splits(Ref{Union{Int,String}}(1)), knows(), given(2), calls_grown(1), calls_anything(1)
    late(Any[1]), bumps(1), fails(1), dear(1.0), small(1)
    # asked again, it leaves code of its own behind, which whoever includes this file counts
    abspath(PROGRAM_FILE) == @__FILE__() && wrapped(1.0, 2)
else
    tell(words...) = println(join(words, '\t'))
    called(x) = x isa Core.MethodInstance ? string(x.def.name) : called(x.def)
    for (f, types) in CALLED
        final, returns = only(code_typed(f, types))
        for st in final.code
            st isa Expr && st.head === :(=) && (st = st.args[2])
            st isa Expr && st.head === :invoke && tell(f, "invoke", called(st.args[1]))
            st isa Expr && st.head === :call && st.args[1] isa GlobalRef &&
                !(getglobal(st.args[1].mod, st.args[1].name) isa Core.Builtin) &&
                tell(f, "call", st.args[1].name)
        end
        tell(f, "cost", final.inlining_cost)
        tell(f, "effects", replace(string(Base.infer_effects(f, types)), r"^\(|\)′?$" => ""))
        inferred, _ = only(code_typed(f, types, optimize = false))
        for (st, type) in zip(inferred.code, inferred.ssavaluetypes)
            st isa Expr && st.head === :call && type isa Core.Const && tell(f, "constant", type.val)
        end
    end
end

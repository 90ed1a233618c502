# Number types that no image knows, and what Base and LinearAlgebra compile for them. It needs no
# package.
using LinearAlgebra, Printf

for T in (:Apple, :Pear, :Plum, :Quince)
    @eval begin
        struct $T <: Real
            value::Float64
        end
        $T(x::$T) = x
        Base.promote_rule(::Type{$T}, ::Type{<:Real}) = $T
        Base.Float64(x::$T) = x.value
        Base.hash(a::$T, h::UInt) = hash(a.value, h)
        Base.show(io::IO, a::$T) = print(io, a.value)
    end
    for f in (:+, :-, :*, :/, :min, :max)
        @eval Base.$f(a::$T, b::$T) = $T($f(a.value, b.value))
    end
    for f in (:-, :abs, :sqrt, :exp, :log, :inv)
        @eval Base.$f(a::$T) = $T($f(a.value))
    end
    for f in (:isfinite, :isnan, :iszero)
        @eval Base.$f(a::$T) = $f(a.value)
    end
    for f in (:<, :<=, :(==), :isless)
        @eval Base.$f(a::$T, b::$T) = $f(a.value, b.value)
    end
end

function exercise(::Type{T}) where {T}
    x = T.(1.0:6.0)
    a = [T(i == j ? 4.0 : 1.0 / (i + j)) for i in 1:6, j in 1:6]
    by = Dict(v => string(v) for v in x)
    words = sort!(collect(keys(by)), rev = true)
    solved = lu(a) \ x
    kept = filter(v -> v > T(1.0), map(abs, a * solved .- x ./ T(2.0)))
    totals = (sum(x), prod(x), maximum(x), extrema(a), reduce(min, kept; init = T(9.0)))
    text = @sprintf("%s %s", join(words, ", "), repr(totals))
    return length(text) + length(Set(x)) + length(unique(x)) + length(accumulate(+, x)) +
        sum(length(s) for s in zip(x, enumerate(solved))) + Int(issorted(sortperm(x)))
end

foreach(exercise, (Apple, Pear, Plum, Quince))

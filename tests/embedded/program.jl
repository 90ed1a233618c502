# What both hosts record: calls, a redefinition, a union, a loop, a closure, keywords, try.
module Shapes
struct Square{T}; side::T; end
area(s::Square) = s.side^2
scaled(s; by = 2) = Square(s.side * by)
end

rate(x) = 1
price(x) = rate(x) + 2
total(xs) = sum(price, xs)
pick(c) = c ? 1 : 2.0
looped(n) = (s = 0.0; for i in 1:n; s += pick(isodd(i)); end; s)
adder(k) = x -> x + k
safe(x) = try; sqrt(x); catch; -1.0; end

total([1, 2, 3])
looped(5)
adder(2)(3)
safe(-1.0)
Shapes.area(Shapes.scaled(Shapes.Square(2); by = 3))
rate(x) = x / 2
total([1, 2, 3])

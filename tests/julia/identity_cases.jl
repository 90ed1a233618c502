# Twenty small functions for which test_identity.py says, statement by statement, which lowered
# statement each optimised one is.
@noinline callee(x) = x + 1
@noinline other(x, y) = x - y

c01(x) = callee(x)                                  # a call becomes an invoke
c02(x) = callee(callee(x))                          # nested calls
c03(x) = x + 1                                      # inlined to one intrinsic
c04(x) = (x + 1) * 2                                # two of them
c05(x) = x                                          # nothing but a return
c06() = 1 + 2                                       # folded away
c07(x) = x > 0 ? callee(x) : other(x, 1)            # a branch, two returns
c08(x) = (y = x > 0 ? 1 : 2; callee(y))             # a merge: a φ-node is new
function c09(n)                                     # a loop
    s = 0
    while s < n
        s = callee(s)
    end
    return s
end
c10(x) = (callee(x); nothing)                       # its value is not used
c11(x) = x isa Int ? callee(x) : 0                  # a dead branch
c12(x) = tuple(x, callee(x))                        # a builtin
c13(x) = (a = callee(x); b = other(a, x); a + b)    # several slots
inl(x) = callee(x) - 1
c14(x) = inl(x) * 3                                 # another function's statements stand here
c15(x) = try callee(x) catch; 0 end                 # an exception's frame
c16(v) = v[1]                                       # bounds checks appear
mutable struct Cell; value::Int; end
c17(x) = (c = Cell(x); c.value = 2; callee(c.value))    # an allocation that goes away
c18(x::Union{Int,Float64}) = callee(x)              # one method for two instances
c19(f, x) = f(x)                                    # a function as an argument
c20(x) = Base.inferencebarrier(x) + 1               # what stays a dynamic call

for f in (c01, c02, c03, c04, c05, c07, c08, c09, c10, c11, c12, c13, c14, c15, c17, c18, c20)
    f(3)
end
c06(); c16([1, 2]); c19(callee, 3)

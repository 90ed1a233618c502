# Ends with much left behind: what a fork of it must not touch, run again or say twice.
using Sockets

@noinline g(x) = x + 1
f(x) = g(x) * 2
println(f(3))

server = listen(Sockets.localhost, 0)
@async accept(server)
Timer(_ -> println("timer"), 3600)
child = run(`sleep 60`, wait = false)
println("child ", getpid(child))
# threads that compute to the end, where there are more than the one they run beside
for _ in 2:Threads.nthreads()
    Threads.@spawn while true
        GC.safepoint()
    end
end
waiting = @async (sleep(3600); println("woke"))
atexit(() -> println("hook"))
mutable struct Held end
finalizer(_ -> ccall(:puts, Cint, (Cstring,), "finalizer"), Held())
yield()
print("an unended line")

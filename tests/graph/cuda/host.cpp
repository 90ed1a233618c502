// Runs the CUDA kernels on the host, to check their logic: it says nothing about a real device.
//
// Each CUDA thread is a fiber. A fiber runs until a barrier and, by a seeded coin, until an atomic
// or a read of what others write, so that runs with other seeds see other orders. Threads that wait
// for each other for ever end the process.

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

struct Index {
    unsigned x;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__ inline


struct Fiber {
    ucontext_t context;
    unsigned thread, block;
    bool done;
};
static std::vector<Fiber> fibers;
static std::vector<char> stacks;
static std::vector<unsigned> arrived, turns;  // of each block's barrier
static ucontext_t caller;
static unsigned now, coin;

static unsigned draw() { return coin = coin * 1664525u + 1013904223u, coin >> 16; }

static void leave() { swapcontext(&fibers[now].context, &caller); }

static void maybe_leave() {
    if (draw() % 4 == 0) leave();
}

static void __syncthreads() {
    const unsigned block = blockIdx.x, turn = turns[block];
    if (++arrived[block] == blockDim.x) arrived[block] = 0, turns[block]++;
    else
        while (turns[block] == turn) leave();
}
static void __threadfence() {}
static void __nanosleep(unsigned) { leave(); }

template <class T, class F> static T atomically(T *at, F next) {
    maybe_leave();
    const T old = *at;
    *at = next(old);
    return old;
}
template <class T> static T atomicMin(T *at, T x) {
    return atomically(at, [=](T old) { return x < old ? x : old; });
}
template <class T> static T atomicMax(T *at, T x) {
    return atomically(at, [=](T old) { return x > old ? x : old; });
}
template <class T> static T atomicAdd(T *at, T x) {
    return atomically(at, [=](T old) { return T(old + x); });
}
template <class T> static T atomicSub(T *at, T x) {
    return atomically(at, [=](T old) { return T(old - x); });
}
template <class T> static T atomicOr(T *at, T x) {
    return atomically(at, [=](T old) { return T(old | x); });
}
template <class T> static T atomicExch(T *at, T x) {
    return atomically(at, [=](T) { return x; });
}
template <class T> static T atomicCAS(T *at, T wanted, T x) {
    return atomically(at, [=](T old) { return old == wanted ? x : old; });
}

#define ON_HOST maybe_leave()

#include KERNELS

typedef unsigned long long word;
typedef void (*Kernel)(word, word, word, word, word, word, word, word, word, word, word, word, word,
                       word, word, word, word, word, word, word, word, word, word, word);
static Kernel kernel;
static word args[24];

static void begin() {
    kernel(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8], args[9],
           args[10], args[11], args[12], args[13], args[14], args[15], args[16], args[17], args[18],
           args[19], args[20], args[21], args[22], args[23]);
    fibers[now].done = true;
    leave();
}

// Runs a kernel of at most 24 arguments, all pointers or 64-bit numbers.
extern "C" void launch(Kernel function, unsigned grid, unsigned block, unsigned seed,
                       const word *given, unsigned count) {
    const size_t room = 64 << 10, threads = size_t(grid) * block;
    kernel = function, coin = seed, gridDim.x = grid, blockDim.x = block;
    for (unsigned at = 0; at < 24; at++) args[at] = at < count ? given[at] : 0;
    arrived.assign(grid, 0), turns.assign(grid, 0);
    fibers.resize(threads), stacks.resize(threads * room);
    for (unsigned at = 0; at < threads; at++) {
        Fiber &fiber = fibers[at];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = &stacks[at * room], fiber.context.uc_stack.ss_size = room;
        fiber.context.uc_link = nullptr;
        fiber.thread = at % block, fiber.block = at / block, fiber.done = false;
        makecontext(&fiber.context, begin, 0);
    }
    size_t rounds = 0;
    for (size_t left = threads; left;) {
        if (++rounds > 30u << 20) fprintf(stderr, "a barrier that not all threads reach\n"), abort();
        const unsigned first = draw() % threads;
        for (unsigned step = 0; step < threads; step++) {
            now = (first + step) % threads;
            Fiber &fiber = fibers[now];
            if (fiber.done) continue;
            threadIdx.x = fiber.thread, blockIdx.x = fiber.block;
            swapcontext(&caller, &fiber.context);
            left -= fiber.done;
        }
    }
}

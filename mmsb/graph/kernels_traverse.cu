// Propagation on a device: the waves, the topological pass and the witnesses of
// docs/propagation.md, with the CPU's answers bit for bit. No answer depends on which thread came
// first: whatever threads write to one place together is put together by the semiring or by "least".
//
// A team of threads does one seed set after another and meets between the phases of a step. A team
// is a block; compiled with TOGETHER the whole launch is one, which must then be cooperative.

typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef ON_HOST
#define ON_HOST
#endif
#define NONE 0xffffffffu
#define ALL_ONES (~(u64)0)
#ifndef PIECE
#define PIECE 512  // edges of a node that one item of a front stands for
#endif
#define DENSE 32   // pull while more than a 32nd of all nodes is in front

enum { LOR_LAND, BITS, MIN_PLUS, MAX_PLUS, PLUS_TIMES, MAX_MIN };
enum { INIT = 1, ORDERED = 2, WAVES = 4, TRACE = 8, VIA = 16 };

template <class T> __device__ T peek(const T *at) {  // what another thread may have written just now
    ON_HOST;
    return *(const volatile T *)at;
}

#ifdef TOGETHER
__device__ u32 gate[2];  // arrived, turn
#define TEAM 0
#define TEAMS 1
#define RANK ((u64)blockIdx.x * blockDim.x + threadIdx.x)
#define SIZE ((u64)gridDim.x * blockDim.x)
__device__ void meet() {
    __syncthreads();
    if (threadIdx.x == 0) {
        const u32 turn = peek(&gate[1]);
        __threadfence();
        if (atomicAdd(&gate[0], 1u) == gridDim.x - 1) {
            gate[0] = 0;
            __threadfence();
            atomicAdd(&gate[1], 1u);
        } else {
            while (peek(&gate[1]) == turn) __nanosleep(64);
        }
        __threadfence();
    }
    __syncthreads();
}
#else
#define TEAM blockIdx.x
#define TEAMS gridDim.x
#define RANK ((u64)threadIdx.x)
#define SIZE ((u64)blockDim.x)
__device__ void meet() { __syncthreads(); }
#endif

// The semiring: its operation is a template's argument, its numbers these.

struct Ring {
    u64 most, zero, unit;
};

template <int OP> constexpr bool idempotent = OP != PLUS_TIMES;
template <int OP> constexpr bool selective = OP != PLUS_TIMES && OP != BITS;

__device__ u64 plus(u64 left, u64 right, u64 most) {
    return right <= most - left ? left + right : most;
}

template <int OP> __device__ u64 add(const Ring &ring, u64 left, u64 right) {
    if (OP == BITS) return left | right;
    if (OP == MIN_PLUS) return left < right ? left : right;
    if (OP == PLUS_TIMES) return plus(left, right, ring.most);
    if (OP == MAX_PLUS && left == ring.zero) return right;
    if (OP == MAX_PLUS && right == ring.zero) return left;
    return left > right ? left : right;
}

template <int OP> __device__ u64 multiply(const Ring &ring, u64 value, u64 weight) {
    if (OP == MIN_PLUS) return plus(value, weight, ring.most);
    if (OP == MAX_MIN) return value < weight ? value : weight;
    if (OP == LOR_LAND || OP == BITS) return weight ? value : 0;
    if (OP == MAX_PLUS) {
        if (value == ring.zero || weight == ring.zero) return ring.zero;
        return plus(value, weight, ring.most - 1);
    }
    if (value == 0 || weight == 0) return 0;
    return weight <= ring.most / value ? value * weight : ring.most;
}

// *at (+)= given; what was there.
template <int OP> __device__ u64 combine(const Ring &ring, u64 *at, u64 given) {
    if (OP == MIN_PLUS) return atomicMin(at, given);
    if (OP == MAX_MIN || OP == LOR_LAND) return atomicMax(at, given);
    if (OP == BITS) return atomicOr(at, given);
    u64 old = peek(at);
    for (;;) {
        const u64 seen = atomicCAS(at, old, add<OP>(ring, old, given));
        if (seen == old) return old;
        old = seen;
    }
}

// The graph, and what a team works with.

struct Side {
    const u64 *starts, *stops;
    const u32 *targets;
    const void *weights;
    u64 heavy;  // bytes of a weight; 0: every edge weighs the ring's unit
    __device__ u64 weight(const Ring &ring, u64 edge) const {
        if (heavy == 4) return ((const u32 *)weights)[edge];
        return heavy ? ((const u64 *)weights)[edge] : ring.unit;
    }
};

// A front is a list of items, piece << 32 | node. sizes: how long it is, in the place of its step
// modulo 3: a step reads one, fills the next and clears the third, which nobody reads any more.
struct Work {
    u64 *items, *carried, *pending;
    u32 *fresh, *via, *sizes, *found;
    u64 lanes;  // threads to an item
    __device__ Work(u64 *at, u64 count, u64 room, u64 lanes) : lanes(lanes) {
        items = at, carried = items + room, pending = carried + room;
        fresh = (u32 *)(pending + count), via = fresh + count, sizes = via + count;
        found = sizes + 4;
    }
};

__device__ void push(const Side &side, u64 *items, u32 *size, u32 node, u64 *carried, u64 value) {
    const u64 edges = side.stops[node] - side.starts[node], pieces = (edges + PIECE - 1) / PIECE;
    if (!pieces) return;
    const u32 at = pieces == 1 ? atomicAdd(size, 1u) : atomicAdd(size, (u32)pieces);
    for (u64 piece = 0; piece < pieces; piece++) {
        items[at + piece] = piece << 32 | node;
        if (carried) carried[at + piece] = value;
    }
}

// visit(node, edge, place of the item), for every edge of a front, by all of the team.
template <class Visit>
__device__ void each_edge(const Side &side, const Work &work, const u64 *items, u32 held, Visit visit) {
    const u64 lane = RANK % work.lanes;
    for (u64 at = RANK / work.lanes; at < held; at += SIZE / work.lanes) {
        const u32 node = (u32)items[at];
        const u64 begin = side.starts[node] + (items[at] >> 32) * PIECE, stop = side.stops[node];
        const u64 end = stop - begin > PIECE ? begin + PIECE : stop;
        for (u64 edge = begin + lane; edge < end; edge += work.lanes) visit(node, edge, at);
    }
}

// Waves number + 1 ... last, or until one changes nothing; keys (hops << 32 | parent) with VIA only.
template <int OP>
__device__ void waves(const Side &side, const Ring &ring, const Work &work, u64 *values, u64 *keys,
                      bool witness, u64 last, u64 *told) {
    u64 number = told[0];
    u32 found = 0;
    meet();  // all have read where it stands
    for (;;) {
        const u32 held = peek(&work.sizes[number % 3]);
        if (!held || number >= last) break;
        number++;
        u32 *count = &work.found[number % 3], *next = &work.sizes[number % 3];
        if (RANK == 0) work.found[(number + 1) % 3] = work.sizes[(number + 1) % 3] = 0;
        each_edge(side, work, work.items, held, [&](u32, u64 edge, u64 at) {
            const u64 given = multiply<OP>(ring, work.carried[at], side.weight(ring, edge));
            if (given == ring.zero) return;
            const u32 to = side.targets[edge];
            if (idempotent<OP> && add<OP>(ring, values[to], given) == values[to]) return;
            if (combine<OP>(ring, &work.pending[to], given) == ring.zero)
                work.fresh[atomicAdd(count, 1u)] = to;
        });
        meet();
        found = peek(count);
        if (witness) {
            each_edge(side, work, work.items, held, [&](u32 node, u64 edge, u64 at) {
                const u64 given = multiply<OP>(ring, work.carried[at], side.weight(ring, edge));
                const u32 to = side.targets[edge];
                if (given == ring.zero || (selective<OP> && given != work.pending[to])) return;
                atomicMin(&work.via[to], node);
            });
            meet();
        }
        for (u64 at = RANK; at < found; at += SIZE) {
            const u32 node = work.fresh[at];
            const u64 given = work.pending[node], old = values[node], now = add<OP>(ring, old, given);
            if (witness && (selective<OP> || keys[node] == ALL_ONES))
                keys[node] = number << 32 | work.via[node];
            work.pending[node] = ring.zero, work.via[node] = NONE, values[node] = now;
            const u64 on = OP == BITS ? now & ~old : idempotent<OP> ? now : given;
            push(side, work.items, next, node, work.carried, on);
        }
        meet();
        if (!found) {
            number--;
            break;
        }
    }
    if (RANK == 0) told[0] = number, told[1] = found;
}

// One pass in topological order over what the seeds reach. told[2]: how many wait in vain, on a
// cycle or behind one; their `via` is not 0. A seed is in front and its value is set.
template <int OP>
__device__ void ordered(const Side &side, const Ring &ring, const Work &work, u64 *values,
                        const u32 *seeds, u64 first, u64 last, u64 *told) {
    u64 *fronts[2] = {work.items, work.carried};
    u32 *waiting = work.via, *met = work.fresh, *reached = &work.found[0], *done = &work.found[1];
    for (u64 at = first + RANK; at < last; at += SIZE) met[seeds[at]] = 1;
    if (RANK == 0) *reached = (u32)(last - first);
    meet();
    u64 level = 0;
    for (;; level++) {
        const u32 held = peek(&work.sizes[level % 3]);
        if (!held) break;
        u32 *next = &work.sizes[(level + 1) % 3];
        if (RANK == 0) work.sizes[(level + 2) % 3] = 0;
        each_edge(side, work, fronts[level % 2], held, [&](u32, u64 edge, u64) {
            const u32 to = side.targets[edge];
            atomicAdd(&waiting[to], 1u);
            if (atomicExch(&met[to], 1u)) return;
            atomicAdd(reached, 1u);
            push(side, fronts[(level + 1) % 2], next, to, nullptr, 0);
        });
        meet();
    }
    meet();
    for (u64 at = RANK; at < 3; at += SIZE) work.sizes[at] = 0;
    meet();
    for (u64 at = first + RANK; at < last; at += SIZE) {
        if (waiting[seeds[at]]) continue;  // only seeds can have nothing before them
        atomicAdd(done, 1u);
        push(side, fronts[0], &work.sizes[0], seeds[at], nullptr, 0);
    }
    meet();
    u64 deepest = 0;
    u32 before = peek(done);
    meet();  // all have read it
    for (level = 0;; level++) {
        const u32 held = peek(&work.sizes[level % 3]);
        if (!held) break;
        u32 *next = &work.sizes[(level + 1) % 3];
        if (RANK == 0) work.sizes[(level + 2) % 3] = 0;
        each_edge(side, work, fronts[level % 2], held, [&](u32 node, u64 edge, u64) {
            const u64 given = multiply<OP>(ring, values[node], side.weight(ring, edge));
            const u32 to = side.targets[edge];
            if (given != ring.zero) combine<OP>(ring, &values[to], given);
            if (atomicSub(&waiting[to], 1u) != 1) return;
            atomicAdd(done, 1u);
            push(side, fronts[(level + 1) % 2], next, to, nullptr, 0);
        });
        meet();
        const u32 now = peek(done);
        if (now != before) deepest = level + 1;
        before = now;
        meet();
    }
    if (RANK == 0) told[0] = deepest, told[2] = peek(reached) - before;
}

// The least (hops, predecessor) of every final value, breadth first from seeds that kept their own,
// over the edges by which the value may have come. Under LOR_LAND it is the whole propagation.
template <int OP>
__device__ void trace(const Side &side, const Side &into, u64 count, const Ring &ring,
                      const Work &work, const u64 *values, u64 *keys, u64 last, u64 *told) {
    u64 *fronts[2] = {work.items, work.carried}, level = 0;
    u32 *listed = &work.sizes[3];
    bool pulled = false;
    const auto came = [&](u32 node, u32 to, u64 weight) {
        if (OP == LOR_LAND) return weight != 0;
        const u64 given = multiply<OP>(ring, values[node], weight);
        return given != ring.zero && (!selective<OP> || given == values[to]);
    };
    for (;; level++) {
        u32 held = peek(&work.sizes[level % 3]);
        if (!held || level >= last) break;
        u32 *next = &work.sizes[(level + 1) % 3];
        if (RANK == 0) work.sizes[(level + 2) % 3] = 0;
        const bool pull = into.starts && held > count / DENSE;
        if (pulled && !pull) {  // what was pulled is not in a front yet
            for (u64 node = RANK; node < count; node += SIZE)
                if (keys[node] >> 32 == level)
                    push(side, fronts[level % 2], listed, (u32)node, nullptr, 0);
            meet();
            held = peek(listed);
        }
        if (pull) {
            if (RANK == 0) *listed = 0;
            u32 found = 0;
            for (u64 to = RANK; to < count; to += SIZE) {
                if (keys[to] != ALL_ONES) continue;
                for (u64 edge = into.starts[to]; edge < into.stops[to]; edge++) {
                    const u32 node = into.targets[edge];  // they ascend: the first is the least
                    if (peek(&keys[node]) >> 32 != level) continue;
                    if (!came(node, (u32)to, into.weight(ring, edge))) continue;
                    keys[to] = (level + 1) << 32 | node;
                    found++;
                    break;
                }
            }
            if (found) atomicAdd(next, found);
        } else {
            each_edge(side, work, fronts[level % 2], held, [&](u32 node, u64 edge, u64) {
                const u32 to = side.targets[edge];
                const u64 mine = (level + 1) << 32 | node;
                if (peek(&keys[to]) <= mine || !came(node, to, side.weight(ring, edge))) return;
                if (atomicMin(&keys[to], mine) != ALL_ONES) return;
                if (told) told[3] = level + 1;
                push(side, fronts[(level + 1) % 2], next, to, nullptr, 0);
            });
        }
        pulled = pull;
        meet();
        if (pull && told && RANK == 0 && peek(next)) told[3] = level + 1;
    }
}

// Every value zero, every key all ones, the seeds with theirs and in front.
__device__ void begin(const Side &side, u64 count, const Ring &ring, const Work &work, u64 *values,
                      u64 *keys, const u32 *seeds, const u64 *given, u64 first, u64 last, u64 flags,
                      u64 *told) {
    for (u64 node = RANK; node < count; node += SIZE) {
        if (values) values[node] = ring.zero;
        if (keys) keys[node] = ALL_ONES;
        work.pending[node] = ring.zero, work.fresh[node] = 0;
        work.via[node] = flags & ORDERED ? 0 : NONE;
    }
    for (u64 at = RANK; at < 8; at += SIZE) work.sizes[at] = 0;
    for (u64 at = RANK; at < 4; at += SIZE) told[at] = 0;
    meet();
    for (u64 at = first + RANK; at < last; at += SIZE) {
        if (values) values[seeds[at]] = given[at];
        if (keys) keys[seeds[at]] = NONE;  // no hops, no predecessor
        push(side, work.items, &work.sizes[0], seeds[at], work.carried, given[at]);
    }
    meet();
}

// The seeds whose value is still their own, for the trace.
template <int OP>
__device__ void again(const Side &side, u64 count, const Work &work, const u64 *values, u64 *keys,
                      const u32 *seeds, const u64 *given, u64 first, u64 last) {
    meet();
    for (u64 node = RANK; node < count; node += SIZE) keys[node] = ALL_ONES;
    for (u64 at = RANK; at < 4; at += SIZE) work.sizes[at] = 0;
    meet();
    for (u64 at = first + RANK; at < last; at += SIZE) {
        if (selective<OP> && values[seeds[at]] != given[at]) continue;
        keys[seeds[at]] = NONE;
        push(side, work.items, &work.sizes[0], seeds[at], nullptr, 0);
    }
    meet();
}

// Seed set s: seeds[bounds[s]] ... seeds[bounds[s + 1]], `given` their values; its own count values,
// keys and four of told: steps, nodes changed in the last, nodes on or behind cycles, levels traced.
// A team's work: 2 * room + 2 * count + 4 words, room = count + edges / PIECE + 1.
#define PROPAGATE(NAME, OP)                                                                          \
    extern "C" __global__ void NAME(                                                                 \
        const u64 *starts, const u64 *stops, const u32 *targets, const void *weights, u64 heavy,     \
        u64 count, const u64 *in_starts, const u64 *in_stops, const u32 *in_targets,                 \
        const void *in_weights, u64 most, u64 zero, u64 unit, const u32 *seeds, const u64 *given,    \
        const u64 *bounds, u64 sets, u64 *all_values, u64 *all_keys, u64 *all_work, u64 room,        \
        u64 flags, u64 last, u64 *all_told) {                                                        \
        const Side side{starts, stops, targets, weights, heavy};                                     \
        const Side into{in_starts, in_stops, in_targets, in_weights, heavy};                         \
        const Ring ring{most, zero, unit};                                                           \
        const Work work(all_work + TEAM * (2 * room + 2 * count + 4), count, room, flags >> 8);      \
        for (u64 set = TEAM; set < sets; set += TEAMS) {                                             \
            u64 *values = all_values ? all_values + set * count : nullptr;                           \
            u64 *keys = all_keys ? all_keys + set * count : nullptr, *told = all_told + 4 * set;     \
            const u64 first = bounds[set], end = bounds[set + 1];                                    \
            if (flags & INIT)                                                                        \
                begin(side, count, ring, work, values, keys, seeds, given, first, end, flags, told); \
            if (flags & ORDERED) ordered<OP>(side, ring, work, values, seeds, first, end, told);     \
            if (flags & WAVES) waves<OP>(side, ring, work, values, keys, flags & VIA, last, told);   \
            if (flags & TRACE) {                                                                     \
                if (OP != LOR_LAND)                                                                  \
                    again<OP>(side, count, work, values, keys, seeds, given, first, end);            \
                trace<OP>(side, into, count, ring, work, values, keys, last, told);                  \
            }                                                                                        \
            meet();                                                                                  \
        }                                                                                            \
    }

// Several devices: each hands on what its own nodes have, low ... low + own - 1, whose edges alone it
// holds; what came is then put together over the devices (NCCL), and each takes in all of it.

#define FIRST ((u64)blockIdx.x * blockDim.x + threadIdx.x)
#define WHOLE ((u64)gridDim.x * blockDim.x)

// visit(node, edge) for every edge of the own nodes that are in front.
template <class Front, class Visit>
__device__ void own_edges(const Side &side, u64 low, u64 own, u64 lanes, Front front, Visit visit) {
    for (u64 at = FIRST / lanes; at < own; at += WHOLE / lanes) {
        if (!front(low + at)) continue;
        for (u64 edge = side.starts[at] + FIRST % lanes; edge < side.stops[at]; edge += lanes)
            visit(low + at, edge);
    }
}

// pending (+)= what nodes of wave `number` hand on.
#define HAND_ON(NAME, OP)                                                                            \
    extern "C" __global__ void NAME(const u64 *starts, const u64 *stops, const u32 *targets,         \
                                    const void *weights, u64 heavy, u64 low, u64 own, u64 lanes,     \
                                    u64 most, u64 zero, u64 unit, const u64 *values,                 \
                                    const u32 *stamp, u64 number, u64 *pending) {                    \
        const Side side{starts, stops, targets, weights, heavy};                                     \
        const Ring ring{most, zero, unit};                                                           \
        own_edges(                                                                                   \
            side, low, own, lanes, [&](u64 node) { return stamp[node] == number; },                  \
            [&](u64 node, u64 edge) {                                                                \
                const u64 given = multiply<OP>(ring, values[node], side.weight(ring, edge));         \
                const u32 to = side.targets[edge];                                                   \
                if (given == zero || add<OP>(ring, values[to], given) == values[to]) return;         \
                combine<OP>(ring, &pending[to], given);                                              \
            });                                                                                      \
    }

// The wave after: every node that something better came to. told[0]: the number of the last wave.
extern "C" __global__ void take_in(u64 count, u64 zero, u64 *values, u32 *stamp, u64 number,
                                   u64 *pending, u64 *told) {
    for (u64 node = FIRST; node < count; node += WHOLE) {
        if (pending[node] == zero) continue;
        values[node] = pending[node], stamp[node] = (u32)number, pending[node] = zero;
        told[0] = number;
    }
}

// One level of the trace.
#define HAND_BACK(NAME, OP)                                                                          \
    extern "C" __global__ void NAME(const u64 *starts, const u64 *stops, const u32 *targets,         \
                                    const void *weights, u64 heavy, u64 low, u64 own, u64 lanes,     \
                                    u64 most, u64 zero, u64 unit, const u64 *values, u64 *keys,      \
                                    u64 level) {                                                     \
        const Side side{starts, stops, targets, weights, heavy};                                     \
        const Ring ring{most, zero, unit};                                                           \
        own_edges(                                                                                   \
            side, low, own, lanes, [&](u64 node) { return peek(&keys[node]) >> 32 == level; },       \
            [&](u64 node, u64 edge) {                                                                \
                const u64 weight = side.weight(ring, edge);                                          \
                const u32 to = side.targets[edge];                                                   \
                if (OP == LOR_LAND && !weight) return;                                               \
                if (OP != LOR_LAND) {                                                                \
                    const u64 given = multiply<OP>(ring, values[node], weight);                      \
                    if (given == zero || given != values[to]) return;                                \
                }                                                                                    \
                const u64 mine = (level + 1) << 32 | node;                                           \
                if (peek(&keys[to]) > mine) atomicMin(&keys[to], mine);                              \
            });                                                                                      \
    }

// told[0]: `level`, if a node is on it.
extern "C" __global__ void any_at(u64 count, const u64 *keys, u64 level, u64 *told) {
    for (u64 node = FIRST; node < count; node += WHOLE)
        if (keys[node] >> 32 == level) told[0] = level;
}

HAND_ON(hand_on_min_plus, MIN_PLUS)
HAND_ON(hand_on_max_min, MAX_MIN)
HAND_BACK(hand_back_lor_land, LOR_LAND)
HAND_BACK(hand_back_min_plus, MIN_PLUS)
HAND_BACK(hand_back_max_min, MAX_MIN)

PROPAGATE(propagate_lor_land, LOR_LAND)
PROPAGATE(propagate_bits, BITS)
PROPAGATE(propagate_min_plus, MIN_PLUS)
PROPAGATE(propagate_max_plus, MAX_PLUS)
PROPAGATE(propagate_plus_times, PLUS_TIMES)
PROPAGATE(propagate_max_min, MAX_MIN)

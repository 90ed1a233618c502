// Cells of device pages: copy, fill, compare, lay out anew, patch, merge.
//
// A cell is 1, 2, 4 or 8 bytes wide; a column begins at a multiple of 16 bytes and its room is a
// multiple of 16, so that every kernel but the last two moves 16 bytes at a time. What lies behind
// the last cell may be written and is never compared. Every kernel strides over all its threads and
// takes pointers and 64-bit numbers only.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(16) Wide {
    u64 low, high;
};

#define EACH (u64)(blockIdx.x) * blockDim.x + threadIdx.x
#define ALL (u64)(gridDim.x) * blockDim.x
#define BATCH 4  // loads in flight before the first store

extern "C" __global__ void copy(Wide *to, const Wide *from, u64 bytes) {
    const u64 count = (bytes + 15) / 16, all = ALL;
    for (u64 base = EACH; base < count; base += BATCH * all) {
        Wide held[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++)
            if (base + k * all < count) held[k] = from[base + k * all];
#pragma unroll
        for (int k = 0; k < BATCH; k++)
            if (base + k * all < count) to[base + k * all] = held[k];
    }
}

// pattern: the cell's value in each of its places in 8 bytes; zero where it is zeroed.
extern "C" __global__ void fill(Wide *to, u64 bytes, u64 pattern) {
    const u64 count = (bytes + 15) / 16;
    for (u64 at = EACH; at < count; at += ALL) to[at] = Wide{pattern, pattern};
}

__device__ u64 first_byte(u64 differing) {
    u64 at = 0;
    while (!(differing & 0xff)) differing >>= 8, at++;
    return at;
}

// *first, all ones before: the least byte in which the two differ.
extern "C" __global__ void compare(const Wide *one, const Wide *other, u64 bytes, u64 *first) {
    const u64 count = (bytes + 15) / 16;
    for (u64 at = EACH; at < count; at += ALL) {
        const Wide a = one[at], b = other[at];
        const u64 low = a.low ^ b.low, high = a.high ^ b.high;
        if (!(low | high)) continue;
        const u64 byte = at * 16 + (low ? first_byte(low) : 8 + first_byte(high));
        if (byte < bytes) atomicMin(first, byte);
        return;  // a thread's later bytes are greater
    }
}

// All ones in the places of 8 bytes of cells whose bit is set, first cell first.
template <int WIDTH> __device__ u64 spread(u32 bits) {
    u64 mask = 0;
#pragma unroll
    for (int cell = 0; cell < 8 / WIDTH; cell++)
        if (bits >> cell & 1) mask |= (~(u64)0 >> (64 - 8 * WIDTH)) << (8 * WIDTH * cell);
    return mask;
}

__device__ u64 chosen(u64 earlier, u64 later, u64 mask) { return earlier ^ ((earlier ^ later) & mask); }

template <int WIDTH>
__device__ void merge_cells(Wide *to, const Wide *earlier, const Wide *later, const u32 *touched,
                            u64 cells) {
    constexpr int IN = 16 / WIDTH;
    const u64 count = (cells + IN - 1) / IN, all = ALL;
    for (u64 base = EACH; base < count; base += BATCH * all) {
        Wide a[BATCH], b[BATCH];
        u32 bits[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            const u64 at = base + k * all;
            if (at >= count) continue;
            a[k] = earlier[at], b[k] = later[at];
            bits[k] = touched[at * IN / 32] >> (at * IN % 32);
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            const u64 at = base + k * all;
            if (at >= count) continue;
            to[at] = Wide{chosen(a[k].low, b[k].low, spread<WIDTH>(bits[k])),
                          chosen(a[k].high, b[k].high, spread<WIDTH>(bits[k] >> IN / 2))};
        }
    }
}

// earlier (+) later, cell by cell: the later's where it touched. A bit of `touched` is a cell.
extern "C" __global__ void merge(Wide *to, const Wide *earlier, const Wide *later,
                                 const u32 *touched, u64 cells, u64 width) {
    if (width == 4) merge_cells<4>(to, earlier, later, touched, cells);
    if (width == 1) merge_cells<1>(to, earlier, later, touched, cells);
    if (width == 8) merge_cells<8>(to, earlier, later, touched, cells);
    if (width == 2) merge_cells<2>(to, earlier, later, touched, cells);
}

// What of either patch was touched, as (+) leaves it.
extern "C" __global__ void merge_touched(u32 *to, const u32 *earlier, const u32 *later, u64 cells) {
    for (u64 at = EACH; at < (cells + 31) / 32; at += ALL) to[at] = earlier[at] | later[at];
}

template <class T>
__device__ void patch_cells(T *to, const u64 *places, const T *cells, u64 count) {
    for (u64 at = EACH; at < count; at += ALL) to[places[at]] = cells[at];
}

// to[places[i]] = cells[i]; no place stands twice.
extern "C" __global__ void patch(void *to, const u64 *places, const void *cells, u64 count,
                                 u64 width) {
    if (width == 4) patch_cells((u32 *)to, places, (const u32 *)cells, count);
    if (width == 1) patch_cells((u8 *)to, places, (const u8 *)cells, count);
    if (width == 8) patch_cells((u64 *)to, places, (const u64 *)cells, count);
    if (width == 2) patch_cells((u16 *)to, places, (const u16 *)cells, count);
}

template <class T>
__device__ void lay_cells(T *to, const T *from, const u64 *begins, const u64 *olds,
                          const u64 *lengths, u64 pages, T value) {
    for (u64 at = EACH; at < begins[pages]; at += ALL) {
        u64 low = 0, high = pages;  // the page: the last that begins at or before the cell
        while (high - low > 1) {
            const u64 middle = (low + high) / 2;
            if (begins[middle] <= at) low = middle;
            else high = middle;
        }
        const u64 row = at - begins[low];
        to[at] = row < lengths[low] ? from[olds[low] + row] : value;
    }
}

// Pages end to end, page p from begins[p]: its `lengths[p]` cells that lay at olds[p], then `value`.
extern "C" __global__ void lay(void *to, const void *from, const u64 *begins, const u64 *olds,
                               const u64 *lengths, u64 pages, u64 value, u64 width) {
    if (width == 4) lay_cells((u32 *)to, (const u32 *)from, begins, olds, lengths, pages, (u32)value);
    if (width == 1) lay_cells((u8 *)to, (const u8 *)from, begins, olds, lengths, pages, (u8)value);
    if (width == 8) lay_cells((u64 *)to, (const u64 *)from, begins, olds, lengths, pages, (u64)value);
    if (width == 2) lay_cells((u16 *)to, (const u16 *)from, begins, olds, lengths, pages, (u16)value);
}

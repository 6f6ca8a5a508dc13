// The uses of a batch by slot, those of one slot in the order of the batch: a stable radix sort of (slot, position), least
// significant digit first, 8 bits a pass, tiles of 2048. Blocks of 256 threads throughout: one for each value of a digit.

#define DIGITS 256u
#define ROUNDS 8u
#define TILE (DIGITS * ROUNDS)

// The sum of what the threads before this one hand in; that of all is left in sums[255].
static __device__ __forceinline__ u32 sum_before(u32* sums, u32 own) {
    u32 t = threadIdx.x;
    sums[t] = own;
    __syncthreads();
    for (u32 step = 1; step < DIGITS; step *= 2) {
        u32 other = t >= step ? sums[t - step] : 0u;
        __syncthreads();
        sums[t] += other;
        __syncthreads();
    }
    return sums[t] - own;
}

// counts[digit · tiles + tile]: how many keys of the tile have the digit.
extern "C" __global__ void sort_count(const u32* keys, u32* counts, u32 n, u32 shift, u32 tiles) {
    __shared__ u32 bins[DIGITS];
    u32 t = threadIdx.x;
    bins[t] = 0;
    __syncthreads();
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 i = (u64)blockIdx.x * TILE + round * DIGITS + t;
        if (i < n) atomicAdd(&bins[keys[i] >> shift & (DIGITS - 1u)], 1u);
    }
    __syncthreads();
    counts[(u64)t * tiles + blockIdx.x] = bins[t];
}

// A block a digit: its counts become the sums of those before, totals[digit] their sum. Of one tile, a thread a digit of one block.
extern "C" __global__ void sort_scan(u32* counts, u32* totals, u32 tiles) {
    __shared__ u32 sums[DIGITS];
    if (tiles == 1u) {
        totals[threadIdx.x] = counts[threadIdx.x];
        counts[threadIdx.x] = 0;
        return;
    }
    u32* own = counts + (u64)blockIdx.x * tiles;
    u32 carried = 0;
    for (u32 start = 0; start < tiles; start += DIGITS) {
        u32 i = start + threadIdx.x;
        u32 count = i < tiles ? own[i] : 0u;
        u32 before = sum_before(sums, count);
        if (i < tiles) own[i] = carried + before;
        carried += sums[DIGITS - 1u];
        __syncthreads();
    }
    if (threadIdx.x == 0) totals[blockIdx.x] = carried;
}

// Moves the keys and positions of a tile to their places. In the first pass the position of a key is its index.
extern "C" __global__ void sort_move(const u32* keys, const u32* positions, u32* keys_out, u32* positions_out,
                                     const u32* counts, const u32* totals, u32 n, u32 shift, u32 tiles, u32 first) {
    __shared__ u32 sums[DIGITS], places[DIGITS], warps[8][DIGITS];
    u32 t = threadIdx.x, warp = t / 32u;
    u32 before = sum_before(sums, totals[t]);
    places[t] = before + counts[(u64)t * tiles + blockIdx.x];
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 from = (u64)blockIdx.x * TILE + round * DIGITS, i = from + t;
        if (from >= n) break; // for all of the block
        bool there = i < n;
        u32 key = there ? keys[i] : 0u, digit = there ? key >> shift & (DIGITS - 1u) : DIGITS;
        for (u32 w = 0; w < 8; w++) warps[w][t] = 0;
        __syncthreads();
        u32 same = __match_any_sync(0xffffffffu, digit);
        u32 rank = __popc(same & ((1u << (t & 31u)) - 1u));
        if (there && rank == 0) warps[warp][digit] = __popc(same);
        __syncthreads();
        // Thread t for digit t: where each warp's keys begin.
        u32 place = places[t];
        for (u32 w = 0; w < 8; w++) {
            u32 count = warps[w][t];
            warps[w][t] = place;
            place += count;
        }
        places[t] = place;
        __syncthreads();
        if (there) {
            u32 to = warps[warp][digit] + rank;
            keys_out[to] = key;
            positions_out[to] = first ? (u32)i : positions[i];
        }
        __syncthreads();
    }
}

// out[i]: the record that feature i is of.
extern "C" __global__ void records_of(const u32* offsets, u32* out, u32 records, u32 n) {
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        u32 low = 0, high = records;
        while (low < high) {
            u32 middle = low + (high - low) / 2u;
            if (offsets[middle + 1] <= i) low = middle + 1;
            else high = middle;
        }
        out[i] = low;
    }
}

// The record and the value of each use, in the order of uses, so that who does them reads side by side.
extern "C" __global__ void order_uses(const u32* positions, const u32* records, const float* values, u32* records_out,
                                      float* values_out, u32 n) {
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        u32 position = positions[i];
        records_out[i] = records[position];
        values_out[i] = values[position];
    }
}

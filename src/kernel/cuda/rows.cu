// Rows that have not been learned, and rows fetched or replaced by slot.

#define GOLDEN 0x9e3779b97f4a7c15ull

static __device__ __forceinline__ u64 mix(u64 z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static __device__ __forceinline__ u64 quarters(u64 word) {
    return (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48);
}

// Column c of a fresh row: N(mean, scale²) from the words 3c + 1 … 3c + 3 of the SplitMix64 of (seed, slot); the same floats as
// optim::Init. The state of that generator moves by a constant, so any word can be had at once.
extern "C" __global__ void fill_normal(float* table, u64 rows, u32 width, u32 dim, float mean, float scale, u64 seed) {
    u64 step = (u64)gridDim.x * blockDim.x, all = rows * dim;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        u64 slot = i / dim, column = i % dim, sum = 0;
        u64 state = mix(seed ^ mix(slot + GOLDEN)) + column * 3ull * GOLDEN;
        for (int k = 0; k < 3; k++) {
            state += GOLDEN;
            sum += quarters(mix(state));
        }
        float normal = (float)(((double)sum + 6.0) / 65536.0 - 6.0);
        table[slot * width + column] = normal * scale + mean;
    }
}

extern "C" __global__ void take_rows(const float* table, const u32* slots, float* out, u32 n, u32 width) {
    u64 step = (u64)gridDim.x * blockDim.x, all = (u64)n * width;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step)
        out[i] = table[(u64)slots[i / width] * width + i % width];
}

extern "C" __global__ void put_rows(float* table, u8* touched, const u32* slots, const float* from, u32 n, u32 width) {
    u64 step = (u64)gridDim.x * blockDim.x, all = (u64)n * width;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        u64 slot = slots[i / width];
        table[slot * width + i % width] = from[i];
        if (i % width == 0) touched[slot] = 1;
    }
}

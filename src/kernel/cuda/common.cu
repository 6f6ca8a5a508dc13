// What all kernels share. No header is included: NVRTC knows the built-in types and functions, and nothing of a toolkit is
// needed. The same text is compiled as C++ and run on a processor by tests/cuda.
//
// A *group* of threads, a power of two up to 32 that lie side by side in a warp, works on one row. Thread t of a group owns
// the floats 4·(t + k·group) … + 3 of a vector, for k below V.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned char u8;

#define LARGEST 3.402823466e+38f

static __device__ __forceinline__ bool finite32(float x) { return fabsf(x) <= LARGEST; }

// The number of this thread's group in the grid.
static __device__ __forceinline__ u64 group_number(u32 group) {
    return (u64)blockIdx.x * (blockDim.x / group) + threadIdx.x / group;
}

// The threads of this thread's group within its warp.
static __device__ __forceinline__ u32 group_mask(u32 group) {
    u32 low = group == 32 ? 0xffffffffu : (1u << group) - 1u;
    return low << ((threadIdx.x & 31u) / group * group);
}

// Four floats of a vector from `column` on; 0 beyond its end. With a dim that 4 divides every vector begins at 16 bytes.
static __device__ __forceinline__ void load(const float* vector, u32 column, u32 dim, float* four) {
    if ((dim & 3u) == 0u) {
        float4 all = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (column < dim) all = *(const float4*)(vector + column);
        four[0] = all.x, four[1] = all.y, four[2] = all.z, four[3] = all.w;
    } else {
        for (u32 j = 0; j < 4; j++) four[j] = column + j < dim ? vector[column + j] : 0.0f;
    }
}

static __device__ __forceinline__ void store(float* vector, u32 column, u32 dim, const float* four) {
    if ((dim & 3u) == 0u) {
        if (column < dim) *(float4*)(vector + column) = make_float4(four[0], four[1], four[2], four[3]);
    } else {
        for (u32 j = 0; j < 4; j++)
            if (column + j < dim) vector[column + j] = four[j];
    }
}

// A kernel for 1, 2, 4 and 8 vectors a thread: dims up to 128, 256, 512 and 1024. A program for a device has those of one alone,
// -DVECTORS=n: they take long to compile.
#ifdef VECTORS
#define FOR_THESE(KERNEL, V) KERNEL(V)
#define FOR_VECTORS(KERNEL) FOR_THESE(KERNEL, VECTORS)
#else
#define FOR_VECTORS(KERNEL) KERNEL(1) KERNEL(2) KERNEL(4) KERNEL(8)
#endif

// Rows scaled and summed: out[r] = Σ values[i] · weights(row(slots[i])), i in offsets[r] .. offsets[r + 1], in this order, from
// 0, each product and each sum rounded. One group a record.

// The weights are the first floats of a row.
struct FirstFloats {
    enum { FLOATS = 1 };
    __device__ __forceinline__ float operator()(const float* s) const { return s[0]; }
};

// The weights of FTRL-proximal, derived from z and n.
struct FtrlWeights {
    enum { FLOATS = 2 };
    double alpha, beta, l1, l2;

    __device__ __forceinline__ float weight(float z32, float n32) const {
        double z = z32, n = n32;
        double shrunk = z - copysign(l1, z);
        double weight = -shrunk / ((beta + sqrt(n)) / alpha + l2);
        double most = LARGEST;
        weight = weight < -most ? -most : weight > most ? most : weight;
        return fabs(z) <= l1 ? 0.0f : (float)weight;
    }
    __device__ __forceinline__ float operator()(const float* s) const { return weight(s[0], s[1]); }
};

// AHEAD rows are loaded side by side, their slots before.
template <int V, class Weights>
static __device__ __forceinline__ void gather(const Weights weights, const float* table, const u32* offsets,
                                              const u32* slots, const float* values, float* out, u32 records, u32 dim,
                                              u32 width, u32 group) {
    const int FLOATS = Weights::FLOATS, AHEAD = V * FLOATS < 4 ? 4 / (V * FLOATS) : 1;
    u64 record = group_number(group);
    if (record >= records) return;
    u32 lane = threadIdx.x & (group - 1u);
    float sum[V][4];
#pragma unroll
    for (int k = 0; k < V; k++)
        for (int j = 0; j < 4; j++) sum[k][j] = 0.0f;
    for (u64 i = offsets[record], end = offsets[record + 1]; i < end; i += AHEAD) {
        u32 slot[AHEAD];
        float x[AHEAD], s[AHEAD][V][FLOATS][4];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            u64 at = i + a < end ? i + a : end - 1;
            slot[a] = slots[at], x[a] = values[at];
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
#pragma unroll
            for (int k = 0; k < V; k++)
#pragma unroll
                for (int f = 0; f < FLOATS; f++)
                    if (i + a < end) load(table + (u64)slot[a] * width + f * dim, 4 * (lane + k * group), dim, s[a][k][f]);
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
#pragma unroll
            for (int k = 0; k < V; k++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float of_one[FLOATS];
                    for (int f = 0; f < FLOATS; f++) of_one[f] = s[a][k][f][j];
                    if (i + a < end) sum[k][j] += x[a] * weights(of_one);
                }
    }
#pragma unroll
    for (int k = 0; k < V; k++) store(out + record * dim, 4 * (lane + k * group), dim, sum[k]);
}

#define GATHER(V)                                                                                                    \
    extern "C" __global__ void gather_##V(const float* table, const u32* offsets, const u32* slots,            \
                                                const float* values, float* out, u32 records, u32 dim, u32 width,    \
                                                u32 group) {                                                         \
        gather<V>(FirstFloats(), table, offsets, slots, values, out, records, dim, width, group);              \
    }                                                                                                                \
    extern "C" __global__ void gather_ftrl_##V(                                                                \
        const float* table, const u32* offsets, const u32* slots, const float* values, float* out, u32 records,      \
        u32 dim, u32 width, u32 group, double alpha, double beta, double l1, double l2) {                            \
        FtrlWeights weights = {alpha, beta, l1, l2};                                                                 \
        gather<V>(weights, table, offsets, slots, values, out, records, dim, width, group);                    \
    }
FOR_VECTORS(GATHER)

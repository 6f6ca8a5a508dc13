// Rows scaled and summed: out[r] = Σ values[i] · weights(row(slots[i])), i in offsets[r] .. offsets[r + 1], in this order, from
// 0, each product and each sum rounded. One group a record.

// The weights are the first floats of a row. AHEAD: rows that are loaded side by side.
struct FirstFloats {
    enum { AHEAD = 4 };
    template <int V>
    __device__ __forceinline__ void read(const float* row, u32 lane, u32 group, u32 dim, float (*w)[4]) const {
#pragma unroll
        for (int k = 0; k < V; k++) load(row, 4 * (lane + k * group), dim, w[k]);
    }
};

// The weights of FTRL-proximal, derived from z and n.
struct FtrlWeights {
    enum { AHEAD = 1 };
    double alpha, beta, l1, l2;

    __device__ __forceinline__ float weight(float z32, float n32) const {
        double z = z32, n = n32;
        double shrunk = z - copysign(l1, z);
        double weight = -shrunk / ((beta + sqrt(n)) / alpha + l2);
        double most = LARGEST;
        weight = weight < -most ? -most : weight > most ? most : weight;
        return fabs(z) <= l1 ? 0.0f : (float)weight;
    }
    template <int V>
    __device__ __forceinline__ void read(const float* row, u32 lane, u32 group, u32 dim, float (*w)[4]) const {
#pragma unroll
        for (int k = 0; k < V; k++) {
            float z[4], n[4];
            load(row, 4 * (lane + k * group), dim, z);
            load(row + dim, 4 * (lane + k * group), dim, n);
            for (int j = 0; j < 4; j++) w[k][j] = weight(z[j], n[j]);
        }
    }
};

template <int V, class Weights>
static __device__ __forceinline__ void gather(const Weights weights, const float* table, const u32* offsets,
                                              const u32* slots, const float* values, float* out, u32 records, u32 dim,
                                              u32 width, u32 group) {
    u64 record = group_number(group);
    if (record >= records) return;
    u32 lane = threadIdx.x & (group - 1u), end = offsets[record + 1];
    float sum[V][4];
#pragma unroll
    for (int k = 0; k < V; k++)
        for (int j = 0; j < 4; j++) sum[k][j] = 0.0f;
#pragma unroll Weights::AHEAD
    for (u32 i = offsets[record]; i < end; i++) {
        float w[V][4], x = values[i];
        weights.template read<V>(table + (u64)slots[i] * width, lane, group, dim, w);
#pragma unroll
        for (int k = 0; k < V; k++)
            for (int j = 0; j < 4; j++) sum[k][j] += x * w[k][j];
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

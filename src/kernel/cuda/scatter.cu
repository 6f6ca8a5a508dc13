// The way back: each row moves once for each time it was used, in the order of the batch. The uses come sorted by slot, and
// the group at a slot's first use does them all: one owner a float, no atomics, the same bits in every run. A step that f32
// cannot hold in all of its row is dropped whole, and counted.
//
// A row that is used often is done by its group alone, use after use. So the gradients of several uses are loaded side by side before the
// first is answered: AHEAD / V of them.

struct Add {
    enum { FLOATS = 1, AHEAD = 8 };
    float rate;
    __device__ __forceinline__ void move(const float* s, float slope, float x, float* next) const {
        float scale = rate * x;
        next[0] = s[0] + scale * slope;
    }
};

static __device__ __forceinline__ double shrink(double weight, double threshold) {
    return threshold == 0.0 ? weight : copysign(fmax(fabs(weight) - threshold, 0.0), weight);
}

struct Sgd {
    enum { FLOATS = 1, AHEAD = 8 };
    double rate, l1, l2;
    __device__ __forceinline__ void move(const float* s, float slope, float x, float* next) const {
        double w = s[0], gradient = (double)x * (double)slope;
        next[0] = (float)shrink(w - rate * (gradient + l2 * w), rate * l1);
    }
};

// Duchi, Hazan & Singer 2011.
struct Adagrad {
    enum { FLOATS = 2, AHEAD = 2 };
    double rate, l1, l2;
    __device__ __forceinline__ void move(const float* s, float slope, float x, float* next) const {
        double w = s[0], gradient = (double)x * (double)slope;
        double g = gradient + l2 * w, sum = (double)s[1] + g * g;
        double own = rate / (sqrt(sum) + 1e-8);
        next[0] = (float)shrink(w - own * g, own * l1);
        next[1] = (float)sum;
    }
};

// McMahan et al. 2013.
struct Ftrl {
    enum { FLOATS = 2, AHEAD = 2 };
    FtrlWeights weights;
    __device__ __forceinline__ void move(const float* s, float slope, float x, float* next) const {
        double w = weights.weight(s[0], s[1]), n = s[1], g = (double)x * (double)slope;
        double sum = n + g * g, sigma = (sqrt(sum) - sqrt(n)) / weights.alpha;
        next[0] = (float)((double)s[0] + g - sigma * w);
        next[1] = (float)sum;
    }
};

template <int V, class Rule>
static __device__ __forceinline__ void move_rows(const Rule rule, float* table, u8* touched, const u32* slots,
                                                 const u32* records, const float* values, const float* above,
                                                 u64* dropped, u32 n, u32 dim, u32 group) {
    const int FLOATS = Rule::FLOATS, AHEAD = Rule::AHEAD > V ? Rule::AHEAD / V : 1;
    u64 first = group_number(group);
    if (first >= n) return;
    u32 slot = slots[first];
    if (first > 0 && slots[first - 1] == slot) return;
    u32 lane = threadIdx.x & (group - 1u), mask = group_mask(group);
    float* row = table + (u64)slot * ((u64)FLOATS * dim);
    float state[V][4][FLOATS];
#pragma unroll
    for (int f = 0; f < FLOATS; f++)
#pragma unroll
        for (int k = 0; k < V; k++) {
            float four[4];
            load(row + (u64)f * dim, 4 * (lane + k * group), dim, four);
            for (int j = 0; j < 4; j++) state[k][j][f] = four[j];
        }
    u32 lost = 0;
    bool own = true; // the same for all of the group, as slots are
    for (u64 i = first; own; i += AHEAD) {
        float slopes[AHEAD][V][4], values_of[AHEAD];
        bool own_of[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            own_of[a] = i + a < n && slots[i + a] == slot;
            if (!own_of[a]) continue;
            values_of[a] = values[i + a];
            const float* from = above + (u64)records[i + a] * dim;
#pragma unroll
            for (int k = 0; k < V; k++) load(from, 4 * (lane + k * group), dim, slopes[a][k]);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            own &= own_of[a];
            if (!own) continue;
            float next[V][4][FLOATS];
            bool fits = true;
#pragma unroll
            for (int k = 0; k < V; k++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    rule.move(state[k][j], slopes[a][k][j], values_of[a], next[k][j]);
                    u32 column = 4 * (lane + k * group) + j;
                    for (int f = 0; f < FLOATS; f++) fits &= column >= dim || finite32(next[k][j][f]);
                }
            if (__all_sync(mask, fits)) {
#pragma unroll
                for (int k = 0; k < V; k++)
                    for (int j = 0; j < 4; j++)
                        for (int f = 0; f < FLOATS; f++) state[k][j][f] = next[k][j][f];
            } else {
                lost++;
            }
        }
    }
#pragma unroll
    for (int f = 0; f < FLOATS; f++)
#pragma unroll
        for (int k = 0; k < V; k++) {
            float four[4];
            for (int j = 0; j < 4; j++) four[j] = state[k][j][f];
            store(row + (u64)f * dim, 4 * (lane + k * group), dim, four);
        }
    if (lane == 0) {
        touched[slot] = 1;
        if (lost > 0) atomicAdd(dropped, (u64)lost);
    }
}

#define MOVE_PARAMETERS                                                                                              \
    float *table, u8 *touched, const u32 *slots, const u32 *records, const float *values, const float *above,        \
        u64 *dropped, u32 n, u32 dim, u32 group
#define MOVE_ARGUMENTS table, touched, slots, records, values, above, dropped, n, dim, group
#define MOVE(V)                                                                                                      \
    extern "C" __global__ void move_add_##V(MOVE_PARAMETERS, float rate) {                                     \
        Add rule = {rate};                                                                                           \
        move_rows<V>(rule, MOVE_ARGUMENTS);                                                                    \
    }                                                                                                                \
    extern "C" __global__ void move_sgd_##V(MOVE_PARAMETERS, double rate, double l1, double l2) {              \
        Sgd rule = {rate, l1, l2};                                                                                   \
        move_rows<V>(rule, MOVE_ARGUMENTS);                                                                    \
    }                                                                                                                \
    extern "C" __global__ void move_adagrad_##V(MOVE_PARAMETERS, double rate, double l1, double l2) {          \
        Adagrad rule = {rate, l1, l2};                                                                               \
        move_rows<V>(rule, MOVE_ARGUMENTS);                                                                    \
    }                                                                                                                \
    extern "C" __global__ void move_ftrl_##V(MOVE_PARAMETERS, double alpha, double beta, double l1,            \
                                                   double l2) {                                                      \
        Ftrl rule = {{alpha, beta, l1, l2}};                                                                         \
        move_rows<V>(rule, MOVE_ARGUMENTS);                                                                    \
    }
FOR_VECTORS(MOVE)

static __device__ __forceinline__ void add_four(float* to, const float* four, u32 there, bool aligned) {
#if __CUDA_ARCH__ >= 900
    if (aligned) {
        atomicAdd((float4*)to, make_float4(four[0], four[1], four[2], four[3]));
        return;
    }
#endif
    for (u32 j = 0; j < there; j++) atomicAdd(to + j, four[j]);
}

// The same sums as move_add, added as they come: the fastest, and rounded in another order in each run. One group a feature. A
// feature whose share is not finite is dropped and counted; a sum may still overflow.
template <int V>
static __device__ __forceinline__ void add_rows(float* table, u8* touched, const u32* slots, const u32* records,
                                                const float* values, const float* above, u64* dropped, u32 n, u32 dim,
                                                u32 group, float rate) {
    u64 i = group_number(group);
    if (i >= n) return;
    u32 slot = slots[i], lane = threadIdx.x & (group - 1u);
    float scale = rate * values[i], share[V][4];
    const float* slopes = above + (u64)records[i] * dim;
    bool fits = true;
#pragma unroll
    for (int k = 0; k < V; k++) {
        float slope[4];
        load(slopes, 4 * (lane + k * group), dim, slope);
        for (int j = 0; j < 4; j++) {
            share[k][j] = scale * slope[j];
            fits &= 4 * (lane + k * group) + j >= dim || finite32(share[k][j]);
        }
    }
    if (!__all_sync(group_mask(group), fits)) {
        if (lane == 0) atomicAdd(dropped, (u64)1);
        return;
    }
    float* row = table + (u64)slot * dim;
#pragma unroll
    for (int k = 0; k < V; k++) {
        u32 column = 4 * (lane + k * group);
        if (column < dim) add_four(row + column, share[k], dim - column < 4u ? dim - column : 4u, (dim & 3u) == 0u);
    }
    if (lane == 0) touched[slot] = 1;
}

#define ADD(V)                                                                                                       \
    extern "C" __global__ void add_##V(MOVE_PARAMETERS, float rate) { add_rows<V>(MOVE_ARGUMENTS, rate); }
FOR_VECTORS(ADD)

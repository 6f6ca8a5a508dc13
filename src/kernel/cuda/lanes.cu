// The self-tuning row, w[8] n[8]: four AdaGrad and four Kalman learners of one weight side by side (optim/lanes.rs, whose
// arithmetic this is, in the same order). Eight threads a record or a row, one a lane.

#define LANES 8u
#define KALMAN_FROM 4u
#define SCREENED 5u
#define WEIGHT_MAX 1e4f
#define STATE_MAX 1e12f

static __device__ __forceinline__ float pick(u32 lane, float a, float b, float c, float d) {
    return lane == 0 ? a : lane == 1 ? b : lane == 2 ? c : d;
}
// 1 / (τ + n) of a Kalman lane.
static __device__ __forceinline__ float variance_of(u32 lane, float n) {
    return 1.0f / (pick(lane - KALMAN_FROM, 0.2f, 3.0f, 10.0f, 3.0f) + n);
}
static __device__ __forceinline__ float at_most(float x, float limit) { return x < limit ? x : limit; }

// out `[records, 17]`: the lanes' scores, their variances, the screened score.
extern "C" __global__ void lanes_gather(const float* table, const u32* offsets, const u32* slots, const float* values,
                                        float* out, u32 records) {
    u64 record = group_number(LANES);
    if (record >= records) return;
    const int AHEAD = 4;
    u32 lane = threadIdx.x & (LANES - 1u);
    float score = 0.0f, variances = 0.0f, screened = 0.0f;
    for (u64 i = offsets[record], end = offsets[record + 1]; i < end; i += AHEAD) {
        u32 slot[AHEAD];
        float values_of[AHEAD], weights[AHEAD], states[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            u64 at = i + a < end ? i + a : end - 1;
            slot[a] = slots[at], values_of[a] = values[at];
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            const float* row = table + (u64)slot[a] * (2u * LANES);
            weights[a] = row[lane], states[a] = row[LANES + lane];
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            if (i + a >= end) break;
            float x = values_of[a], w = weights[a];
            score += x * w;
            if (lane >= KALMAN_FROM) {
                float variance = variance_of(lane, states[a]);
                variances += x * x * variance;
                if (lane == SCREENED) screened += x * w * (w * w) / (w * w + 4.0f * variance);
            }
        }
    }
    float* sums = out + record * 17u;
    sums[lane] = score;
    sums[LANES + lane] = variances;
    if (lane == SCREENED) sums[16] = screened;
}

// A lane of a row, and the uses that it answers.
struct Lane {
    u32 lane;
    float w, state;

    // By a use of value x: its gradient, 1 / curvature and innovation.
    __device__ __forceinline__ void move(float x, float gradient, float inverse, float innovation) {
        float keep = lane == 2 ? 0.99f : lane == 6 ? 0.997f : lane == 7 ? 0.98f : 1.0f;
        float squared = x * x, moved;
        if (lane < KALMAN_FROM) {
            float g = gradient * x;
            state = at_most(state * keep + g * g, STATE_MAX);
            moved = pick(lane, 0.1f, 0.3f, 1.0f, 3.0f) * g / (1.0f + sqrtf(state));
        } else {
            float variance = variance_of(lane, state), rest = innovation - variance * squared;
            state = at_most(state * keep + squared / (rest > inverse ? rest : inverse), STATE_MAX);
            moved = variance * x * gradient;
        }
        w -= moved;
        w = w < -WEIGHT_MAX ? -WEIGHT_MAX : w > WEIGHT_MAX ? WEIGHT_MAX : w;
    }
};

// The uses of `slot` from `i` on, some at a time, and their steps `[records, 24]`.
struct Steps {
    enum { AHEAD = 4 };
    Named<AHEAD> uses;
    float steps[AHEAD][3];

    __device__ __forceinline__ void fetch(const Uses& from, u32 lane, u32 slot, u64 i) {
        uses.name(from, slot, i, from.n);
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
#pragma unroll
            for (int k = 0; k < 3; k++)
                if (uses.there[a]) steps[a][k] = from.above[(u64)uses.records[a] * 24u + k * LANES + lane];
    }
};

// `steps` `[records, 24]`: gradient, 1 / curvature and innovation of each lane.
extern "C" __global__ void __launch_bounds__(256)
    lanes_move(float* table, u8* touched, const u32* slots, const u32* records, const float* values, const float* steps, u32 n) {
    Uses uses = {slots, records, values, steps, n};
    u64 i = group_number(LANES);
    if (i >= n || (i > 0 && slots[i - 1] == slots[i])) return;
    u32 slot = slots[i], lane = threadIdx.x & (LANES - 1u);
    float* row = table + (u64)slot * (2u * LANES);
    Lane own = {lane, row[lane], row[LANES + lane]};
    Steps now, next;
    now.fetch(uses, lane, slot, i);
    for (; now.uses.there[0]; now = next) {
        i += Steps::AHEAD;
        next.fetch(uses, lane, slot, i);
#pragma unroll
        for (int a = 0; a < Steps::AHEAD; a++)
            if (now.uses.there[a]) own.move(now.uses.values[a], now.steps[a][0], now.steps[a][1], now.steps[a][2]);
    }
    row[lane] = own.w;
    row[LANES + lane] = own.state;
    if (lane == 0) touched[slot] = 1;
}

// The way back: each row moves once for each time it was used, in the order of the batch. The uses come sorted by slot, and one
// group does those of a row: one owner a float, no atomics, the same bits in every run. A step that f32 cannot hold in all of its
// row is dropped whole, and counted.
//
// Most rows are used once or twice and some by every record. So the uses are cut into *parts* that lie side by side, and two kernels do
// them. In the first, the group at a row's first use does those of the same part: few, so that it needs few registers and many groups
// are under way. What a row has beyond is its *rest*, and begins where a part begins. In the second, a group does a rest, use after
// use, with the gradients of many loaded before they are needed. Where sums may be rounded in another order, a rest is summed part by
// part instead, and the sums are uses of the row that begin again.

// Uses of a part.
#define PART 32u
// Uses whose gradients are loaded together: of a row's first uses, of a part that is summed, and of a rest, where a rule
// says how many keep it busy.
#define FEW 1
#define SOME 3
#define AT_LEAST_ONE(N) ((N) > 1 ? (N) : 1)
// The slot of a sum that there is none of.
#define NONE 0xffffffffu

struct Add {
    enum { FLOATS = 1, MANY = 12 };
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
    enum { FLOATS = 1, MANY = 12 };
    double rate, l1, l2;
    __device__ __forceinline__ void move(const float* s, float slope, float x, float* next) const {
        double w = s[0], gradient = (double)x * (double)slope;
        next[0] = (float)shrink(w - rate * (gradient + l2 * w), rate * l1);
    }
};

// Duchi, Hazan & Singer 2011.
struct Adagrad {
    enum { FLOATS = 2, MANY = 4 };
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
    enum { FLOATS = 2, MANY = 4 };
    FtrlWeights weights;
    __device__ __forceinline__ void move(const float* s, float slope, float x, float* next) const {
        double w = weights.weight(s[0], s[1]), n = s[1], g = (double)x * (double)slope;
        double sum = n + g * g, sigma = (sqrt(sum) - sqrt(n)) / weights.alpha;
        next[0] = (float)((double)s[0] + g - sigma * w);
        next[1] = (float)sum;
    }
};

// A thread's place in its group: which floats of vectors `[dim]` are its own.
struct Own {
    u32 dim, group, lane;

    __device__ __forceinline__ u32 column(int k) const { return 4 * (lane + k * group); }
};

// The uses of rows, by slot: use i is answered to the vector of record records[i], times values[i].
struct Uses {
    const u32 *slots, *records;
    const float *values, *above;
    u32 n;

    // Whether a part begins with uses of a row that has others before.
    __device__ __forceinline__ bool rest(u64 part) const {
        u64 i = part * PART;
        return i > 0 && i < n && slots[i] == slots[i - 1] && slots[i] != NONE;
    }
    // Whether they are the first of that row's that a part begins with.
    __device__ __forceinline__ bool first_rest(u64 part) const {
        u64 i = part * PART;
        return rest(part) && !(part > 1 && slots[i] == slots[i - PART - 1]);
    }
};

// Uses whose records are asked for together.
template <int AHEAD>
struct Named {
    u32 records[AHEAD];
    float values[AHEAD];
    bool there[AHEAD]; // the same for all of a group, as slots are

    // Those from `i` on that are of `slot` and before `end`. All is asked for whosever it is, so that nothing waits for a slot.
    __device__ __forceinline__ void name(const Uses& uses, u32 slot, u64 i, u64 end) {
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            u64 at = i + a < end ? i + a : end - 1;
            there[a] = uses.slots[at] == slot && i + a < end;
            records[a] = uses.records[at];
            values[a] = uses.values[at];
        }
    }
};

// The same with their gradients, which are loaded side by side, before the first is needed.
template <int V, int AHEAD>
struct Fetched {
    Named<AHEAD> uses;
    float slopes[AHEAD][V][4];

    __device__ __forceinline__ void fetch(const Uses& from, const Own& own, u32 slot, u64 i, u64 end) {
        uses.name(from, slot, i, end);
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
#pragma unroll
            for (int k = 0; k < V; k++)
                if (uses.there[a]) load(from.above + (u64)uses.records[a] * own.dim, own.column(k), own.dim, slopes[a][k]);
    }
};

// What a thread has of a row `[FLOATS, dim]`.
template <int V, int FLOATS>
struct Row {
    float state[V][4][FLOATS];

    __device__ __forceinline__ void zero() {
#pragma unroll
        for (int k = 0; k < V; k++)
            for (int j = 0; j < 4; j++)
                for (int f = 0; f < FLOATS; f++) state[k][j][f] = 0.0f;
    }
    __device__ __forceinline__ void load_from(const float* row, const Own& own) {
#pragma unroll
        for (int f = 0; f < FLOATS; f++)
#pragma unroll
            for (int k = 0; k < V; k++) {
                float four[4];
                load(row + (u64)f * own.dim, own.column(k), own.dim, four);
                for (int j = 0; j < 4; j++) state[k][j][f] = four[j];
            }
    }
    __device__ __forceinline__ void store_to(float* row, const Own& own) const {
#pragma unroll
        for (int f = 0; f < FLOATS; f++)
#pragma unroll
            for (int k = 0; k < V; k++) {
                float four[4];
                for (int j = 0; j < 4; j++) four[j] = state[k][j][f];
                store(row + (u64)f * own.dim, own.column(k), own.dim, four);
            }
    }
    // Steps; whether what this thread has of the row can hold it.
    template <class Rule>
    __device__ __forceinline__ bool step(const Rule rule, const Own& own, const float (*slope)[4], float x) {
        bool fits = true;
#pragma unroll
        for (int k = 0; k < V; k++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float next[FLOATS];
                rule.move(state[k][j], slope[k][j], x, next);
                for (int f = 0; f < FLOATS; f++) {
                    state[k][j][f] = next[f];
                    fits &= own.column(k) + j >= own.dim || finite32(next[f]);
                }
            }
        return fits;
    }
    // Answers the uses of `slot` from `i` on, those before `end`, one after the other; how many were dropped. The group votes once on all
    // that were fetched together, and on each only where one of them does not fit: the next step need not wait for a vote on this one.
    template <int AHEAD, class Rule>
    __device__ __forceinline__ u32 answer(const Rule rule, const Uses& uses, const Own& own, u32 slot, u64 i, u64 end) {
        u32 lost = 0, mask = group_mask(own.group);
        Fetched<V, AHEAD> now, next;
        now.fetch(uses, own, slot, i, end);
        for (; now.uses.there[0]; now = next) {
            i += AHEAD;
            next.fetch(uses, own, slot, i, end);
            Row moved = *this;
            bool fits = true;
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (now.uses.there[a]) fits &= moved.step(rule, own, now.slopes[a], now.uses.values[a]);
            if (__all_sync(mask, fits)) *this = moved;
            else if (AHEAD == 1) lost++;
            else
                for (u64 one = i - AHEAD; one < i; one++) lost += answer<1>(rule, uses, own, slot, one, one + 1 < end ? one + 1 : end);
        }
        return lost;
    }
};

static __device__ __forceinline__ void report(u64* dropped, const Own& own, u32 lost) {
    if (lost > 0 && own.lane == 0) atomicAdd(dropped, (u64)lost);
}

// Moves the row of use `i` by this use and those after it that are of the same row, before `end`.
template <int V, int AHEAD, class Rule>
static __device__ __forceinline__ void move_row(const Rule rule, float* table, u8* touched, u64* dropped, const Uses& uses,
                                                const Own& own, u64 i, u64 end) {
    u32 slot = uses.slots[i];
    float* place = table + (u64)slot * ((u64)Rule::FLOATS * own.dim);
    Row<V, Rule::FLOATS> row;
    row.load_from(place, own);
    report(dropped, own, row.template answer<AHEAD>(rule, uses, own, slot, i, end));
    row.store_to(place, own);
    if (own.lane == 0) touched[slot] = 1;
}

// What all kernels are given: the uses by slot, the gradients of records, the number of steps that were dropped, and the group.
#define USES_PARAMETERS                                                                                              \
    const u32 *slots, const u32 *records, const float *values, const float *above, u64 *dropped, u32 n, u32 dim,     \
        u32 group
#define USES_ARGUMENTS slots, records, values, above, dropped, n, dim, group
#define USES_AND_OWN                                                                                                 \
    Uses uses = {slots, records, values, above, n};                                                                  \
    Own own = {dim, group, threadIdx.x & (group - 1u)}

// One group a use.
template <int V, class Rule>
static __device__ __forceinline__ void move_rows(const Rule rule, float* table, u8* touched, USES_PARAMETERS) {
    USES_AND_OWN;
    u64 i = group_number(group), end = (i / PART + 1) * PART;
    if (i >= n || slots[i] == NONE || (i > 0 && slots[i - 1] == slots[i])) return;
    move_row<V, FEW>(rule, table, touched, dropped, uses, own, i, end < n ? end : n);
}

// One group a part.
template <int V, class Rule>
static __device__ __forceinline__ void move_rests(const Rule rule, float* table, u8* touched, USES_PARAMETERS) {
    USES_AND_OWN;
    u64 part = group_number(group);
    if (!uses.first_rest(part)) return;
    move_row<V, AT_LEAST_ONE(Rule::MANY / V)>(rule, table, touched, dropped, uses, own, part * PART, n);
}

#define BOTH(V, NAME, RULE, ...)                                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                                                \
        move_##NAME##_##V(float* table, u8* touched, USES_PARAMETERS, __VA_ARGS__) {                                 \
        move_rows<V>(RULE, table, touched, USES_ARGUMENTS);                                                          \
    }                                                                                                                \
    extern "C" __global__ void __launch_bounds__(256)                                                                \
        rest_##NAME##_##V(float* table, u8* touched, USES_PARAMETERS, __VA_ARGS__) {                                 \
        move_rests<V>(RULE, table, touched, USES_ARGUMENTS);                                                         \
    }
#define MOVE(V)                                                                                                      \
    BOTH(V, add, Add{rate}, float rate)                                                                              \
    BOTH(V, sgd, (Sgd{rate, l1, l2}), double rate, double l1, double l2)                                             \
    BOTH(V, adagrad, (Adagrad{rate, l1, l2}), double rate, double l1, double l2)                                     \
    BOTH(V, ftrl, (Ftrl{{alpha, beta, l1, l2}}), double alpha, double beta, double l1, double l2)
FOR_VECTORS(MOVE)

// What each part adds to the row of the rest that it begins with, as a use of that row: by 1 of `sums[part]`; of NONE where it begins
// with no rest. One group a part.
template <int V>
static __device__ __forceinline__ void sum_parts(u32* sum_slots, u32* sum_records, float* sum_values, float* sums,
                                                 USES_PARAMETERS, float rate) {
    USES_AND_OWN;
    u64 part = group_number(group), i = part * PART, end = i + PART < n ? i + PART : n;
    if (i >= n) return;
    bool rest = uses.rest(part);
    if (own.lane == 0) sum_slots[part] = rest ? slots[i] : NONE, sum_records[part] = (u32)part, sum_values[part] = 1.0f;
    if (!rest) return;
    Row<V, 1> sum;
    sum.zero();
    report(dropped, own, sum.template answer<AT_LEAST_ONE(SOME / V)>(Add{rate}, uses, own, slots[i], i, end));
    sum.store_to(sums + part * dim, own);
}

#define SUM(V)                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                                                \
        sum_parts_##V(u32* sum_slots, u32* sum_records, float* sum_values, float* sums, USES_PARAMETERS, float rate) { \
        sum_parts<V>(sum_slots, sum_records, sum_values, sums, USES_ARGUMENTS, rate);                                \
    }
FOR_VECTORS(SUM)

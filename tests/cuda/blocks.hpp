// The kernels' own text, compiled as C++ and run block by block on a processor that plays a CUDA device.
//
// The 256 threads of a block are fibers, so that __syncthreads and the votes of a warp mean what they mean on a device: a fiber that
// comes to one waits until all others have. Which fiber goes on is drawn anew each time, by the seed that comes with each launch, so
// that a missing barrier shows as another result. A thread that waits for one that never comes ends the process.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block at a time, so the threads of a block share what is static.
#define __shared__ static

struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }

struct Place {
    unsigned x, y, z;
};
Place threadIdx, blockIdx, blockDim, gridDim;

[[noreturn]] static void fail(const std::string& why) {
    std::fprintf(stderr, "emulator: %s\n", why.c_str());
    std::exit(3);
}

// --- fibers ---

static const unsigned THREADS = 256;
static const size_t STACK = 64 << 10;

// Leaves this stack for another. The system's swapcontext asks the kernel twice and, under the sanitizer, clears a stack's shadow: with it ten
// thousand steps of a network take an hour.
#if defined(__x86_64__)
typedef void* Context;
extern "C" void switch_stack(Context* from, Context to);
asm(R"(
.text
.globl switch_stack
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
static void leave(Context& from, Context& to) { switch_stack(&from, to); }
static void prepare(Context& context, char* stack, void (*entry)()) {
    uint64_t* top = (uint64_t*)(((uintptr_t)stack + STACK) & ~(uintptr_t)15);
    *--top = 0; // whoever called it
    *--top = (uint64_t)entry;
    for (int saved = 0; saved < 6; saved++) *--top = 0;
    context = top;
}
#else
typedef ucontext_t Context;
static void leave(Context& from, Context& to) { swapcontext(&from, &to); }
static void prepare(Context& context, char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}
#endif

enum Waits { RUNS, BARRIER, VOTE, MATCH, DONE };

struct Fiber {
    Context context;
    std::unique_ptr<char[]> stack;
    Waits waits;
    unsigned mask, value, result;
};

static Fiber fibers[THREADS];
static Context scheduler;
static unsigned current;
static const std::function<void()>* body;
static uint64_t random_state;

static uint64_t draw() {
    random_state += 0x9e3779b97f4a7c15ull;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void wait_for(Waits what) {
    fibers[current].waits = what;
    leave(fibers[current].context, scheduler);
}

// A fiber lives on: it does what there is to do in the next block.
static void run_body() {
    for (;;) {
        (*body)();
        wait_for(DONE);
    }
}

void __syncthreads() { wait_for(BARRIER); }

static unsigned collective(Waits what, unsigned mask, unsigned value) {
    if (!(mask >> (current % 32) & 1u)) fail("a thread is not in its own mask");
    fibers[current].mask = mask;
    fibers[current].value = value;
    wait_for(what);
    return fibers[current].result;
}
int __all_sync(unsigned mask, int value) { return (int)collective(VOTE, mask, value != 0); }
unsigned __match_any_sync(unsigned mask, unsigned value) { return collective(MATCH, mask, value); }
int __popc(unsigned x) { return __builtin_popcount(x); }
template <class T>
T atomicAdd(T* to, T value) {
    T old = *to;
    *to = old + value;
    return old;
}

// Lets the threads of a warp go on that wait for the same collective, if all of its mask do. Whether there were any.
static bool release_warp(unsigned warp) {
    bool any = false;
    for (unsigned lane = 0; lane < 32; lane++) {
        Fiber& fiber = fibers[warp * 32 + lane];
        if (fiber.waits != VOTE && fiber.waits != MATCH) continue;
        unsigned all = 1, same = 0;
        bool there = true;
        for (unsigned other = 0; other < 32; other++) {
            if (!(fiber.mask >> other & 1u)) continue;
            const Fiber& peer = fibers[warp * 32 + other];
            there &= peer.waits == fiber.waits && peer.mask == fiber.mask;
            all &= peer.value;
            same |= (unsigned)(peer.value == fiber.value) << other;
        }
        if (!there) continue;
        // The others of the mask are released by the same values: results first, then all at once.
        unsigned mask = fiber.mask;
        Waits what = fiber.waits;
        for (unsigned other = 0; other < 32; other++) {
            if (!(mask >> other & 1u)) continue;
            Fiber& peer = fibers[warp * 32 + other];
            peer.result = all;
            if (what == MATCH) {
                peer.result = 0;
                for (unsigned third = 0; third < 32; third++)
                    if ((mask >> third & 1u) && fibers[warp * 32 + third].value == peer.value)
                        peer.result |= 1u << third;
            }
        }
        for (unsigned other = 0; other < 32; other++)
            if (mask >> other & 1u) fibers[warp * 32 + other].waits = RUNS;
        any = true;
    }
    return any;
}

static bool release_block() {
    bool any = false;
    for (const Fiber& fiber : fibers) {
        if (fiber.waits == DONE) continue;
        if (fiber.waits != BARRIER) return false;
        any = true;
    }
    for (Fiber& fiber : fibers)
        if (fiber.waits == BARRIER) fiber.waits = RUNS;
    return any;
}

static void run_block(unsigned block, unsigned blocks) {
    for (Fiber& fiber : fibers) {
        if (!fiber.stack) {
            fiber.stack.reset(new char[STACK]);
            prepare(fiber.context, fiber.stack.get(), run_body);
        }
        fiber.waits = RUNS;
    }
    std::vector<unsigned> order(THREADS);
    for (unsigned i = 0; i < THREADS; i++) order[i] = i;
    for (;;) {
        for (unsigned i = THREADS - 1; i > 0; i--) std::swap(order[i], order[draw() % (i + 1)]);
        for (unsigned thread : order) {
            if (fibers[thread].waits != RUNS) continue;
            current = thread;
            threadIdx = Place{thread, 0, 0};
            blockIdx = Place{block, 0, 0};
            blockDim = Place{THREADS, 1, 1};
            gridDim = Place{blocks, 1, 1};
            leave(scheduler, fibers[thread].context);
        }
        bool released = false;
        for (unsigned warp = 0; warp < THREADS / 32; warp++) released |= release_warp(warp);
        if (released || release_block()) continue;
        for (const Fiber& fiber : fibers)
            if (fiber.waits != DONE) fail("threads wait for others that never come");
        return;
    }
}

static void run_grid(const std::function<void()>& kernel, unsigned blocks, uint64_t seed) {
    random_state = seed;
    body = &kernel;
    // Blocks may come in any order: forwards or backwards.
    bool forwards = draw() & 1;
    for (unsigned i = 0; i < blocks; i++) run_block(forwards ? i : blocks - 1 - i, blocks);
}

// --- the kernels ---

#include PROGRAM_FILE

// `arguments` says whether their number is right, and what the one at a place is as the type that the kernel declares.
template <class D, class... A, size_t... I>
static std::function<void()> closure(void (*kernel)(A...), D& arguments, std::index_sequence<I...>) {
    arguments.number(sizeof...(A));
    auto values = std::tuple<A...>{arguments.template get<A>(I)...};
    return [=] { kernel(std::get<I>(values)...); };
}
template <class D, class... A>
static std::function<void()> closure(void (*kernel)(A...), D& arguments) {
    return closure(kernel, arguments, std::index_sequence_for<A...>());
}

// The kernel of this name with its arguments; nothing if there is none.
template <class D>
static std::function<void()> find(const std::string& name, D& arguments) {
#define ENTRY(NAME) \
    if (name == #NAME) return closure(NAME, arguments);
#include ENTRIES_FILE
#undef ENTRY
    return nullptr;
}

// --- memory ---

// From this size on memory comes page by page as it is touched, so that a table may be larger than this machine's memory.
static const uint64_t LARGE = 1ull << 30;

// Of any content; aligned as a device's memory is, and exactly as long, so that an access beyond it is seen. Nothing if there is none.
static char* allocate(uint64_t bytes, size_t alignment) {
    void* place = nullptr;
    if (bytes < LARGE) return posix_memalign(&place, alignment, bytes) ? nullptr : (char*)place;
    place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return place == MAP_FAILED ? nullptr : (char*)place;
}
static void release(char* place, uint64_t bytes) {
    if (bytes >= LARGE) munmap(place, bytes);
    else std::free(place);
}

// A driver whose devices are played by this processor: libcuda.so.1 with the functions that the bindings call, so that the real
// `Device` runs where no GPU is. Built without sanitizers, since it is loaded into any program; emulator.cpp holds the kernels to them.
//
// Nothing is done when it is asked for. Work stands in its stream's queue until a call has to wait for it, or by chance; which stream
// goes on is drawn. So an event that is not waited for, memory freed or written too early, or a copy read before it came, shows as
// another result: new and freed memory is full of NaN. What a driver lets pass as undefined ends the program: memory that is not
// alive when the work is done, pinned memory freed while it is read, streams that wait for each other.
//
// From the environment: EMULATED_SEED, EMULATED_DEVICES (1), EMULATED_MEMORY (bytes of each), EMULATED_CAPABILITY (90),
// EMULATED_VERSION (12090), EMULATED_FAULT (the kernel, from 1, that reads a wrong address: it and all that comes after fails).

#include "blocks.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <mutex>

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef unsigned long long DevicePointer;

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
};

static uint64_t setting(const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// --- what there is ---

struct Device {
    int device;
    uint64_t used = 0; // bytes
};

// The place in a stream where an event was recorded.
struct Mark {
    bool done = false;
    double milliseconds = 0;
};

struct Event {
    std::shared_ptr<Mark> mark;
};

struct Work {
    std::function<void()> run;
    std::shared_ptr<Mark> after; // it is begun when this is done
};

struct Stream {
    Device* context;
    std::deque<Work> queue;
};

struct Memory {
    Device* context;
    uint64_t bytes;
    bool alive;
};

struct Pinned {
    uint64_t bytes;
    uint64_t readers;
};

struct Module {
    Device* context;
    std::string image;
};

struct Function {
    Device* context;
    std::string name;
};

// Never freed: threads may call while the program ends.
struct Driver {
    std::recursive_mutex one_at_a_time;
    bool initialized = false;
    Result broken = SUCCESS; // after a fault
    uint64_t launches = 0;
    uint64_t chance = setting("EMULATED_SEED", 1);
    std::map<int, Device*> contexts;
    std::vector<Stream*> streams;
    std::map<DevicePointer, Memory> memories;
    std::deque<DevicePointer> freed; // not given again yet
    std::map<char*, Pinned> pinned;
};
static Driver& driver = *new Driver;
static thread_local Device* current_context = nullptr;

static const uint64_t QUEUE = 256; // work that waits in one stream, at most
static const size_t FREED = 64;

static uint64_t by_chance(uint64_t below) {
    std::swap(driver.chance, random_state);
    uint64_t drawn = draw() % below;
    std::swap(driver.chance, random_state);
    return drawn;
}

// --- work ---

static void break_down(Result why) {
    driver.broken = why;
    for (Stream* stream : driver.streams) stream->queue.clear();
}

// Whether there was something to do.
static bool step(Stream* stream) {
    if (stream->queue.empty()) return false;
    if (stream->queue.front().after && !stream->queue.front().after->done) return false;
    Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (work.run) work.run();
    return true;
}

// Lets any streams go on until it holds.
template <class F>
static Result wait_until(F holds) {
    while (!driver.broken && !holds()) {
        bool any = false;
        size_t first = by_chance(driver.streams.size());
        for (size_t i = 0; i < driver.streams.size() && !any; i++) any = step(driver.streams[(first + i) % driver.streams.size()]);
        if (!any) fail("what is waited for never comes");
    }
    return driver.broken;
}

static Result ask(Stream* stream, std::function<void()> run, std::shared_ptr<Mark> after = nullptr) {
    stream->queue.push_back({std::move(run), std::move(after)});
    while (by_chance(4) == 0) step(driver.streams[by_chance(driver.streams.size())]);
    return wait_until([=] { return stream->queue.size() <= QUEUE; });
}

static Result wait_for_all() {
    return wait_until([] {
        for (Stream* stream : driver.streams)
            if (!stream->queue.empty()) return false;
        return true;
    });
}

// The memory in which this range lies.
static std::pair<const DevicePointer, Memory>& memory_of(DevicePointer pointer, uint64_t bytes) {
    auto found = driver.memories.upper_bound(pointer);
    if (found == driver.memories.begin()) fail("an address of no memory");
    --found;
    if (pointer + bytes > found->first + found->second.bytes) fail("an access beyond the memory");
    if (!found->second.alive) fail("memory is used before it is there, or after it was freed");
    return *found;
}

static char* place(DevicePointer pointer) { return (char*)(uintptr_t)pointer; }

static char* checked(DevicePointer pointer, uint64_t bytes) {
    memory_of(pointer, bytes);
    return place(pointer);
}

static Result new_memory(Device* context, uint64_t bytes, bool alive, DevicePointer* pointer) {
    const uint64_t most = setting("EMULATED_MEMORY", 32ull << 30);
    if (bytes == 0) return INVALID_VALUE;
    // Room may come free by what still waits.
    if (context->used + bytes > most) wait_for_all();
    char* there = context->used + bytes > most ? nullptr : allocate(bytes, 256);
    if (!there) return OUT_OF_MEMORY;
    if (bytes < LARGE) std::memset(there, 0xff, bytes);
    context->used += bytes;
    *pointer = (DevicePointer)(uintptr_t)there;
    driver.memories[*pointer] = {context, bytes, alive};
    return SUCCESS;
}

static void free_memory(DevicePointer pointer) {
    auto& [start, memory] = memory_of(pointer, 0);
    if (start != pointer) fail("memory is freed from within");
    if (memory.bytes < LARGE) std::memset(place(pointer), 0xff, memory.bytes);
    memory.alive = false;
    memory.context->used -= memory.bytes;
    driver.freed.push_back(pointer);
    // Large ones at once.
    while (!driver.freed.empty() && (driver.freed.size() > FREED || memory.bytes >= LARGE)) {
        auto oldest = driver.memories.find(driver.freed.front());
        release(place(oldest->first), oldest->second.bytes);
        bool this_one = oldest->first == pointer;
        driver.memories.erase(oldest);
        driver.freed.pop_front();
        if (this_one) break;
    }
}

static std::map<char*, Pinned>::iterator pinned_at(const void* at, uint64_t bytes) {
    auto found = driver.pinned.upper_bound((char*)at);
    if (found == driver.pinned.begin()) return driver.pinned.end();
    --found;
    return (char*)at + bytes <= found->first + found->second.bytes ? found : driver.pinned.end();
}

// What a kernel was started with: copied, as a driver does.
struct Arguments {
    void** at;
    std::vector<DevicePointer> pointers;

    void number(size_t) const {}
    template <class T>
    T get(size_t i) {
        T value;
        std::memcpy(&value, at[i], sizeof(T));
        if constexpr (std::is_pointer<T>::value) pointers.push_back((DevicePointer)(uintptr_t)value);
        return value;
    }
};

struct Nothing {
    void number(size_t) const {}
    template <class T>
    T get(size_t) {
        return T();
    }
};

// Machine code, or the text of PTX.
static std::string image_of(const char* data) {
    if (std::memcmp(data, "\x7f" "ELF", 4)) return data;
    auto word = [=](size_t at, size_t bytes) {
        uint64_t value = 0;
        std::memcpy(&value, data + at, bytes);
        return value;
    };
    uint64_t segments = word(0x20, 8) + word(0x36, 2) * word(0x38, 2), sections = word(0x28, 8) + word(0x3a, 2) * word(0x3c, 2);
    return std::string(data, std::max(segments, sections));
}

static bool has_entry(const std::string& image, const std::string& name) {
    bool binary = image.compare(0, 4, "\x7f" "ELF") == 0;
    std::string entry = binary ? std::string(".text.") + name + '\0' : ".entry " + name + "(";
    return image.find(entry) != std::string::npos;
}

// --- the driver's functions ---

#define ENTER std::lock_guard<std::recursive_mutex> entered(driver.one_at_a_time)
#define IN_CONTEXT                                       \
    ENTER;                                               \
    if (!driver.initialized) return NOT_INITIALIZED;     \
    if (!current_context) return INVALID_CONTEXT;        \
    if (driver.broken) return driver.broken
#define ON(STREAM)                                                  \
    IN_CONTEXT;                                                     \
    if (!(STREAM)) fail("the stream that waits for all is used");   \
    if ((STREAM)->context != current_context) return INVALID_HANDLE

EXPORT int cuInit(unsigned) {
    ENTER;
    if (setting("EMULATED_DEVICES", 1) == 0) return NO_DEVICE;
    driver.initialized = true;
    return SUCCESS;
}
EXPORT int cuDriverGetVersion(int* version) {
    *version = (int)setting("EMULATED_VERSION", 12090);
    return SUCCESS;
}
// NVRTC asks for a cache of the driver's.
EXPORT int cuGetExportTable(const void**, const void*) { return NOT_FOUND; }
EXPORT int cuGetErrorName(int error, const char** name) {
    switch (error) {
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    default: *name = "CUDA_ERROR_ANOTHER";
    }
    return SUCCESS;
}
EXPORT int cuGetErrorString(int error, const char** text) {
    switch (error) {
    case OUT_OF_MEMORY: *text = "out of memory"; break;
    case ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    default: *text = "another error";
    }
    return SUCCESS;
}

EXPORT int cuDeviceGetCount(int* count) {
    *count = (int)setting("EMULATED_DEVICES", 1);
    return driver.initialized ? SUCCESS : NOT_INITIALIZED;
}
EXPORT int cuDeviceGet(int* device, int index) {
    *device = index;
    return index < (int)setting("EMULATED_DEVICES", 1) ? SUCCESS : INVALID_DEVICE;
}
EXPORT int cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, (size_t)length, "Emulated device");
    return SUCCESS;
}
EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
    const int capability = (int)setting("EMULATED_CAPABILITY", 90);
    switch (attribute) {
    case 36: *value = 1000000; break; // its memory's clock, kHz
    case 37: *value = 4096; break;    // its bus, bits
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    case 115: *value = 1; break; // memory in the order of a stream
    default: return INVALID_VALUE;
    }
    return SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRetain(Device** context, int device) {
    ENTER;
    Device*& there = driver.contexts[device];
    if (!there) there = new Device{device};
    *context = there;
    return SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
EXPORT int cuCtxSetCurrent(Device* context) {
    current_context = context;
    return SUCCESS;
}
EXPORT int cuCtxGetCurrent(Device** context) {
    *context = current_context;
    return SUCCESS;
}
EXPORT int cuCtxSynchronize() {
    IN_CONTEXT;
    return wait_for_all();
}
EXPORT int cuMemGetInfo_v2(size_t* available, size_t* total) {
    IN_CONTEXT;
    *total = setting("EMULATED_MEMORY", 32ull << 30);
    *available = *total - current_context->used;
    return SUCCESS;
}

EXPORT int cuStreamCreate(Stream** stream, unsigned) {
    IN_CONTEXT;
    *stream = new Stream{current_context, {}};
    driver.streams.push_back(*stream);
    return SUCCESS;
}
EXPORT int cuStreamDestroy_v2(Stream*) { return SUCCESS; } // what was asked for is still done
EXPORT int cuStreamSynchronize(Stream* stream) {
    ON(stream);
    return wait_until([=] { return stream->queue.empty(); });
}
EXPORT int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    ON(stream);
    return ask(stream, nullptr, event->mark);
}

EXPORT int cuEventCreate(Event** event, unsigned) {
    IN_CONTEXT;
    *event = new Event;
    return SUCCESS;
}
EXPORT int cuEventDestroy_v2(Event* event) {
    ENTER;
    delete event;
    return SUCCESS;
}
EXPORT int cuEventRecord(Event* event, Stream* stream) {
    ON(stream);
    auto mark = event->mark = std::make_shared<Mark>();
    return ask(stream, [=] {
        auto now = std::chrono::steady_clock::now().time_since_epoch();
        mark->milliseconds = std::chrono::duration<double, std::milli>(now).count();
        mark->done = true;
    });
}
EXPORT int cuEventQuery(Event* event) {
    IN_CONTEXT;
    step(driver.streams[by_chance(driver.streams.size())]);
    return !event->mark || event->mark->done ? SUCCESS : NOT_READY;
}
EXPORT int cuEventSynchronize(Event* event) {
    IN_CONTEXT;
    auto mark = event->mark;
    return wait_until([=] { return !mark || mark->done; });
}
EXPORT int cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
    IN_CONTEXT;
    if (!start->mark || !end->mark) return INVALID_HANDLE;
    if (!start->mark->done || !end->mark->done) return NOT_READY;
    *milliseconds = (float)(end->mark->milliseconds - start->mark->milliseconds);
    return SUCCESS;
}

EXPORT int cuMemAllocAsync(DevicePointer* pointer, size_t bytes, Stream* stream) {
    ON(stream);
    Result made = new_memory(stream->context, bytes, false, pointer);
    if (made) return made;
    DevicePointer born = *pointer;
    return ask(stream, [=] { driver.memories[born].alive = true; });
}
EXPORT int cuMemFreeAsync(DevicePointer pointer, Stream* stream) {
    ON(stream);
    return ask(stream, [=] { free_memory(pointer); });
}
EXPORT int cuMemHostAlloc(void** pointer, size_t bytes, unsigned) {
    IN_CONTEXT;
    char* there = allocate(bytes, 64);
    if (!there) return OUT_OF_MEMORY;
    driver.pinned[there] = {bytes, 0};
    *pointer = there;
    return SUCCESS;
}
EXPORT int cuMemFreeHost(void* pointer) {
    ENTER;
    auto found = driver.pinned.find((char*)pointer);
    if (found == driver.pinned.end()) return INVALID_VALUE;
    if (found->second.readers && !driver.broken) fail("pinned memory is freed while it is read");
    release(found->first, found->second.bytes);
    driver.pinned.erase(found);
    return SUCCESS;
}

EXPORT int cuMemsetD8Async(DevicePointer pointer, unsigned char byte, size_t bytes, Stream* stream) {
    ON(stream);
    return ask(stream, [=] {
        auto& [start, memory] = memory_of(pointer, bytes);
        // Pages that nobody has touched stay so.
        if (byte == 0 && memory.bytes >= LARGE && start == pointer && bytes == memory.bytes)
            madvise(place(pointer), bytes, MADV_DONTNEED);
        else std::memset(place(pointer), byte, bytes);
    });
}
EXPORT int cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, Stream* stream) {
    ON(stream);
    auto pinned = pinned_at(from, bytes);
    if (pinned == driver.pinned.end()) {
        // Other memory has been read when the call returns.
        std::string copy((const char*)from, bytes);
        return ask(stream, [=, copy = std::move(copy)] { std::memcpy(checked(to, bytes), copy.data(), bytes); });
    }
    char* block = pinned->first;
    pinned->second.readers++;
    return ask(stream, [=] {
        std::memcpy(checked(to, bytes), from, bytes);
        driver.pinned[block].readers--;
    });
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, Stream* stream) {
    ON(stream);
    auto done = std::make_shared<bool>(false);
    auto pinned = pinned_at(to, bytes);
    Result asked = ask(stream, [=] {
        std::memcpy(to, checked(from, bytes), bytes);
        *done = true;
    });
    if (asked || pinned != driver.pinned.end()) return asked;
    return wait_until([=] { return *done; });
}
EXPORT int cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, Stream* stream) {
    ON(stream);
    return ask(stream, [=] { std::memmove(checked(to, bytes), checked(from, bytes), bytes); });
}

EXPORT int cuModuleLoadData(Module** module, const void* image) {
    IN_CONTEXT;
    std::string text = image_of((const char*)image);
    if (text.compare(0, 4, "\x7f" "ELF") && text.find(".version") == std::string::npos) return INVALID_IMAGE;
    *module = new Module{current_context, std::move(text)};
    return SUCCESS;
}
EXPORT int cuModuleUnload(Module* module) {
    ENTER;
    delete module;
    return SUCCESS;
}
EXPORT int cuModuleGetFunction(Function** function, Module* module, const char* name) {
    IN_CONTEXT;
    Nothing nothing;
    if (!has_entry(module->image, name) || !find(name, nothing)) return NOT_FOUND;
    *function = new Function{module->context, name};
    return SUCCESS;
}
EXPORT int cuLaunchKernel(Function* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned b, unsigned c, unsigned shared,
                          Stream* stream, void** parameters, void** extra) {
    ON(stream);
    if (function->context != current_context) return INVALID_HANDLE;
    if (x == 0 || x > 0x7fffffffu || y != 1 || z != 1 || threads != THREADS || b != 1 || c != 1 || shared || extra) return INVALID_VALUE;
    Arguments arguments{parameters, {}};
    std::function<void()> kernel = find(function->name, arguments);
    auto pointers = std::move(arguments.pointers);
    return ask(stream, [=] {
        if (++driver.launches == setting("EMULATED_FAULT", 0)) return break_down(ILLEGAL_ADDRESS);
        for (DevicePointer pointer : pointers) memory_of(pointer, 1);
        run_grid(kernel, x, by_chance(~0ull));
    });
}

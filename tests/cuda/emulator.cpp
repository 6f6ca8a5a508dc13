// A processor that plays a CUDA device, as a process by itself. It is built with the address and undefined-behaviour sanitizers:
// every access beyond an array is seen.
//
// Commands come on standard input as bytes, in the order of this machine, and are answered on standard output.

#include "blocks.hpp"

#include <map>

struct Argument {
    char kind; // b: memory, u: u32, U: u64, f: float, d: double
    uint64_t bits;
};

static std::map<uint64_t, std::pair<char*, uint64_t>> memories;
static uint64_t next_memory = 1;

static std::pair<char*, uint64_t>& memory(uint64_t id) {
    auto found = memories.find(id);
    if (found == memories.end()) fail("no such memory");
    return found->second;
}

static char* zeroed(uint64_t bytes) {
    char* place = allocate(bytes, 16);
    if (!place) fail("no memory");
    // What is large comes as zeros.
    if (bytes < LARGE) std::memset(place, 0, bytes);
    return place;
}

struct Arguments : std::vector<Argument> {
    using std::vector<Argument>::vector;

    void number(size_t declared) const {
        if (size() != declared) fail("another number of arguments");
    }
    template <class T>
    T get(size_t at) const {
        const Argument& argument = (*this)[at];
        char kind = std::is_pointer<T>::value             ? 'b'
                    : std::is_same<T, unsigned>::value    ? 'u'
                    : std::is_same<T, float>::value       ? 'f'
                    : std::is_same<T, double>::value      ? 'd'
                    : std::is_integral<T>::value          ? 'U'
                                                          : '?';
        if (kind != argument.kind) fail(std::string("an argument of another type: declared ") + kind + ", got " + argument.kind);
        T value;
        if constexpr (std::is_pointer<T>::value) value = (T)(void*)memory(argument.bits).first;
        else std::memcpy(&value, &argument.bits, sizeof(T));
        return value;
    }
};

static bool read_all(void* to, size_t bytes) { return std::fread(to, 1, bytes, stdin) == bytes; }
static uint64_t number() {
    uint64_t value;
    if (!read_all(&value, 8)) std::exit(0);
    return value;
}
static void answer(const void* from, size_t bytes) {
    std::fwrite(from, 1, bytes, stdout);
    std::fflush(stdout);
}

static void launch() {
    std::string name(number(), ' ');
    if (!read_all(&name[0], name.size())) std::exit(0);
    unsigned blocks = (unsigned)number();
    uint64_t seed = number();
    Arguments arguments(number());
    for (Argument& argument : arguments) argument.kind = (char)number(), argument.bits = number();
    std::function<void()> kernel = find(name, arguments);
    if (!kernel) fail("no kernel " + name);
    run_grid(kernel, blocks, seed);
    answer("k", 1);
}

int main() {
    for (;;) {
        char command;
        if (!read_all(&command, 1)) return 0;
        if (command == 'A') {
            uint64_t bytes = number(), id = next_memory++;
            memories[id] = {zeroed(bytes), bytes};
            answer(&id, 8);
        } else if (command == 'F') {
            uint64_t id = number();
            release(memory(id).first, memory(id).second);
            memories.erase(id);
        } else if (command == 'W' || command == 'R') {
            uint64_t id = number(), at = number(), bytes = number();
            auto& found = memory(id);
            if (at > found.second || bytes > found.second - at) fail("a copy beyond the memory");
            if (command == 'R') answer(found.first + at, bytes);
            else if (!read_all(found.first + at, bytes)) return 0;
        } else if (command == 'L') {
            launch();
        } else {
            fail("an unknown command");
        }
    }
}

#!/bin/sh
# Everything that must hold before a change goes in: ./test.sh
#
# Needs the stable Rust toolchain (rustup.rs), a C and a C++ compiler, make, perl, Java 17 with Maven for the Kafka
# broker (fixtures/kafka), and Chromium with its driver for the live page. What is missing it installs where it can (rustup components; packages by apt-get, as root) and
# otherwise says how. All steps run, also after one has failed; at the end stand what failed and the times, and the exit
# code is that of the whole. About 30 minutes on two cores with nothing built, most of it compiling. FUZZ_SECONDS
# (default 60) bounds the fuzzing, FLEXIHASH_CHAOS (default 12) the faults of the Kafka chaos test;
# FLEXIHASH_KAFKA=host:port uses a broker that is there, but for the chaos test, which kills its own.
#
# Everything is tested with all features but kafka-ssl, whose OpenSSL would be built three times; it is built by hand.
#
# The CUDA kernels are compiled by NVRTC (fixtures/cuda/nvrtc.sh fetches it with python3, once) and run by an emulator on the CPU;
# candle's by nvcc (fixtures/cuda/toolkit.sh).
# tests/cuda_device needs a device: it is a step where nvidia-smi lists one, and this script says so where not.
set -u
cd "$(dirname "$0")" || exit 1
report=""
failures=""
failed=0
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}" # those with a broker mostly wait
[ -n "${CI:-}" ] && export CARGO_INCREMENTAL=0 # built once: only room and time
mkdir -p target
output=target/step.log # of the step that runs
began=$(date +%s)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

stop() {
    echo "test.sh: $*" >&2
    exit 1
}

# step NAME COMMAND…
step() {
    name=$1
    shift
    say "$name"
    start=$(date +%s)
    { "$@"; echo "exit code $?"; } 2>&1 | tee "$output"
    if [ "$(tail -n 1 "$output")" = "exit code 0" ]; then result=ok; else
        result=FAILED
        failed=$((failed + 1))
        failures="$failures== $name
$(grep -E -A 8 'panicked at|^error|FAILED|exit code' "$output" | tail -n 60)
"
    fi
    report="$report$(printf '%-8s %5d s  %s' "$result" $(($(date +%s) - start)) "$name")
"
}

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$2"
    fi
    command -v "$1" >/dev/null || stop "$1 is missing: install it, on Debian by: sudo apt-get install $2"
}

need cc gcc
need c++ g++ # libFuzzer
need make make
need perl perl
need java openjdk-17-jre-headless
need mvn maven
need chromium chromium # the live page is looked at
need chromedriver chromium-driver
need python3 python3-venv # NVRTC and nvcc
command -v cargo >/dev/null || stop "cargo is missing: install the stable Rust toolchain, https://rustup.rs"
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt ||
    stop "cargo fmt is missing: with a network, rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy ||
    stop "cargo clippy is missing: with a network, rustup component add clippy"
rustc --version
cargo fetch --locked || stop "the dependencies cannot be fetched: a network is needed once"

example() { cargo run --quiet --locked --profile test --example "$1"; }
loom() { RUSTFLAGS="--cfg loom" cargo test --locked --no-default-features --lib --target-dir target/loom table; }
# cuda ARGUMENTS…
cuda() { cargo test --locked --features cuda "$@"; }
# with_nvrtc COMMAND…
with_nvrtc() {
    folder=$(fixtures/cuda/nvrtc.sh) || return 1
    (export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" && "$@")
}
# with_nvcc COMMAND…
with_nvcc() {
    settings=$(fixtures/cuda/toolkit.sh) || return 1
    (eval "$settings" && export CUDA_COMPUTE_CAP=80 CUDAFORGE_THREADS="$(nproc)" && "$@")
}
docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps; }

step "formatting" cargo fmt --check
step "clippy, everything" cargo clippy --locked --profile test --all-targets -- -D warnings
step "clippy, the core alone" cargo clippy --locked --profile test --lib --no-default-features -- -D warnings
step "clippy, the command without networks" cargo clippy --locked --profile test --no-default-features --features cli,kafka -- -D warnings
step "clippy, the library without the command" cargo clippy --locked --profile test --lib --no-default-features --features pipeline -- -D warnings
step "clippy, networks on the core" cargo clippy --locked --profile test --lib --no-default-features --features network -- -D warnings
step "clippy, CUDA on the core" cargo clippy --locked --profile test --lib --no-default-features --features cuda -- -D warnings
step "clippy, CUDA with all" cargo clippy --locked --profile test --features cuda --lib --bins --test cuda --test cuda_device --test command --bench cuda -- -D warnings
step "clippy, networks on the GPU, with candle's kernels" with_nvcc cargo clippy --locked --profile test --features candle-cuda --lib --bins --test cuda_device --bench cuda -- -D warnings
step "tests, and the examples in the docs" cargo test --locked --no-fail-fast
step "CUDA: PTX, the kernels emulated, the arithmetic of launches" with_nvrtc cuda --no-fail-fast --test cuda --bench cuda
step "CUDA: the example in the docs" cuda --doc embedding::device
step "CUDA: --device where there is none" cuda --test command device
if nvidia-smi -L >/dev/null 2>&1; then
    step "CUDA, on the device" with_nvrtc cuda --no-fail-fast --test cuda_device
else
    say "CUDA: no device here, tests/cuda_device is not run (benches/cuda.sh takes it to a machine that has one)"
fi
step "benchmarks, each once" cargo test --locked --benches
for path in examples/*.rs; do
    name=$(basename "$path" .rs)
    step "example $name" example "$name"
done
step "docs" docs
step "loom, the stripe protocol" loom
step "fuzzing the parser" fuzz/run.sh "${FUZZ_SECONDS:-60}"

say "$(($(date +%s) - began)) seconds"
printf '%s' "$failures" "$report"
[ "$failed" = 0 ] || stop "$failed of the steps above failed"
echo "all passed"

#!/bin/sh
# The suite and the bench of the CUDA kernels, in two halves: one where cargo is, one where a GPU is.
#
#   benches/cuda.sh pack DIR    builds both, fetches NVRTC, and puts all that a run needs into DIR (about 130 MB)
#   DIR/run.sh                  on a machine with an NVIDIA driver (12.0 or later), without toolkit, cargo or network: the suite, then
#                               the bench as Markdown in DIR/RESULTS.md; beside torch where python3 has torch and numpy
#   benches/cuda.sh run         both here
#
#   benches/cuda.sh pack-candle DIR, run-candle    the same with candle-cuda: networks compute there too. NVIDIA's libraries come along (1 GB);
#                               DIR/lib may be left out where the other machine has them, as torch for CUDA 13 brings them. The driver
#                               must be of CUDA 13. CUDA_COMPUTE_CAP: the device's, 80 by default, which later ones take too
#
# The programs are linked with the C library of the machine that packs: that of the other must be as new. FLEXIHASH_CUDA_DEVICE is the
# device's number, 0 by default.
set -eu
cd "$(dirname "$0")/.."

stop() {
    echo "benches/cuda.sh: $*" >&2
    exit 1
}

features=cuda,network,pipeline
# built KIND NAME ARGUMENTS…: builds and prints the program of the test or bench NAME.
built() {
    kind=$1
    name=$2
    shift 2
    cargo "$@" --locked --no-default-features --features "$features" "--$kind" "$name" --no-run --message-format=json |
        python3 -c '
import json, sys
found = [message["executable"] for message in map(json.loads, sys.stdin)
         if message.get("executable") and message["target"]["name"] == sys.argv[1]]
print(found[-1])' "$name"
}

pack() {
    folder=$1
    libraries=$(fixtures/cuda/nvrtc.sh)
    pack_with "$libraries"/libnvrtc*.so*
}

pack_candle() {
    folder=$1
    settings=$(fixtures/cuda/toolkit.sh libraries)
    eval "$settings"
    export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}" CUDAFORGE_THREADS="${CUDAFORGE_THREADS:-$(nproc)}"
    features=$features,candle-cuda
    libraries=$CUDA_HOME/lib
    pack_with "$libraries"/libcublas.so.* "$libraries"/libcublasLt.so.* "$libraries"/libcurand.so.* "$libraries"/libcudart.so.* \
        "$libraries"/libnvrtc.so.* "$libraries"/libnvrtc-builtins.so.*
}

# pack_with LIBRARY…
pack_with() {
    suite=$(built test cuda_device test)
    bench=$(built bench cuda bench)
    mkdir -p "$folder/lib"
    cp "$@" "$folder/lib/"
    cp "$suite" "$folder/suite"
    cp "$bench" "$folder/bench"
    cp benches/cuda/torch_bag.py "$folder/"
    cat >"$folder/run.sh" <<'RUN'
#!/bin/sh
# The suite, then the bench: see benches/cuda.sh. Arguments are the suite's. It ends where a test fails.
set -eu
cd "$(dirname "$0")"
export LD_LIBRARY_PATH="$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export RAYON_NUM_THREADS=1 # as the command has it for a network's dense part
./suite --test-threads 1 "$@"
if python3 -c 'import numpy, torch' 2>/dev/null; then
    # Its own NVRTC, not ours.
    LD_LIBRARY_PATH= python3 torch_bag.py >torch.csv || echo "torch_bag.py failed: the bench is run without it" >&2
    export FLEXIHASH_TORCH="$PWD/torch.csv"
else
    echo "python3 has no numpy and torch: the bench is run without it" >&2
fi
./bench --bench >RESULTS.md.part
mv RESULTS.md.part RESULTS.md
cat RESULTS.md
RUN
    chmod +x "$folder/run.sh"
    echo "packed: run $folder/run.sh on a machine with a driver"
}

case "${1:-}" in
pack) [ $# = 2 ] || stop "pack DIR"; pack "$2" ;;
pack-candle) [ $# = 2 ] || stop "pack-candle DIR"; pack_candle "$2" ;;
run | run-candle)
    folder=target/cuda-bench
    if [ "$1" = run ]; then pack "$folder"; else pack_candle "$folder"; fi
    shift
    "$folder/run.sh" "$@"
    ;;
*) stop "expected: pack DIR, pack-candle DIR, run, or run-candle" ;;
esac

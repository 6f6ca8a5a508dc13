#!/bin/sh
# Fuzzes the parser for a bounded time: fuzz/run.sh [SECONDS] (default 60).
#
# Needs the stable toolchain and a C++ compiler; no cargo-fuzz and no nightly: RUSTC_BOOTSTRAP lets stable accept the
# sanitizer flags that cargo-fuzz would pass. The seeds are the cases in fixtures/parse. Exits non-zero on a crash, a
# hang of 10 s or more than 2 GiB; the input lies then in fuzz/artifacts. Make it a line in fixtures/parse.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
seeds=target/seeds
mkdir -p corpus artifacts "$seeds"

export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing"
# A target folder of its own: these flags would make every other build start over.
CARGO_TARGET_DIR="$PWD/target"
export CARGO_TARGET_DIR
# With --target the flags do not reach build.rs, which writes the seeds.
cargo build --release --locked --target "$host" --bin parse

exec "target/$host/release/parse" corpus "$seeds" \
  -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -max_len=4096 \
  -dict=json.dict -artifact_prefix=artifacts/ -print_final_stats=1

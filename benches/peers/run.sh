#!/bin/sh
# How fast are we beside the peers, on the same streams and the same cores, at comparable losses?
#
#   benches/peers/run.sh [ROUNDS]       default: 5 rounds, about fifteen minutes on two cores, and the builds
#
# Needs python3 with venv and 6 GB of disk for torch. Installs the peers into target/peers/venv, makes the
# streams, builds the release binary and the embedding's bench, compares losses, times everything in turn, and writes
# RESULTS.md and ratios.svg beside this file.
set -eu
cd "$(dirname "$0")/../.."
folder="${CARGO_TARGET_DIR:-$PWD/target}"
peers="$folder/peers"
mkdir -p "$peers"
cargo build --release --locked
cargo bench --locked --no-run --bench embedding
if [ ! -x "$peers/venv/bin/python" ]; then
    python3 -m venv "$peers/venv" || {
        echo "run.sh: python3 with venv is needed: apt-get install python3-venv" >&2
        exit 1
    }
fi
python="$peers/venv/bin/python"
"$python" -m pip install --quiet numpy==2.4.6 scipy scikit-learn==1.9.1 vowpalwabbit==9.11.9 river==0.26.1 torch==2.15.0 zstandard
# Its dependencies are an extension to be compiled and a retired name of scikit-learn: torch_embedding.py stands in for both.
"$python" -m pip install --quiet --no-deps flexi-hash-embedding==0.0.3
"$python" benches/peers/streams.py fixtures/flights.jsonl.zst "$peers"
"$python" benches/peers/dicts.py "$peers/dicts.jsonl"
exec "$python" benches/peers/compare.py "$folder/release/flexihash" "$peers" "${1:-5}"

#!/bin/sh
# How fast are we beside the peers, on the same streams and the same cores, at comparable losses?
#
#   benches/peers/run.sh [STAGE...]     default: all, in this order; about a quarter of an hour on two cores, and the builds
#
#   setup       the peers from PyPI into target/peers/venv, the streams, the release binary, the embedding's bench
#   losses      every learner once; stops if ours is more than 1 % above a peer's, or differs between one core and two
#   times       whole streams, all programs in turn, ROUNDS times after a warm-up
#   movielens   recommender and multi-task estimator beside River's and torch's on MovieLens-100k, ROUNDS times; may be left out
#   embedding   dicts to vectors and back, ours and torch's in turn, ROUNDS times
#   kernels     our kernels and the memory's limit in turn, in pages of 4 KiB and 2 MiB; may be left out
#   report      RESULTS.md and chart.svg beside this file
#
# ROUNDS is 5 if the environment does not say otherwise. Needs Rust, python3 with venv, 10 GB of disk for torch and 4 GB of
# memory. Anything else that runs meanwhile makes the figures worth less; the load is printed.
set -eu
cd "$(dirname "$0")/../.."
folder="${CARGO_TARGET_DIR:-$PWD/target}"
peers="$folder/peers"
python="$peers/venv/bin/python"

setup() {
    mkdir -p "$peers"
    cargo build --release --locked
    cargo bench --locked --no-run --bench embedding
    python3 -m venv "$peers/venv" || {
        echo "run.sh: python3 with venv is needed: apt-get install python3-venv" >&2
        exit 1
    }
    "$python" -m pip install --quiet numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 vowpalwabbit==9.11.9 river==0.26.1 \
        torch==2.15.0 zstandard==0.25.0
    # Its dependencies are an extension to be compiled and a retired name of scikit-learn: torch_embedding.py stands in.
    "$python" -m pip install --quiet --no-deps flexi-hash-embedding==0.0.3
    "$python" benches/peers/streams.py fixtures/flights.jsonl.zst "$peers"
    "$python" examples/data/movielens.py "$peers"
    "$python" benches/peers/dicts.py "$peers/dicts.jsonl"
}

[ $# -gt 0 ] || set -- setup losses times movielens embedding kernels report
for stage; do
    case "$stage" in
    setup) setup ;;
    losses | times | movielens | embedding | kernels)
        "$python" benches/peers/measure.py "$stage" "$folder/release/flexihash" "$peers" "${ROUNDS:-5}"
        ;;
    report) "$python" benches/peers/report.py "$peers" ;;
    *)
        echo "run.sh: $stage: expected setup, losses, times, movielens, embedding, kernels or report" >&2
        exit 2
        ;;
    esac
done

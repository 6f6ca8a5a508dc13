#!/bin/sh
# How good is the default beside Vowpal Wabbit's, on streams that neither was tuned on?
#
#   benches/streams/run.sh [SEED [NAME ...]]       default: seed 2024, all streams (about ten minutes on two cores, and the build)
#
# Builds the release binary, installs vowpalwabbit and numpy from PyPI into target/streams (needs python3 with venv),
# then generates each stream, runs all learners on it and prints one line. README.md beside this file has the table.
set -eu
cd "$(dirname "$0")/../.."
folder="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --release --locked
if [ ! -x "$folder/streams/venv/bin/python" ]; then
    python3 -m venv "$folder/streams/venv" || {
        echo "run.sh: python3 with venv is needed: apt-get install python3-venv" >&2
        exit 1
    }
fi
python="$folder/streams/venv/bin/python"
"$python" -m pip install --quiet vowpalwabbit==9.11.9 numpy==2.4.6
seed=${1:-2024}
[ $# -eq 0 ] || shift
exec "$python" benches/streams/compare.py "$folder/release/flexihash" "$folder/streams" "$seed" "$@"

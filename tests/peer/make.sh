#!/bin/sh
# Makes tests/data/peer anew: what llama.cpp computes for the models of tests/support/peer_models.c. Needs Node.js and npm.
#   sh tests/peer/make.sh [BUILD FOLDER]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
peer=$(sh "$root/tests/bench/peer/install.sh")
models=$(mktemp -d)
trap 'rm -rf "$models"' EXIT
names=$("$build/tests/write_models" "$models")
encoders=$("$build/tests/write_models" "$models" encoders)
mkdir -p "$root/tests/data/peer"
cd "$peer"
# shellcheck disable=SC2086
node "$root/tests/peer/logits.mjs" "$models" "$root/tests/data/peer" $names
# shellcheck disable=SC2086
node "$root/tests/peer/embeddings.mjs" "$models" "$root/tests/data/peer" llama qwen3 granite $encoders

#!/bin/sh
# Everything, on the system's best Vulkan device, in turn with llama.cpp where Node.js is: synthetic models in each size and
# format. Keeps results/DATE-DEVICE.json and .svg beside this script.
#   sh tests/bench/all.sh [--option value ...]                    options of run.sh
#   LLM_BENCH_SIZES="135M 1B" LLM_BENCH_TYPES=Q4_0 sh tests/bench/all.sh --repeats 3
# The models, 22 GB in all, lie in the user's cache folder. LLM_TEST_ICD chooses a driver as for run.sh.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/bench/prepare.sh"
export LLM_TEST_ICD="${LLM_TEST_ICD:-system}"
build_bench
use_driver

models=${XDG_CACHE_HOME:-$HOME/.cache}/llm/bench
mkdir -p "$models" "$root/tests/bench/results"
files=
for size in ${LLM_BENCH_SIZES:-135M 1B 7B}; do
    for type in ${LLM_BENCH_TYPES:-Q4_0 Q4_K Q8_0}; do
        file=$models/synthetic-$size-$type.gguf
        [ -e "$file" ] || { "$build/tests/bench/synthetic" "$file.part" "$size" "$type" && mv "$file.part" "$file"; }
        files="$files $file"
    done
done

peers=
if command -v npm >/dev/null 2>&1; then
    peers=vulkan
    ! command -v nvidia-smi >/dev/null 2>&1 || peers=vulkan,cuda
fi

device=$(lua5.4 -e 'print(require "llm".devices()[1].name:gsub("%W+", "-"):gsub("%-$", ""):lower())')
result=$root/tests/bench/results/$(date +%Y-%m-%d)-$device
# shellcheck disable=SC2086
sh "$root/tests/bench/run.sh" $files ${peers:+--peer $peers} --json "$result.json" --svg "$result.svg" "$@"
say "$result.json"

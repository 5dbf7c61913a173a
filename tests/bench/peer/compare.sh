#!/bin/sh
# Ours and llama.cpp in turn on the same file, driver and machine: medians, ratios and their spread.
#   sh tests/bench/peer/compare.sh FILE.gguf [pairs] [fast|high] [vulkan|cuda|cpu] [prompt tokens] [tokens to write]
# On lavapipe by default; LLM_TEST_ICD=FILE.json takes another driver, LLM_TEST_ICD=system what the system offers.
set -eu
[ $# -ge 1 ] || { sed -n '3p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../../.." && pwd)
model=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
pairs=${2:-5} precision=${3:-fast} backend=${4:-vulkan} prompt=${5:-128} write=${6:-48}
threads=$(getconf _NPROCESSORS_ONLN)
peer=$(sh "$root/tests/bench/peer/install.sh")

case ${LLM_TEST_ICD:-} in
    system) ;;
    '')
        for file in /usr/share/vulkan/icd.d/lvp_icd*.json; do
            export VK_ICD_FILENAMES="$file" VK_DRIVER_FILES="$file"
        done
        export GGML_VK_VISIBLE_DEVICES=0 ;; # it leaves out software devices unless told so
    *) export VK_ICD_FILENAMES="$LLM_TEST_ICD" VK_DRIVER_FILES="$LLM_TEST_ICD" GGML_VK_VISIBLE_DEVICES=0 ;;
esac

results=$(mktemp)
trap 'rm -f "$results"' EXIT
pair=1
while [ "$pair" -le "$pairs" ]; do
    LUA_CPATH="$root/build/lua/?.so" timeout 600 lua5.4 "$root/tests/bench/bench.lua" \
        "$model" "$precision" "$prompt" "$write" >>"$results"
    (cd "$peer" && timeout 600 node "$root/tests/bench/peer/peer.mjs" \
        "$model" "$backend" "$prompt" "$write" "$threads") | grep '^{"engine"' >>"$results"
    tail -n 2 "$results" >&2
    pair=$((pair + 1))
done
LUA_CPATH="$root/build/lua/?.so" lua5.4 "$root/tests/bench/peer/summary.lua" "$results"

#!/bin/sh
# Builds, chooses the driver and runs the benchmark.
#   sh tests/bench/run.sh FILE.gguf ... [--option value ...]      options: lua5.4 tests/bench/bench.lua lists them
#   sh tests/bench/run.sh FILE.gguf --peer vulkan,cpu             in turn with llama.cpp; needs Node.js
# On lavapipe by default; LLM_TEST_ICD=FILE.json takes another driver, LLM_TEST_ICD=system what the system offers.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/examples/setup.sh"
[ $# -ge 1 ] || { sed -n '2,5p' "$0" >&2; exit 2; }

build=$root/build-bench
[ -e "$build/CMakeCache.txt" ] || mkdir -p "$build"
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DLLM_BENCH=ON -DLLM_EXAMPLES=OFF >"$build/configure.log" 2>&1 ||
    { tail -n 20 "$build/configure.log" >&2; die "The configuration failed"; }
build_into "$build"

case ${LLM_TEST_ICD:-} in
    system) ;;
    '')
        for file in /usr/share/vulkan/icd.d/lvp_icd*.json; do
            export VK_ICD_FILENAMES="$file" VK_DRIVER_FILES="$file"
        done
        export GGML_VK_VISIBLE_DEVICES=0 ;; # llama.cpp leaves out software devices unless told so
    *) export VK_ICD_FILENAMES="$LLM_TEST_ICD" VK_DRIVER_FILES="$LLM_TEST_ICD" GGML_VK_VISIBLE_DEVICES=0 ;;
esac

peer=
case " $* " in
    *" --peer "*)
        case " $* " in *cuda*) export LLM_PEER_CUDA=1 ;; esac
        peer=$(sh "$root/tests/bench/peer/install.sh") ;;
esac
export LUA_CPATH="$build/lua/?.so"
exec lua5.4 "$root/tests/bench/bench.lua" "$@" --peerfolder "$peer" --profiler "$build/tests/bench/kernel_profile"

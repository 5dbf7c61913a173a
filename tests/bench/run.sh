#!/bin/sh
# Builds, chooses the driver and runs the benchmark.
#   sh tests/bench/run.sh FILE.gguf ... [--option value ...]      options: without arguments it lists them
#   sh tests/bench/run.sh FILE.gguf --peer vulkan,cpu             in turn with llama.cpp; needs Node.js
# On lavapipe by default; LLM_TEST_ICD=FILE.json takes another driver, LLM_TEST_ICD=system what the system offers.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/bench/prepare.sh"
build_bench
use_driver

peer=
case " $* " in
    *" --peer "*)
        case " $* " in *cuda*) export LLM_PEER_CUDA=1 ;; esac
        peer=$(sh "$root/tests/bench/peer/install.sh") ;;
esac
exec lua5.4 "$root/tests/bench/bench.lua" --peerfolder "$peer" --profiler "$build/tests/bench/kernel_profile" "$@"

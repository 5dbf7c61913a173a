#!/bin/sh
# Ours and llama.cpp in turn on the same file, driver and machine, a prompt and the tokens after it: the quick comparison.
#   sh tests/bench/peer/compare.sh FILE.gguf [pairs] [fast|high] [vulkan|cuda|cpu] [prompt tokens] [tokens to write]
set -eu
[ $# -ge 1 ] || { sed -n '3p' "$0" >&2; exit 2; }
exec sh "$(dirname "$0")/../run.sh" "$1" --repeats "${2:-5}" --precision "${3:-fast}" --peer "${4:-vulkan}" \
    --prompt "${5:-128}" --decode "${5:-128}" --write "${6:-48}" --sessions '' --first 0 --rows ''

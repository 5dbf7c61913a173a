#!/bin/sh
# Prints the folder that holds node-llama-cpp (llama.cpp prebuilt for CPU and Vulkan) from npm; installs it there once.
# It lies in the user's cache folder, never in the tree. LLM_PEER_CUDA=1 takes the CUDA build along.
set -eu
version=3.22.1
folder=${XDG_CACHE_HOME:-$HOME/.cache}/llm/peer-$version
platform=linux-x64
[ "$(uname -m)" = x86_64 ] || platform=linux-arm64

wanted="node-llama-cpp@$version @node-llama-cpp/$platform@$version"
[ $platform = linux-arm64 ] || wanted="$wanted @node-llama-cpp/$platform-vulkan@$version"
[ -z "${LLM_PEER_CUDA:-}" ] ||
    wanted="$wanted @node-llama-cpp/$platform-cuda@$version @node-llama-cpp/$platform-cuda-ext@$version"

if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
    command -v npm >/dev/null || { echo 'npm and Node.js 20 or later are needed' >&2; exit 1; }
    mkdir -p "$folder"
    cd "$folder"
    echo '{ "private": true }' >package.json
    # The install script only looks for a binary or builds one; the packages bring theirs.
    # shellcheck disable=SC2086
    npm install --ignore-scripts --no-audit --no-fund --omit=optional --save-exact $wanted >&2
    echo "$wanted" >installed
fi
echo "$folder"

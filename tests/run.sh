#!/bin/sh
# Builds what the tests need and runs them on lavapipe and on SwiftShader. The last line: N passed, N failed.
#   sh tests/run.sh [stage ...]        stages: lint builds lavapipe swiftshader clang sanitize luajit examples compilers smollm2
#                                    gemma3
# LLM_TEST_ICD=FILE.json   that Vulkan driver in place of both (a real GPU)
# LLM_TEST_DEVICE          index, part of a name, or type of the device to use
# LLM_TEST_MODEL=FILE      SmolLM2-135M-Instruct Q4_1; otherwise it is fetched once
# LLM_TEST_VALIDATION=0    without the Khronos validation layer
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
. "$root/tests/steps.sh"
cd "$root" || exit 1

all_stages="lint builds lavapipe swiftshader clang sanitize luajit examples compilers smollm2 gemma3"
test_packages="clang lua-check libcmocka-dev vulkan-validationlayers luajit libluajit-5.1-dev pkg-config"
out=$root/build-tests
stories=$root/tests/data/stories260K.gguf
limit="timeout --kill-after=10 1200" # on a slow machine SwiftShader takes ten minutes for the models of llama.cpp
export LLM_TEST_VALIDATION="${LLM_TEST_VALIDATION:-1}"

# ---- builds ---------------------------------------------------------------------------------------------------------

# compile FOLDER COMPILER TYPE [CMake options]
compile() {
    folder=$out/$1 compiler=$2 type=$3
    shift 3
    $limit cmake -S "$root" -B "$folder" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE="$type" \
        -DCMAKE_C_FLAGS_DEBUG='-O1 -g' -DLLM_WERROR=ON -DLLM_TESTS=ON "$@" &&
        $limit cmake --build "$folder" -j "$(processors)"
}

# build NAME: compiles it at most once in a run; true if it is there.
build() {
    case $1 in
        gcc) set -- gcc gcc Release ;;
        clang) set -- clang clang Debug ;; # a debug build checks barriers against each dispatch's reads and writes
        # What the sanitizer adds makes gcc see conversions that are not there.
        sanitize) set -- sanitize gcc Debug -DLLM_EXAMPLES=OFF -DLLM_SANITIZE=address,undefined -DLLM_WERROR=OFF ;;
    esac
    case " ${built:-} " in *" $1 "*) return 0 ;; esac
    step "build: $1" compile "$@" && built="${built:-} $1"
}

# ---- drivers --------------------------------------------------------------------------------------------------------

use_driver() { export VK_ICD_FILENAMES="$1" VK_DRIVER_FILES="$1"; } # older and newer loaders

use_lavapipe() {
    if [ -n "${LLM_TEST_ICD:-}" ]; then
        use_driver "$LLM_TEST_ICD"
        return 0
    fi
    for file in /usr/share/vulkan/icd.d/lvp_icd*.json /usr/local/share/vulkan/icd.d/lvp_icd*.json; do
        if [ -e "$file" ]; then
            use_driver "$file"
            return 0
        fi
    done
    say 'lavapipe is missing: mesa-vulkan-drivers'
    return 1
}

# ---- what a step runs -----------------------------------------------------------------------------------------------

# The C tests of a build, or those that match; they ask for the validation layer themselves.
c_tests() { $limit ctest --test-dir "$out/$1" --output-on-failure -j 2 --timeout 1000 ${2:+-R "$2"}; }

# A Lua script with the module of a build, the validation layer around it.
validate_lua() {
    if [ "$LLM_TEST_VALIDATION" != 0 ]; then
        export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
        export VK_LAYER_ENABLES=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
    fi
    run_lua "$@"
}

# run_lua BUILD INTERPRETER SCRIPT [ARGUMENTS]; a build holds one module for Lua 5.4 and one for LuaJIT.
run_lua() {
    case $2 in
        luajit) export LUA_CPATH="$out/$1/luajit/?.so" ;;
        *) export LUA_CPATH="$out/$1/lua/?.so" ;;
    esac
    shift
    $limit "$@"
}

# sanitized LIBRARIES: the environment of a sanitized run, with these preloaded
sanitized() {
    keep_open=$out/keep_open.so
    gcc -shared -fPIC -o "$keep_open" tests/keep_open.c || return 1
    export LD_PRELOAD="${1:+$1 }$keep_open"
    export ASAN_OPTIONS=detect_leaks=1:verify_asan_link_order=0
    export LSAN_OPTIONS="suppressions=$root/tests/leaks.supp:print_suppressions=0"
}

sanitized_c_tests() { sanitized '' && c_tests sanitize '^(unit|fuzz|fault)'; }

# The interpreter was built without sanitizers, so their libraries come first.
sanitized_lua_tests() {
    sanitized "$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" &&
        run_lua sanitize lua5.4 tests/lua/run.lua
}

run_c_example() { $limit "$out/gcc/examples/$1" "$stories"; }

# The first Lua block of the README, as a reader would paste it.
run_readme() {
    awk '/^```/ { if (inside) exit; inside = /^```lua$/; next } inside' "$root/README.md" >"$out/readme.lua"
    run_lua gcc lua5.4 "$out/readme.lua" "$stories"
}

# Each example says what it takes, and that is no failure.
run_help() {
    for name in complete chat npc; do
        run_lua gcc lua5.4 "examples/$name.lua" --help | grep -q "^usage: $name.lua" || return 1
    done
    for name in plain embed; do
        "$out/gcc/examples/$name" --help | grep -q '^usage: ' || return 1
    done
}

# Installs into a scratch folder and builds plain.c against it, once with pkg-config and once with find_package.
run_install() {
    prefix=$out/installed
    rm -rf "$prefix" "$out/consumer"
    cmake --install "$out/gcc" --prefix "$prefix" || return 1
    pc=$(find "$prefix" -name llm.pc)
    # shellcheck disable=SC2046
    gcc "$root/examples/plain.c" -o "$prefix/plain" \
        $(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs llm) || return 1
    LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")") $limit "$prefix/plain" "$stories" || return 1
    cmake -S "$root/tests/install" -B "$out/consumer" -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$out/consumer" && "$out/consumer/plain_llm" "$stories" && "$out/consumer/plain_static" "$stories"
}

only_llm_symbols() {
    foreign=$(nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | grep -v '^llm_' | grep -v '^luaopen_llm$')
    [ -z "$foreign" ] || { echo "exported besides llm_*: $foreign"; return 1; }
}

# ---- stages ---------------------------------------------------------------------------------------------------------

# driver_tests NAME PATTERN: the C tests that match, then those of kernels and of whole models, which take the longest: a
# software driver compiles each kernel when it first sees it.
driver_tests() {
    step "$1: C tests" c_tests gcc "$2"
    step "$1: kernels" c_tests gcc '^kernel'
    for names in a-e f-o p-z; do step "$1: models $names" c_tests gcc "^model_[$names]"; done
    step "$1: Lua tests" validate_lua gcc lua5.4 tests/lua/run.lua
    step "$1: growth" run_lua gcc lua5.4 tests/lua/run.lua leaks
}

stage_lint() {
    step "luacheck" luacheck --no-color -q lua tests examples
    step "scripts parse" sh -n examples/quickstart.sh examples/setup.sh tests/run.sh tests/steps.sh tests/swiftshader.sh tests/gemma3.sh \
        tests/compilers/run.sh tests/compilers/intel.sh
}

stage_builds() {
    build gcc
    build clang
}

stage_lavapipe() {
    build gcc && use_lavapipe && driver_tests "${LLM_TEST_ICD:-lavapipe}" '^(unit|fuzz|fault|bench)'
}

stage_swiftshader() {
    [ -z "${LLM_TEST_ICD:-}" ] || return 0
    build gcc || return
    driver=$(sh tests/swiftshader.sh 2>"$out/swiftshader.log") || { skip swiftshader "$out/swiftshader.log says why"; return; }
    use_driver "$driver" && driver_tests swiftshader '^fault'
}

stage_clang() {
    build clang && use_lavapipe || return
    for tests in unit fuzz fault kernel 'model_[a-e]' 'model_[f-z]'; do
        step "clang, debug: $tests" c_tests clang "^$tests"
    done
}

stage_sanitize() {
    build sanitize && use_lavapipe || return
    step "sanitizers: C tests" sanitized_c_tests
    step "sanitizers: Lua tests" sanitized_lua_tests
}

stage_luajit() {
    build gcc && use_lavapipe && step "LuaJIT" validate_lua gcc luajit tests/lua/run.lua
}

stage_examples() {
    build gcc && use_lavapipe || return
    step "README" run_readme
    step "hello.lua" run_lua gcc lua5.4 examples/hello.lua "$stories"
    step "complete.lua" run_lua gcc lua5.4 examples/complete.lua --model "$stories" --max-tokens 16 --stop . Once
    step "npc.lua" run_lua gcc lua5.4 examples/npc.lua "$stories" --compare
    step "plain.c" run_c_example plain
    step "embed.c" run_c_example embed
    step "--help" run_help
    step "install" run_install
    step "symbols of the library" only_llm_symbols "$out/gcc/libllm.so"
    step "symbols of the module" only_llm_symbols "$out/gcc/lua/llm.so"
}

stage_compilers() {
    build gcc || return
    for vendor in amd intel; do
        if sh tests/compilers/run.sh "" "$vendor" prepare 2>"$out/compilers-$vendor.log"; then
            step "compilers: $vendor" sh tests/compilers/run.sh "$out/gcc/tests/compilers/compilers" "$vendor"
            # Intel's driver, opened so, finds the same kernel by another key each time.
            [ $vendor = intel ] ||
                step "pipeline cache: $vendor" sh tests/compilers/run.sh "$out/gcc/tests/compilers/compilers" $vendor cached
        else
            skip "compilers: $vendor" "$out/compilers-$vendor.log says why"
        fi
    done
}

stage_smollm2() {
    build gcc && use_lavapipe || return
    if [ -z "${LLM_TEST_MODEL:-}" ]; then
        fetch_model 2>"$out/model.log" || { skip SmolLM2 "$out/model.log says why"; return; }
        export LLM_TEST_MODEL="$model_file"
    fi
    step "SmolLM2" run_lua gcc lua5.4 tests/lua/smollm2.lua
    step "SmolLM2: precision" $limit "$out/gcc/tests/model_precision" "$LLM_TEST_MODEL"
    step "SmolLM2 beside llama.cpp" run_lua gcc lua5.4 tests/lua/greedy.lua "$LLM_TEST_MODEL" \
        tests/data/greedy/smollm2.json
}

stage_gemma3() {
    build gcc && use_lavapipe || return
    gemma=$(sh tests/gemma3.sh 2>"$out/gemma3.log") || { skip "Gemma 3" "$out/gemma3.log says why"; return; }
    step "Gemma 3 beside llama.cpp" run_lua gcc lua5.4 tests/lua/greedy.lua "$gemma" \
        tests/data/greedy/gemma3-270m.json tests/data/templates/google-gemma-2-2b-it.jinja
    step "Gemma 3 converses" run_lua gcc lua5.4 tests/lua/base_chat.lua "$gemma"
}

mkdir -p "$out"
# shellcheck disable=SC2086
install_packages $build_packages $run_packages $test_packages
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $all_stages
for stage; do
    case " $all_stages " in
        *" $stage "*) "stage_$stage" ;;
        *) die "no stage $stage; there are: $all_stages" ;;
    esac
done
finish

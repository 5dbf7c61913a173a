# shellcheck shell=sh disable=SC2034,SC2154
# What the benchmark's scripts share: the build and the driver. Sourced with $root set; POSIX sh.
. "$root/examples/setup.sh"

build=$root/build-bench

build_bench() {
    mkdir -p "$build"
    cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DLLM_BENCH=ON -DLLM_EXAMPLES=OFF >"$build/build.log" 2>&1 ||
        { tail -n 20 "$build/build.log" >&2; die "The configuration failed"; }
    build_into "$build"
    export LUA_CPATH="$build/lua/?.so"
}

# lavapipe, LLM_TEST_ICD=FILE.json, or with LLM_TEST_ICD=system what the system offers
use_driver() {
    case ${LLM_TEST_ICD:-} in
        system) return ;;
        '') driver=$(find /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -n 1) ;;
        *) driver=$LLM_TEST_ICD ;;
    esac
    [ -e "$driver" ] || die "There is no Vulkan driver '$driver' (lavapipe: mesa-vulkan-drivers)"
    # llama.cpp leaves out software devices unless it is told which to take.
    export VK_ICD_FILENAMES="$driver" VK_DRIVER_FILES="$driver" GGML_VK_VISIBLE_DEVICES=0
}

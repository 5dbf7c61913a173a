#!/bin/sh
# Compiles every kernel, as the runtime specializes it, with the compilers of chips that are not there, and compares what
# they say of it (registers, spills, waves, instructions, cycles) with the table that is kept beside this script.
#   sh tests/compilers/run.sh PROGRAM amd|intel|xe [prepare | update | cached | CHIP [options of PROGRAM]]
# PROGRAM is tests/compilers/compilers of a build folder. prepare: only gets what is needed. update: writes the table.
# cached: whether the driver finds every kernel in the pipeline cache that another device has left.
# CHIP: prints that chip's lines, such as: ... intel tgl -a "Q4_K 8" for the assembly of some kernels.
# amd needs mesa-vulkan-drivers alone; intel and xe what intel.sh builds (xe: chips that Mesa of Debian 12 does not know).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage="usage: $0 PROGRAM amd|intel|xe [prepare | update | cached | CHIP [options of PROGRAM]]"
program=${1?$usage} vendor=${2:?$usage}
shift 2
export MESA_SHADER_CACHE_DISABLE=true

use_driver() { export VK_ICD_FILENAMES="$1" VK_DRIVER_FILES="$1"; } # older and newer loaders

case $vendor in
    amd)
        chips="polaris10 vega10 navi10 navi21 gfx1100 gfx1103_r1"
        driver=$(ls /usr/share/vulkan/icd.d/radeon_icd*.json)
        use_driver "$driver"
        ;;
    intel | xe)
        chips="skl icl tgl dg2" suite=
        if [ "$vendor" = xe ]; then chips="mtl lnl bmg" suite=backports; fi
        shim=$(sh "$here/intel.sh" $suite)
        use_driver "$shim/icd.json"
        [ ! -d "$shim/lib" ] || export LD_LIBRARY_PATH="$shim/lib"
        ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
esac

# What newer versions of Mesa call a chip.
newer_name() {
    case $1 in
        gfx1100) echo navi31 ;;
        gfx1103_r1) echo phoenix ;;
        *) echo "$1" ;;
    esac
}

# on_chip CHIP [options of the program]
on_chip() {
    case $vendor in
        amd) RADV_FORCE_FAMILY=$1 "$program" "$@" || RADV_FORCE_FAMILY=$(newer_name "$1") "$program" "$@" ;;
        *) INTEL_STUB_GPU_PLATFORM=$1 LD_PRELOAD=$shim/libintel_noop_drm_shim.so "$program" "$@" ;;
    esac
}

into_folder() { on_chip "$1" >"$folder/$1" 2>"$folder/$1.log" || : >"$folder/failed"; }

# The lines of all chips under one header; two chips at a time.
all_chips() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    set -- $chips
    while [ $# -gt 0 ]; do
        into_folder "$1" &
        [ $# -lt 2 ] || { shift && into_folder "$1"; }
        shift
        wait
    done
    if [ -e "$folder/failed" ]; then
        cat "$folder"/*.log >&2
        return 1
    fi
    for chip in $chips; do
        sed "${header:-}" "$folder/$chip"
        header='1,2d'
    done
}

case ${1:-} in
    '') new=$(all_chips) && printf '%s\n' "$new" | awk -f "$here/compare.awk" "$here/spills.tsv" "$here/$vendor.tsv" - ;;
    prepare) ;;
    cached)
        passed=0 failed=0
        for chip in $chips; do
            if on_chip "$chip" -c; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        done
        echo "$passed passed, $failed failed"
        ;;
    update) new=$(all_chips) && printf '%s\n' "$new" >"$here/$vendor.tsv" ;;
    *) on_chip "$@" ;;
esac

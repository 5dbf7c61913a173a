#!/bin/sh
# Builds what lets Mesa's Intel Vulkan driver (ANV) open a GPU that is not there, and prints the folder it lies in: the shim
# to preload, libintel_noop_drm_shim.so, and the driver's file, icd.json. Of Mesa only the shim is compiled, from Debian's
# source package, in the user's cache folder; nothing is installed, no root is needed.
#   intel.sh              for the mesa-vulkan-drivers of this machine's release
#   intel.sh backports    with a newer driver from Debian's backports, unpacked beside the shim
set -eu
suite=${1:-stable}
. /etc/os-release
release=${VERSION_CODENAME:?no Debian} suites=$VERSION_CODENAME
if [ "$suite" != stable ]; then
    release=$release-$suite
    suites="$suites $release"
fi
machine=$(gcc -print-multiarch)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/llm/intel-$release
if [ -e "$folder/icd.json" ]; then
    echo "$folder"
    exit
fi
driver=/usr/lib/$machine/libvulkan_intel.so
if [ "$suite" != stable ]; then
    driver=$folder/lib/libvulkan_intel.so
elif [ ! -e "$driver" ]; then
    echo "$driver is missing: mesa-vulkan-drivers" >&2
    exit 1
fi
work=$folder.$$
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/sources" "$work/root" "$work/mesa" "$work/made/intel/dev"
cd "$work"

# apt with lists of its own: the mirror that the system uses, and that mirror's source packages.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -n 's#^URIs: *\([^ ]*/debian/*\)$#\1#p; s#^deb .*\(http[^ ]*/debian/*\) .*#\1#p' | head -n 1)
[ -n "$mirror" ] || { echo "no Debian mirror among the sources of apt" >&2; exit 1; }
cat >sources/mesa.sources <<SOURCES
Types: deb deb-src
URIs: $mirror
Suites: $suites
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
apt() {
    apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/sources" -o Dir::State::Lists="$work/lists" \
        -o Dir::Cache="$work" -o Dir::Cache::Archives="$work/archives" -o APT::Sandbox::User=root "$@" >&2
}
apt update
apt source --download-only --tar-only "mesa/$release"
packages=libdrm-dev
[ "$suite" = stable ] || packages="libdrm-dev libdrm2 libdrm-amdgpu1 mesa-vulkan-drivers/$release"
# shellcheck disable=SC2086
apt download $packages
for package in *.deb; do dpkg-deb -x "$package" root; done
tar -xf mesa_*.orig.tar.* -C mesa --strip-components=1 --wildcards '*/include/*' '*/src/drm-shim/*' '*/src/intel/dev/*' \
    '*/src/intel/common/*' '*/src/intel/tools/*' '*/src/util/*' '*/src/c11/*' '*/src/compiler/*.h'

# The shim, the tables of Intel's chips, and what they need of Mesa. Since Mesa 24 scripts write parts of these.
s=mesa/src
files="$s/drm-shim/device.c $s/drm-shim/drm_shim.c $s/intel/tools/intel_noop_drm_shim.c
    $s/intel/dev/intel_device_info.c $s/intel/dev/intel_hwconfig.c $s/intel/common/intel_gem.c $s/intel/common/intel_engine.c"
for name in hash_table set ralloc vma u_debug log os_misc os_file u_printf; do files="$files $s/util/$name.c"; done
if [ -e $s/intel/dev/intel_device_info_gen_h.py ]; then
    python3 -c 'import mako' 2>/dev/null || {
        apt download python3-mako python3-markupsafe
        for package in python3-*.deb; do dpkg-deb -x "$package" root; done
        export PYTHONPATH="$work/root/usr/lib/python3/dist-packages"
    }
    python3 $s/intel/dev/intel_device_info_gen_h.py made/intel/dev/intel_device_info_gen.h
    python3 $s/intel/dev/intel_device_info_serialize_gen_c.py made/serialize.c
    python3 $s/intel/dev/gen_wa_helpers.py $s/intel/dev/mesa_defs.json made/intel/dev/intel_wa.h made/intel_wa.c
    ln -s intel/dev made/dev
    for name in anon_file simple_mtx parson futex os_time u_process blob; do files="$files $s/util/$name.c"; done
    files="$files made/serialize.c made/intel_wa.c $s/c11/impl/time.c $s/intel/dev/intel_kmd.c
        $s/intel/dev/i915/intel_device_info.c $s/intel/dev/xe/intel_device_info.c $s/intel/common/i915/*.c $s/intel/common/xe/*.c"
fi
defines=
for name in PTHREAD STRUCT_TIMESPEC TIMESPEC_GET LINUX_FUTEX_H ENDIAN_H SECURE_GETENV DLFCN_H DIRENT_D_TYPE MEMFD_CREATE \
    PROGRAM_INVOCATION_NAME __BUILTIN_FFS __BUILTIN_FFSLL __BUILTIN_CLZ __BUILTIN_CLZLL __BUILTIN_EXPECT \
    __BUILTIN_UNREACHABLE __BUILTIN_POPCOUNT FUNC_ATTRIBUTE_VISIBILITY FUNC_ATTRIBUTE_FORMAT FUNC_ATTRIBUTE_PACKED \
    FUNC_ATTRIBUTE_CONST FUNC_ATTRIBUTE_UNUSED; do
    defines="$defines -DHAVE_$name"
done
# shellcheck disable=SC2086
gcc -shared -fPIC -O1 -w -std=gnu11 -fvisibility=hidden -o libintel_noop_drm_shim.so \
    -D_GNU_SOURCE -DNDEBUG -DUTIL_ARCH_LITTLE_ENDIAN=1 -DUTIL_ARCH_BIG_ENDIAN=0 -DMESA_DEBUG=0 -DPACKAGE_VERSION='""' $defines \
    -Imesa/include -I$s -I$s/intel -I$s/intel/dev -I$s/intel/common -I$s/util -I$s/gallium/include \
    -Imade -Imade/intel/dev -Iroot/usr/include -Iroot/usr/include/libdrm \
    $files -Wl,--no-undefined -l:libdrm.so.2 -ldl -lpthread -lm >&2

# What is kept.
mkdir kept
mv libintel_noop_drm_shim.so kept
[ "$suite" = stable ] || mv "root/usr/lib/$machine" kept/lib
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$driver" >kept/icd.json
rm -rf "$folder"
mv kept "$folder"
echo "$folder"

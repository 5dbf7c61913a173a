#!/bin/sh
# Prints the path of SwiftShader's driver file (ICD), a second software Vulkan driver. Debian ships it inside
# chromium-common, which is unpacked into the user's cache folder and not installed.
set -eu
folder=${XDG_CACHE_HOME:-$HOME/.cache}/llm/swiftshader
driver=$folder/vk_swiftshader_icd.json

if [ ! -e "$driver" ]; then
    download=$folder.$$
    trap 'rm -rf "$download"' EXIT
    mkdir -p "$download"
    cd "$download"
    apt-get -o APT::Sandbox::User=root download chromium-common >&2 ||
        { apt-get update -qq && apt-get -o APT::Sandbox::User=root download chromium-common; } >&2
    dpkg-deb -x chromium-common_*.deb unpacked
    mkdir kept
    mv unpacked/usr/lib/chromium/*swiftshader* kept
    rm -rf "$folder"
    mv kept "$folder"
fi
echo "$driver"

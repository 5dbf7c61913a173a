-- From the root of the source tree: luarocks make lua/llm-0.1.0-1.rockspec
rockspec_format = "3.0"
package = "llm"
version = "0.1.0-1"
source = {
    url = "file://llm-0.1.0.tar.gz",
    dir = "llm-0.1.0",
}
description = {
    summary = "Runs GGUF language models on any Vulkan device",
    detailed = [[
Loads language models in GGUF files and runs them with SPIR-V compute shaders on any Vulkan device, software drivers
included. Generation is asynchronous, cancels at once and fits between the frames of a game. One shared object holds
everything; the Vulkan loader is opened at first use.
]],
    license = "MIT",
}
supported_platforms = { "unix" }
dependencies = {
    "lua >= 5.1, < 5.6",
}
external_dependencies = {
    VULKAN = { header = "vulkan/vulkan.h" },
}
build = {
    type = "cmake",
    variables = {
        CMAKE_BUILD_TYPE = "Release",
        CMAKE_INSTALL_PREFIX = "$(PREFIX)",
        LLM_EXAMPLES = "OFF",
        LLM_LUA_FOLDER = "$(LIBDIR)",
        LLM_LUA_INCLUDE = "$(LUA_INCDIR)",
    },
    copy_directories = { "lua/library" },
}

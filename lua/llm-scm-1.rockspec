rockspec_format = "3.0"
package = "llm"
version = "scm-1"
source = {
    url = "git+file://.", -- luarocks make lua/llm-scm-1.rockspec, in a checkout
}
description = {
    summary = "Run GGUF language models on any Vulkan device",
    detailed = "A C11 library that runs language models with SPIR-V compute shaders, as one shared object: "
        .. "asynchronous, sliced for games, with saved sessions and whole UTF-8 streams.",
    license = "MIT",
    labels = { "vulkan", "language-model", "gguf" },
}
supported_platforms = { "linux", "macosx" }
dependencies = { "lua >= 5.1, < 5.6" }
build = {
    type = "command",
    build_command = "cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DLLM_EXAMPLES=OFF"
        .. " -DLLM_LUA_INCLUDE=$(LUA_INCDIR) && cmake --build build --target llm_lua",
    install = { lib = { llm = "build/lua/llm.so" } },
    copy_directories = { "lua/library" },
}

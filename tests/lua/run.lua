-- LUA_CPATH="build/lua/?.so" lua5.4 tests/lua/run.lua [area ...]    also with LuaJIT
-- LLM_TEST_DEVICE: index, part of a name, or type. The last line: N passed, N failed.
local folder = arg[0]:match "^(.*)[/\\]" or "."
package.path = folder .. "/?.lua;" .. package.path
local check = require "check"

local device = os.getenv "LLM_TEST_DEVICE"
local context = {
    device = tonumber(device) or device,
    model = folder .. "/../data/stories260K.gguf",
    folder = folder,
    interpreter = arg[-1] or "lua5.4",
}

local areas = arg[1] and arg
    or { "json", "template", "misuse", "load", "generate", "session", "flight", "callbacks", "closing",
        "chat" }
for _, name in ipairs(areas) do
    local area = require("test_" .. name)
    if type(area) == "table" then
        for title, body in pairs(area) do check.area(name .. ": " .. title, body, context) end
    end
end
print(("%d passed, %d failed"):format(check.passed, check.failed))
os.exit(check.failed == 0 and 0 or 1)

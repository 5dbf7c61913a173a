-- Runs the tests of this folder, or those that are named. The last line: N passed, N failed.
--   LUA_CPATH="build/lua/?.so" lua5.4 tests/lua/run.lua [json load ...]
-- LLM_TEST_DEVICE: index, part of a name, or type of the device. Harness and tests keep to what Lua 5.1 to 5.5 share.
local folder = arg[0]:match "^(.*)[/\\]" or "."
local files = {
    "json", "template", "load", "text", "vocabularies", "session", "generation", "chat", "overflow", "embed",
    "callbacks", "save", "objects", "errors", "annotations", "hostile", "selftest", "leaks",
}

local passed, failed, current = 0, 0, ""
local t = { stories = folder .. "/../data/stories260K.gguf", folder = folder }

local function describe(value)
    if type(value) == "string" then return ("%q"):format(#value > 300 and value:sub(1, 300) .. "..." or value) end
    return tostring(value)
end

function t.check(ok, ...)
    if ok then
        passed = passed + 1
        return ok
    end
    failed = failed + 1
    local details = {}
    for i = 1, select("#", ...) do details[i] = describe((select(i, ...))) end
    local line = "?"
    for level = 2, 8 do -- the test's own line, not the harness's
        local info = debug.getinfo(level, "Sl")
        if info and info.currentline > 0 and not info.source:find "run%.lua$" then
            line = info.currentline
            break
        end
    end
    print(("failed: %s, line %s  [%s]"):format(current, line, table.concat(details, ", ")))
    return ok
end

function t.equal(got, wanted, ...)
    return t.check(got == wanted, got, wanted, ...)
end

-- Two lists with the same elements.
function t.same(got, wanted)
    local equal = type(got) == "table" and type(wanted) == "table" and #got == #wanted
    for i = 1, equal and #got or 0 do equal = equal and got[i] == wanted[i] end
    return t.check(equal, type(got) == "table" and table.concat(got, " ") or got,
        type(wanted) == "table" and table.concat(wanted, " ") or wanted)
end

-- f(...) raises an error that the pattern matches.
function t.raises(pattern, f, ...)
    local ok, err = pcall(f, ...)
    return t.check(not ok and tostring(err):find(pattern), ok and "did not raise" or err, pattern)
end

-- The three values of something that the world refused.
function t.fails(code, value, message, got)
    return t.check(value == nil and type(message) == "string" and #message > 4 and got == code,
        tostring(value), tostring(message), tostring(got), code)
end

-- A test: what it raises is a failure, and the next one runs all the same.
function t.test(name, body)
    local file = current
    current = file .. ": " .. name
    local ok, err = xpcall(body, debug.traceback)
    if not ok then t.check(false, err) end
    current = file
end

function t.read(path)
    local file = assert(io.open(path, "rb"))
    local data = file:read "*a"
    file:close()
    return data
end

function t.write(path, data)
    local file = assert(io.open(path, "wb"))
    assert(file:write(data))
    file:close()
end

local device = os.getenv "LLM_TEST_DEVICE"
device = tonumber(device) or device

function t.options(options)
    options = options or {}
    if options.device == nil then options.device = device end
    return options
end

-- stories260K, with the options of load.
function t.load(options)
    return require "llm".load(t.stories, t.options(options))
end

-- Exact arithmetic, so that texts and ids can be compared.
function t.exact(options)
    options = options or {}
    options.kv, options.precision, options.deterministic = "f32", "high", true
    return assert(t.load(options))
end

t.prompt = { 1, 403, 407, 261, 378 } -- "Once upon a time", its best continuation as measured with llama.cpp
t.best = {
    432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265,
    282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268, 388, 426, 338, 391, 266, 267, 337, 335,
    312, 432,
}

for _, name in ipairs(#arg > 0 and arg or files) do
    name = name:match "test_([%w_]+)%.lua$" or name
    current = name
    local chunk, err = loadfile(folder .. "/test_" .. name .. ".lua")
    local before, started = failed, os.clock()
    local ok
    if chunk then ok, err = xpcall(function() chunk(t) end, debug.traceback) end
    if not ok then t.check(false, err) end
    collectgarbage()
    print(("%-12s %s  (%.1f s of processor)"):format(name, failed == before and "ok" or "FAILED",
        os.clock() - started))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)

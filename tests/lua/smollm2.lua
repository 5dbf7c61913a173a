-- SmolLM2-135M-Instruct, Q4_1: the best token at each step is the one that a double-precision reference takes.
-- LLM_TEST_MODEL=FILE LUA_CPATH="build/lua/?.so" lua5.4 tests/lua/smollm2.lua
local llm = require "llm"

local cases = {
    { prompt = "The capital of France is",
      text = " Paris.\n\nThe answer is: 2018-01-22 12:12:53.",
      ids = {
          7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33, 29, 34, 34, 216, 33, 34,
          42, 33, 34, 42, 37, 35, 30, 2 } },
    { prompt = "Once upon a time",
      ids = {
          28, 260, 2240, 282, 23324, 27108, 436, 253, 15114, 39228, 28, 351, 25854, 41658, 284, 14055, 9018, 30, 1249,
          347, 260, 929, 3514, 411, 28, 260, 2240, 2585, 288, 5946, 624, 2798, 9615, 30, 378, 2268, 29, 16591, 20215,
          282, 260, 3925, 2591, 2585, 288, 25858, 28, 284 } },
}

local passed, failed = 0, 0
local function check(name, ok, detail)
    passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
    if not ok then print("failed: " .. name .. "  [" .. tostring(detail) .. "]") end
end

local function last(list, n)
    local out = {}
    for i = #list - n + 1, #list do out[#out + 1] = list[i] end
    return table.concat(out, " ")
end

local path = assert(os.getenv "LLM_TEST_MODEL", "LLM_TEST_MODEL names no file")
local device = os.getenv "LLM_TEST_DEVICE"
local model = assert(llm.load(path, { kv = "f32", precision = "high", device = tonumber(device) or device }))
for _, case in ipairs(cases) do
    local session = assert(model:session())
    local text, result = session:generate(case.prompt, { temperature = 0, max_tokens = #case.ids })
    check(case.prompt, text, result)
    check(case.prompt .. ": ids", last(session:tokens(), #case.ids) == table.concat(case.ids, " "),
        last(session:tokens(), #case.ids))
    check(case.prompt .. ": text", not case.text or text == case.text, text)
    local ended = case.ids[#case.ids] == model.info.eos_tokens[1]
    check(case.prompt .. ": finish", result.finish == (ended and "stop" or "length"), result.finish)
    session:close()
end

-- A conversation: sensible, and the second turn computes only what is new.
local session = assert(model:session { temperature = 0, max_tokens = 24 })
local reply, result = session:chat "What is the capital of France?"
check("chat", reply and reply.text:find "Paris", reply and reply.text or result)
check("chat ends by itself", reply and result.finish == "stop", result.finish)
local length = session.length
reply, result = session:chat "And of Italy?"
check("second turn", reply and result.cached_tokens == length, reply and result.cached_tokens or result)
model:close()

-- Caches that are rounded: the same facts, in less memory.
local bytes = { f16 = 2, q8_0 = 34 / 32, q4_0 = 18 / 32 }
for _, kv in ipairs { "f16", "q8_0", "q4_0" } do
    model = assert(llm.load(path, { kv = kv, context = 256, device = tonumber(device) or device }))
    session = assert(model:session { temperature = 0, max_tokens = 24 })
    reply = session:chat "What is the capital of France?"
    check(kv, reply and reply.text:find "Paris", reply and reply.text)
    local per_token = model.info.memory.kv_per_token
    check(kv .. ": memory", per_token == 2 * 30 * 3 * 64 * bytes[kv], per_token)
    local blob = assert(session:save())
    local again = assert(model:restore(blob))
    check(kv .. ": restored", session:generate "" == again:generate("", { temperature = 0, max_tokens = 24 }))
    model:close()
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)

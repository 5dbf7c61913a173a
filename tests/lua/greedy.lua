-- Along llama.cpp's own greedy ids (tests/peer/greedy.mjs), the best token here is its next one at every step, or the
-- two best are nearly even: their logits are within 0.25, there or here. llama.cpp rounds activations to 8 bits.
-- LUA_CPATH="build/lua/?.so" lua5.4 tests/lua/greedy.lua MODEL.gguf FILE.json [TEMPLATE.jinja]
local llm = require "llm"

local even = 0.25
local passed, failed = 0, 0
local function check(name, ok, ...)
    passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
    if not ok then print("failed: " .. name, ...) end
end

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

local function same(a, b) return table.concat(a, " ") == table.concat(b, " ") end

local path, golden, template = ...
local device = os.getenv "LLM_TEST_DEVICE"
local model = assert(llm.load(path, {
    kv = "f32", precision = "high", context = 512, device = tonumber(device) or device,
}))
if template then model.info.chat_template = read(template) end
local session = assert(model:session())

-- The ids of a text, as a prompt or as what a template rendered.
local function ids_of(case)
    if case.messages then return model:tokenize(case.text, { special = true }) end
    assert(session:feed(case.text))
    local ids = session:tokens()
    session:reset()
    return ids
end

-- How many steps were nearly even and went another way.
local function follow(name, case)
    local others = 0
    assert(session:feed(case.prompt))
    for i, id in ipairs(case.ids) do
        local best, theirs = session:logits(2), case.logits[i]
        local differs = best[1][1] ~= id
        local gap = math.min(theirs[1] - theirs[2], best[1][2] - best[2][2])
        others = others + (differs and 1 or 0)
        check(name .. ", step " .. i, not differs or gap <= even, best[1][1], best[1][2], best[2][1], best[2][2],
            "llama.cpp:", id, theirs[1], theirs[2])
        if i < #case.ids then assert(session:feed { id }) end
    end
    session:reset()
    return others
end

for _, case in ipairs(assert(llm.json.decode(read(golden)))) do
    local name = case.messages and case.messages[#case.messages].content or case.text:gsub("%s+$", "")
    check(name .. ": ids", same(ids_of(case), case.prompt))
    check(name .. ": rendered", not case.messages or model:template(case.messages) == case.text)
    print(("%s: %d steps, %d nearly even ones went another way"):format(name, #case.ids, follow(name, case)))
end
model:close()
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)

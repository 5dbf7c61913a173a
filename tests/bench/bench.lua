-- Measures this library: a prompt, then tokens after it. Prints one JSON object, as peer/peer.mjs does.
--   LUA_CPATH="build/lua/?.so" lua5.4 bench.lua FILE.gguf [fast|high] [prompt tokens] [tokens to write] [device]
local llm = require "llm"
local path, precision = arg[1], arg[2] or "fast"
local n_prompt, n_write = tonumber(arg[3] or 128), tonumber(arg[4] or 48)
local device = tonumber(arg[5]) or arg[5]
if not path then
    print "usage: bench.lua FILE.gguf [fast|high] [prompt tokens] [tokens to write] [device]"
    os.exit(2)
end

local began = llm.clock()
local model = assert(llm.load(path, { precision = precision, context = n_prompt + n_write + 64, device = device }))
local load_ms = (llm.clock() - began) * 1e3

local unit = model:tokenize "Once upon a time there was a little girl who lived near a deep forest. "
local tokens = {}
for i = 1, n_prompt do tokens[i] = unit[(i - 1) % #unit + 1] end

-- End tokens are held off, so that the number of tokens is the one asked for.
local bias = {}
for _, id in ipairs(model.info.eos_tokens) do bias[id] = -math.huge end

local function measure(max_tokens)
    local session = assert(model:session())
    local text, result = session:generate(tokens, { temperature = 0, max_tokens = max_tokens, logit_bias = bias })
    assert(text, result)
    session:close()
    return result
end

measure(2) -- creates what it needs
local result = measure(n_write)
print(llm.json.encode {
    engine = "llm", backend = "vulkan", device = model.info.device.name, precision = precision,
    load_ms = math.floor(load_ms), prompt_tokens = result.prompt_tokens, tokens = result.tokens,
    prompt_per_second = result.timings.prompt_per_second, generate_per_second = result.timings.generate_per_second,
})
model:close()

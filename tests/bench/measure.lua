-- Measures this library in one process and prints one JSON object. bench.lua starts it; by hand:
--   LUA_CPATH="build/lua/?.so" lua5.4 measure.lua FILE.gguf '{"prompt":[128],"decode":[0]}'
-- The second argument says what to measure (peer/peer.mjs reads the same one):
--   prompt     list of lengths: tokens a second from the start to the first token
--   decode     list of depths: tokens a second of `write` tokens after so many in the context
--   sessions   list of numbers of sessions that decode at once: tokens a second of all of them together
--   first      true: only the time to a first token, loading included
--   write, repeats, precision, kv, device     as bench.lua's options
local llm = require "llm"
local began = llm.clock()
local path, spec = arg[1], assert(llm.json.decode(arg[2] or "{}"))
local SHORT = 16 -- tokens in the context where a depth of 0 is asked for, and of each of many sessions
local write, repeats = spec.write or 32, spec.repeats or 1

local function list(name) return spec[name] or {} end

local function largest(numbers, least)
    for _, n in ipairs(numbers) do least = math.max(least, n) end
    return least
end

-- Bytes of this process, from /proc; nil elsewhere.
local function memory_of_process()
    local file = io.open "/proc/self/status"
    if not file then return nil end
    local status = file:read "a"
    file:close()
    local function bytes(name) return (tonumber(status:match(name .. ":%s+(%d+) kB")) or 0) * 1024 end
    return { anonymous = bytes "RssAnon", resident = bytes "VmRSS", peak = bytes "VmHWM" }
end

local context = math.max(largest(list "prompt", SHORT), largest(list "decode", SHORT)) + write + 64
local together = largest(list "sessions", 1) * (SHORT + write + 64)
local model = assert(llm.load(path, {
    precision = spec.precision, device = spec.device, kv = spec.kv,
    context = context, kv_tokens = math.max(context, together),
}))
local result = { engine = "llm", load_ms = (llm.clock() - began) * 1e3, memory_loaded = memory_of_process() }

local unit = model:tokenize "Once upon a time there was a little girl who lived near a deep forest. "
local function prompt(n)
    local tokens = {}
    for i = 1, n do tokens[i] = unit[(i - 1) % #unit + 1] end
    return tokens
end

-- End tokens are held off, so that the number of tokens is the one asked for.
local bias = {}
for _, id in ipairs(model.info.eos_tokens) do bias[id] = -math.huge end
local function options(max_tokens) return { temperature = 0, max_tokens = max_tokens, logit_bias = bias } end

local function generate(session, text, max_tokens)
    local _, answer = assert(session:generate(text, options(max_tokens)))
    return answer
end

local function prompt_speed(n)
    local session = assert(model:session())
    local answer = generate(session, prompt(n), 1)
    session:close()
    return answer.prompt_tokens * 1e3 / answer.timings.prompt_ms
end

-- The first token belongs to the prompt.
local function decode_speed(session, depth)
    session:truncate(depth)
    local answer = generate(session, "", write)
    return (answer.tokens - 1) * 1e3 / answer.timings.generate_ms
end

local function sessions_speed(n, max_tokens)
    local sessions, generations, tokens = {}, {}, 0
    for i = 1, n do
        sessions[i] = assert(model:session())
        assert(sessions[i]:feed(prompt(SHORT)))
    end
    local start = llm.clock()
    for i = 1, n do generations[i] = assert(sessions[i]:start("", options(max_tokens))) end
    while llm.update(100) do end
    local seconds = llm.clock() - start
    for i = 1, n do
        tokens = tokens + generations[i]:result().tokens
        sessions[i]:close()
    end
    return tokens / seconds
end

local function several(measure, ...)
    local values = {}
    for i = 1, repeats do values[i] = measure(...) end
    return llm.array(values)
end

-- Rows of the report: what, how much, and the values measured.
result.rows = llm.array {}
local function row(name, size, values)
    result.rows[#result.rows + 1] = { name = name, size = size, values = values }
end

if spec.first then
    local session = assert(model:session())
    generate(session, prompt(SHORT), 1)
    result.first_ms = (llm.clock() - began) * 1e3
    session:close()
else
    -- Some drivers compile at the first use of a plan: each is used once before it is measured.
    prompt_speed(SHORT)
    for _, n in ipairs(list "prompt") do
        prompt_speed(math.min(n, 128)) -- the same plans as the whole
        row("prompt", n, several(prompt_speed, n))
    end
    for _, depth in ipairs(list "decode") do
        local session = assert(model:session())
        local held = math.max(depth, SHORT)
        assert(session:feed(prompt(held)))
        generate(session, "", 2)
        row("decode", depth, several(decode_speed, session, held))
        session:close()
    end
    for _, n in ipairs(list "sessions") do
        sessions_speed(n, 2)
        row("sessions", n, several(sessions_speed, n, write))
    end
end

result.memory = memory_of_process()
result.pipelines = model.info.pipelines
result.model, result.device, result.version = model.info, model.info.device, llm._VERSION
result.model.device, result.model.chat_template, result.model.pipelines = nil, nil, nil
print(llm.json.encode(result))
model:close()

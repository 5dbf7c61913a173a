local check = require "check"
local llm = require "llm"
local area = {}

function area.module()
    check.raises("no path", "llm.load", llm.load)
    check.raises("a path with a zero byte", "zero byte", llm.load, "a\0b")
    check.raises("options that are none", "llm.load", llm.load, "x", 1)
    check.raises("an option without a name", "names", llm.load, "x", { 1 })
    check.raises("the nearest known", "did you mean 'context'", llm.load, "x", { contxt = 1 })
    check.raises("where nothing is near", "unknown option 'qqqqqq'", llm.load, "x", { qqqqqq = 1 })
    check.raises("the caller's line", "test_misuse.lua:", function() llm.load("x", { contxt = 1 }) end)
    for name, value in pairs {
        context = 0, kv = "f17", kv_tokens = 0.5, memory = -1, gpu_layers = -1, precision = "low", deterministic = 1,
        vocab_only = "yes", progress = 1, read = {}, size = "big", device = 0, cache = 1,
    } do
        check.raises("bad " .. name, "bad option '" .. name .. "' of llm.load", llm.load, "x", { [name] = value })
    end
    check.raises("read without size", "size", llm.load, "x", { read = print })
    check.raises("update", "update", llm.update, "soon")
    check.raises("update, negative", "update", llm.update, -1)
    check.raises("sleep", "sleep", llm.sleep)
    check.raises("log", "log", llm.log, "loud", print)
    check.fails("selftest", "unsupported", llm.selftest())
    check.ok("the clock goes on", llm.clock() <= llm.clock())
end

function area.model(context)
    local m = assert(llm.load(context.model, { device = context.device, context = 64 }))
    local s = assert(m:session { temperature = 0 })
    for name, value in pairs {
        temperature = -1, top_k = 1.5, top_p = 2, min_p = -0.1, typical_p = 1.1, repeat_penalty = 0,
        presence_penalty = "x", frequency_penalty = math.huge, penalty_last_n = -2, seed = 0.5, stop = 1,
        logit_bias = { a = 1 }, logprobs = -1, max_tokens = -1,
        on_piece = true, priority = "high", overflow = "drip", yield = 1,
    } do
        check.raises("bad " .. name, "bad option '" .. name .. "'", s.generate, s, "x", { [name] = value })
    end
    check.raises("not a number", "temperature", s.generate, s, "x", { temperature = 0 / 0 })
    check.raises("an unknown option", "did you mean 'temperature'", s.generate, s, "x", { temprature = 1 })
    check.raises("a session's options", "did you mean 'context'", m.session, m, { contxt = 1 })
    check.raises("context is no call's", "unknown option 'context'", s.generate, s, "x", { context = 8 })
    for _, prompt in ipairs { 1, true, print } do check.raises("no prompt", "prompt", s.generate, s, prompt) end
    check.raises("an id that is none", "token id expected at 2", s.feed, s, { 1, "x" })
    check.raises("an id out of range", "feed", s.feed, s, { m.info.vocab_size })
    check.raises("a negative id", "feed", s.feed, s, { -1 })
    check.raises("detokenize", "detokenize", m.detokenize, m, { 1e9 })
    check.raises("logits", "logits", s.logits, s, 0)
    check.raises("choices", "no choices", m.choose, m, "x", {})
    check.raises("a choice", "prompt", m.choose, m, "x", { 1 })
    check.raises("restore", "restore", m.restore, m, 1)
    check.raises("save", "did you mean 'path'", s.save, s, { pth = 1 })
    for _, name in ipairs { "dry", "xtc", "mirostat", "grammar", "schema", "tools", "sampler", "speculative" } do
        check.fails(name .. " comes later", "unsupported", s:generate("x", { [name] = {} }))
    end
    check.fails("overflow comes later", "unsupported", s:generate("x", { overflow = "drop" }))
    for _, name in ipairs { "embed", "suspend", "resume" } do
        check.fails(name .. " comes later", "unsupported", m[name](m))
    end
    check.equal("nothing was read", s.length, 0)
    m:close()
end

return area

local t = ...
local llm = require "llm"
local m = assert(t.load { context = 64 })
local nan, huge = 0 / 0, 1 / 0

-- Options, what each refuses, and what it takes.
local generate = {
    max_tokens = { refused = { -1, 1.5, "3", true, {}, nan, huge }, taken = { 0, 1 } },
    temperature = { refused = { -0.1, "1", true, {}, nan, huge }, taken = { 0, 0.5, 100 } },
    top_k = { refused = { -1, 1.5, "1", {}, nan, huge, 2 ^ 40 }, taken = { 0, 1, 100000 } },
    top_p = { refused = { -0.1, 1.1, "1", nan, huge }, taken = { 0, 0.5, 1 } },
    min_p = { refused = { -0.1, 1.1, "1", nan, huge }, taken = { 0, 0.5, 1 } },
    typical_p = { refused = { -0.1, 1.1, "1", nan, huge }, taken = { 0.1, 1 } },
    repeat_penalty = { refused = { 0, -1, "1", nan, huge }, taken = { 0.5, 1, 2 } },
    presence_penalty = { refused = { "1", {}, nan, huge }, taken = { -1, 0, 1 } },
    frequency_penalty = { refused = { "1", {}, nan, huge }, taken = { -1, 0, 1 } },
    penalty_last_n = { refused = { -2, 1.5, "1", nan, huge }, taken = { -1, 0, 64 } },
    seed = { refused = { 1.5, "1", {}, nan, huge }, taken = { 0, 1, -1, 2 ^ 52 } },
    stop = { refused = { 5, true, "", { "" }, { 5 }, { "a", false } }, taken = { "x", { "x", "y" }, {}, "a\0b" } },
    logit_bias = {
        refused = { 5, "x", { x = 1 }, { [-1] = 1 }, { [512] = 1 }, { [1.5] = 1 }, { [1] = "x" }, { [1] = nan } },
        taken = { {}, { [0] = 1 }, { [511] = -huge } },
    },
    logprobs = { refused = { -1, 1.5, "1", true, nan, 257 }, taken = { 0, 1, 5, 256 } },
    dry = {
        refused = { 1, true, "x", { 1 }, { multiplier = -1 }, { base = 0.5 }, { length = 0 }, { length = 1.5 },
            { multiplier = nan }, { base = huge }, { multiplier = "1" }, { lenght = 2 } },
        taken = { {}, { multiplier = 0 }, { multiplier = 2, base = 1, length = 1 } },
    },
    xtc = {
        refused = { 1, true, { probability = 1.5 }, { probability = -1 }, { threshold = 2 }, { threshold = nan },
            { p = 1 } },
        taken = { {}, { probability = 0 }, { probability = 1, threshold = 0 } },
    },
    mirostat = {
        refused = { 2, { tau = -1 }, { tau = huge }, { eta = 2 }, { eta = "0.1" }, { mu = 1 } },
        taken = { {}, { tau = 0 }, { tau = 3, eta = 0.2 } },
    },
    on_piece = { refused = { 5, "x", {}, true }, taken = { function() end } },
    overflow = { refused = { 5, "dorp", true, {} }, taken = { "stop" } },
    priority = { refused = { 1.5, "1", nan, huge }, taken = { -1, 0, 1 } },
    speculative = { refused = { 1, "true", {} }, taken = { false, true } },
    yield = { refused = { 1, "true", {} }, taken = { false, true } },
}
local loads = {
    device = { refused = { 0, -1, 1.5, true, {}, print, nan, "a\0b" } },
    context = { refused = { 0, -1, 1.5, "64", true, nan, huge, 2 ^ 40 }, taken = { 1, 64 } },
    kv = { refused = { "f17", 16, true, {} }, taken = { "f16", "f32" } },
    kv_tokens = { refused = { 0, -1, 1.5, "x", nan, huge }, taken = { 64, 4096 } },
    memory = { refused = { 0, -1, 1.5, "x", nan, huge }, taken = { 2 ^ 31 } },
    gpu_layers = { refused = { -1, 1.5, "x", nan, huge }, taken = { 5, 1000 } },
    precision = { refused = { "exact", 1, true }, taken = { "fast", "high" } },
    deterministic = { refused = { 1, "true" }, taken = { true, false } },
    vocab_only = { refused = { 1, "true" }, taken = { true, false } },
    progress = { refused = { 1, "x", {}, true }, taken = { function() end } },
    read = { refused = { 1, "x", {}, true, function() end } }, -- without size
    size = { refused = { -1, 1.5, "x", nan, huge } },
    cache = { refused = { 5, {}, print, "a\0b" }, taken = { false } },
    yield = { refused = { 1, "true" }, taken = { false, true } },
}

t.test("options of generation", function()
    for name, values in pairs(generate) do
        for _, value in ipairs(values.refused) do
            local options = { max_tokens = 1, [name] = value }
            t.raises(name, m.generate, m, "Once", options)
        end
        for _, value in ipairs(values.taken) do
            local options = { max_tokens = 1 }
            options[name] = value
            t.check(m:generate("Once", options), name, value)
        end
        t.raises("did you mean '" .. name .. "'", m.generate, m, "Once", { [name .. "x"] = 1 })
    end
    local s = assert(m:session())
    for name, values in pairs(generate) do
        local options = { max_tokens = 1, [name] = values.refused[1] }
        t.raises(name, m.stream, m, "Once", options)
        t.raises(name, s.generate, s, "Once", options)
        t.raises(name, s.stream, s, "Once", options)
        t.raises(name, s.start, s, "Once", options)
        t.equal(s.length, 0)
    end
    s:close()
end)

t.test("options of load", function()
    for name, values in pairs(loads) do
        for _, value in ipairs(values.refused) do
            t.raises(name, llm.load, t.stories, { context = 32, [name] = value })
            t.raises(name, llm.load_async, t.stories, { context = 32, [name] = value })
        end
        for _, value in ipairs(values.taken or {}) do
            local options = { context = 32 }
            options[name] = value
            local loaded, message = t.load(options)
            if t.check(loaded, name, value, message) then loaded:close() end
        end
        t.raises("did you mean '" .. name .. "'", llm.load, t.stories, { [name .. "x"] = 1 })
    end
end)

t.test("options are one table with names", function()
    for _, options in ipairs { 5, "x", true, print } do
        t.raises("options", m.generate, m, "Once", options)
        t.raises("options", llm.load, t.stories, options)
    end
    t.raises("names", m.generate, m, "Once", { 5 })
    t.raises("names", m.generate, m, "Once", { [true] = 5 })
    t.raises("unknown option 'zzzzzzzzzz' for generate %(known: max_tokens temperature .*yield", m.generate, m, "Once",
        { zzzzzzzzzz = 1 })
    t.raises("did you mean 'vocab_only'", llm.load, t.stories, { vocab = true })
    t.raises("unknown option 'lenght' for dry of generate %(did you mean 'length'", m.generate, m, "Once",
        { dry = { lenght = 2 } })
    t.raises("unknown option", m.generate, m, "Once", { [("x"):rep(10000)] = 1 })
    t.raises("unknown option", m.generate, m, "Once", { ["\0"] = 1 })
    t.check(m:generate("Once", setmetatable({ max_tokens = 1 }, {})))
end)

t.test("numbers in messages are written as people do", function()
    t.raises("integer from 0 to 256 expected, got 1000000000%)", m.generate, m, "Once", { logprobs = 1e9 })
    t.raises("number from 0 to 1 expected, got 1.5%)", m.generate, m, "Once", { top_p = 1.5 })
    t.raises("integer from 0 to 2147483647 expected, got %-1%)", m.generate, m, "Once", { top_k = -1 })
    t.raises("integer from 0 up expected, got 0.5%)", m.generate, m, "Once", { max_tokens = 0.5 })
end)

t.test("options that come later say so", function()
    local later = { grammar = "x", schema = {}, tools = {}, sampler = {} }
    for name, value in pairs(later) do
        t.fails("unsupported", m:generate("Once", { [name] = value }))
    end
end)

t.test("prompts that are none", function()
    local s = assert(m:session())
    for _, prompt in ipairs { 5, true, print, { 512 }, { -1 }, { 1.5 }, { "x" }, { 1, {} }, { nan } } do
        for _, name in ipairs { "generate", "start", "stream", "feed" } do
            t.raises(name, s[name], s, prompt)
        end
        t.raises("generate", m.generate, m, prompt)
        t.raises("stream", m.stream, m, prompt)
        t.raises("choose", m.choose, m, prompt, { "a" })
    end
    t.raises("generate", s.generate, s)
    t.equal(s.length, 0)
    t.check(s:generate("\255\254\0\128", { max_tokens = 1 }))
    s:close()
end)

t.test("an error names the line of the script", function()
    local _, err = pcall(function() m:generate("Once", { temprature = 1 }) end)
    t.check(err:find "test_errors.lua:%d+:", err)
    _, err = pcall(function() llm.load(t.stories, { contxt = 1 }) end)
    t.check(err:find "test_errors.lua:%d+:", err)
end)

t.test("load without a path", function()
    t.raises("load", llm.load)
    t.raises("load", llm.load, 5)
    t.raises("load", llm.load, {})
    t.raises("zero byte", llm.load, "a\0b")
    t.fails("not_found", llm.load "")
    t.raises("'size'.*'read'", llm.load, t.stories, { size = 5 })
    t.raises("'read'.*'size'", llm.load, t.stories, { read = print })
end)

m:close()

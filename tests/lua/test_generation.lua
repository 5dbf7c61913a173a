local t = ...
local llm = require "llm"
local m = t.exact { context = 256 }
local greedy = { temperature = 0, max_tokens = #t.best }
local text = m:detokenize(t.best)
local endless = { temperature = 0, max_tokens = 200, logit_bias = { [2] = -math.huge } }

local function copy(options, more)
    local all = {}
    for k, v in pairs(options) do all[k] = v end
    for k, v in pairs(more) do all[k] = v end
    return all
end

local function drain()
    local limit = llm.clock() + 30
    while llm.update(5) do
        if llm.clock() > limit then return false end
    end
    return true
end

local function whole(piece)
    if not utf8 then return true end
    return utf8.len(piece) ~= nil
end

t.test("the best tokens", function()
    local got, result = m:generate("Once upon a time", greedy)
    t.equal(got, text)
    t.equal(result.text, text)
    t.equal(result.finish, "length")
    t.equal(result.tokens, 48)
    t.equal(result.prompt_tokens, 5)
    t.equal(result.cached_tokens, 0)
    t.equal(type(result.seed), "number")
    for _, name in ipairs { "prompt_ms", "generate_ms", "prompt_per_second", "generate_per_second" } do
        t.check(result.timings[name] >= 0, name)
    end
    t.equal(m:generate(t.prompt, greedy), text)
end)

t.test("a stream gives the same, piece by piece", function()
    local pieces, ids = {}, {}
    local stream = m:stream("Once upon a time", greedy)
    for piece, info in stream do
        t.check(#piece > 0 and whole(piece), piece)
        pieces[#pieces + 1], ids[#ids + 1] = piece, info.id
        t.check(info.index >= 1 and info.index <= 48, info.index)
    end
    t.equal(table.concat(pieces), text)
    t.same(ids, t.best)
    t.equal(stream:result().text, text)
    t.equal(stream(), nil)
    local s = assert(m:session())
    pieces = {}
    for piece in s:stream(t.prompt, greedy) do pieces[#pieces + 1] = piece end
    t.equal(table.concat(pieces), text)
    t.equal(s.result.text, text)
    s:close()
end)

t.test("polling", function()
    local s = assert(m:session())
    local g = assert(s:start(t.prompt, greedy))
    t.equal(g:result(), nil)
    local got, done, piece = "", false
    local limit = llm.clock() + 60
    while not done and llm.clock() < limit do
        llm.update(2)
        piece, done = g:poll()
        got = got .. piece
    end
    t.equal(got, text)
    t.equal(g:result().text, text)
    t.equal(g:result(), g:result())
    for _ = 1, 3 do
        piece, done = g:poll()
        t.check(piece == "" and done == true)
    end
    t.equal(g:wait(0), true)
    t.equal(g:wait(), true)
    g:cancel()
    t.equal(g:result().finish, "length")
    g:close()
    t.equal(s.result.text, text)
    s:close()
end)

t.test("wait(0) does not wait", function()
    local s = assert(m:session())
    local g = assert(s:start(t.prompt, endless))
    local started = llm.clock()
    local done = g:wait(0)
    t.check(not done or llm.clock() - started < 0.5)
    g:cancel()
    t.equal(g:wait(30), true)
    t.raises("wait", g.wait, g, -1)
    t.raises("wait", g.wait, g, "x")
    s:close()
end)

t.test("many at once, each as alone", function()
    local prompts = { "Once upon a time", "Lily and Tom", "The big dog", "One day", "A", "There was a red ball." }
    local alone, all = {}, {}
    local options = { temperature = 0, max_tokens = 24 }
    for i, prompt in ipairs(prompts) do alone[i] = m:generate(prompt, options) end
    for i, prompt in ipairs(prompts) do
        local s = assert(m:session())
        all[i] = { session = s, generation = assert(s:start(prompt, options)) }
    end
    t.check(drain())
    for i = 1, #prompts do
        t.equal(all[i].generation:result().text, alone[i])
        all[i].session:close()
    end
    for i, prompt in ipairs(prompts) do
        local s = assert(m:session())
        all[i] = { session = s, generation = assert(s:start(prompt, { temperature = 1, seed = i, max_tokens = 24 })) }
    end
    t.check(drain())
    for i, prompt in ipairs(prompts) do
        t.equal(all[i].generation:result().text, (m:generate(prompt, { temperature = 1, seed = i, max_tokens = 24 })))
        all[i].session:close()
    end
end)

t.test("seeds", function()
    local function run(seed) return (m:generate(t.prompt, { temperature = 1, seed = seed, max_tokens = 30 })) end
    local texts, different = {}, 0
    for seed = 0, 7 do
        texts[seed] = run(seed)
        t.equal(run(seed), texts[seed])
        if seed > 0 and texts[seed] ~= texts[0] then different = different + 1 end
    end
    t.check(different >= 6, different)
    local a, result = m:generate(t.prompt, { temperature = 1, max_tokens = 30 })
    t.equal(run(result.seed), a)
    t.check(run(-1) == run(-1))
    local _, told = m:generate(t.prompt, { seed = -1, max_tokens = 1 })
    t.equal(told.seed, -1)
    local _, other = m:generate(t.prompt, { max_tokens = 1 })
    t.check(other.seed ~= result.seed)
end)

t.test("a busy session", function()
    local s = assert(m:session())
    local g = assert(s:start(t.prompt, endless))
    t.fails("busy", s:feed { 300 })
    t.fails("busy", s:start "x")
    t.fails("busy", s:generate "x")
    t.fails("busy", s:truncate(0))
    t.fails("busy", s:reset())
    t.fails("busy", s:fork())
    t.fails("busy", s:save())
    t.fails("busy", s:logits(1))
    t.check(s.length >= 0 and s.capacity == 256 and type(s:tokens()) == "table")
    local stream = s:stream("x", greedy)
    t.equal(stream(), nil)
    t.equal(stream:result().code, "busy")
    s:cancel()
    t.equal(g:wait(30), true)
    t.equal(g:result().finish, "cancelled")
    t.check(s:generate("", { max_tokens = 2 }))
    s:close()
end)

t.test("cancel", function()
    local long = {}
    for i = 1, 200 do long[i] = 300 + i % 100 end
    local s = assert(m:session())
    s:feed(t.prompt)
    local g = assert(s:start(long, greedy))
    g:cancel()
    g:cancel()
    t.equal(g:wait(30), true)
    t.equal(g:result().finish, "cancelled")
    t.same(s:tokens(), t.prompt) -- as it was before the start
    t.equal(s:generate("", greedy), text)
    s:reset()
    g = assert(s:start(t.prompt, endless))
    local got = ""
    while #got < 20 do
        llm.update(1)
        got = got .. g:poll()
    end
    g:cancel()
    t.equal(g:wait(30), true)
    local rest = g:poll()
    local result = g:result()
    t.equal(result.finish, "cancelled")
    t.equal(got .. rest, result.text)
    local held = s:tokens()
    for i = 1, 5 do t.equal(held[i], t.prompt[i]) end
    t.check(#held >= 5 + 3, #held)
    t.check(s:generate("", { max_tokens = 2 }))
    s:close()
end)

t.test("close ends the work", function()
    local s = assert(m:session())
    local g = assert(s:start(t.prompt, endless))
    llm.update(1)
    s:close()
    t.equal(g:wait(30), true)
    t.equal(g:result().finish, "cancelled")
    s = assert(m:session())
    g = assert(s:start(t.prompt, endless))
    g:close()
    t.check(drain())
    t.raises("closed llm.generation", g.poll, g)
    t.check(s:generate("", { max_tokens = 1 }))
    s:close()
end)

t.test("breaking out of a loop cancels", function()
    local n = 0
    for _ in m:stream(t.prompt, endless) do
        n = n + 1
        if n == 3 then break end
    end
    collectgarbage()
    collectgarbage()
    t.check(drain())
    local s = assert(m:session())
    for _ in s:stream(t.prompt, endless) do break end -- luacheck: ignore 512
    t.check(s:generate("", { max_tokens = 2 })) -- the next start lets the one before go
    for _ in s:stream("", endless) do break end -- luacheck: ignore 512
    s:cancel() -- before Lua 5.4 the loop does not close it
    t.check(s:feed { 300 })
    s:close()
    t.equal(n, 3)
end)

t.test("stop strings", function()
    local got, result = m:generate(t.prompt, copy(greedy, { stop = "little" }))
    t.equal(got, ", there was a ")
    t.equal(result.finish, "stop")
    t.equal(result.stop, "little")
    got, result = m:generate(t.prompt, copy(greedy, { stop = { "zebra", "girl", "little" } }))
    t.equal(got, ", there was a ")
    t.equal(result.stop, "little")
    local pieces = {}
    for piece in m:stream(t.prompt, copy(greedy, { stop = { "there was a big", "named Lilo", "Lily. She l" } })) do
        pieces[#pieces + 1] = piece
    end
    t.equal(table.concat(pieces), ", there was a little girl named ")
    got, result = m:generate(t.prompt, copy(greedy, { stop = "no such words" }))
    t.equal(got, text)
    t.equal(result.stop, nil)
    got = m:generate(t.prompt, copy(greedy, { stop = "," }))
    t.equal(got, "")
    local s = assert(m:session())
    local _, r = s:generate(t.prompt, copy(greedy, { stop = "little" }))
    t.equal(s.length, 5 + r.tokens)
    t.equal(m:detokenize(s:tokens()):sub(-6), "little")
    s:close()
end)

t.test("the end token ends", function()
    local got, result = m:generate(t.prompt, { temperature = 0, logit_bias = { [2] = 1000 } })
    t.equal(got, "")
    t.equal(result.finish, "stop")
    t.equal(result.tokens, 1)
    t.equal(result.stop, nil)
end)

t.test("max_tokens = 0", function()
    local s = assert(m:session())
    local got, result = s:generate(t.prompt, { max_tokens = 0 })
    t.equal(got, "")
    t.equal(result.finish, "length")
    t.equal(result.tokens, 0)
    t.same(s:tokens(), t.prompt)
    t.equal(s:generate("", greedy), text)
    s:close()
end)

t.test("bytes that are no UTF-8 come whole or at the end", function()
    -- byte tokens <0x00> to <0xFF> are 3 to 258: force the three bytes of a euro sign, then half of another
    local euro = m:tokenize "\226\130\172"
    local s = assert(m:session())
    local wanted = {}
    for _, id in ipairs(euro) do if id >= 3 and id < 259 then wanted[#wanted + 1] = id end end
    if #wanted == 3 then
        s:feed(t.prompt)
        for piece in s:stream("", { temperature = 0, max_tokens = 7, logit_bias = { [wanted[1]] = 1000 } }) do
            t.check(#piece > 0)
        end
        local result = s.result
        t.equal(result.text, ("\226"):rep(7))
        s:reset()
        s:feed(t.prompt)
        s:feed { wanted[1], wanted[2] }
        local first
        for piece in s:stream("", { temperature = 0, max_tokens = 2, logit_bias = { [wanted[3]] = 1000 } }) do
            first = first or piece
        end
        t.check(first, "a piece")
    end
    s:close()
end)

t.test("random bytes stream as whole characters", function()
    if not utf8 then return end
    local bias = {}
    for id = 259, 511 do bias[id] = -math.huge end -- only byte tokens are left
    for seed = 1, 6 do
        local got = ""
        local stream = m:stream(t.prompt, {
            temperature = 2, top_k = 0, top_p = 1, min_p = 0, seed = seed, max_tokens = 60, logit_bias = bias,
        })
        for piece in stream do
            t.check(#piece > 0)
            got = got .. piece
        end
        t.equal(got, stream:result().text)
    end
end)

t.test("logprobs", function()
    local got, result = m:generate(t.prompt, copy(greedy, { logprobs = 3, max_tokens = 6 }))
    t.check(got)
    t.equal(#result.logprobs, 6)
    for i, entry in ipairs(result.logprobs) do
        t.equal(entry.id, t.best[i])
        t.check(entry.logprob <= 0)
        t.equal(#entry.top, 3)
        t.equal(entry.top[1][1], entry.id)
        t.check(entry.top[1][2] >= entry.top[2][2] and entry.top[2][2] >= entry.top[3][2])
        t.check(math.abs(entry.top[1][2] - entry.logprob) < 1e-5)
    end
    local n = 0
    for _, info in m:stream(t.prompt, copy(greedy, { logprobs = 1, max_tokens = 6 })) do
        n = n + 1
        t.check(info.logprob <= 0, info.logprob)
    end
    t.equal(n, 6)
    result = select(2, m:generate(t.prompt, copy(greedy, { max_tokens = 2 })))
    t.equal(result.logprobs, nil)
end)

t.test("speculative changes no text", function()
    for _, temperature in ipairs { 0, 0.6 } do
        local options = { temperature = temperature, seed = 3, max_tokens = 60 }
        local prompt = ("Once upon a time there was a little girl. "):rep(2)
        local s = assert(m:session())
        local plain, result = s:generate(prompt, options)
        options.speculative = true
        local other = assert(m:session())
        local same, tried = other:generate(prompt, options)
        t.equal(same, plain, temperature)
        t.equal(tried.tokens, result.tokens)
        t.same(other:tokens(), s:tokens())
        options.max_tokens = 5
        t.equal(other:generate("", options), s:generate("", options))
        s:close()
        other:close()
    end
end)

-- Places where four tokens stand that stood before, none of them one at which a repetition ends.
local function repetitions(ids)
    local seen, n = {}, 0
    for i = 4, #ids do
        local four = table.concat(ids, " ", i - 3, i)
        local plain = true
        for k = i - 3, i do plain = plain and m:detokenize { ids[k] }:find "^[^\n:\"*]+$" end
        if plain and seen[four] then n = n + 1 end
        seen[four] = true
    end
    return n
end

t.test("dry, xtc, mirostat", function()
    local function run(options)
        local s = assert(m:session())
        local got = assert(s:generate("Once upon a time", copy(endless, options)))
        local ids = s:tokens()
        s:close()
        return got, ids
    end
    local plain, ids = run {}
    t.check(repetitions(ids) > 5, repetitions(ids))
    local dry, others = run { dry = { multiplier = 1000, length = 3 } }
    t.equal(repetitions(others), 0, dry)
    t.equal(run { dry = { multiplier = 1000, length = 3 }, speculative = true }, dry)
    t.equal(run { dry = { multiplier = 0 }, xtc = {}, mirostat = {} }, plain) -- temperature 0: the best token
    local all = { { xtc = {} }, { xtc = { probability = 1, threshold = 0 } }, { mirostat = {} }, { dry = {} } }
    for _, options in ipairs(all) do
        local sampled = copy(options, { temperature = 1, seed = 5, max_tokens = 60 })
        local got = run(sampled)
        t.equal(run(sampled), got)
        t.equal(run(copy(sampled, { speculative = true })), got)
        t.check(got ~= run { temperature = 1, seed = 5, max_tokens = 60 } or options.dry, got)
    end
    local s = assert(m:session { xtc = { probability = 2 / 3 }, mirostat = { tau = 4 } })
    t.check(s:generate("Once", { max_tokens = 2 }))
    t.raises("xtc", m.session, m, { xtc = { probability = 2 } })
    s:close()
end)

t.test("sampling", function()
    local base = { temperature = 1, seed = 3, max_tokens = 20 }
    local function run(options) return (m:generate(t.prompt, copy(base, options))) end
    local best = run { temperature = 0 }
    t.equal(run { top_k = 1 }, best)
    t.equal(run { top_p = 1e-9 }, best)
    t.equal(run { top_p = 0 }, best)
    t.equal(run { min_p = 1 }, best)
    t.equal(run { temperature = 1e-6 }, best)
    t.check(not run { temperature = 0, logit_bias = { [432] = -math.huge } }:find ",")
    t.check(run { temperature = 0, repeat_penalty = 1.3 })
    t.check(run { presence_penalty = 1, frequency_penalty = 1, penalty_last_n = 8 })
    t.check(run { top_k = 0, top_p = 1, min_p = 0, typical_p = 0.9 })
    t.check(run { temperature = 1e30 } and run { temperature = 3e38 })
    t.check(run { penalty_last_n = 0, repeat_penalty = 2, temperature = 0 } == best)
end)

t.test("yield = true in a coroutine", function()
    local yields, result = 0, nil
    local thread = coroutine.create(function()
        local got = m:generate(t.prompt, copy(greedy, { yield = true }))
        local pieces = {}
        for piece in m:stream(t.prompt, copy(greedy, { yield = true })) do pieces[#pieces + 1] = piece end
        result = { got, table.concat(pieces) }
    end)
    local limit = llm.clock() + 60
    while coroutine.status(thread) ~= "dead" and llm.clock() < limit do
        assert(coroutine.resume(thread))
        yields = yields + 1
        llm.update(1)
    end
    t.check(yields > 3, yields)
    t.same(result, { text, text })
    t.equal(m:generate(t.prompt, copy(greedy, { yield = true })), text) -- outside one it waits
end)

t.test("no call yields without it", function()
    local thread = coroutine.create(function() return m:generate(t.prompt, greedy) end)
    local _, got = coroutine.resume(thread)
    t.equal(got, text)
    t.equal(coroutine.status(thread), "dead")
end)

t.test("update keeps to its budget", function()
    local s = assert(m:session())
    local g = assert(s:start(t.prompt, endless))
    local worst = 0
    for _ = 1, 50 do
        local started = llm.clock()
        llm.update(0)
        worst = math.max(worst, llm.clock() - started)
    end
    t.check(worst < 0.5, worst)
    g:cancel()
    t.check(drain())
    s:close()
end)

m:close()

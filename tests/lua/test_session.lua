local t = ...
local m = t.exact { context = 256 }
local greedy = { temperature = 0, max_tokens = #t.best }

local function joined(a, b)
    local all = {}
    for _, x in ipairs(a) do all[#all + 1] = x end
    for _, x in ipairs(b) do all[#all + 1] = x end
    return all
end

t.test("feed, length, tokens, capacity", function()
    local s = assert(m:session())
    t.equal(s.length, 0)
    t.equal(s.capacity, 256)
    t.same(s:tokens(), {})
    t.equal(s:feed "Once upon a time", 5)
    t.same(s:tokens(), t.prompt)
    t.equal(s:feed { 432, 383 }, 7)
    t.equal(s.length, 7)
    t.equal(s.nothing, nil)
    t.raises("", function() s.length = 3 end)
    local short = assert(m:session { context = 16 })
    t.equal(short.capacity, 16)
    s:close()
    short:close()
end)

t.test("generate goes on after what is held", function()
    local s = assert(m:session())
    s:feed(t.prompt)
    local text, result = s:generate("", greedy)
    t.equal(text, m:detokenize(t.best))
    t.same(s:tokens(), joined(t.prompt, t.best))
    t.equal(result.finish, "length")
    t.equal(result.tokens, #t.best)
    t.equal(s.result.text, text)
    s:close()
end)

t.test("fed at once or bit by bit, the same", function()
    local a, b = assert(m:session()), assert(m:session())
    local ids = joined(t.prompt, t.best)
    a:feed(ids)
    for _, id in ipairs(ids) do b:feed { id } end
    t.equal(a:logits(1)[1][1], b:logits(1)[1][1])
    t.equal(a:generate("", { temperature = 0, max_tokens = 20 }), b:generate("", { temperature = 0, max_tokens = 20 }))
    a:close()
    b:close()
end)

t.test("logits", function()
    local s = assert(m:session())
    t.raises("", s.logits, s, 1) -- nothing to go on from
    s:feed(t.prompt)
    local best = s:logits(512)
    t.equal(#best, 512)
    t.equal(best[1][1], t.best[1])
    for i = 2, #best do t.check(best[i][2] <= best[i - 1][2], i) end
    t.equal(#s:logits(100000), 512)
    t.equal(#s:logits "raw", 4 * 512)
    if string.unpack then
        local raw = s:logits "raw"
        for i = 1, 512, 37 do t.equal((string.unpack("<f", raw, best[i][1] * 4 + 1)), best[i][2]) end
    end
    t.equal(s.length, 5)
    t.raises("logits", s.logits, s, 0)
    t.raises("logits", s.logits, s, 1.5)
    t.raises("logits", s.logits, s, "cooked")
    t.equal(#s:logits(), 10)
    local job = s:logits(1, { async = true })
    t.equal(select(2, job:wait(10))[1][1], t.best[1])
    s:close()
end)

t.test("truncate and reset", function()
    local s = assert(m:session())
    s:feed(t.prompt)
    local text = s:generate("", greedy)
    s:truncate(5)
    t.same(s:tokens(), t.prompt)
    t.equal(s:logits(1)[1][1], t.best[1])
    t.equal(s:generate("", greedy), text)
    s:truncate(20)
    s:truncate(20)
    t.equal(s.length, 20)
    local rest = { temperature = 0, max_tokens = #t.prompt + #t.best - 20 }
    s:generate("", rest)
    t.same(s:tokens(), joined(t.prompt, t.best))
    s:reset()
    t.equal(s.length, 0)
    t.equal(s:generate(t.prompt, greedy), text)
    for _, n in ipairs { -1, 54, 1.5, 1 / 0, 0 / 0, "5" } do
        if n ~= "5" then t.raises("truncate", s.truncate, s, n) end
    end
    t.raises("truncate", s.truncate, s)
    t.raises("truncate", s.truncate, s, {})
    s:close()
end)

t.test("forks part", function()
    local s = assert(m:session { temperature = 0, max_tokens = 10 })
    s:feed(t.prompt)
    local f = assert(s:fork())
    t.same(f:tokens(), s:tokens())
    local a = s:generate ""
    t.equal(f:generate "", a) -- the options of a session go along
    f:feed { 261 }
    t.equal(s.length, 15)
    t.equal(f.length, 16)
    local g = assert(f:fork())
    s:close()
    t.equal(f:generate("", greedy), g:generate("", greedy))
    f:close()
    t.check(g:generate("", { max_tokens = 3 }))
    g:close()
end)

t.test("a tree of forks shares what it has in common", function()
    local small = t.exact { context = 64, kv_tokens = 1024 }
    local root = assert(small:session())
    root:feed(t.prompt)
    local leaves = {}
    for i = 1, 12 do leaves[i] = assert(root:fork()) end
    local wanted = small:detokenize { 432, 383, 286, 261 }
    for i = 1, 12 do t.equal(leaves[i]:generate("", { temperature = 0, max_tokens = 4 }), wanted) end
    small:close()
end)

t.test("the context is full", function()
    local s = assert(m:session { context = 32 })
    local long = {}
    for i = 1, 33 do long[i] = 300 + i end
    t.fails("context_full", s:feed(long))
    t.equal(s.length, 0)
    t.fails("context_full", s:generate(long))
    t.fails("context_full", s:start(long))
    t.equal(s.length, 0)
    long[33] = nil
    t.equal(s:feed(long), 32)
    t.fails("context_full", s:feed { 300 })
    local text, result = s:generate("", { temperature = 0 })
    if text then t.equal(result.finish, "length") end
    s:truncate(28)
    text, result = s:generate("", { temperature = 0, logit_bias = { [2] = -math.huge } })
    t.check(text)
    t.equal(result.finish, "length")
    t.check(s.length <= 32, s.length)
    s:close()
end)

t.test("an option of the session, and of the call over it", function()
    local s = assert(m:session { temperature = 0, max_tokens = 3, stop = "zebra" })
    local _, result = s:generate(t.prompt)
    t.equal(result.tokens, 3)
    _, result = s:generate("", { max_tokens = 5 })
    t.equal(result.tokens, 5)
    t.raises("unknown option", m.session, m, { contxt = 5 })
    t.raises("temperature", m.session, m, { temperature = -1 })
    t.raises("options", m.session, m, "x")
    s:close()
end)

t.test("feed's misuse raises", function()
    local s = assert(m:session())
    for _, prompt in ipairs { { 512 }, { -1 }, { 1.5 }, { "x" }, { 1, false }, { 2 ^ 40 } } do
        t.raises("feed", s.feed, s, prompt)
    end
    t.raises("feed", s.feed, s)
    t.raises("feed", s.feed, s, 5)
    t.raises("async", s.feed, s, "x", { async = 1 })
    t.raises("unknown option", s.feed, s, "x", { temperature = 1 })
    t.equal(s.length, 0)
    s:close()
end)

t.test("feed as a job", function()
    local s = assert(m:session())
    local job = s:feed(t.prompt, { async = true })
    local state, length = job:wait(30)
    t.equal(state, "done")
    t.equal(length, 5)
    t.equal(select(2, job:poll()), 5)
    job:close()
    job:close()
    t.raises("closed llm.job", job.poll, job)
    local n = 0
    coroutine.wrap(function() n = s:feed({ 300 }, { yield = true }) end)()
    t.check(n == 6 or n == 0, n)
    s:close()
end)

t.test("choose", function()
    local index, choice, logs = m:choose("Once upon a time", { " zebra", ", there was", " ball" })
    t.equal(index, 2)
    t.equal(choice, ", there was")
    t.equal(#logs, 3)
    for i = 1, 3 do t.check(logs[i] <= 0 and logs[i] <= logs[2], logs[i]) end
    local _, _, sum = m:choose(t.prompt, { { 432, 383, 286 }, { 432 } })
    local _, _, mean = m:choose(t.prompt, { { 432, 383, 286 }, { 432 } }, { normalize = true })
    t.check(math.abs(mean[1] - sum[1] / 3) < 1e-6, mean[1], sum[1])
    t.check(math.abs(mean[2] - sum[2]) < 1e-6, mean[2], sum[2])
    local job = m:choose("Once", { "a", "b" }, { async = true })
    t.equal(job:wait(60), "done")
    t.raises("choices", m.choose, m, "x", {})
    t.raises("choose", m.choose, m, "x")
    t.raises("choose", m.choose, m, "x", { 5 })
    t.raises("normalize", m.choose, m, "x", { "a" }, { normalize = 1 })
end)

m:close()

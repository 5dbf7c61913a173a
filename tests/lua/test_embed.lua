local t = ...
local llm = require "llm"
local m = t.exact { context = 64 }

local function dot(a, b)
    local sum = 0
    for i = 1, #a do sum = sum + a[i] * b[i] end
    return sum
end

local function near(a, b)
    local most = 0
    for i = 1, #b do most = math.max(most, math.abs(a[i] - b[i])) end
    return t.check(#a == #b and most < 1e-5, #a, #b, most)
end

t.test("one text, and a list", function()
    local one = assert(m:embed "Once upon a time")
    t.equal(#one, m.info.embedding)
    t.check(math.abs(dot(one, one) - 1) < 1e-5, dot(one, one))
    local list = assert(m:embed { "Once upon a time", "", "The dog" })
    t.equal(#list, 3)
    near(list[1], one)
    t.check(dot(list[1], list[3]) < 0.999)
    t.equal(#m:embed {}, 0)
    near(m:embed({ t.prompt })[1], one) -- ids, taken exactly
end)

t.test("pooling", function()
    local whole = assert(m:embed("Once upon a time", { normalize = false }))
    near(m:embed("Once upon a time", { normalize = false, pooling = "last" }), whole)
    near(m:embed({ { 1 } }, { normalize = false, pooling = "last" })[1],
        m:embed("Once upon a time", { normalize = false, pooling = "cls" }))
    local mean = m:embed("Once upon a time", { normalize = false, pooling = "mean" })
    local sum = {}
    for n = 1, #t.prompt do
        local prefix = {}
        for i = 1, n do prefix[i] = t.prompt[i] end
        for k, v in ipairs(m:embed({ prefix }, { normalize = false })[1]) do sum[k] = (sum[k] or 0) + v / #t.prompt end
    end
    near(mean, sum)
    t.check(math.abs(dot(whole, whole) - 1) > 1e-3)
end)

t.test("what does not go", function()
    local nothing, message, code = m:embed { "a", ("word "):rep(100) }
    t.fails("context_full", nothing, message, code)
    t.check(message:find "text 2", message)
    t.raises("embed", m.embed, m)
    t.raises("embed", m.embed, m, 5)
    t.raises("embed", m.embed, m, { 1, 2, 3 })
    t.raises("prompt", m.embed, m, { true })
    t.raises("empty", m.embed, m, { {} })
    t.raises("pooling.*mean", m.embed, m, "a", { pooling = "max" })
    t.raises("normalize", m.embed, m, "a", { normalize = 1 })
    t.raises("did you mean 'pooling'", m.embed, m, "a", { poling = "mean" })
    local closed = t.exact { context = 64 }
    local job = closed:embed("a", { async = true })
    closed:close()
    t.fails("closed", job:wait(10))
    t.raises("closed", closed.embed, closed, "a")
    local vocab = assert(llm.load(t.stories, { vocab_only = true }))
    t.fails("unsupported", vocab:embed "a")
    vocab:close()
end)

t.test("as a job", function()
    local texts = { "Once upon a time", "The dog", "a" }
    local expected = m:embed(texts)
    local job = m:embed(texts, { async = true })
    local state, value, last = job:poll()
    t.equal(state, "running")
    while state == "running" do
        t.check(value >= (last or 0) and value < 1, value)
        last = value
        llm.update(1)
        state, value = job:poll()
    end
    t.equal(state, "done")
    for i = 1, 3 do near(value[i], expected[i]) end
    t.equal(select(2, job:wait()), value)
    job:close()
    job = m:embed(texts, { async = true })
    job:cancel()
    t.fails("cancelled", job:wait(10))
    t.fails("context_full", m:embed(("word "):rep(100), { async = true }):wait(10))
    m:embed(texts, { async = true }):close()
    m:embed(texts, { async = true })
    collectgarbage()
    near(m:embed "a", expected[3])
end)

t.test("choosing as a job", function()
    local index, choice, logs = m:choose(t.prompt, { " zebra", ", there was" })
    local job = m:choose(t.prompt, { " zebra", ", there was" }, { async = true })
    t.equal(job:poll(), "running")
    local state, i, c, l = job:wait()
    t.equal(state, "done")
    t.equal(i, index)
    t.equal(c, choice)
    t.same(l, logs)
    t.equal(select(3, job:poll()), choice)
end)

t.test("a job in a coroutine yields and does not spin", function()
    local yields, thread = 0, coroutine.create(function() return m:embed({ "Once", "The dog" }, { yield = true }) end)
    local ok, value
    while coroutine.status(thread) ~= "dead" do
        ok, value = coroutine.resume(thread)
        yields = yields + 1
        assert(ok, value)
    end
    t.equal(#value, 2)
    t.check(yields >= 2 and yields < 1000, yields)
end)

t.test("restoring and logits as jobs compute what is missing", function()
    local s = assert(m:session())
    s:feed(t.prompt)
    local best = s:logits()
    t.equal(#best, 10)
    local small = assert(s:save { kv = false })
    local job = m:restore(small, { async = true })
    t.equal(job:poll(), "running")
    local state, again = job:wait()
    t.equal(state, "done")
    t.same(again:tokens(), t.prompt)
    job = again:logits(3, { async = true })
    local value
    state, value = job:wait()
    t.equal(state, "done")
    t.equal(value[1][1], best[1][1])
    t.raises("logits", again.logits, again, 0, { async = true })
    again:close()
    s:close()
end)

m:close()

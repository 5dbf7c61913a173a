local t = ...
local llm = require "llm"
local m = t.exact { context = 96 }
m.info.chat_template = "{% for x in messages %}{{ x.role }}: {{ x.content }}\n{% endfor %}"
    .. "{% if add_generation_prompt %}bot:{% endif %}"
local greedy = { temperature = 0, max_tokens = 10 }

local function options(more)
    local all = { temperature = 0, max_tokens = 10, overflow = "drop" }
    for name, value in pairs(more or {}) do all[name] = value end
    return all
end

local function roles(list)
    local out = {}
    for i, message in ipairs(list) do out[i] = message.role:sub(1, 1) end
    return table.concat(out)
end

t.test("stop is the default", function()
    local s = assert(m:session())
    local text, result = s:generate("Once upon a time", { temperature = 0 })
    t.check(text and result.finish ~= "error" and s.length <= 96, result.finish)
    t.fails("context_full", s:generate(("word "):rep(90)))
    t.raises("overflow", s.generate, s, "a", { overflow = "drip" })
    t.raises("overflow", s.generate, s, "a", { overflow = 5 })
    t.raises("overflow", m.session, m, { overflow = true })
    s:close()
end)

t.test("a text goes on where it would have ended", function()
    local s = assert(m:session())
    local long, result = s:generate("Once upon a time", options { max_tokens = 200, logit_bias = { [2] = -100 } })
    t.equal(result.finish, "length")
    t.equal(result.tokens, 200)
    t.check(s.length <= 96, s.length)
    t.equal(s:tokens()[1], 1) -- the beginning token stays
    local whole = t.exact { context = 512 }
    local other = whole:generate("Once upon a time", { temperature = 0, max_tokens = 80, logit_bias = { [2] = -100 } })
    t.equal(long:sub(1, #other), other)
    whole:close()
    -- pieces are the text, and the seed decides alone
    local pieces = {}
    local again = assert(m:session())
    for piece in again:stream("Once upon a time", options { max_tokens = 200, logit_bias = { [2] = -100 } }) do
        pieces[#pieces + 1] = piece
    end
    t.equal(table.concat(pieces), long)
    t.same(again:tokens(), s:tokens())
    t.equal((m:generate("Once upon a time", options { max_tokens = 200, logit_bias = { [2] = -100 } })), long)
    -- without max_tokens, as many as the context holds
    local _, unbounded = again:generate("", { overflow = "drop", temperature = 0, logit_bias = { [2] = -100 } })
    t.equal(unbounded.tokens, 96)
    again:close()
    s:close()
end)

t.test("what was fed first stays", function()
    local s = assert(m:session { overflow = "drop" })
    local fed = assert(s:feed "Lily had a red ball. ")
    local first = s:tokens()
    s:generate("Once", options { max_tokens = 150, logit_bias = { [2] = -100 } })
    local held = s:tokens()
    for i = 1, fed do t.equal(held[i], first[i], i) end
    t.check(s:feed(("a "):rep(60)), s.length)
    t.check(s:feed(("b "):rep(60)), s.length)
    t.fails("context_full", s:feed(("c "):rep(200)))
    s:close()
end)

t.test("the oldest exchanges go, the system prompt stays", function()
    local s = assert(m:session(options { system = "Be kind.", max_tokens = 12 }))
    for i = 1, 8 do
        local reply, result = s:chat("Tell me of " .. i)
        t.check(reply, i, result)
        t.check(s.length <= 96, s.length)
        local list = s:messages()
        t.equal(list[1].role, "system")
        t.equal(list[#list - 1].content, "Tell me of " .. i)
        t.check(roles(list):match "^s[ua]+$" and roles(list):find "^sua", roles(list))
    end
    t.check(#s:messages() < 17, #s:messages())
    -- the tokens are those of the messages that are left
    local text = m:template(s:messages(), { add_generation_prompt = false })
    t.check(text:find("Be kind", 1, true) and not text:find("of 1\n", 1, true), text)
    s:undo()
    t.equal(s:messages()[#s:messages()].role, "assistant")
    s:close()
end)

t.test("while it answers", function()
    local s = assert(m:session(options { max_tokens = 8, logit_bias = { [2] = -100 } }))
    s:chat "One"
    s:chat "Two"
    local before = #s:messages()
    local parts = {}
    for piece in s:chat_stream("Three", { max_tokens = 60 }) do parts[#parts + 1] = piece end
    t.equal(s.result.tokens, 60)
    local list = s:messages()
    t.check(#list < before + 2, #list, before)
    t.equal(list[#list].content, table.concat(parts))
    t.equal(list[#list - 1].content, "Three")
    t.check(s:chat "Four")
    s:close()
end)

t.test("one exchange that is too long", function()
    local s = assert(m:session(options()))
    t.fails("context_full", s:chat(("word "):rep(100)))
    t.equal(#s:messages(), 0)
    local reply, result = s:chat("a", { max_tokens = 500, logit_bias = { [2] = -100 } })
    t.check(reply, result)
    t.equal(result.finish, "length")
    t.equal(s.length, 96)
    s:close()
end)

t.test("a function", function()
    local calls, s = 0, assert(m:session())
    local function shorten(of)
        calls = calls + 1
        t.equal(of, s)
        t.equal(s.length, 96)
        t.fails("busy", s:fork())
        t.fails("busy", s:start "x")
        s:truncate(40)
    end
    local text, result = s:generate("Once", { temperature = 0, max_tokens = 150, overflow = shorten,
        logit_bias = { [2] = -100 } })
    t.check(text, result)
    t.equal(result.tokens, 150)
    t.equal(calls, 1)
    t.equal(s:truncate(s.length), s.length)
    -- one that does nothing ends it
    s:reset()
    text, result = s:generate("Once", { temperature = 0, overflow = function() end, max_tokens = 200,
        logit_bias = { [2] = -100 } })
    t.check(text, result)
    t.equal(result.finish, "length")
    t.equal(s.length, 96)
    -- and so does one that leaves nothing
    s:reset()
    text, result = s:generate("Once", { temperature = 0, overflow = function() s:reset() end, max_tokens = 200,
        logit_bias = { [2] = -100 } })
    t.check(text, result)
    t.equal(s.length, 0)
    s:close()
end)

t.test("a function of a chat", function()
    local s = assert(m:session(greedy))
    local function last_only(of)
        local list = of:messages()
        of:messages { list[#list] }
    end
    for i = 1, 6 do
        local reply, result = s:chat("Tell me of " .. i, { overflow = last_only, max_tokens = 20 })
        t.check(reply, i, result)
        local list = s:messages()
        t.equal(list[#list - 1].content, "Tell me of " .. i)
    end
    t.check(#s:messages() < 12, #s:messages())
    s:close()
end)

t.test("an error in a function", function()
    local s = assert(m:session())
    local bad = { temperature = 0, max_tokens = 200, overflow = function() error "from overflow" end,
        logit_bias = { [2] = -100 } }
    t.raises("from overflow", s.generate, s, "Once", bad)
    t.equal(s.result.code, "callback")
    t.equal(s.result.finish, "error")
    s:reset()
    local g = assert(s:start("Once", bad))
    while not select(2, g:poll()) do llm.update(5) end
    t.equal(g:result().code, "callback")
    t.check(s:truncate(3))
    s:close()
end)

t.test("cancelling and closing in between", function()
    for round = 1, 2 do
        local s
        s = assert(m:session())
        local g = assert(s:start("Once", { temperature = 0, max_tokens = 300, logit_bias = { [2] = -100 },
            overflow = function(of)
                if round == 1 then of:cancel() else of:close() end
                if round == 1 then of:truncate(20) end
            end }))
        local limit = llm.clock() + 60
        while not g:wait(0.05) and llm.clock() < limit do llm.update(1) end
        t.equal(g:result().finish, "cancelled", round)
        if round == 1 then t.check(s:generate("", greedy)) end
        s:close()
    end
end)

m:close()

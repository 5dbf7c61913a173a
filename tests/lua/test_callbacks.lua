local t = ...
local llm = require "llm"
local m = t.exact { context = 128 }
local options = { temperature = 0, max_tokens = 12 }

local function with(more)
    local all = {}
    for k, v in pairs(options) do all[k] = v end
    for k, v in pairs(more) do all[k] = v end
    return all
end

local plain = m:generate(t.prompt, options)

t.test("on_piece sees every piece", function()
    local pieces = {}
    local text = m:generate(t.prompt, with { on_piece = function(piece, info)
        pieces[#pieces + 1] = piece
        t.check(type(info) == "table" and type(info.id) == "number", info)
    end })
    t.equal(text, plain)
    t.equal(table.concat(pieces), plain)
end)

t.test("false cancels, nil does not", function()
    local n = 0
    local text, result = m:generate(t.prompt, with { on_piece = function()
        n = n + 1
        if n == 3 then return false end
    end })
    t.equal(n, 3)
    t.equal(result.finish, "cancelled")
    t.equal(plain:sub(1, #text), text)
end)

t.test("an error comes back where the call waits", function()
    t.raises("from the piece", m.generate, m, t.prompt, with { on_piece = function() error "from the piece" end })
    local value = {}
    local ok, err = pcall(m.generate, m, t.prompt, with { on_piece = function() error(value) end })
    t.check(not ok and err == value, err)
    ok = pcall(m.generate, m, t.prompt, with { on_piece = function() error() end })
    t.check(not ok)
    t.raises("from progress", t.load, { progress = function() error "from progress" end })
    t.raises("from read", t.load, { size = 5000, read = function() error "from read" end })
    t.equal(m:generate(t.prompt, options), plain)
end)

t.test("update, poll and loops give the code instead", function()
    local s = assert(m:session())
    local g = assert(s:start(t.prompt, with { on_piece = function() error "from the piece" end }))
    for _ = 1, 10000 do if not llm.update(5) then break end end
    t.check(select(2, g:poll()))
    t.equal(g:result().finish, "error")
    t.equal(g:result().code, "callback")
    t.check(g:result().error:find "from the piece", g:result().error)
    for _ in s:stream("", with { on_piece = function() error "again" end }) do t.check(true) end
    t.equal(s.result.code, "callback")
    t.check(s:generate("", options))
    s:close()
    local job = assert(llm.load_async(t.stories, t.options { progress = function() error "from progress" end }))
    t.fails("callback", job:wait(60))
end)

t.test("blocking calls inside one raise, update returns", function()
    local s = assert(m:session())
    local other = assert(m:session())
    local seen = 0
    local text = s:generate(t.prompt, with { on_piece = function()
        seen = seen + 1
        if seen > 1 then return end
        t.raises("callback", m.generate, m, "x")
        t.raises("callback", m.stream, m, "x")
        t.raises("callback", other.generate, other, "x")
        t.raises("callback", other.feed, other, "x")
        t.raises("callback", other.save, other)
        t.raises("callback", m.choose, m, "x", { "a" })
        t.raises("callback", m.restore, m, "x")
        t.raises("callback", llm.load, t.stories, t.options())
        local started = llm.clock()
        llm.update(5000)
        t.check(llm.clock() - started < 1)
        t.equal(#m:tokenize "Once upon a time", 4)
    end })
    t.equal(text, plain)
    s:close()
    other:close()
end)

t.test("cancel and close inside one take effect on return", function()
    local s = assert(m:session())
    local g, closed
    g = assert(s:start(t.prompt, { temperature = 0, max_tokens = 60, on_piece = function() g:cancel() end }))
    t.equal(g:wait(30), true)
    t.equal(g:result().finish, "cancelled")
    g = assert(s:start("", { temperature = 0, max_tokens = 60, on_piece = function()
        if not closed then s:close() end
        closed = true
    end }))
    for _ = 1, 10000 do if not llm.update(5) then break end end
    t.check(closed)
    t.check(tostring(s):find "closed", tostring(s))
    t.equal(g:result().finish, "cancelled")
    local other = t.exact { context = 64 }
    s = assert(other:session())
    closed = false
    g = assert(s:start(t.prompt, { temperature = 0, max_tokens = 30, on_piece = function()
        if not closed then other:close() end
        closed = true
    end }))
    for _ = 1, 10000 do if not llm.update(5) then break end end
    t.check(closed and tostring(other):find "closed", tostring(other))
    t.check(tostring(s):find "closed", tostring(s))
    g:close()
end)

t.test("a callback cannot yield", function()
    local thread = coroutine.create(function()
        return m:generate(t.prompt, with { on_piece = function() coroutine.yield(1) end })
    end)
    local ok, err = coroutine.resume(thread)
    t.check(not ok and tostring(err):find "yield", err)
    t.equal(coroutine.status(thread), "dead")
    t.equal(m:generate(t.prompt, options), plain)
end)

t.test("it runs on the coroutine of the call", function()
    local inside
    local thread = coroutine.create(function()
        m:generate(t.prompt, with { on_piece = function() inside = coroutine.running() end })
    end)
    assert(coroutine.resume(thread))
    t.equal(inside, thread)
end)

t.test("collecting inside one", function()
    for _ = 1, 20 do m:session() end
    local text = m:generate(t.prompt, with { on_piece = function()
        m:session()
        collectgarbage()
    end })
    t.equal(text, plain)
    local n = 0
    assert(t.load { progress = function() n = n + 1 collectgarbage() end }):close()
    t.check(n >= 1)
end)

m:close()

local t = ...
local llm = require "llm"
local options = { temperature = 0, max_tokens = 3 }

local methods = {
    model = {
        "tokenize", "detokenize", "count", "generate", "stream", "session", "choose", "restore", "template", "embed",
        "suspend", "resume",
    },
    session = {
        "generate", "stream", "start", "feed", "logits", "tokens", "truncate", "reset", "fork", "save", "cancel",
        "chat", "chat_start", "chat_stream", "messages", "edit", "undo", "regenerate",
    },
    generation = { "poll", "wait", "cancel", "result" },
    job = { "poll", "wait", "cancel" },
}

-- One open object of every kind, and what they hang on.
local function objects()
    local m = assert(t.load { context = 64 })
    local s = assert(m:session())
    local g = assert(s:start("Once", options))
    local job = assert(llm.load_async(t.stories, t.options()))
    return { model = m, session = s, generation = g, job = job }
end

local function close_all(all)
    for _, kind in ipairs { "job", "generation", "session", "model" } do all[kind]:close() end
    while llm.update(5) do llm.sleep(0) end
end

t.test("names", function()
    local all = objects()
    for kind, object in pairs(all) do
        t.equal(type(object), "userdata")
        t.check(tostring(object):find("^llm%." .. kind), tostring(object))
        t.check(not tostring(object):find "closed", tostring(object))
        t.check(type(getmetatable(object)) ~= "table")
        for _, name in ipairs(methods[kind]) do t.equal(type(object[name]), "function", kind, name) end
        t.equal(object.no_such_method, nil)
        t.equal(object[1], nil)
        t.raises("", function() object.x = 1 end)
    end
    close_all(all)
end)

t.test("every method of every closed object raises", function()
    local all = objects()
    close_all(all)
    close_all(all)
    for kind, object in pairs(all) do
        t.check(tostring(object):find "closed", tostring(object))
        for _, name in ipairs(methods[kind]) do
            local method = object[name] -- looking it up does not
            t.raises("attempt to use a closed llm%." .. kind, method, object, "x", {}, {})
            t.raises("attempt to use a closed llm%." .. kind, method, object)
        end
    end
    t.raises("closed llm.model", function() return all.model.info end)
    for _, name in ipairs { "length", "capacity", "result" } do
        t.raises("closed llm.session", function() return all.session[name] end)
    end
end)

t.test("a wrong self raises", function()
    local all = objects()
    for kind, object in pairs(all) do
        for _, name in ipairs(methods[kind]) do
            for _, self in ipairs { {}, "x", 5, io.stdout, kind == "model" and all.session or all.model } do
                t.raises("llm%." .. kind, object[name], self, "x")
            end
            t.raises("llm%." .. kind, object[name])
        end
        t.raises("llm%." .. kind, object.close)
        t.raises("llm%." .. kind, object.close, kind == "model" and all.session or all.model)
    end
    close_all(all)
end)

t.test("closing a model closes its sessions", function()
    local m = assert(t.load { context = 64 })
    local s = assert(m:session())
    s:feed "Once"
    local fork = assert(s:fork())
    local g = assert(fork:start("upon", { max_tokens = 40 }))
    m:close()
    t.raises("closed llm.session", s.feed, s, "x")
    t.raises("closed llm.session", fork.feed, fork, "x")
    t.equal(g:wait(30), true)
    t.equal(g:result().finish, "cancelled")
    t.raises("closed llm.model", m.session, m)
    s:close()
    fork:close()
    g:close()
end)

t.test("a child keeps its parents", function()
    local s = assert(assert(t.load { context = 64 }):session())
    collectgarbage()
    collectgarbage()
    t.check(s:generate("Once", options))
    local g
    do
        local m = assert(t.load { context = 64 })
        g = assert(assert(m:session()):start("Once", options))
    end
    collectgarbage()
    collectgarbage()
    t.equal(g:wait(30), true)
    t.equal(g:result().tokens, 3)
    local stream = assert(t.load { context = 64 }):stream("Once", options)
    collectgarbage()
    collectgarbage()
    local n = 0
    for _ in stream do n = n + 1 end
    t.check(n >= 1 and n <= 3, n)
end)

t.test("every order of letting go", function()
    local orders = {
        { "model", "session", "generation" }, { "model", "generation", "session" },
        { "session", "model", "generation" }, { "session", "generation", "model" },
        { "generation", "model", "session" }, { "generation", "session", "model" },
    }
    for _, closes in ipairs { true, false } do
        for _, order in ipairs(orders) do
            local all = objects()
            all.job:close()
            all.job = nil
            for _, kind in ipairs(order) do
                if closes then all[kind]:close() end
                all[kind] = nil
                collectgarbage()
            end
            local limit = llm.clock() + 30
            while llm.update(5) and llm.clock() < limit do llm.sleep(0) end
            t.equal(llm.update(0), false)
        end
    end
end)

t.test("to be closed", function()
    local compile = load or loadstring -- luacheck: ignore
    local chunk = compile [[
        local all = ...
        local m <close> = all.model
        local s <close> = all.session
        local g <close> = all.generation
        local j <close> = all.job
    ]]
    if not chunk then return end -- before Lua 5.4
    local all = objects()
    chunk(all)
    for _, object in pairs(all) do t.check(tostring(object):find "closed", tostring(object)) end
    while llm.update(5) do llm.sleep(0) end
    local m = assert(t.load { context = 64 })
    for _ in m:stream("Once", { max_tokens = 60 }) do break end -- luacheck: ignore 512
    local limit = llm.clock() + 5
    while llm.update(5) and llm.clock() < limit do llm.sleep(0) end
    t.equal(llm.update(0), false) -- the loop closed its iterator, not the collector
    m:close()
end)

t.test("leaving with work in flight", function()
    local program = os.tmpname()
    local interpreter = arg[-1] or "lua"
    local ways = { ["os.exit(0)"] = true, ["os.exit(0, true)"] = true, ["error 'x'"] = false, [""] = true }
    for how, wanted in pairs(ways) do
        local file = assert(io.open(program, "w"))
        file:write(([[
            local llm = require "llm"
            local m = assert(llm.load(%q))
            local g = assert(m:session()):start("Once upon a time", { max_tokens = 200 })
            local job = llm.load_async(%q)
            llm.update(1)
            %s
        ]]):format(t.stories, t.stories, how))
        file:close()
        local status = os.execute(interpreter .. " " .. program .. " 2>/dev/null")
        t.equal(status == true or status == 0, wanted, how)
    end
    os.remove(program)
end)

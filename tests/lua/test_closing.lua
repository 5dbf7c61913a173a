local check = require "check"
local llm = require "llm"
local area = {}

function area.objects(context)
    local m = assert(llm.load(context.model, { device = context.device }))
    local s, s2 = m:session(), m:session()
    local g = s:start("Once", { max_tokens = 100 })
    for _, object in ipairs { m, s, g } do
        check.ok("tostring", tostring(object):find "^llm%.%a+: ")
        check.equal("its metatable is locked", getmetatable(object), "locked")
    end
    check.raises("a wrong self", "llm.model expected, got table", m.tokenize, {}, "x")
    check.raises("another type's", "llm.session expected, got llm.model", s.feed, m, "x")
    check.raises("close of another type", "llm.session expected", s.close, m)
    check.raises("no self", "llm.session expected, got no value", s.tokens)
    s:close()
    s:close()
    check.equal("ended", g:wait(), true)
    check.equal("as cancelled", g:result().finish, "cancelled")
    check.equal("tostring of a closed one", tostring(s), "llm.session (closed)")
    check.ok("looking up", s.generate)
    for _, name in ipairs { "generate", "stream", "start", "feed", "logits", "tokens", "truncate", "reset", "fork",
        "save", "cancel", "chat" } do
        check.raises(name .. " of a closed one", "attempt to use a closed llm.session", s[name], s, "x")
    end
    check.raises("a field", "attempt to use a closed llm.session", function() return s.length end)
    m:close()
    check.raises("a session of a closed model", "closed llm.session", s2.feed, s2, "x")
    check.raises("info", "closed llm.model", function() return m.info end)
    g:close()
    check.raises("a closed generation", "closed llm.generation", g.poll, g)
end

function area.collection(context)
    local s = assert(llm.load(context.model, { device = context.device })):session()
    collectgarbage()
    collectgarbage()
    check.ok("a session keeps its model", s:generate("Once", { max_tokens = 2 }))
    local g = assert(llm.load(context.model, { device = context.device })):session():start("Once", { max_tokens = 5 })
    collectgarbage()
    collectgarbage()
    check.ok("and a generation its session", g:wait() and g:result().tokens == 5)
    for _ = 1, 3 do
        local m = assert(llm.load(context.model, { device = context.device }))
        m:session():start("Once", { max_tokens = 50, on_piece = function() return m end })
        llm.update(1)
    end
    collectgarbage()
    collectgarbage()
    check.ok("what is in flight can be collected", true)
end

-- Leaving the program in any way, work in flight.
function area.leaving(context)
    for how, wanted in pairs { ["os.exit(0)"] = 0, ["os.exit(0, true)"] = 0, ["error 'x'"] = 1, [""] = 0 } do
        local name = os.tmpname()
        local file = assert(io.open(name, "w"))
        file:write(([[
            local llm = require "llm"
            local m = assert(llm.load(%q))
            keep = m:session():start("Once", { max_tokens = 200 })
            job = llm.load_async(%q)
            llm.update(2)
            %s
        ]]):format(context.model, context.model, how))
        file:close()
        local a, _, code = os.execute(context.interpreter .. " " .. name .. " 2>/dev/null")
        if type(a) == "number" then code = a > 255 and math.floor(a / 256) or a end -- 5.1 gives the system's own number
        check.equal("leaving by " .. (how == "" and "the end" or how), code, wanted)
        os.remove(name)
    end
end

return area

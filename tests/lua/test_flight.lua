local check = require "check"
local llm = require "llm"
local area = {}

function area.generation(context)
    local m = assert(llm.load(context.model, { device = context.device, context = 256 }))
    local s, alone = m:session(), m:generate("Once", { temperature = 0, max_tokens = 20 })
    local g = assert(s:start("Once", { temperature = 0, max_tokens = 20 }))
    for _, name in ipairs { "feed", "generate", "start", "save", "fork", "reset", "truncate", "logits" } do
        local argument = ({ feed = "x", generate = "x", start = "x", truncate = 0, logits = 1 })[name]
        check.fails(name .. " is busy", "busy", s[name](s, argument))
    end
    check.ok("what is not", s.length and s.capacity and s:tokens() and s.result == nil)
    check.equal("no result yet", g:result(), nil)
    check.equal("wait(0)", g:wait(0), false)
    local text, piece, done = "", g:poll()
    while true do
        text = text .. piece
        if done then break end
        llm.update(2)
        piece, done = g:poll()
    end
    check.equal("text", text, alone)
    piece, done = g:poll()
    check.ok("after the end", piece == "" and done == true and g:wait() == true)
    check.equal("one result", g:result(), g:result())
    check.equal("the session's", s.result, g:result())
    g:close()
    check.equal("outlives it", s.result.text, text)

    g = assert(s:start("x", { max_tokens = 200 }))
    llm.update(1)
    s:cancel()
    check.ok("a cancelled session goes on at once", s:generate("x", { max_tokens = 1 }))
    check.equal("cancelled", g:result().finish, "cancelled")
    local count = 0
    for _ in s:stream("y", { max_tokens = 100 }) do
        count = count + 1
        if count == 2 then break end
    end
    check.ok("a broken loop", s:generate("z", { max_tokens = 1 }))
    local job = s:feed(("word "):rep(20), { async = true })
    job:cancel()
    check.fails("a feed cancelled", "cancelled", job:wait())
    m:close()
    check.ok("no work remains", not llm.update(50))
end

return area

local check = require "check"
local llm = require "llm"
local area = {}

function area.pieces(context)
    local m = assert(llm.load(context.model, { device = context.device }))
    local text, n = "", 0
    local whole = m:generate("Once", { temperature = 0, max_tokens = 10, on_piece = function(piece, info)
        n = n + 1
        text = text .. piece
        check.ok("info", info.index >= n)
        check.equal("update returns at once", llm.update(1000), true)
        check.raises("no waiting in here", "inside a callback", m.generate, m, "x")
        check.raises("nor loading", "inside a callback", llm.load, context.model)
    end })
    check.equal("all pieces", text, whole)
    local _, r = m:generate("Once", { on_piece = function() return false end, max_tokens = 50 })
    check.equal("false cancels", r.finish, "cancelled")

    local value = { "an error that is a table" }
    local ok, err = pcall(m.generate, m, "Once", { on_piece = function() error(value) end })
    check.ok("raised again as it was", not ok and err == value, err)
    local s = m:session()
    local g = assert(s:start("Once", { on_piece = function() error "oh no" end }))
    check.equal("wait does not raise", g:wait(), true)
    check.ok("its code", g:result().code == "callback" and g:result().error:find "oh no")
    local pieces = s:stream("Once", { on_piece = function() error "oh no" end })
    repeat local piece = pieces() until not piece
    check.equal("nor does an iterator", pieces:result().code, "callback")

    local closed = m:session()
    g = assert(closed:start("Once", { max_tokens = 50, on_piece = function() closed:close() g:close() end }))
    repeat local more = llm.update(10) until not more
    check.ok("closed inside", tostring(closed):find "closed" and tostring(g):find "closed")
    m:close()
end

function area.loading(context)
    local ok, err = pcall(llm.load, context.model, { progress = function() error "oh no" end })
    check.ok("progress raises", not ok and tostring(err):find "oh no", err)
    ok, err = pcall(llm.load, "x", { size = 100, read = function() error "oh no" end })
    check.ok("read raises", not ok and tostring(err):find "oh no", err)
    local job = llm.load_async(context.model, { progress = function() error "oh no" end })
    check.fails("a job does not", "callback", job:wait())
    local thread
    local co = coroutine.create(function()
        return llm.load(context.model, { progress = function() thread = coroutine.running() end })
    end)
    local _, m = coroutine.resume(co)
    check.equal("on the calling coroutine", thread, co)
    if m then m:close() end
    llm.log("debug", function(level, text) check.ok("log", type(level) == "string" and type(text) == "string") end)
    llm.load(context.model):close()
    llm.log(nil)
end

return area

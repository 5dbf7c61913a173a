local check = require "check"
local llm = require "llm"
local area = {}

local function greedy(more)
    local o = { temperature = 0, max_tokens = 20 }
    for k, v in pairs(more or {}) do o[k] = v end
    return o
end

local function open(context)
    return assert(llm.load(context.model, { device = context.device, context = 128 }))
end

function area.text(context)
    local m = open(context)
    local text, r = m:generate("Once upon a time", greedy())
    check.ok("text", text == r.text and #text > 10, text)
    check.ok("result", r.finish == "length" and r.tokens == 20 and r.prompt_tokens == 5
        and r.cached_tokens == 0 and r.stop == nil)
    check.ok("timings", r.timings.prompt_ms > 0 and r.timings.generate_per_second > 0)
    local pieces, n = {}, 0
    for piece, info in m:stream("Once upon a time", greedy()) do
        n = n + 1
        pieces[n] = piece
        check.ok("a piece", #piece > 0 and info.index >= n and info.id >= 0 and info.logprob == nil)
    end
    check.equal("a stream's text", table.concat(pieces), text)
    local word = text:match "%a+%s%a+"
    local cut, rs = m:generate("Once upon a time", greedy { stop = { "zebra", word } })
    check.ok("stop", rs.finish == "stop" and rs.stop == word and not cut:find(word, 1, true), cut)
    local _, rl = m:generate("Once upon a time", greedy { logprobs = 3, max_tokens = 4 })
    check.equal("logprobs", #rl.logprobs, 4)
    for _, p in ipairs(rl.logprobs) do
        check.ok("best first", #p.top == 3 and p.top[1][1] == p.id and p.top[1][2] >= p.top[2][2] and p.logprob <= 0)
    end
    for _, info in m:stream("Once", greedy { logprobs = 1 }) do check.ok("logprob", info.logprob <= 0) end
    m:close()
end

function area.seeds(context)
    local m = open(context)
    local _, a = m:generate("Once", { max_tokens = 10 })
    check.ok("a seed is told exactly", a.seed >= 0 and a.seed < 2 ^ 53 and a.seed % 1 == 0, a.seed)
    check.equal("and gives the text again", m:generate("Once", { max_tokens = 10, seed = a.seed }), a.text)
    local _, b = m:generate("Once", { max_tokens = 10 })
    check.ok("another call, another seed", a.seed ~= b.seed)
    m:close()
end

function area.streams(context)
    local m = open(context)
    local s = m:session(greedy())
    local iterator = s:stream "Once upon a time"
    check.equal("no result yet", iterator:result(), nil)
    local first = iterator()
    check.ok("called by hand", #first > 0)
    local text = s:generate "The"
    check.ok("the next start cancels it", text and iterator:result().finish == "cancelled")
    check.equal("and it ends", (iterator()), nil)
    check.equal("the session's result", s.result.text, text)
    local refused = s:stream(("word "):rep(300))
    check.equal("a start that fails ends the loop", (refused()), nil)
    check.equal("and says why", refused:result().code, "context_full")
    check.equal("as the session does", s.result.code, "context_full")
    m:close()
end

function area.coroutines(context)
    local yields = 0
    local function drive(f)
        local thread = coroutine.create(f)
        local ok, a, b
        repeat
            ok, a, b = coroutine.resume(thread)
            assert(ok, a)
            if coroutine.status(thread) ~= "dead" then yields = yields + 1 end
        until coroutine.status(thread) == "dead"
        return a, b
    end
    local m = assert(drive(function() return llm.load(context.model, { device = context.device, yield = true }) end))
    check.ok("load yields", yields > 0)
    local plain = m:generate("Once", greedy())
    yields = 0
    check.equal("generate", drive(function() return m:generate("Once", greedy { yield = true }) end), plain)
    check.ok("generate yields", yields > 0)
    yields = 0
    check.equal("stream", drive(function()
        local all = ""
        for piece in m:stream("Once", greedy { yield = true }) do all = all .. piece end
        return all
    end), plain)
    check.ok("stream yields", yields > 0)
    check.equal("outside it waits", m:generate("Once", greedy { yield = true }), plain)
    m:close()
end

function area.choose(context)
    local m = open(context)
    local i, choice, logs = m:choose("Once upon a", { " zebra", " time" })
    check.ok("choose", i == 2 and choice == " time" and logs[2] > logs[1] and logs[2] <= 0)
    local _, _, each = m:choose("Once upon a", { " zebra", " time" }, { normalize = true })
    for k, word in ipairs { " zebra", " time" } do
        check.ok("normalized", math.abs(each[k] * #m:tokenize(word) - logs[k]) < 1e-3, each[k])
    end
    local state, answer = m:choose("Once upon a", { " zebra", " time" }, { async = true }):poll()
    check.ok("as a job", state == "done" and answer[1] == 2 and answer[2] == " time")
    m:close()
end

return area

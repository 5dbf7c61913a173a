local check = require "check"
local llm = require "llm"
local area = {}
local go_on = { temperature = 0, max_tokens = 12 }

local function open(context)
    local m = assert(llm.load(context.model, { device = context.device, context = 64 }))
    return m, assert(m:session())
end

function area.tokens(context)
    local m, s = open(context)
    check.equal("capacity", s.capacity, 64)
    check.equal("feed", s:feed "Once upon a time", 5)
    check.equal("tokens", table.concat(s:tokens(), " "), "1 403 407 261 378")
    check.equal("feed as a job", select(2, s:feed(" and", { async = true }):wait()), s.length)
    check.ok("truncate", s:truncate(5) and s.length == 5)
    check.raises("past the end", "truncate", s.truncate, s, 6)
    check.raises("no fractions", "truncate", s.truncate, s, 1.5)
    local best, raw = s:logits(5), s:logits "raw"
    check.ok("logits", #best == 5 and #raw == 4 * m.info.vocab_size)
    for i = 2, 5 do check.ok("best first", best[i - 1][2] >= best[i][2]) end
    check.equal("all of them", #s:logits(1e6), m.info.vocab_size)
    s:reset()
    check.equal("reset", s.length, 0)
    check.equal("no field of that name", s.size, nil)
    m:close()
end

function area.saving(context)
    local m, s = open(context)
    s:feed "Once upon a time"
    local fork = assert(s:fork())
    local name = os.tmpname()
    local blob, chunks = s:save(), {}
    check.ok("to a function", s:save { write = function(data) chunks[#chunks + 1] = data end })
    check.equal("the same bytes", table.concat(chunks), blob)
    check.ok("to a file", s:save { path = name })
    check.fails("a write that refuses", "io", s:save { write = function() return false end })
    check.raises("a write that raises", "oh no", s.save, s, { write = function() error "oh no" end })
    check.fails("no such folder", "io", s:save { path = "/no/such/folder/file" })
    local text = s:generate("", go_on)
    check.equal("a fork", fork:generate("", go_on), text)
    local function restored(from)
        local r = assert(m:restore(from))
        return r:generate("", go_on)
    end
    check.equal("from a string", restored(blob), text)
    check.equal("from a file", restored { path = name }, text)
    check.equal("from a function", restored { size = #blob,
        read = function(o, n) return blob:sub(o + 1, o + n) end }, text)
    for _ = 1, 10 do check.ok("room that garbage holds is found", m:restore(blob)) end
    check.fails("a file that is not there", "not_found", m:restore { path = "/no/such/file" })
    check.raises("a read that raises", "oh no", m.restore, m, { size = #blob, read = function() error "oh no" end })
    check.fails("a cut blob", "bad_state", m:restore(blob:sub(1, 40)))
    local state, other = m:restore(blob, { async = true }):poll()
    check.ok("as a job", state == "done" and other.length == 5)
    os.remove(name)
    m:close()
end

return area

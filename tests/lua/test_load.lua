local check = require "check"
local llm = require "llm"
local area = {}

local function read_all(path)
    local file = assert(io.open(path, "rb"))
    local data = file:read "*a"
    file:close()
    return data
end

function area.devices(context)
    local list = llm.devices()
    check.ok("a device", #list > 0)
    local d = list[1]
    check.equal("index", d.index, 1)
    check.ok("fields", type(d.name) == "string" and type(d.vendor) == "string" and type(d.driver) == "string"
        and type(d.api) == "string" and d.memory > 0 and type(d.deterministic) == "boolean" and d.tiers[1] == "T0")
    for _, by in ipairs { 1, d.type, d.name:sub(1, 4) } do
        local m = llm.load(context.model, { device = by })
        check.ok("a device by " .. by, m)
        if m then m:close() end
    end
    check.fails("none of that index", "no_device", llm.load(context.model, { device = #list + 1 }))
    check.fails("the file comes first", "not_found", llm.load("no such file", { device = 99 }))
end

function area.files(context)
    check.fails("a folder", "io", llm.load(context.folder))
    check.fails("a text", "bad_model", llm.load(context.folder .. "/run.lua"))
    local bytes = read_all(context.model)
    local calls, last = 0, 0
    local m = assert(llm.load("memory", { device = context.device, size = #bytes,
        read = function(offset, length) calls = calls + 1 return bytes:sub(offset + 1, offset + length) end,
        progress = function(fraction) check.ok("progress rises", fraction >= last) last = fraction end }))
    check.ok("read", calls > 0 and last == 1)
    local i = m.info
    check.equal("info is one table", i, m.info)
    check.ok("numbers", i.vocab_size == 512 and i.embedding == 64 and i.memory.weights > 0 and i.device.index)
    m:close()
    check.fails("half a file", "bad_model", llm.load("memory", { size = 500,
        read = function(offset, length) return bytes:sub(offset + 1, math.min(500, offset + length)) end }))
    check.fails("nothing", "io", llm.load("memory", { size = #bytes, read = function() end }))
end

function area.vocabulary(context)
    local m = assert(llm.load(context.model, { vocab_only = true }))
    check.equal("no device", m.info.device, nil)
    local ids = m:tokenize "Once upon a time"
    check.equal("text again", m:detokenize(ids):gsub("^ ", ""), "Once upon a time")
    local with = m:tokenize("Once upon a time", { bos = true })
    check.ok("a beginning", #with == #ids + 1 and with[1] == m.info.bos_token)
    check.equal("count", m:count "Once upon a time", #with)
    check.equal("count of ids", m:count { 1, 2, 3 }, 3)
    check.equal("nothing", #m:tokenize "", 0)
    check.fails("no generation", "unsupported", m:generate "x")
    m:close()
end

function area.async(context)
    local job = assert(llm.load_async(context.model, { device = context.device }))
    local state, model = job:wait(30)
    check.equal("done", state, "done")
    local _, again = job:poll()
    check.equal("and again", model, again)
    job:close()
    job:close()
    check.raises("a closed job", "closed llm.job", job.poll, job)
    check.ok("the model stays", model:generate("Once", { max_tokens = 1 }))
    model:close()
    job = assert(llm.load_async(context.model, { device = context.device }))
    job:cancel()
    check.fails("cancelled", "cancelled", job:wait())
    check.fails("and again", "cancelled", job:poll())
    check.ok("no work remains", not llm.update(100))
end

return area

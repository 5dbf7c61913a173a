local t = ...
local llm = require "llm"
local bytes = t.read(t.stories)

local function read(offset, length) return bytes:sub(offset + 1, offset + length) end

t.test("the module", function()
    t.equal(llm._NAME, "llm")
    t.check(llm._VERSION:match "^llm %d+%.%d+%.%d+$", llm._VERSION)
    t.equal(llm._VERSION, "llm " .. table.concat(llm.version, "."))
    t.equal(require "llm", llm)
    t.equal(rawget(_G, "llm"), nil)
end)

t.test("devices", function()
    local types = { discrete = true, integrated = true, virtual = true, cpu = true, other = true }
    local devices = llm.devices()
    t.check(#devices >= 1, #devices)
    for i, d in ipairs(devices) do
        t.equal(d.index, i)
        t.check(types[d.type], d.type)
        for _, name in ipairs { "name", "vendor", "driver", "api" } do t.equal(type(d[name]), "string", name) end
        for _, name in ipairs { "memory", "available" } do t.equal(type(d[name]), "number", name) end
        t.equal(type(d.tiers), "table")
        t.equal(type(d.deterministic), "boolean")
    end
    devices[1].name = "changed"
    t.check(llm.devices()[1].name ~= "changed")
end)

t.test("files that are none", function()
    t.fails("not_found", llm.load(t.folder .. "/no such file.gguf", t.options()))
    t.fails("io", llm.load(t.folder, t.options()))
    t.fails("bad_model", llm.load(t.folder .. "/run.lua", t.options()))
    -- a file is looked at before a device
    t.fails("not_found", llm.load("no such file", { device = "no such device" }))
    t.fails("bad_model", llm.load(t.folder .. "/run.lua", { device = "no such device" }))
end)

t.test("devices that are none", function()
    t.fails("no_device", t.load { device = "no such device" })
    t.fails("no_device", t.load { device = 999 })
    local m = assert(t.load { device = llm.devices()[1].name })
    t.equal(m.info.device.name, llm.devices()[1].name)
    m:close()
end)

t.test("info", function()
    local m = assert(t.load { context = 128 })
    local i = m.info
    t.equal(i.architecture, "llama")
    t.equal(i.vocab_size, 512)
    t.equal(i.layers, 5)
    t.equal(i.embedding, 64)
    t.equal(i.bos_token, 1)
    t.same(i.eos_tokens, { 2 })
    t.equal(i.file_bytes, #bytes)
    t.check(i.parameters > 250000 and i.parameters < 320000, i.parameters)
    local p = i.pipelines
    t.check(p.made >= 0 and p.cached <= p.reported and p.reported <= p.made and p.ms >= 0)
    t.check(i.memory.weights > 0 and i.memory.kv_per_token > 0 and i.memory.kv > 0 and i.memory.scratch >= 0)
    t.check(type(i.device) == "table" and i.device.index >= 1)
    t.equal(m.info, i)
    t.equal(assert(m:session()).capacity, 128)
    -- all of them are there for the next model, and nothing later makes one
    local other = assert(t.load { context = 128 })
    t.equal(other.info.pipelines.made, 0)
    other:close()
    m:close()
end)

t.test("progress rises to 1", function()
    local seen = {}
    local m = assert(t.load { progress = function(fraction) seen[#seen + 1] = fraction end })
    for i = 2, #seen do t.check(seen[i] >= seen[i - 1], seen[i - 1], seen[i]) end
    t.equal(seen[#seen], 1)
    m:close()
    t.fails("cancelled", t.load { progress = function() return false end })
end)

t.test("read", function()
    local m = assert(t.load { read = read, size = #bytes })
    t.equal(m.info.vocab_size, 512)
    m:close()
    t.fails("io", t.load { size = #bytes, read = function() end })
    t.fails("io", t.load { size = #bytes, read = function() return 5 end })
    t.fails("io", t.load { size = #bytes, read = function(o, n) return read(o, n - 1) end })
    local cut = bytes:sub(1, 1000)
    t.fails("bad_model", t.load { size = #cut, read = function(o, n) return cut:sub(o + 1, o + n) end })
    local _, _, code = t.load { size = 0, read = function() return "" end }
    t.check(code == "bad_model" or code == "io", code)
    t.raises("size", t.load, { read = read })
    local widest = 0
    m = assert(t.load { size = #bytes, read = function(o, n)
        widest = math.max(widest, o + n)
        return read(o, n)
    end })
    t.check(widest <= #bytes, widest)
    m:close()
end)

t.test("vocab_only", function()
    local m = assert(llm.load(t.stories, { vocab_only = true, device = "no such device" }))
    t.equal(m.info.device, nil)
    local whole = assert(t.load())
    for _, name in ipairs { "architecture", "name", "parameters", "quantization", "file_bytes", "vocab_size", "context",
        "layers", "embedding", "bos_token" } do
        t.equal(m.info[name], whole.info[name], name)
    end
    whole:close()
    t.same(m:tokenize("Once upon a time", { bos = true }), t.prompt)
    t.fails("unsupported", m:session())
    t.fails("unsupported", m:generate "Once")
    t.fails("unsupported", m:choose("Once", { "a", "b" }))
    m:close()
end)

-- stories260K in two parts, as llama.cpp's gguf-split writes them: the values in one, the tensors in the other.
local function parts_of_stories()
    local function u64(n) return string.char(n) .. ("\0"):rep(7) end
    local function padded(text) return text .. ("\0"):rep(-#text % 32) end
    local function keys(no)
        local text = ""
        for _, pair in ipairs { { "split.no", no }, { "split.count", 2 }, { "split.tensors.count", 48 } } do
            text = text .. u64(#pair[1]) .. pair[1] .. "\2\0\0\0" .. string.char(pair[2], 0)
        end
        return text
    end
    local first = "token_embd.weight"
    local from = bytes:find(u64(#first) .. first, 1, true)
    local to = from
    for _ = 1, 48 do
        to = to + 8 + bytes:byte(to)
        to = to + 4 + 8 * bytes:byte(to) + 12
    end
    local head, infos, data = bytes:sub(1, 8), bytes:sub(from, to - 1), bytes:sub(#padded(bytes:sub(1, to - 1)) + 1)
    return padded(head .. u64(0) .. u64(bytes:byte(17) + 3) .. bytes:sub(25, from - 1) .. keys(0)),
        padded(head .. u64(48) .. u64(3) .. keys(1) .. infos) .. data
end

t.test("split files", function()
    local first, second = parts_of_stories()
    local base = os.tmpname()
    local paths = { base .. "-00001-of-00002.gguf", base .. "-00002-of-00002.gguf" }
    t.write(paths[1], first)
    t.fails("not_found", llm.load(paths[1], t.options()))
    t.check(select(2, llm.load(paths[1], t.options())):find "part 2 of 2 %(.*%-00002%-of%-00002%.gguf%)")
    t.write(paths[2], second)
    t.fails("unsupported", llm.load(paths[2], t.options()))
    t.fails("unsupported", llm.load("x", t.options {
        size = #first, read = function(offset, length) return first:sub(offset + 1, offset + length) end,
    }))
    local whole, split = t.exact { context = 64 }, assert(llm.load(paths[1], t.options {
        context = 64, kv = "f32", precision = "high", deterministic = true,
    }))
    t.equal(split.info.file_bytes, #first + #second)
    t.equal(split.info.parameters, whole.info.parameters)
    local greedy = { temperature = 0, max_tokens = 16 }
    t.equal(split:generate("Once upon a time", greedy), (whole:generate("Once upon a time", greedy)))
    whole:close()
    split:close()
    local vocab = assert(llm.load(paths[1], { vocab_only = true }))
    t.equal(vocab.info.vocab_size, 512)
    vocab:close()
    for _, path in ipairs { paths[1], paths[2], base } do os.remove(path) end
end)

t.test("memory", function()
    t.fails("out_of_memory", t.load { memory = 1 })
    t.fails("out_of_memory", t.load { memory = 100000 })
    local m = assert(t.load { memory = 2 ^ 30 })
    m:close()
end)

t.test("kv_tokens are shared by all sessions", function()
    local m = assert(t.load { context = 64, kv_tokens = 128 })
    local made = {}
    for i = 1, 8 do
        local s, _, code = m:session()
        if s then
            local n
            n, _, code = s:feed(("Once upon a time there was a little girl. "):rep(2))
            if n then made[#made + 1] = s end
        end
        if code then t.equal(code, "out_of_memory", i) end
    end
    t.check(#made >= 1 and #made < 8, #made)
    for _, s in ipairs(made) do s:close() end
    t.check(assert(m:session()):feed "Once" ~= nil)
    m:close()
end)

t.test("every kind of cache and precision", function()
    for _, kv in ipairs { "f16", "f32", "q8_0", "q4_0" } do
        for _, precision in ipairs { "fast", "high" } do
            local m, message, code = t.load { kv = kv, precision = precision, context = 64 }
            if kv:find "^q" then -- in blocks of 32, and this model's heads have 8 dimensions
                t.equal(code, "unsupported", kv, precision, message)
                t.check(message:find("8 dimensions", 1, true) and message:find("f16", 1, true), message)
            else
                local text = m:generate("Once upon a time", { temperature = 0, max_tokens = 8 })
                t.check(type(text) == "string" and #text > 0, kv, precision, text)
                m:close()
            end
        end
    end
end)

t.test("load_async", function()
    local job = assert(llm.load_async(t.stories, t.options()))
    local state, value, last = "running", 0, 0
    local limit = llm.clock() + 60
    while state == "running" and llm.clock() < limit do
        t.check(value >= last and value <= 1, value)
        last = value
        llm.update(1)
        state, value = job:poll()
    end
    t.equal(state, "done")
    local again, same = job:poll()
    t.equal(again, "done")
    t.equal(same, value)
    t.equal(select(2, job:wait()), value)
    job:close()
    job:close()
    t.raises("closed llm.job", job.poll, job)
    t.check(value:generate("Once", { max_tokens = 2 }))
    value:close()

    job = assert(llm.load_async(t.stories, t.options()))
    job:cancel()
    local nothing, message, code = job:wait(60)
    t.fails("cancelled", nothing, message, code)
    t.fails("cancelled", job:poll())
    job = llm.load_async("no such file", t.options())
    if job then t.fails("not_found", job:wait(60)) end
    job = assert(llm.load_async(t.stories, t.options()))
    job:close()
    for _ = 1, 1000 do if not llm.update(5) then break end end
    t.equal(llm.update(0), false)
    t.raises("wait", function() llm.load_async(t.stories, t.options()):wait "x" end)
    t.raises("wait", function() llm.load_async(t.stories, t.options()):wait(-1) end)
end)

t.test("load in a coroutine yields where asked to", function()
    local yields = 0
    local thread = coroutine.create(function() return t.load { yield = true } end)
    local ok, m
    while coroutine.status(thread) ~= "dead" do
        ok, m = coroutine.resume(thread)
        yields = yields + 1
        assert(ok, m)
    end
    t.check(yields >= 2, yields)
    t.check(m:generate("Once", { max_tokens = 2 }))
    m:close()
end)

t.test("clock, sleep, update, log", function()
    local started = llm.clock()
    llm.sleep(0.02)
    t.check(llm.clock() - started >= 0.019)
    t.raises("sleep", llm.sleep)
    t.raises("sleep", llm.sleep, -1)
    t.raises("sleep", llm.sleep, "x")
    for _ = 1, 1000 do if not llm.update(10) then break end end -- what the tests before have left
    t.equal(llm.update(0), false)
    t.raises("update", llm.update, -1)
    t.raises("update", llm.update, "x")
    local lines = {}
    llm.log("debug", function(level, text) lines[#lines + 1] = level .. text end)
    assert(t.load()):close()
    llm.log(nil)
    local n = #lines
    assert(t.load()):close()
    t.equal(#lines, n)
    llm.log("debug", function() error "from the log" end)
    assert(t.load()):close()
    llm.log(nil)
    t.raises("log", llm.log, "loud", print)
    t.raises("log", llm.log, "info", 5)
end)

t.test("what comes later says so", function()
    local m = assert(t.load { context = 32 })
    for _, name in ipairs { "suspend", "resume" } do
        t.fails("unsupported", m[name](m, {}))
    end
    m:close()
end)

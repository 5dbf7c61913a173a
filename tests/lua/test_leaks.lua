-- What is closed, or collected, is given back: the process does not grow. Needs /proc (Linux).
local t = ...
if (os.getenv "LD_PRELOAD" or ""):find "asan" then return end -- it keeps what was freed; its own check finds leaks
if os.getenv "VK_INSTANCE_LAYERS" then return end -- the validation layer grows with each load (240 KB on lavapipe)
local llm = require "llm"
local limit = 2048 -- KiB

local function resident()
    collectgarbage()
    collectgarbage()
    local file = io.open "/proc/self/status"
    if not file then return nil end
    local status = file:read "*a"
    file:close()
    return tonumber(status:match "VmRSS:%s*(%d+)")
end

if not resident() then return end

-- The first rounds fill what is kept for good: the driver's caches, the allocator's pools. A driver may fill one
-- later, and the kernel may join pages; a leak grows each time.
local function grows(warm, rounds, body)
    for _ = 1, warm do body() end
    local least
    for _ = 1, 3 do
        local before = resident()
        for _ = 1, rounds do body() end
        least = math.min(least or math.huge, resident() - before)
        if least < limit then break end
    end
    return least
end

t.test("loads", function()
    local growth = grows(10, 300, function() assert(t.load { context = 32 }):close() end)
    t.check(growth < limit, growth)
end)

t.test("vocabularies, refused files and cancelled loads", function()
    local growth = grows(20, 100, function()
        assert(llm.load(t.stories, { vocab_only = true })):close()
        llm.load(t.folder .. "/run.lua")
        llm.load "no such file"
    end)
    t.check(growth < limit, growth)
    growth = grows(5, 15, function()
        local job = assert(llm.load_async(t.stories, t.options { context = 32 }))
        job:cancel()
        job:wait()
    end)
    t.check(growth < limit, growth)
end)

t.test("10,000 sessions", function()
    local m = assert(t.load { context = 64 })
    local growth = grows(500, 10000, function() assert(m:session()):close() end)
    t.check(growth < limit, growth)
    growth = grows(500, 2000, function() assert(m:session()) end) -- collected
    t.check(growth < limit, growth)
    m:close()
end)

t.test("sessions that worked", function()
    local m = assert(t.load { context = 64 })
    local growth = grows(30, 60, function()
        local s = assert(m:session())
        s:feed(t.prompt)
        local f = assert(s:fork())
        assert(m:restore(assert(f:save()))):close()
        f:generate("", { max_tokens = 1, logprobs = 2, stop = "zebra" })
        s:start("", { max_tokens = 20 })
        s:close()
        f:close()
    end)
    t.check(growth < limit, growth)
    m:close()
end)

t.test("texts", function()
    local m = assert(llm.load(t.stories, { vocab_only = true }))
    local text = ("Once upon a time "):rep(200)
    local growth = grows(20, 200, function()
        m:detokenize(m:tokenize(text))
        llm.json.decode(llm.json.encode { text, { a = text } })
        pcall(m.tokenize, m, text, { nothing = 1 })
    end)
    t.check(growth < limit, growth)
    m:close()
end)

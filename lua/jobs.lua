-- Loading, and other work in flight that gives a value at its end: jobs, and loops that wait or yield.
local llm, core = ...

local job = core["llm.job"]
local slice = 0.05 -- seconds between two looks of a waiting loop, so that an interrupt is seen

local function can_yield(options)
    if type(options) ~= "table" or not options.yield then return false end
    local thread, main = coroutine.running()
    return thread ~= nil and not main and not core.in_callback()
end

-- Raises again what a callback of this object raised.
local function raise_again(object)
    local failed, value = core.failed(object)
    if failed then error(value, 0) end
end

function job:poll() return core.step(self, 0, "poll") end

local function wait_step(step, seconds)
    local deadline = seconds and llm.clock() + seconds
    while true do
        local left = deadline and deadline - llm.clock() or slice
        local state, a, b, c = step(left < 0 and 0 or left < slice and left or slice)
        if state ~= "running" or (deadline and llm.clock() >= deadline) then return state, a, b, c end
    end
end

-- Yields. Returns the seconds that the next look may wait: a host that does nothing else in between must not spin.
local function breath()
    local before = llm.clock()
    coroutine.yield()
    return llm.clock() - before < 0.001 and 0.001 or 0
end

-- Until step answers something else than "running".
local function run_step(step, options)
    if not can_yield(options) then return wait_step(step) end
    local state, a, b, c = step(0)
    while state == "running" do state, a, b, c = step(breath()) end
    return state, a, b, c
end

local function check_seconds(seconds, name)
    if seconds == nil then return end
    if type(seconds) ~= "number" then core.raise_argument(2, name, "number", seconds) end
    if seconds < 0 or seconds ~= seconds then
        core.raise("bad argument #2 to '" .. name .. "' (number from 0 up expected, got " .. seconds .. ")")
    end
end

function job:wait(seconds)
    core.slots(self, "llm.job", "wait")
    check_seconds(seconds, "wait")
    return wait_step(function(left) return core.step(self, left, "wait") end, seconds)
end

function llm.load_async(path, options)
    return core.load_start(path, options, "llm.load_async")
end

function llm.load(path, options)
    core.blocks("llm.load")
    local loading, message, code = core.load_start(path, options, "llm.load")
    if not loading then return nil, message, code end
    local state, value
    state, value, code = run_step(function(seconds) return core.step(loading, seconds, "llm.load") end, options)
    if code == "callback" then raise_again(loading) end
    loading:close()
    if state == "done" then return value end
    return nil, value, code
end

-- A job of our own: step(seconds) answers as poll does.
local lua_job = {}
local lua_job_meta = { __name = "llm.job", __index = lua_job, __metatable = "locked" }

local function job_self(self, name)
    if getmetatable(self) ~= "locked" or type(self) ~= "table" then core.raise_argument(1, name, "llm.job", self) end
    if self.closed then core.raise "attempt to use a closed llm.job" end
    return self
end

local function remember(self, state, a, b, c)
    if self.answer then state, a, b, c = self.answer[1], self.answer[2], self.answer[3], self.answer[4]
    elseif state ~= "running" then self.answer = { state, a, b, c } end
    if c ~= nil then return state, a, b, c end
    if b ~= nil then return state, a, b end
    return state, a
end

function lua_job:poll()
    if job_self(self, "poll").answer then return remember(self) end
    return remember(self, self.step(0))
end

function lua_job:wait(seconds)
    check_seconds(seconds, "wait")
    if job_self(self, "wait").answer then return remember(self) end
    if seconds ~= 0 then core.blocks "wait" end
    return remember(self, wait_step(self.step, seconds))
end

function lua_job:cancel()
    if job_self(self, "cancel").stop and not self.answer then self.stop() end
end

function lua_job:close()
    if self.closed then return end
    self:cancel()
    self.closed = true
end

lua_job_meta.__close = lua_job.close
function lua_job_meta.__tostring(self)
    return self.closed and "llm.job (closed)" or "llm.job"
end

local function new_job(step, stop)
    return setmetatable({ step = step, stop = stop }, lua_job_meta)
end

-- The job of something that is done at once.
local function done_job(value, message, code)
    local finished = new_job()
    finished.answer = value == nil and { nil, message, code } or { "done", value }
    return finished
end

-- Starts a job of the library and waits for it, or with async gives a job of ours. take: what it made, as the caller
-- is to have it.
local function run_job(name, options, start_job, take)
    local async = type(options) == "table" and options.async
    if not async then core.blocks(name) end
    local started, message, code = start_job()
    if not started then
        if async then return done_job(nil, message, code) end
        return nil, message, code
    end
    local function step(seconds)
        local state, a, b = core.step(started, seconds, name)
        if state ~= "running" then started:close() end
        if state ~= "done" then return state, a, b end
        return state, take(a, b)
    end
    if async then return new_job(step, function() started:cancel() end) end
    local state, a, b, c = run_step(step, options)
    if state then return a, b, c end
    return nil, a, b
end

function llm.selftest(device, options)
    return run_job("selftest", options, function()
        return core.selftest_start(device, options, "selftest")
    end, function(report) return report end)
end

core.jobs = {
    slice = slice, can_yield = can_yield, breath = breath, check_seconds = check_seconds, raise_again = raise_again,
    new = new_job, done = done_job, run = run_job,
}

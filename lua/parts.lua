-- What is comfortable in Lua: loops that wait, iterators, files, session defaults. The binding's C functions are in
-- core. Only what Lua 5.1 to 5.5 share.
local llm, core = ...

local model, session, generation = core["llm.model"], core["llm.session"], core["llm.generation"]
local jobs = core.jobs
local slice, slots, can_yield, breath = jobs.slice, core.slots, jobs.can_yield, jobs.breath
local new_job, done_job, run_job = jobs.new, jobs.done, jobs.run

local function later(name)
    return nil, name .. ": this version does not have it yet", "unsupported"
end

-- The collector does not know what a forgotten session holds on the device: when memory is short, let it look.
local function with_room(call, ...)
    local value, message, code = call(...)
    if code ~= "out_of_memory" then return value, message, code end
    collectgarbage()
    collectgarbage()
    return call(...)
end

-- ---- generations ----

function generation:wait(seconds)
    slots(self, "llm.generation", "wait")
    jobs.check_seconds(seconds, "wait")
    if seconds then return core.wait_for(self, seconds, "wait") end
    while not core.wait_for(self, slice, "wait") do end
    return true
end

local cancel_generation = generation.cancel
function generation:cancel()
    slots(self, "llm.generation", "cancel").cancelled = true
    cancel_generation(self)
end

-- The answer to messages counts those that the session held.
local generation_result = generation.result
function generation:result()
    local result = generation_result(self)
    local turn = result and slots(self, "llm.generation", "result").turn
    if turn and not turn.counted then
        turn.counted = true
        result.prompt_tokens = result.prompt_tokens + turn.kept
        result.cached_tokens = result.cached_tokens + turn.kept
        result.reply = turn:reply(result.text)
    end
    return result
end

local function is_open(object)
    return object ~= nil and not tostring(object):find "%(closed%)$"
end

-- What a job answers whose session or model was closed before it was asked.
local function closed_under(name)
    return nil, name .. ": what it was to work on was closed", "cancelled"
end

-- Inside a callback nothing waits: the job begins when it is first looked at outside of it.
local function deferred(self, name, first, second)
    local inner
    local function stop() inner = inner or done_job(closed_under(name)) inner:cancel() end
    return new_job(function(seconds)
        if core.in_callback() and not inner then return "running", 0 end
        if not inner and not is_open(self) then stop() end
        inner = inner or self[name](self, first, second)
        return inner:wait(seconds)
    end, stop)
end

-- A generation that was cancelled, or left behind by a broken loop, is in flight until its slice ends: wait for that.
local function settle(own, starts)
    local last = own.generation
    if not is_open(last) or core.in_callback() then return end
    if starts and own.streams and not core.wait_for(last, 0, "start") then last:cancel() end
    if not slots(last, "llm.generation", "start").cancelled then return end
    while not core.wait_for(last, slice, "start") do end
end

-- A session's options under those of a call.
local function merge(defaults, options)
    if not defaults or (options ~= nil and type(options) ~= "table") then return options end
    local all = {}
    for k, v in pairs(defaults) do all[k] = v end
    for k, v in pairs(options or {}) do all[k] = v end
    return all
end

-- Token ids of a prompt that is a list of messages, for a session that holds nothing; other prompts as they are.
local function plain_prompt(of, name, prompt, options)
    if not core.is_messages(prompt) then return prompt, options end
    return core.encode_messages(of, name, prompt, options)
end

-- chats: the prompt is a list of messages, or nil to answer those that the session has.
local function start(self, name, prompt, options, streams, chats)
    local own = slots(self, "llm.session", name)
    settle(own, true)
    options = merge(own.defaults, options)
    local turn, started, message, code
    if chats or core.is_messages(prompt) then
        turn, message, code = core.begin_turn(self, own, name, prompt, options)
        if not turn then return nil, message, code, options end
        prompt, options = turn.ids, turn.options
    else
        core.end_turn(self, own)
    end
    if own.fed == nil then own.fed = self.length end
    local overflow = not turn and type(options) == "table" and options.overflow
    local hooked = core.with_overflow(self, own, turn, options)
    started, message, code = core.start_fitting(self, own, overflow, function()
        return with_room(core.start, self, name, prompt, hooked, false)
    end)
    if not started then return nil, message, code, options end
    core.take_turn(own, turn, started)
    own.generation, own.streams = started, streams or false
    slots(started, "llm.generation", name).own = own
    return started, nil, nil, options
end

-- A session's result outlives its generation.
local close_generation = generation.close
function generation:close()
    local own = is_open(self) and slots(self, "llm.generation", "close").own
    if own and own.generation == self then own.result = self:result() or own.result end
    close_generation(self)
end

local function finish(started, options)
    if can_yield(options) then
        local seconds = 0
        while not core.wait_for(started, seconds, "generate") do seconds = breath() end
    else
        started:wait()
    end
    local result = started:result()
    if result.finish ~= "error" then return result.text, result end
    if result.code == "callback" then jobs.raise_again(started) end
    return nil, result.error, result.code
end

function session:start(prompt, options)
    local started, message, code = start(self, "start", prompt, options)
    if started then return started end
    return nil, message, code
end

function session:generate(prompt, options)
    core.blocks "generate"
    local started, message, code, all = start(self, "generate", prompt, options)
    if not started then return nil, message, code end
    return finish(started, all)
end

-- ---- streams: callable, with result(), closed by the loop that they are in ----

local stream = {}
local stream_meta = { __name = "llm.stream", __index = stream }

function stream:close()
    local own, started = self.own, self.generation
    if is_open(started) and not self.ended then
        self.ended = true
        started:cancel()
        if not core.in_callback() then started:wait() end
    end
    if is_open(started) then self.last = started:result() end
    if own then own:close() end
    self.own = nil
end

function stream:result()
    if self.last then return self.last end
    if is_open(self.generation) then return self.generation:result() end
end

local function next_piece(self)
    if self.ended then return nil end
    local yields = can_yield(self.options)
    local seconds = yields and 0 or slice
    while true do
        local piece, info = core.next(self.generation, seconds)
        if piece then return piece, info end
        if piece == nil then break end
        if yields then seconds = breath() end
    end
    self.ended = true
    self:close()
    return nil
end

-- sort(self, next_piece): of a chat's stream, which gives pieces in another way
function stream_meta.__call(self)
    if self.sort then return self.sort(self, next_piece) end
    return next_piece(self)
end

stream_meta.__close = stream.close
function stream_meta.__tostring(self)
    return self.ended and "llm.stream (ended)" or "llm.stream"
end

local function failed_result(message, code)
    local timings = { prompt_ms = 0, generate_ms = 0, prompt_per_second = 0, generate_per_second = 0 }
    return {
        text = "", finish = "error", error = message, code = code,
        tokens = 0, prompt_tokens = 0, cached_tokens = 0, timings = timings,
    }
end

-- A start that fails is a loop that ends at once.
local function new_stream(started, message, code, options, own)
    local self = setmetatable({ generation = started or nil, options = options, own = own }, stream_meta)
    if not started then
        self.ended, self.last = true, failed_result(message, code)
        if own then own:close() self.own = nil end
    end
    return self, nil, nil, self
end

local function new_session_stream(own, started, message, code, options)
    local iterator, _, _, closing = new_stream(started, message, code, options)
    if not started and code ~= "busy" then own.generation, own.result = nil, iterator.last end
    return iterator, nil, nil, closing
end

function session:stream(prompt, options)
    core.blocks "stream"
    local started, message, code, all = start(self, "stream", prompt, options, true)
    return new_session_stream(slots(self, "llm.session", "stream"), started, message, code, all)
end

-- ---- sessions ----

core["llm.session_fields"].result = function(self)
    local own = slots(self, "llm.session", "result")
    if is_open(own.generation) then own.result = own.generation:result() or own.result end
    return own.result
end

local function cancelled_by_session(self)
    local own = slots(self, "llm.session", "cancel")
    if is_open(own.generation) then slots(own.generation, "llm.generation", "cancel").cancelled = true end
end

local cancel_session = session.cancel
function session:cancel()
    cancelled_by_session(self)
    cancel_session(self)
end

function session:feed(prompt, options)
    local own = slots(self, "llm.session", "feed")
    local async = type(options) == "table" and options.async
    if not async then core.blocks "feed" end
    settle(own)
    local turn, started, message, code
    if core.is_messages(prompt) then
        turn, message, code = core.begin_turn(self, own, "feed", prompt, options, true)
        if turn then prompt, options = turn.ids, turn.options end
    else
        core.end_turn(self, own)
    end
    if turn or not message then
        local overflow = not turn and own.defaults and own.defaults.overflow
        started, message, code = core.start_fitting(self, own, overflow, function()
            return with_room(core.start, self, "feed", prompt, options, true)
        end)
    end
    if not started then
        if async then return done_job(nil, message, code) end
        return nil, message, code
    end
    core.take_turn(own, turn, started)
    local function answer()
        local result = started:result()
        if result.finish == "error" then return nil, result.error, result.code end
        if result.finish == "cancelled" then return nil, "cancelled", "cancelled" end
        if not is_open(self) then return closed_under "feed" end
        return "done", self.length
    end
    if async then
        return new_job(function(seconds)
            if core.wait_for(started, seconds, "wait") then return answer() end
            return "running", 0
        end, function() started:cancel() end)
    end
    if can_yield(options) then
        local seconds = 0
        while not core.wait_for(started, seconds, "feed") do seconds = breath() end
    else
        started:wait()
    end
    local state, value
    state, value, code = answer()
    if state then return value end
    return nil, value, code
end

for _, name in ipairs { "truncate", "reset", "fork" } do
    local method = session[name]
    session[name] = function(self, argument)
        local own = slots(self, "llm.session", name)
        settle(own)
        if name == "fork" then return core.fork_messages(self, own, with_room(method, self)) end
        if name == "reset" then core.forget_messages(own) end
        return with_room(method, self, argument)
    end
end

-- The job that computes what the session holds but its last token, and then calls finish.
local function computing_job(self, name, last)
    local started, message, code = with_room(core.start, self, name, "", nil, true)
    if not started then return done_job(nil, message, code) end
    slots(self, "llm.session", name).generation = started
    local function answer(value, why, failed)
        if value == nil then return nil, why, failed end
        return "done", value
    end
    return new_job(function(seconds)
        if core.in_callback() or not core.wait_for(started, seconds, name) then return "running", 0 end
        local result = started:result()
        if result.finish == "error" then return nil, result.error, result.code end
        if result.finish == "cancelled" then return nil, name .. " was cancelled", "cancelled" end
        if not is_open(self) then return closed_under(name) end
        return answer(last())
    end, function() started:cancel() end)
end

local session_logits = session.logits
function session:logits(n, options)
    settle(slots(self, "llm.session", "logits"))
    options = core.check("feed", "session:logits", options)
    if n == nil then n = 10 end
    if n ~= "raw" and (type(n) ~= "number" or n < 1 or n % 1 ~= 0) then
        core.raise_argument(2, "logits", "integer from 1 up, or \"raw\"", n)
    end
    if not options.async or self.length == 0 then return session_logits(self, n) end
    return computing_job(self, "logits", function() return session_logits(self, n) end)
end

-- Writes beside and renames, so that a failure leaves the old file.
local function save_file(self, kv, path)
    local beside = path .. ".part"
    local file, why = io.open(beside, "wb")
    if not file then return nil, why, "io" end
    local saved, message, code = core.save(self, kv, function(data)
        local ok, reason = file:write(data)
        why = why or reason
        return ok and true or false
    end)
    local closed, reason = file:close()
    if saved and not closed then saved, message, code = nil, reason, "io" end
    if saved then
        local renamed
        renamed, reason = os.rename(beside, path)
        if not renamed then -- some systems do not rename over a file
            os.remove(path)
            renamed, reason = os.rename(beside, path)
        end
        if not renamed then saved, message, code = nil, reason, "io" end
    end
    if saved then return true end
    os.remove(beside)
    return nil, why or message, code
end

function session:save(options)
    settle(slots(self, "llm.session", "save"))
    options = core.check("save", "session:save", options)
    local kv = options.kv ~= false
    local function save()
        if options.path then return save_file(self, kv, options.path) end
        return core.save(self, kv, options.write)
    end
    if options.async and core.in_callback() then return deferred(self, "save", options) end
    if options.async then return done_job(save()) end
    return save()
end

-- ---- models ----

function model:session(options)
    slots(self, "llm.model", "session")
    local chat
    chat, options = core.split_options(options)
    local context, message, code = core.options("model:session", options)
    if not context then return nil, message, code end
    local made
    made, message, code = with_room(core.session, self, context)
    if not made then return nil, message, code end
    local own = slots(made, "llm.session", "session")
    own.chat = chat
    if options then
        own.defaults = merge(options)
        own.defaults.context = nil
    end
    return made
end

function model:generate(prompt, options)
    slots(self, "llm.model", "generate")
    core.blocks "generate"
    local own, started, message, code
    prompt, options, code = plain_prompt(self, "generate", prompt, options)
    if not prompt then return nil, options, code end
    own, message, code = with_room(core.session, self, 0)
    if not own then return nil, message, code end
    local hooked = core.with_overflow(own, slots(own, "llm.session", "generate"), nil, options)
    started, message, code = with_room(core.start, own, "generate", prompt, hooked, false)
    if not started then
        own:close()
        return nil, message, code
    end
    local text, result
    text, result, code = finish(started, options)
    started:close()
    own:close()
    return text, result, code
end

function model:stream(prompt, options)
    slots(self, "llm.model", "stream")
    core.blocks "stream"
    local ids, others, bad = plain_prompt(self, "stream", prompt, options)
    if not ids then return new_stream(nil, others, bad, options) end
    prompt, options = ids, others
    local own, started, message, code
    own, message, code = with_room(core.session, self, 0)
    if not own then return new_stream(nil, message, code, options) end
    local hooked = core.with_overflow(own, slots(own, "llm.session", "stream"), nil, options)
    started, message, code = with_room(core.start, own, "stream", prompt, hooked, false)
    return new_stream(started, message, code, options, own)
end

function model:count(prompt, options)
    slots(self, "llm.model", "count")
    core.check("template", "model:count", options)
    if type(prompt) == "string" then
        local ids, message, code = self:tokenize(prompt, { bos = self.info.adds_bos })
        if not ids then return nil, message, code end
        return #ids
    end
    if type(prompt) ~= "table" then core.raise_argument(2, "count", "string or list of token ids", prompt) end
    local ids, message, code = plain_prompt(self, "count", prompt, options)
    if not ids then return nil, message, code end
    return core.count_ids(self, ids)
end

function model:choose(prompt, choices, options)
    slots(self, "llm.model", "choose")
    options = core.check("choose", "model:choose", options)
    local message, code
    prompt, message, code = plain_prompt(self, "choose", prompt)
    if not prompt then return nil, message, code end
    return run_job("choose", options, function()
        return with_room(core.choose_start, self, prompt, choices, options.normalize)
    end, function(index, logs) return index, choices[index], logs end)
end

function model:embed(texts, options)
    slots(self, "llm.model", "embed")
    local single = type(texts) == "string"
    if not single and (type(texts) ~= "table" or (texts[1] ~= nil and type(texts[1]) == "number")) then
        core.raise_argument(2, "embed", "string or list of strings", texts)
    end
    return run_job("embed", options, function()
        return with_room(core.embed_start, self, single and { texts } or texts, options)
    end, function(vectors) return single and vectors[1] or vectors end)
end

local function read_file(path)
    local file, why, number = io.open(path, "rb")
    if not file then return nil, why, number == 2 and "not_found" or "io" end
    local data, reason = file:read "*a"
    file:close()
    if not data then return nil, path .. ": " .. (reason or "it cannot be read"), "io" end
    return data
end

function model:restore(source, options)
    slots(self, "llm.model", "restore")
    local from = source
    if type(source) == "table" then from = core.check("restore", "model:restore", source)
    elseif type(source) ~= "string" then core.raise_argument(2, "restore", "string or table", source) end
    options = core.check("restore", "model:restore", options)
    local function restore()
        if type(from) == "string" then return with_room(core.restore, self, from) end
        if from.path then
            local data, message, code = read_file(from.path)
            if not data then return nil, message, code end
            return with_room(core.restore, self, data)
        end
        if not from.read then core.raise "model:restore needs a string, the option 'path' or the option 'read'" end
        if not from.size then core.raise "bad option 'read' of model:restore (it needs the option 'size', in bytes)" end
        return with_room(core.restore, self, from.read, from.size)
    end
    if not (options.async or (type(from) == "table" and from.async)) then return restore() end
    if core.in_callback() then return deferred(self, "restore", source, { async = true }) end
    local made, message, code = restore()
    if not made or made.length < 2 then return done_job(made, message, code) end
    return computing_job(made, "restore", function() return made end)
end

-- ---- names that are there before what they stand for ----

for _, name in ipairs { "suspend", "resume", "pointer" } do
    model[name] = function(self)
        slots(self, "llm.model", name)
        return later("model:" .. name)
    end
end
for _, name in ipairs { "adopt" } do
    llm[name] = function() return later("llm." .. name) end
end

-- For the other Lua parts.
core.null = llm.null
core.parts = {
    slots = slots, settle = settle, is_open = is_open, start = start, finish = finish,
    new_session_stream = new_session_stream,
}

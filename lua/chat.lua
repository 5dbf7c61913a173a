-- Conversations: lists of messages through the model's chat template. A session keeps its messages; each turn renders
-- them anew, and what the session's tokens have in common with that is not computed again.
local _, core = ...
local model, session = core["llm.model"], core["llm.session"]
local parts = core.parts
local chat_names = { system = true, tools = true, documents = true, template = true }

-- ---- messages and options ----

function core.is_messages(prompt) return type(prompt) == "table" and type(prompt[1]) == "table" end

local function check_message(message, where)
    if type(message) ~= "table" then
        core.raise(("%s is no message (table expected, got %s)"):format(where, type(message)))
    end
    if type(message.role) ~= "string" then
        core.raise(("%s has no role (string expected, got %s)"):format(where, type(message.role)))
    end
    return message
end

-- A string is one user's message; a table with a role is one message.
local function as_messages(prompt, name)
    if type(prompt) == "string" then return { { role = "user", content = prompt } } end
    if type(prompt) ~= "table" then core.raise_argument(2, name, "string, message or list of messages", prompt) end
    if prompt.role ~= nil then prompt = { prompt } end
    for i, message in ipairs(prompt) do check_message(message, ("message %d of '%s'"):format(i, name)) end
    if #prompt == 0 then core.raise(("bad argument #2 to '%s' (an empty list of messages)"):format(name)) end
    return prompt
end

-- The options of a template, and the others.
function core.split_options(options)
    if type(options) ~= "table" then return {}, options end
    local chat, others = {}, {}
    for name, v in pairs(options) do
        if chat_names[name] then chat[name] = v else others[name] = v end
    end
    return core.check("template", "a chat", chat), others
end

local function token_text(own, id)
    return id and own:detokenize({ id }, { special = true }) or ""
end

-- options: system, tools, documents, template (more values), add_generation_prompt, now
local function render(of, messages, options)
    local info = of.info
    if not info.chat_template then
        return nil, (info.name or "the model") .. " has no chat template", "unsupported"
    end
    local given = { bos_token = token_text(of, info.bos_token), eos_token = token_text(of, info.eos_tokens[1]) }
    for name, v in pairs(options.template or {}) do given[name] = v end
    given.messages, given.now = messages, options.now
    given.tools, given.documents = options.tools or core.null, options.documents or core.null
    given.add_generation_prompt = options.add_generation_prompt ~= false
    return core.render_template("of " .. (info.name or info.architecture), info.chat_template, given)
end

-- A list with this system message in front, in place of the one that is there.
local function with_system(messages, system)
    if not system then return messages end
    local list = { { role = "system", content = system } }
    for i, message in ipairs(messages) do
        if i > 1 or message.role ~= "system" then list[#list + 1] = message end
    end
    return list
end

-- Special tokens of the text are tokens; a beginning token that the model wants and the template lacks is added.
local function encode(of, text)
    local ids, message, code = of:tokenize(text, { special = true })
    if not ids then return nil, message, code end
    local first = of:tokenize("", { bos = true })[1]
    if first and ids[1] ~= first then table.insert(ids, 1, first) end
    return ids
end

-- Token ids of a list of messages in an empty session, and the options that are left.
function core.encode_messages(of, name, prompt, options)
    local chat, others = core.split_options(options)
    local messages = with_system(as_messages(prompt, name), chat.system)
    local text, message, code = render(of, messages, chat)
    if not text then return nil, message, code end
    local ids
    ids, message, code = encode(of, text)
    if not ids then return nil, message, code end
    return ids, others, text
end

function model:template(messages, options)
    parts.slots(self, "llm.model", "template")
    options = core.check("template", "model:template", options)
    return render(self, with_system(as_messages(messages, "template"), options.system), options)
end

-- ---- what a session keeps, and what it is fed ----

local function same_until(held, base, ids)
    local n = 0
    while ids[n + 1] ~= nil and held[base + n + 1] == ids[n + 1] do n = n + 1 end
    return n
end

local function slice(list, from)
    local out = {}
    for i = from, #list do out[#out + 1] = list[i] end
    return out
end

-- A reply's own tokens may differ from those that its text is read into. Where the tokens after the n common ones write
-- the same text as some of the ids, they stay. Returns the ids behind that text, or nil.
local function rest_after(of, held, from, ids, n)
    local text, at, k = of:detokenize(slice(held, from), { special = true }), 0, n
    while at < #text and ids[k + 1] do
        k = k + 1
        local piece = of:detokenize({ ids[k] }, { special = true })
        if text:sub(at + 1, at + #piece) ~= piece then return nil end
        at = at + #piece
    end
    if at == #text then return slice(ids, k + 1) end
end

-- What a turn renders to, as text and as the ids that follow base.
function core.turn_ids(own, turn)
    local text, message, code = render(own.model, turn.messages, turn.chat)
    if not text then return nil, message, code end
    local ids
    if own.base > 0 then ids, message, code = own.model:tokenize(text, { special = true })
    else ids, message, code = encode(own.model, text) end
    if not ids then return nil, message, code end
    return text, ids
end

-- How many tokens of the session stay, and the ids to feed after them.
local function plan(self, own, text)
    local held, base = self:tokens(), own.base
    local ids, message, code = encode(own.model, text)
    if not ids then return nil, message, code end
    if base > 0 then ids = own.model:tokenize(text, { special = true }) end
    local n = same_until(held, base, ids)
    if base + n < #held then
        local rest = rest_after(own.model, held, base + n + 1, ids, n)
        if rest then return #held, rest end
    end
    return base + n, slice(ids, n + 1)
end

-- Text was put in by hand after the last message: the template's continuation goes behind it.
local function plan_behind(self, own, text, chat)
    local options = { add_generation_prompt = false }
    for name, v in pairs(chat) do
        if options[name] == nil then options[name] = v end
    end
    local before = render(own.model, own.messages, options)
    if not before or text:sub(1, #before) ~= before then return plan(self, own, text) end
    return self.length, own.model:tokenize(text:sub(#before + 1), { special = true })
end

-- ---- turns ----

-- What the model said in the turn that has ended, as a message.
local function reply_message(reply)
    local message = { role = "assistant", content = reply.text }
    message.reasoning_content = reply.reasoning
    message.tool_calls = reply.tool_calls
    return message
end

local function turn_text(self, own, turn)
    if parts.is_open(turn.generation) then
        local result = turn.generation:result()
        return result.text, result.finish, result.tokens
    end
    local ids = slice(self:tokens(), turn.length + 1)
    return own.model:detokenize(ids), "cancelled", #ids
end

-- Takes the last turn into the session's messages. A turn that failed, or was cancelled before it said anything, leaves
-- them as they were.
function core.end_turn(self, own)
    local turn = own.turn
    if not turn then return nil end
    if parts.is_open(turn.generation) and not turn.generation:result() then return nil end
    own.turn = nil
    if turn.feed then
        if self.length == turn.length then own.messages, own.base = turn.messages, turn.base end
        return nil
    end
    local text, finish, tokens = turn_text(self, own, turn)
    if finish == "error" or (finish == "cancelled" and tokens == 0) then return nil end
    own.messages, own.base = turn.messages, turn.base
    own.messages[#own.messages + 1] = reply_message(turn:reply(text))
    return own.messages
end

local turn_methods = {}
turn_methods.__index = turn_methods

local function hidden_marks(own)
    if own.hidden == nil then own.hidden = core.hidden_marks(own.model) or false end
    return own.hidden
end

function turn_methods:reply(text)
    local hidden = not self.read and text ~= "" and hidden_marks(self.own)
    if hidden then
        local ids = slice(self.session:tokens(), self.length + 1)
        text = core.text_with_marks(self.own.model, ids, hidden) or text
    end
    if not self.read then self.read = core.read_reply(self.text, text, self.tools) end
    return self.read
end

local function busy(own, name)
    local last = own.generation
    if parts.is_open(last) and not core.wait_for(last, 0, name) then
        return name .. ": a generation of this session is in flight"
    end
end

-- The options of the template, the others, and whether the system message is the session's own.
local function merged(defaults, options)
    local chat, others = core.split_options(options)
    local is_default = chat.system == nil
    for name, v in pairs(defaults or {}) do
        if chat[name] == nil then chat[name] = v end
    end
    return chat, others, is_default
end

local function place(self, own, turn)
    local kept, ids, code
    turn.text, ids, code = render(own.model, turn.messages, turn.chat)
    if not turn.text then return nil, ids, code end
    if own.by_hand then kept, ids, code = plan_behind(self, own, turn.text, turn.chat)
    else kept, ids, code = plan(self, own, turn.text) end
    if not kept then return nil, ids, code end
    turn.kept, turn.ids, turn.length = kept, ids, kept + #ids
    return true
end

-- Renders the session's messages and the new ones. Returns the turn: ids to feed, and what the others are to know.
function core.begin_turn(self, own, name, prompt, options, feed)
    local added = prompt and as_messages(prompt, name) or {}
    local chat, others, is_default = merged(own.chat, options)
    local in_flight = busy(own, name)
    if in_flight then return nil, in_flight, "busy" end
    core.end_turn(self, own)
    if not own.messages then own.messages, own.base = {}, self.length end
    local turn = setmetatable({ messages = {}, base = own.base, feed = feed, options = others,
        tools = chat.tools, session = self, own = own }, turn_methods)
    for _, list in ipairs { own.messages, added } do
        for _, message in ipairs(list) do turn.messages[#turn.messages + 1] = message end
    end
    local first = turn.messages[1]
    if not (is_default and first and first.role == "system") then
        turn.messages = with_system(turn.messages, chat.system)
    end
    chat.add_generation_prompt = not feed
    turn.chat = chat
    local placed, message, code = place(self, own, turn)
    if placed then
        local overflow = (feed and own.defaults or type(others) == "table" and others or {}).overflow
        placed, message, code = core.fit_turn(self, own, turn, overflow, function() return place(self, own, turn) end)
    end
    if not placed then return nil, message, code end
    if turn.length > self.capacity then
        return nil, ("the messages take %d tokens, and the session holds %d"):format(turn.length, self.capacity),
            "context_full"
    end
    if turn.kept < self.length then
        local cut
        cut, message, code = self:truncate(turn.kept)
        if not cut then return nil, message, code end
    end
    return turn
end

-- A generation has been started: of this turn, or of text by hand.
function core.take_turn(own, turn, started)
    if turn then
        turn.generation, own.turn = started, turn
        if not turn.feed then parts.slots(started, "llm.generation", "start").turn = turn end
    elseif own.messages and #own.messages > 0 then
        own.by_hand = true
    else
        own.messages = nil -- a conversation that begins later begins behind this text
    end
end

function core.forget_messages(own)
    own.turn, own.messages, own.base, own.by_hand = nil, nil, nil, nil
end

function core.fork_messages(self, own, fork, message, code)
    if not fork then return nil, message, code end
    core.end_turn(self, own)
    local copy = parts.slots(fork, "llm.session", "fork")
    copy.messages, copy.base, copy.by_hand, copy.chat = own.messages, own.base, own.by_hand, own.chat
    return fork
end

-- ---- session: chat ----

local function chat_start(self, name, prompt, options, streams)
    if type(options) ~= "table" and options ~= nil then
        core.raise(("bad options of session:%s (table expected, got %s)"):format(name, type(options)))
    end
    return parts.start(self, name, prompt and as_messages(prompt, name), options, streams, true)
end

local function chat(self, name, prompt, options)
    parts.slots(self, "llm.session", name)
    core.blocks(name)
    local started, message, code, all = chat_start(self, name, prompt, options)
    if not started then return nil, message, code end
    local turn = parts.slots(self, "llm.session", name).turn
    local text, result
    text, result, code = parts.finish(started, all)
    core.end_turn(self, parts.slots(self, "llm.session", name))
    if not text then return nil, result, code end
    return turn:reply(text), result
end

function session:chat(prompt, options)
    parts.slots(self, "llm.session", "chat")
    return chat(self, "chat", as_messages(prompt, "chat"), options)
end

function session:chat_start(prompt, options)
    parts.slots(self, "llm.session", "chat_start")
    local started, message, code = chat_start(self, "chat_start", as_messages(prompt, "chat_start"), options)
    if started then return started end
    return nil, message, code
end

-- The marks that are special tokens, up to the token at that place, which the pieces leave out.
local function feed_marks(self, index, emit)
    local turn = self.turn
    local hidden = hidden_marks(turn.own)
    if not hidden then return end
    local ids = turn.session:tokens()
    for i = self.seen + 1, index do
        local mark = hidden[ids[turn.length + i]]
        if mark then self.splits:feed(mark, emit) end
    end
    self.seen = index
end

-- A stream whose pieces are sorted into kinds.
local function sorted_next(self, plain_next)
    local queue = self.queue
    while not queue[queue.first] do
        local piece, info = plain_next(self)
        if not piece and queue.ended then return nil end
        local function emit(part, kind)
            local about = { kind = kind }
            for k, v in pairs(info or queue.info or {}) do about[k] = v end
            queue.last = queue.last + 1
            queue[queue.last] = { part, about }
        end
        if piece then
            queue.info = info
            feed_marks(self, info.index, emit)
            self.splits:feed(piece, emit)
        else
            queue.ended = true
            self.splits:finish(emit)
        end
    end
    local next_one = queue[queue.first]
    queue[queue.first] = nil
    queue.first = queue.first + 1
    return next_one[1], next_one[2]
end

function session:chat_stream(prompt, options)
    local own = parts.slots(self, "llm.session", "chat_stream")
    core.blocks "chat_stream"
    local messages = as_messages(prompt, "chat_stream")
    local started, message, code, all = chat_start(self, "chat_stream", messages, options, true)
    local iterator, _, _, closing = parts.new_session_stream(own, started, message, code, all)
    if started then
        iterator.splits, iterator.turn, iterator.seen = core.new_splitter(own.turn.text, own.turn.tools), own.turn, 0
        iterator.queue, iterator.sort = { first = 1, last = 0 }, sorted_next
    end
    return iterator, nil, nil, closing
end

-- ---- session: its messages ----

local function settled(self, name)
    local own = parts.slots(self, "llm.session", name)
    parts.settle(own, true)
    local in_flight = busy(own, name)
    if in_flight then return nil, in_flight, "busy" end
    core.end_turn(self, own)
    if not own.messages then own.messages, own.base = {}, self.length end
    return own
end

local function copy_list(list)
    local out = {}
    for i, message in ipairs(list) do out[i] = message end
    return out
end

-- Lets go of the tokens that the messages no longer stand for.
local function forget(self, own)
    own.by_hand = nil
    local keep = own.base
    if #own.messages > 0 then
        local given = merged(own.chat)
        given.add_generation_prompt = false
        local text = render(own.model, own.messages, given)
        local ids = text and encode(own.model, text)
        if ids then keep = own.base + same_until(self:tokens(), own.base, ids) end
    end
    if keep < self.length then self:truncate(keep) end
end

-- With a list: takes it as the conversation so far.
function session:messages(list)
    local turn = parts.slots(self, "llm.session", "messages").overflowing
    if turn and list == nil then return copy_list(turn.messages) end
    if turn then
        turn.messages, turn.changed = copy_list(as_messages(list, "messages")), true
        return copy_list(list)
    end
    local own, message, code = settled(self, "messages")
    if not own then return nil, message, code end
    if list == nil then return copy_list(own.messages) end
    if type(list) ~= "table" then core.raise_argument(2, "messages", "list of messages", list) end
    if #list > 0 then as_messages(list, "messages") end
    own.messages, own.by_hand = copy_list(list), nil
    if own.base == self.length then own.base = 0 end -- restored tokens are this conversation's
    return copy_list(list)
end

function session:edit(i, message)
    local own, why, code = settled(self, "edit")
    if not own then return nil, why, code end
    local old = type(i) == "number" and own.messages[i]
    if not old then
        core.raise(("bad argument #2 to 'edit' (no message %s; there are %d)"):format(tostring(i), #own.messages))
    end
    if type(message) == "string" then message = { role = old.role, content = message } end
    own.messages = copy_list(own.messages)
    own.messages[i] = check_message(message, "argument #3 to 'edit'")
    forget(self, own)
    return true
end

-- Removes the last user's message and all after it. Returns it, or nil where there is none.
function session:undo()
    local own, message, code = settled(self, "undo")
    if not own then return nil, message, code end
    for i = #own.messages, 1, -1 do
        local removed = own.messages[i]
        if removed.role == "user" then
            local list = {}
            for k = 1, i - 1 do list[k] = own.messages[k] end
            own.messages = list
            forget(self, own)
            return removed
        end
    end
    return nil
end

-- Answers the last message again.
function session:regenerate(options)
    local own, message, code = settled(self, "regenerate")
    if not own then return nil, message, code end
    local list = copy_list(own.messages)
    local removed
    if #list > 0 and list[#list].role == "assistant" then removed = table.remove(list) end
    if #list == 0 then core.raise "regenerate: there is no message to answer" end
    local before = own.messages
    own.messages, own.by_hand = list, nil
    local reply, result
    reply, result, code = chat(self, "regenerate", nil, options)
    if not reply and removed then own.messages = before end
    return reply, result, code
end

-- Takes a model's reply apart: reasoning between marks, tool calls, and the answer itself.
local _, core = ...
local text = core.template_text

local marks = {
    { "<think>", "</think>" }, { "<thinking>", "</thinking>" }, { "<thought>", "</thought>" },
    { "<seed:think>", "</seed:think>" }, { "[THINK]", "[/THINK]" }, { "<|START_THINKING|>", "<|END_THINKING|>" },
    { "<|channel>thought", "<channel|>" },
    { "<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>" },
    { "<|channel|>final<|message|>", "" }, -- an answer without thought
}

-- ---- marks that are special tokens: the text of a generation leaves them out ----

-- The special tokens that marks are made of: id -> text, or nil where this model has none.
function core.hidden_marks(of)
    local hidden
    local function look(mark)
        for _, id in ipairs(mark ~= "" and of:tokenize(mark, { special = true }) or {}) do
            local shown = of:detokenize({ id }, { special = true })
            if mark:find(shown, 1, true) and shown ~= "" and of:detokenize { id } == "" then
                hidden = hidden or {}
                hidden[id] = shown
            end
        end
    end
    for _, pair in ipairs(marks) do
        look(pair[1])
        look(pair[2])
    end
    core.each_tool_mark(look)
    return hidden
end

-- The text of tokens with the marks in it; nil where there are none.
function core.text_with_marks(of, ids, hidden)
    local out, run, found = {}, {}, false
    for _, id in ipairs(ids) do
        run[#run + 1] = id
        if hidden[id] then
            run[#run], found = nil, true
            out[#out + 1] = of:detokenize(run) .. hidden[id]
            run = {}
        end
    end
    return found and table.concat(out) .. of:detokenize(run) or nil
end

-- ---- splitting ----

local splitter = {}
splitter.__index = splitter

-- Whether s begins with the mark: true, false, or nil while s is too short to say.
local function begins(s, mark)
    if s:sub(1, #mark) == mark then return true end
    if #s < #mark and mark:sub(1, #s) == s then return nil end
    return false
end

-- The mark that a prompt left open at its end, or nil.
local function left_open(prompt)
    local tail = text.rstrip(prompt:sub(-200))
    for _, pair in ipairs(marks) do
        if tail:sub(-#pair[1]) == pair[1] then return pair end
    end
end

-- states: "start" (nothing but blanks so far), "reasoning", "after" (blanks before the answer), "plain" (text, whatever
-- it says); where there are tools, a list, "first" (an answer begins), "text", "call", "bare" (an object that may be
-- one).
function core.new_splitter(prompt, tools)
    local open = left_open(prompt)
    return setmetatable({ state = open and "reasoning" or "start", close = open and open[2], held = "",
        tools = tools }, splitter)
end

local steps = {}

function steps.start(self)
    local rest = text.lstrip(self.held)
    local unsure = rest == ""
    for _, pair in ipairs(marks) do
        local begun = begins(rest, pair[1])
        if begun then
            self.state, self.close, self.held, self.fresh = "reasoning", pair[2], rest:sub(#pair[1] + 1), true
            return true
        end
        unsure = unsure or begun == nil
    end
    if unsure then return false end
    self.state = self.tools and "first" or "plain"
    return true
end

-- Where an answer begins: whether it may be a call and nothing else.
function steps.first(self)
    local bare = core.may_be_bare_call(text.lstrip(self.held))
    if bare == nil then return false end
    self.state = bare and "bare" or "text"
    return true
end

function steps.reasoning(self, emit)
    if not self.thought then self.held = text.lstrip(self.held) end
    local from, to = self.held:find(self.close, 1, true)
    local unsure = text.overlap(self.held, self.close)
    if self.tools then
        local at, _, open = core.find_tool_form(self.held, true)
        if at and (not from or at < from) then from, to = at, at - 1 end
        unsure = math.max(unsure, open)
    end
    local body = self.held:sub(1, from and from - 1 or #self.held - unsure)
    local kept = text.rstrip(body) -- blanks at the end may be the last ones
    if kept ~= "" then
        emit(kept, "reasoning")
        self.thought = true
    end
    if from then
        self.state, self.held = "after", self.held:sub(to + 1)
        return true
    end
    self.held = self.held:sub(#kept + 1)
    return false
end

function steps.after(self)
    self.held = text.lstrip(self.held)
    if self.held == "" then return false end
    self.state = not self.tools and "plain" or self.calls and "text" or "first"
    return true
end

function steps.plain(self, emit)
    if self.held ~= "" then emit(self.held, "text") end
    self.held = ""
    return false
end

-- Blanks wait: those before a call are not part of the answer.
function steps.text(self, emit)
    local at, form, open = core.find_tool_form(self.held)
    local sure = text.rstrip(self.held:sub(1, at and at - 1 or #self.held - open))
    if sure ~= "" then emit(sure, "text") end
    if not at then
        self.held = self.held:sub(#sure + 1)
        return false
    end
    self.state, self.form, self.blanks = "call", form, self.held:sub(#sure + 1, at - 1)
    self.held = self.held:sub(at)
    return true
end

local function take_calls(self, calls, said, emit)
    self.calls = self.calls or {}
    for _, call in ipairs(calls) do self.calls[#self.calls + 1] = call end
    emit(said, "tool")
end

-- A call is given out whole.
function steps.call(self, emit)
    local calls, rest = core.read_tool_form(self.held, self.form, self.ended, self.tools)
    if calls == false then return false end
    local said = self.held:sub(1, #self.held - #rest)
    self.held = rest
    if calls then
        take_calls(self, calls, said, emit)
        self.state = "after"
    else
        emit(self.blanks .. said, "text")
        self.state = "text"
    end
    return true
end

function steps.bare(self, emit)
    if not self.ended then return false end
    local calls = core.read_bare_call(self.held)
    if calls and calls[1] then take_calls(self, calls, self.held, emit)
    else emit(self.held, "text") end
    self.held = ""
    return false
end

-- Takes a piece and calls emit(piece, kind) for what is certain.
function splitter:feed(piece, emit)
    self.held = self.held .. piece
    while steps[self.state](self, emit) do end
end

-- The text has ended.
function splitter:finish(emit)
    self.ended = true
    self:feed("", emit)
    if self.state == "reasoning" then
        local rest = text.rstrip(self.held)
        if rest ~= "" then emit(rest, "reasoning") end
    elseif self.held ~= "" and self.state ~= "after" then
        emit(self.held, "text")
    end
    self.held = ""
end

-- { text, reasoning, tool_calls } of a whole reply. tools: those that it may call, or nil.
function core.read_reply(prompt, reply, tools)
    local parts = { text = {}, reasoning = {}, tool = {} }
    local function emit(piece, kind) table.insert(parts[kind], piece) end
    local splits = core.new_splitter(prompt, tools)
    splits:feed(reply, emit)
    splits:finish(emit)
    local read = { text = table.concat(parts.text), tool_calls = splits.calls }
    if parts.reasoning[1] then read.reasoning = table.concat(parts.reasoning) end
    return read
end

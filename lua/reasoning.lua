-- Takes a model's reply apart: reasoning between marks, tool calls, and the answer itself.
local llm, core = ...
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
    for _, pair in ipairs(marks) do
        for _, mark in ipairs(pair) do
            for _, id in ipairs(mark ~= "" and of:tokenize(mark, { special = true }) or {}) do
                local shown = of:detokenize({ id }, { special = true })
                if mark:find(shown, 1, true) and shown ~= "" and of:detokenize { id } == "" then
                    hidden = hidden or {}
                    hidden[id] = shown
                end
            end
        end
    end
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

-- states: "start" (nothing but blanks so far), "reasoning", "after" (blanks before the answer), "text"
function core.new_splitter(prompt)
    local open = left_open(prompt)
    return setmetatable({ state = open and "reasoning" or "start", close = open and open[2], held = "" }, splitter)
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
    self.state = "text"
    return true
end

-- Bytes at the end of s that may begin the mark.
local function overlap(s, mark)
    for n = math.min(#s, #mark - 1), 1, -1 do
        if s:sub(-n) == mark:sub(1, n) then return n end
    end
    return 0
end

function steps.reasoning(self, emit)
    if not self.thought then self.held = text.lstrip(self.held) end
    local from, to = self.held:find(self.close, 1, true)
    local body = from and self.held:sub(1, from - 1) or self.held:sub(1, #self.held - overlap(self.held, self.close))
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
    self.state = "text"
    return true
end

function steps.text(self, emit)
    if self.held ~= "" then emit(self.held, "text") end
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
    if self.state == "reasoning" then
        local rest = text.rstrip(self.held)
        if rest ~= "" then emit(rest, "reasoning") end
    elseif self.held ~= "" and self.state ~= "after" then
        emit(self.held, "text")
    end
    self.held = ""
end

-- ---- tool calls ----

local function tool_call(value)
    if type(value) ~= "table" or type(value.name) ~= "string" then return nil end
    local arguments = value.arguments or value.parameters
    if type(arguments) ~= "table" then return nil end
    return { type = "function", ["function"] = { name = value.name, arguments = arguments } }
end

-- The calls in an answer, as Hermes, Qwen and Llama write them, and the answer without them.
local function tool_calls(answer)
    local calls = {}
    local rest = answer:gsub("%s*<tool_call>%s*(.-)%s*</tool_call>", function(body)
        local call = tool_call((llm.json.decode(body)))
        calls[#calls + 1] = call
        return call and "" or nil
    end)
    if #calls == 0 and answer:find "^%s*{" then
        calls[1] = tool_call((llm.json.decode(answer)))
        if calls[1] then rest = "" end
    end
    return calls[1] and calls or nil, rest
end

-- { text, reasoning, tool_calls } of a whole reply. with_tools: calls are looked for.
function core.read_reply(prompt, reply, with_tools)
    local parts = { text = {}, reasoning = {} }
    local function emit(piece, kind) table.insert(parts[kind], piece) end
    local splits = core.new_splitter(prompt)
    splits:feed(reply, emit)
    splits:finish(emit)
    local read = { text = table.concat(parts.text) }
    if parts.reasoning[1] then read.reasoning = table.concat(parts.reasoning) end
    if with_tools then read.tool_calls, read.text = tool_calls(read.text) end
    return read
end

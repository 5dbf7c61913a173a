-- Calls of tools, as models write them in their replies: a table of forms. Each has the mark that opens a call or a
-- list of calls, the mark that closes it ("": the end of the reply), and what reads the text between.
local llm, core = ...
local text = core.template_text

-- A call, or nil where there is none: name, arguments and what else belongs to it.
local function make(name, arguments, id)
    if type(arguments) == "string" then arguments = llm.json.decode(arguments) end
    if type(name) ~= "string" or type(arguments) ~= "table" then return nil end
    local call = { type = "function", ["function"] = { name = name, arguments = arguments } }
    if type(id) == "string" or type(id) == "number" then call.id = tostring(id) end
    return call
end

-- As most write them, with the names that Llama and Command R have for the same; Apertus has { [name] = arguments }.
local function of_value(value)
    if type(value) ~= "table" then return nil end
    local own = type(value["function"]) == "table" and value["function"] or value
    local name = own.name or own.tool_name
    local arguments = own.arguments or own.parameters
    if name ~= nil then return make(name, arguments, value.id or value.tool_call_id) end
    local key, only = next(value)
    if type(key) == "string" and type(only) == "table" and next(value, key) == nil then return make(key, only) end
end

-- One object or a list of them. All must be calls.
local function read_json(body)
    local value = llm.json.decode(body)
    if type(value) ~= "table" then return nil end
    local calls = {}
    for _, one in ipairs(value[1] ~= nil and value or { value }) do
        local call = of_value(one)
        if not call then return nil end
        calls[#calls + 1] = call
    end
    return calls
end

-- What a tool of the list says of a parameter's type.
local function type_of(tools, name, parameter)
    for _, tool in ipairs(tools) do
        local own = type(tool) == "table" and (tool["function"] or tool)
        local found = type(own) == "table" and own.name == name and own.parameters
        local properties = type(found) == "table" and found.properties
        local about = type(properties) == "table" and properties[parameter]
        if about then return type(about) == "table" and about.type or nil end
    end
end

-- A value between tags: JSON, unless the parameter is a string or it is none.
local function tagged_value(tools, name, parameter, value)
    if type_of(tools, name, parameter) == "string" then return value end
    local decoded = llm.json.decode(value)
    if decoded == nil then return value end
    return decoded
end

local function tagged(tools, name, body, pattern)
    local arguments = {}
    for parameter, value in body:gmatch(pattern) do
        arguments[parameter] = tagged_value(tools, name, parameter, value)
    end
    return { make(name, arguments) }
end

-- Between <tool_call> and its end: JSON (Hermes, Qwen), <function=NAME><parameter=NAME> (Qwen Coder), or the name and
-- <arg_key> <arg_value> (GLM).
local function read_tags(body, tools)
    local name, rest = body:match "^%s*<function=([^>]+)>(.*)$"
    if name then return tagged(tools, name, rest, "<parameter=([^>]+)>\n?(.-)\n?</parameter>") end
    name, rest = body:match "^%s*([%w_.-]+)%s*(.*)$"
    if name and (rest == "" or rest:find "^<arg_key>") then
        return tagged(tools, name, rest, "<arg_key>(.-)</arg_key>%s*<arg_value>(.-)</arg_value>")
    end
    return read_json(body)
end

-- Calls one after the other, each between two marks, the name before a third.
local function list_reader(pattern)
    return function(body)
        local calls = {}
        for name, arguments in body:gmatch(pattern) do
            calls[#calls + 1] = make(name, arguments:match "```json%s*(.-)%s*```" or arguments)
        end
        return calls
    end
end

-- gpt-oss: NAME, what else its channel has, and the message.
local function read_channel(body)
    local name, arguments = body:match "^([%w_.-]+).-<|message|>(.*)$"
    return { make(name, arguments) }
end

local forms = {
    { "<tool_call>", "</tool_call>", read_tags },
    { "<|tool_call|>", "", read_json },                         -- Granite
    { "[TOOL_CALLS]", "", read_json },                          -- Mistral
    { "<|python_tag|>", "", read_json },                        -- Llama
    { "<|START_ACTION|>", "<|END_ACTION|>", read_json },        -- Command R
    { "<|tools_prefix|>", "<|tools_suffix|>", read_json },      -- Apertus
    { "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",         -- DeepSeek R1
      list_reader "<｜tool▁sep｜>%s*([%w_.-]+)%s*(.-)%s*<｜tool▁call▁end｜>",
      inner = { "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>" } },
    { "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", -- Kimi
      list_reader "<|tool_call_begin|>%s*functions%.([%w_.-]+):%d+%s*<|tool_call_argument_begin|>(.-)<|tool_call_end|>",
      inner = { "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>" } },
    { "<|start|>assistant<|channel|>commentary to=functions.", "", read_channel, ends_thought = true },
    { "<|start|>assistant to=functions.", "", read_channel, ends_thought = true },
    { "<|channel|>commentary to=functions.", "", read_channel },
    { "to=functions.", "", read_channel },
}

-- Every mark, for those that are special tokens.
function core.each_tool_mark(emit)
    for _, form in ipairs(forms) do
        emit(form[1])
        emit(form[2])
        for _, mark in ipairs(form.inner or {}) do emit(mark) end
    end
end

-- The first opening mark of s: where, and its form. Else how many bytes at its end may begin one.
function core.find_tool_form(s, after_thought)
    local at, found, open = nil, nil, 0
    for _, form in ipairs(forms) do
        if not after_thought or form.ends_thought then
            local from = s:find(form[1], 1, true)
            if from and (not at or from < at) then at, found = from, form end
            open = math.max(open, text.overlap(s, form[1]))
        end
    end
    return at, found, open
end

-- The calls of a text that begins with the form's mark, and what follows them; false while its end has not come.
-- No calls: nil.
function core.read_tool_form(s, form, ended, tools)
    local body, rest = s:sub(#form[1] + 1), ""
    if form[2] ~= "" then
        local from, to = body:find(form[2], 1, true)
        if not from and not ended then return false end
        if from then body, rest = body:sub(1, from - 1), body:sub(to + 1) end
    elseif not ended then
        return false
    end
    local calls = form[3](body, tools)
    if calls and calls[1] then return calls, rest end
    return nil, rest
end

-- A reply that is an object and nothing else, as Llama writes a call: whether s may begin one (nil: too short to say).
function core.may_be_bare_call(s)
    if s:sub(1, 1) ~= "{" then return false end
    local key = s:match '^{%s*"([^"]*)"'
    if key then return key == "name" or key == "type" or key == "function" end
    if s:find '^{%s*$' or s:find '^{%s*"[^"]*$' then return nil end
    return false
end

core.read_bare_call = read_json

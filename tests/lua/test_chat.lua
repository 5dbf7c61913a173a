-- stories260K has no chat template: it is given a small one.
local t = ...
local llm = require "llm"

local template = "{{ bos_token }}{% for m in messages %}"
    .. "{% if m.role == 'oops' %}{{ raise_exception('bad role') }}{% endif %}"
    .. "{{ m.role[0] }}:{{ m.content }}{{ eos_token }}{% endfor %}"
    .. "{% if tools %}({{ tools | tojson }}){% endif %}{% if mood %}[{{ mood }}]{% endif %}"
    .. "{% if add_generation_prompt %}a:{% endif %}"
local short = { temperature = 0, max_tokens = 6 }

local function open(options)
    local m = assert(llm.load(t.stories, { device = t.options().device, context = 128 }))
    m.info.chat_template = template
    options = options or {}
    options.temperature, options.max_tokens = options.temperature or 0, options.max_tokens or 6
    return m, assert(m:session(options))
end

local function text_of(m, s) return m:detokenize(s:tokens(), { special = true }) end

local function roles(s)
    local list = {}
    for i, message in ipairs(s:messages()) do list[i] = message.role:sub(1, 1) end
    return table.concat(list)
end

t.test("template", function()
    local m = open()
    local one = { { role = "user", content = "Hi" } }
    t.equal(m:template(one), "<s>u:Hi</s>a:", "with a prompt for the answer")
    t.equal(m:template(one, { add_generation_prompt = false }), "<s>u:Hi</s>", "without")
    t.equal(m:template(one, { system = "S" }), "<s>s:S</s>u:Hi</s>a:", "system")
    t.equal(m:template "Hi", "<s>u:Hi</s>a:", "a string is one message")
    t.equal(m:template(one, { tools = { { name = "f" } } }), '<s>u:Hi</s>([{"name": "f"}])a:', "tools")
    t.equal(m:template(one, { template = { mood = "glad" } }), "<s>u:Hi</s>[glad]a:", "more values")
    t.equal(m:count(one), #m:tokenize("<s>u:Hi</s>a:", { special = true }), "count")
    t.fails("bad_template", m:template { { role = "oops", content = "" } })
    t.check(select(2, m:template { { role = "oops" } }):find "^template of [%w ]+:1:%d+: bad role", "names the model")
    t.raises("role", m.template, m, { { content = "x" } })
    t.raises("tools", m.template, m, one, { tool = {} })
    t.raises("table", m.template, m, one, { tools = 1 })
    m.info.chat_template = nil
    t.fails("unsupported", m:template(one))
    m:close()
end)

t.test("turns", function()
    local m, s = open()
    local reply, result = s:chat("Once upon a time", short)
    t.check(type(reply.text) == "string" and #reply.text > 0 and result.finish == "length", "a reply")
    t.equal(m:detokenize(m:tokenize("<s>u:Once upon a time</s>a:",
        { special = true }), { special = true }) .. result.text, text_of(m, s), "the prompt is the template's")
    t.equal(roles(s), "ua", "messages")
    t.equal(s:messages()[2].content, reply.text, "the reply is one of them")
    local length = s.length
    local _, second = s:chat("And then", short)
    t.check(second.cached_tokens >= length and
        second.prompt_tokens > second.cached_tokens, "what it held is not computed again",
        second.cached_tokens .. " of " .. length)
    t.equal(second.prompt_tokens + second.tokens, s.length, "all of it is the prompt")
    t.equal(roles(s), "uaua", "four messages")

    local alone = assert(m:session())
    local messages = s:messages()
    messages[4] = nil
    local text = alone:generate(messages, short)
    t.equal(text, second.text, "the same as in one go")
    t.equal(roles(alone), "uaua", "generate's history")
    t.equal(m:generate(messages, short), text, "the model's own generate")
    local streamed = {}
    for piece in m:stream(messages, short) do streamed[#streamed + 1] = piece end
    t.equal(table.concat(streamed), text, "the model's stream")

    local full = s.length
    local removed = s:undo()
    t.check(removed.content == "And then" and roles(s) == "ua", "undo")
    t.check(s.length < full and s.length >= length, "its tokens are gone", s.length)
    s:chat("And then", short)
    t.equal(s:messages()[4].content, messages[4] or alone:messages()[4].content, "again")
    local again, about = s:regenerate(short)
    t.equal(again.text, second.text, "regenerate")
    t.equal(about.cached_tokens, about.prompt_tokens, "without computing the prompt")
    t.check(s:edit(1, "Once there was") and s:messages()[1].content == "Once there was", "edit")
    t.check(s.length < 10, "cuts at the change", s.length)
    s:regenerate(short)
    t.equal(roles(s), "uaua", "and answers")
    local fork = s:fork()
    fork:undo()
    t.check(roles(fork) == "ua" and roles(s) == "uaua", "a fork has its own messages")
    s:reset()
    t.check(roles(s) == "" and s.length == 0 and s:undo() == nil, "reset")
    t.raises("no message", s.regenerate, s)
    t.raises("no message 3", s.edit, s, 3, "x")
    m:close()
end)

t.test("forms", function()
    local m, s = open({ system = "Tell" })
    local generation = assert(s:chat_start("Once", short))
    t.fails("busy", s:chat "no")
    t.fails("busy", s:messages())
    generation:wait()
    t.equal(roles(s), "sua", "a system message")
    t.equal(generation:result().reply.text, s:messages()[3].content, "result's reply")
    local pieces, kind = {}, nil
    for piece, info in s:chat_stream("more", short) do
        pieces[#pieces + 1], kind = piece, info.kind
    end
    t.equal(kind, "text", "kind")
    t.equal(table.concat(pieces), s:messages()[5].content, "stream")
    for piece in s:chat_stream("and", short) do
        if piece then break end
    end
    t.check(roles(s) == "suauaua" and #s:messages()[7].content > 0, "a broken loop keeps what was said", roles(s))
    local before = s.length
    t.check(s:feed { { role = "user", content = "the end" } } > before, "feed")
    t.equal(roles(s), "suauauau", "feed's message")
    t.fails("context_full", s:chat(("word "):rep(300)))
    t.equal(roles(s), "suauauau", "which changes nothing")
    t.fails("bad_template", s:chat { role = "oops", content = "" })
    t.equal(roles(s), "suauauau", "nor does that")
    t.raises("max_tokens", s.chat, s, "x", { max_token = 1 })
    t.raises("expected", s.chat, s)
    t.raises("got number", s.chat, s, 1)
    local own = { { role = "system", content = "Mine" }, { role = "user", content = "x" } }
    s:messages(own)
    s:regenerate(short)
    t.equal(s:messages()[1].content, "Mine", "a system message of the conversation stays")
    s:chat("y", { system = "Now", temperature = 0, max_tokens = 2 })
    t.check(s:messages()[1].content == "Now" and roles(s) == "suaua", "the call's replaces it", roles(s))
    local with_tools = assert(m:session { tools = { { name = "f" } }, temperature = 0, max_tokens = 2 })
    t.check(with_tools:generate "Once", "a session's tools leave plain prompts alone")
    with_tools:close()
    t.check(s:messages { { role = "user", content = "Once" } } and roles(s) == "u", "set the messages")
    local stopped = s:chat_start("x", short)
    stopped:cancel()
    stopped:wait()
    t.equal(roles(s), "u", "cancelled before it spoke")
    s:chat("x", { max_tokens = 3, temperature = 0 })
    generation = s:chat_start("y", short)
    generation:wait()
    generation:close()
    t.equal(roles(s), "suuaua", "a closed generation's reply is kept")
    m:close()
end)

t.test("by hand", function()
    local m, s = open()
    s:feed "Once upon"
    local held = text_of(m, s)
    s:chat("a time", short)
    t.equal(text_of(m, s):sub(1, #held), held, "a chat behind a text")
    t.equal(roles(s), "ua", "its messages")
    s:generate(" and then", short)
    held = text_of(m, s)
    s:chat("the end", short)
    t.equal(text_of(m, s):sub(1, #held), held, "a text behind a chat stays")
    t.equal(roles(s), "uaua", "all messages")
    m:close()
end)

-- The parts that sort a reply, by themselves: what the small model says holds no marks.
local function load_parts()
    local core = {}
    for _, name in ipairs { "template_text", "tool_calls", "reasoning" } do
        assert(loadfile(t.folder .. "/../../lua/" .. name .. ".lua"))(llm, core)
    end
    return core
end

t.test("marks", function()
    local core = load_parts()
    local replies = {
        { "", "Hello <think>no</think>", nil, "Hello <think>no</think>" },
        { "", "<think>\nLet me see.\n\nYes.\n</think>\n\nAnswer.\n", "Let me see.\n\nYes.", "Answer.\n" },
        { "", "  \n<think></think>\nAnswer", nil, "Answer" },
        { "a: <think>\n", "Hm.</think>A", "Hm.", "A" },
        { "a: <think>\n", "Hm. </thi", "Hm. </thi", "" },
        { "", "<think>never ends\n", "never ends", "" },
        { "", "<thi", nil, "<thi" }, { "", "< 3", nil, "< 3" }, { "", "", nil, "" }, { "", " \n", nil, " \n" },
        { "", "<thinking>x</think></thinking>y", "x</think>", "y" },
        { "", "[THINK]x[/THINK]y", "x", "y" },
        { "", "<think>a < b </think> c < d", "a < b", "c < d" },
    }
    for _, case in ipairs(replies) do
        local prompt, reply, reasoning, text = case[1], case[2], case[3], case[4]
        local whole = core.read_reply(prompt, reply)
        t.equal(whole.reasoning, reasoning, "reasoning of " .. reply)
        t.equal(whole.text, text, "text of " .. reply)
        local kinds, splits = { text = "", reasoning = "" }, core.new_splitter(prompt)
        local function emit(piece, kind)
            t.check(piece ~= "", "pieces are not empty")
            kinds[kind] = kinds[kind] .. piece
        end
        for byte in reply:gmatch "." do splits:feed(byte, emit) end
        splits:finish(emit)
        t.equal(kinds.reasoning, reasoning or "", "reasoning byte by byte of " .. reply)
        t.equal(kinds.text, text, "text byte by byte of " .. reply)
    end
    -- A model whose marks are special tokens; its other tokens are bytes.
    local special = { [300] = "<|channel|>", [301] = "<|message|>", [302] = "<|start|>", [303] = "<|end|>" }
    local model = {}
    function model.tokenize(_, text)
        local ids = {}
        while text ~= "" do
            local id = text:byte()
            for i, name in pairs(special) do
                if text:sub(1, #name) == name then id = i end
            end
            ids[#ids + 1], text = id, text:sub(#(special[id] or "x") + 1)
        end
        return ids
    end
    function model.detokenize(_, ids, options)
        local out = {}
        for i, id in ipairs(ids) do
            out[i] = special[id] and (options and special[id] or "") or string.char(id)
        end
        return table.concat(out)
    end
    local hidden = core.hidden_marks(model)
    t.check(hidden[300] == "<|channel|>" and hidden[302] and not hidden[303] and not hidden[60], "hidden marks")
    local ids = model:tokenize("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        .. "<|channel|>final<|message|>Yes")
    local harmony = core.read_reply("", core.text_with_marks(model, ids, hidden))
    t.check(harmony.reasoning == "Hm." and harmony.text == "Yes", "channels", llm.json.encode(harmony))
    ids = model:tokenize "<|channel|>final<|message|>Yes"
    harmony = core.read_reply("", core.text_with_marks(model, ids, hidden))
    t.check(harmony.reasoning == nil and harmony.text == "Yes", "no thought", llm.json.encode(harmony))
    t.equal(core.text_with_marks(model, model:tokenize "plain", hidden), nil, "no marks")
end)

-- Calls as published models write them: what the whole reply gives, and the stream, byte by byte.
t.test("tool calls", function()
    local core = load_parts()
    local tools = { { type = "function", ["function"] = { name = "f", parameters = {
        type = "object", properties = { x = { type = "integer" }, s = { type = "string" } } } } } }
    local hermes = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
    local one, two = '[{"f":{"x":1}}]', '[{"f":{"x":1}},{"f":{"x":1}}]'
    local cases = {
        { "Hermes, Qwen", hermes, one }, { "two", "Well.\n" .. hermes .. "\n" .. hermes, two, "Well." },
        { "text around", "A\n\n" .. hermes .. "\n B ", one, "AB " }, { "not closed", hermes:sub(1, -13), one },
        { "Qwen Coder", "<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n<parameter=s>\n2\n</parameter>\n"
            .. "</function>\n</tool_call>", '[{"f":{"s":"2","x":1}}]' },
        { "GLM", "Hm.\n<tool_call>f\n<arg_key>x</arg_key>\n<arg_value>1</arg_value>\n</tool_call>", one, "Hm." },
        { "GLM without arguments", "<tool_call>f\n</tool_call>", '[{"f":{}}]' },
        { "Llama", '{"name": "f", "parameters": {"x": 1}}', one },
        { "Llama's python tag", '<|python_tag|>{"type": "function", "name": "f", "parameters": {"x": 1}}', one },
        { "Mistral", '[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}, "id": "abcdefghi"}]', one },
        { "Granite", '<|tool_call|>[{"name": "f", "arguments": {"x": 1}}]', one },
        { "Command R", 'Ok.<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "f", "parameters": {"x": 1}}\n]'
            .. "<|END_ACTION|>", one, "Ok." },
        { "Apertus", '<|tools_prefix|>[{"f": {"x": 1}}]<|tools_suffix|>', one },
        { "gpt-oss", 'to=functions.f<|channel|>commentary json<|message|>{"x": 1}', one },
        { "gpt-oss, thinking", "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>commentary "
            .. 'to=functions.f json<|message|>{"x": 1}', one, "", "Hm." },
        { "DeepSeek R1", "<think>Hm.</think>\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
            .. '```json\n{"x": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>', one, "", "Hm." },
        { "Kimi", "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"
            .. '{"x": 1}<|tool_call_end|><|tool_calls_section_end|>', one },
        { "no call", '<tool_call>{"name": 1}</tool_call>', nil, '<tool_call>{"name": 1}</tool_call>' },
        { "an object", '{"x": 1}', nil, '{"x": 1}' }, { "a named one", '{"name": "Bob"}', nil, '{"name": "Bob"}' },
        { "half a mark", "a <tool_c", nil, "a <tool_c" }, { "blanks", "a \n", nil, "a \n" },
        { "a brace", "{", nil, "{" },
        { "a mark that is none", "a\n<tool_call>x y</tool_call> b", nil, "a\n<tool_call>x y</tool_call> b" },
    }
    local function listed(calls)
        local list = calls and {}
        for i, call in ipairs(calls or {}) do
            list[i] = { [call["function"].name] = call["function"].arguments }
        end
        return list and llm.json.encode(list)
    end
    for _, case in ipairs(cases) do
        local name, reply, calls, text, reasoning = case[1], case[2], case[3], case[4] or "", case[5]
        local whole = core.read_reply("", reply, tools)
        t.equal(listed(whole.tool_calls), calls, name)
        t.equal(whole.text, text, name .. ": text")
        t.equal(whole.reasoning, reasoning, name .. ": reasoning")
        local kinds, splits = { text = "", reasoning = "", tool = "" }, core.new_splitter("", tools)
        local function emit(piece, kind)
            t.check(piece ~= "", name .. ": pieces are not empty")
            kinds[kind] = kinds[kind] .. piece
        end
        for byte in reply:gmatch "." do splits:feed(byte, emit) end
        splits:finish(emit)
        t.equal(listed(splits.calls), calls, name .. ", byte by byte")
        t.equal(kinds.text, text, name .. ": text byte by byte")
        t.equal(kinds.tool ~= "", calls ~= nil, name .. ": its kind")
    end
    local mistral = core.read_reply("", cases[10][2], tools).tool_calls[1]
    t.check(mistral.id == "abcdefghi" and mistral.type == "function", "the id that the model gave")
    t.check(core.read_reply("", hermes).text == hermes, "not asked for")
end)

t.test("reasoning", function()
    local m, s = open()
    m.info.chat_template = template .. "<think>"
    local reply, result = s:chat("Why", short)
    t.check(reply.text == "" and #reply.reasoning > 0, "a thought that the prompt begins", llm.json.encode(reply))
    t.equal(s:messages()[2].reasoning_content, reply.reasoning, "is kept apart")
    t.check(#result.text > 0, "the raw text is the result's")
    local kinds = {}
    for piece, info in s:chat_stream("Why", short) do kinds[info.kind] = (kinds[info.kind] or "") .. piece end
    t.check(kinds.reasoning and not kinds.text, "streamed in its kind")
    m:close()
end)

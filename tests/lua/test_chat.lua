-- stories260K has no chat template: it is given a small one.
local check = require "check"
local llm = require "llm"
local area = {}

local template = "{{ bos_token }}{% for m in messages %}"
    .. "{% if m.role == 'oops' %}{{ raise_exception('bad role') }}{% endif %}"
    .. "{{ m.role[0] }}:{{ m.content }}{{ eos_token }}{% endfor %}"
    .. "{% if tools %}({{ tools | tojson }}){% endif %}{% if mood %}[{{ mood }}]{% endif %}"
    .. "{% if add_generation_prompt %}a:{% endif %}"
local short = { temperature = 0, max_tokens = 6 }

local function open(context, options)
    local m = assert(llm.load(context.model, { device = context.device, context = 128 }))
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

function area.template(context)
    local m = open(context)
    local one = { { role = "user", content = "Hi" } }
    check.equal("with a prompt for the answer", m:template(one), "<s>u:Hi</s>a:")
    check.equal("without", m:template(one, { add_generation_prompt = false }), "<s>u:Hi</s>")
    check.equal("system", m:template(one, { system = "S" }), "<s>s:S</s>u:Hi</s>a:")
    check.equal("a string is one message", m:template "Hi", "<s>u:Hi</s>a:")
    check.equal("tools", m:template(one, { tools = { { name = "f" } } }), '<s>u:Hi</s>([{"name": "f"}])a:')
    check.equal("more values", m:template(one, { template = { mood = "glad" } }), "<s>u:Hi</s>[glad]a:")
    check.equal("count", m:count(one), #m:tokenize("<s>u:Hi</s>a:", { special = true }))
    check.fails("a template's error", "bad_template", m:template { { role = "oops", content = "" } })
    check.ok("names the model", select(2, m:template { { role = "oops" } }):find "^template of [%w ]+:1:%d+: bad role")
    check.raises("no role", "role", m.template, m, { { content = "x" } })
    check.raises("unknown option", "tools", m.template, m, one, { tool = {} })
    check.raises("tools", "table", m.template, m, one, { tools = 1 })
    m.info.chat_template = nil
    check.fails("no template", "unsupported", m:template(one))
    m:close()
end

function area.turns(context)
    local m, s = open(context)
    local reply, result = s:chat("Once upon a time", short)
    check.ok("a reply", type(reply.text) == "string" and #reply.text > 0 and result.finish == "length")
    check.equal("the prompt is the template's", m:detokenize(m:tokenize("<s>u:Once upon a time</s>a:",
        { special = true }), { special = true }) .. result.text, text_of(m, s))
    check.equal("messages", roles(s), "ua")
    check.equal("the reply is one of them", s:messages()[2].content, reply.text)
    local length = s.length
    local _, second = s:chat("And then", short)
    check.ok("what it held is not computed again", second.cached_tokens >= length and
        second.prompt_tokens > second.cached_tokens, second.cached_tokens .. " of " .. length)
    check.equal("all of it is the prompt", second.prompt_tokens + second.tokens, s.length)
    check.equal("four messages", roles(s), "uaua")

    local alone = assert(m:session())
    local messages = s:messages()
    messages[4] = nil
    local text = alone:generate(messages, short)
    check.equal("the same as in one go", text, second.text)
    check.equal("generate's history", roles(alone), "uaua")
    check.equal("the model's own generate", m:generate(messages, short), text)
    local streamed = {}
    for piece in m:stream(messages, short) do streamed[#streamed + 1] = piece end
    check.equal("the model's stream", table.concat(streamed), text)

    local full = s.length
    local removed = s:undo()
    check.ok("undo", removed.content == "And then" and roles(s) == "ua")
    check.ok("its tokens are gone", s.length < full and s.length >= length, s.length)
    s:chat("And then", short)
    check.equal("again", s:messages()[4].content, messages[4] or alone:messages()[4].content)
    local again, about = s:regenerate(short)
    check.equal("regenerate", again.text, second.text)
    check.equal("without computing the prompt", about.cached_tokens, about.prompt_tokens)
    check.ok("edit", s:edit(1, "Once there was") and s:messages()[1].content == "Once there was")
    check.ok("cuts at the change", s.length < 10, s.length)
    s:regenerate(short)
    check.equal("and answers", roles(s), "uaua")
    local fork = s:fork()
    fork:undo()
    check.ok("a fork has its own messages", roles(fork) == "ua" and roles(s) == "uaua")
    s:reset()
    check.ok("reset", roles(s) == "" and s.length == 0 and s:undo() == nil)
    check.raises("nothing to answer", "no message", s.regenerate, s)
    check.raises("edit what is not there", "no message 3", s.edit, s, 3, "x")
    m:close()
end

function area.forms(context)
    local m, s = open(context, { system = "Tell" })
    local generation = assert(s:chat_start("Once", short))
    check.fails("busy", "busy", s:chat "no")
    check.fails("messages are busy", "busy", s:messages())
    generation:wait()
    check.equal("a system message", roles(s), "sua")
    check.equal("result's reply", generation:result().reply.text, s:messages()[3].content)
    local pieces, kind = {}, nil
    for piece, info in s:chat_stream("more", short) do
        pieces[#pieces + 1], kind = piece, info.kind
    end
    check.equal("kind", kind, "text")
    check.equal("stream", table.concat(pieces), s:messages()[5].content)
    for piece in s:chat_stream("and", short) do
        if piece then break end
    end
    check.ok("a broken loop keeps what was said", roles(s) == "suauaua" and #s:messages()[7].content > 0, roles(s))
    local before = s.length
    check.ok("feed", s:feed { { role = "user", content = "the end" } } > before)
    check.equal("feed's message", roles(s), "suauauau")
    check.fails("context_full", "context_full", s:chat(("word "):rep(300)))
    check.equal("which changes nothing", roles(s), "suauauau")
    check.fails("bad_template", "bad_template", s:chat { role = "oops", content = "" })
    check.equal("nor does that", roles(s), "suauauau")
    check.raises("unknown option", "max_tokens", s.chat, s, "x", { max_token = 1 })
    check.raises("no message", "expected", s.chat, s)
    check.raises("a number", "got number", s.chat, s, 1)
    local own = { { role = "system", content = "Mine" }, { role = "user", content = "x" } }
    s:messages(own)
    s:regenerate(short)
    check.equal("a system message of the conversation stays", s:messages()[1].content, "Mine")
    s:chat("y", { system = "Now", temperature = 0, max_tokens = 2 })
    check.ok("the call's replaces it", s:messages()[1].content == "Now" and roles(s) == "suaua", roles(s))
    local with_tools = assert(m:session { tools = { { name = "f" } }, temperature = 0, max_tokens = 2 })
    check.ok("a session's tools leave plain prompts alone", with_tools:generate "Once")
    with_tools:close()
    check.ok("set the messages", s:messages { { role = "user", content = "Once" } } and roles(s) == "u")
    local stopped = s:chat_start("x", short)
    stopped:cancel()
    stopped:wait()
    check.equal("cancelled before it spoke", roles(s), "u")
    s:chat("x", { max_tokens = 3, temperature = 0 })
    generation = s:chat_start("y", short)
    generation:wait()
    generation:close()
    check.equal("a closed generation's reply is kept", roles(s), "suuaua")
    m:close()
end

function area.by_hand(context)
    local m, s = open(context)
    s:feed "Once upon"
    local held = text_of(m, s)
    s:chat("a time", short)
    check.equal("a chat behind a text", text_of(m, s):sub(1, #held), held)
    check.equal("its messages", roles(s), "ua")
    s:generate(" and then", short)
    held = text_of(m, s)
    s:chat("the end", short)
    check.equal("a text behind a chat stays", text_of(m, s):sub(1, #held), held)
    check.equal("all messages", roles(s), "uaua")
    m:close()
end

-- The part that sorts a reply, by itself: what the small model says holds no marks.
function area.marks(context)
    local core = {}
    for _, name in ipairs { "template_text", "reasoning" } do
        assert(loadfile(context.folder .. "/../../lua/" .. name .. ".lua"))(llm, core)
    end
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
        check.equal("reasoning of " .. reply, whole.reasoning, reasoning)
        check.equal("text of " .. reply, whole.text, text)
        local kinds, splits = { text = "", reasoning = "" }, core.new_splitter(prompt)
        local function emit(piece, kind)
            check.ok("pieces are not empty", piece ~= "")
            kinds[kind] = kinds[kind] .. piece
        end
        for byte in reply:gmatch "." do splits:feed(byte, emit) end
        splits:finish(emit)
        check.equal("reasoning byte by byte of " .. reply, kinds.reasoning, reasoning or "")
        check.equal("text byte by byte of " .. reply, kinds.text, text)
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
    check.ok("hidden marks", hidden[300] == "<|channel|>" and hidden[302] and not hidden[303] and not hidden[60])
    local ids = model:tokenize("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        .. "<|channel|>final<|message|>Yes")
    local harmony = core.read_reply("", core.text_with_marks(model, ids, hidden))
    check.ok("channels", harmony.reasoning == "Hm." and harmony.text == "Yes", llm.json.encode(harmony))
    ids = model:tokenize "<|channel|>final<|message|>Yes"
    harmony = core.read_reply("", core.text_with_marks(model, ids, hidden))
    check.ok("no thought", harmony.reasoning == nil and harmony.text == "Yes", llm.json.encode(harmony))
    check.equal("no marks", core.text_with_marks(model, model:tokenize "plain", hidden), nil)
    local call = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
    local read = core.read_reply("", "Well.\n" .. call .. "\n" .. call, true)
    check.ok("tool calls", #read.tool_calls == 2 and read.tool_calls[1]["function"].name == "f"
        and read.tool_calls[2]["function"].arguments.x == 1)
    check.equal("and the text without them", read.text, "Well.")
    check.ok("as Llama", core.read_reply("", '{"name": "f", "parameters": {}}', true).tool_calls[1].type == "function")
    check.equal("no call", core.read_reply("", '<tool_call>{"name": 1}</tool_call>', true).tool_calls, nil)
    check.equal("not asked for", core.read_reply("", call).text, call)
end

function area.reasoning(context)
    local m, s = open(context)
    m.info.chat_template = template .. "<think>"
    local reply, result = s:chat("Why", short)
    check.ok("a thought that the prompt begins", reply.text == "" and #reply.reasoning > 0, llm.json.encode(reply))
    check.equal("is kept apart", s:messages()[2].reasoning_content, reply.reasoning)
    check.ok("the raw text is the result's", #result.text > 0)
    local kinds = {}
    for piece, info in s:chat_stream("Why", short) do kinds[info.kind] = (kinds[info.kind] or "") .. piece end
    check.ok("streamed in its kind", kinds.reasoning and not kinds.text)
    m:close()
end

return area

-- lua/library/llm.lua has a line for every function, method, field and option of the module, and none for others.
local t = ...
local llm = require "llm"

local file = assert(io.open(t.folder .. "/../../lua/library/llm.lua"))
local text = file:read "*a"
file:close()

-- ---- what the file says ----

local functions = {} -- "llm.load", "model:generate" -> the lines of comment before it
local classes = {} -- "llm.load_options" -> { parent =, fields = { name = true } }
local comment, class_fields = {}
for line in text:gmatch "[^\n]*" do
    local name, parent = line:match "^%-%-%-@class ([%w_.]+)(:? ?[%w_.]*)"
    local field = line:match "^%-%-%-@field ([%w_]+)"
    local called = line:match "^function ([%w_.:]+)"
    if name then
        class_fields = {}
        classes[name] = { parent = parent:match "^: (.+)", fields = class_fields }
    elseif field then class_fields[field] = true
    elseif called then functions[called] = table.concat(comment, "\n") end
    if line:find "^%-%-%-" then comment[#comment + 1] = line
    elseif line ~= "" then comment = {} end
end

local function fields(name, into)
    into = into or {}
    local of = classes[name]
    if not t.check(of, name) then return into end
    for field in pairs(of.fields) do into[field] = true end
    return of.parent and fields(of.parent, into) or into
end

local function same_names(what, said, real)
    for name in pairs(real) do t.check(said[name], what, "has no line for", name) end
    for name in pairs(said) do t.check(real[name], what, "has a line too many for", name) end
end

local function said_functions(prefix)
    local names = {}
    for name in pairs(functions) do
        local rest = name:match("^" .. prefix .. "[.:]([%w_]+)$")
        if rest then names[rest] = true end
    end
    return names
end

-- ---- what there is ----

local function keys(of, kind)
    local names = {}
    for name, value in pairs(of) do
        if not kind or type(value) == kind then names[name] = true end
    end
    return names
end

-- Methods and fields are upvalues of the function that looks them up.
local function members(object)
    local index = debug.getmetatable(object).__index
    if type(index) == "table" then return index, {} end
    local _, methods = debug.getupvalue(index, 1)
    local _, own_fields = debug.getupvalue(index, 2)
    return methods, own_fields
end

-- The options that a function knows, from what it says of one that it does not.
local function options_of(f, ...)
    local _, err = pcall(f, ...)
    local names = {}
    local known = t.check(tostring(err):match "%(known: (.*)%)", err)
    for name in (known or ""):gmatch "%S+" do names[name] = true end
    return names
end

local unknown = { zzzzzzzzzzzzzzzz = 1 }
local m = assert(t.load { context = 64 })
local s = assert(m:session())
local g = assert(s:start("Once", { max_tokens = 1 }))
g:wait()

t.test("functions of the module", function()
    same_names("llm", said_functions "llm", keys(llm, "function"))
    same_names("llm.json", said_functions "json", keys(llm.json))
    local others = keys(llm)
    for name in pairs(keys(llm, "function")) do others[name] = nil end
    same_names("fields of llm", fields "llm", others)
end)

t.test("methods and fields of objects", function()
    local job = llm.load_async(t.stories, t.options { vocab_only = true })
    local objects = { model = m, session = s, generation = g, job = job, stream = m:stream("Once", { max_tokens = 1 }) }
    for name, object in pairs(objects) do
        local methods, own_fields = members(object)
        same_names(name, said_functions(name), keys(methods))
        same_names("fields of " .. name, fields("llm." .. name), keys(own_fields))
    end
    same_names("job of the Lua parts", said_functions "job", keys((members(m:embed("a", { async = true })))))
    job:close()
end)

t.test("options", function()
    same_names("llm.load", fields "llm.load_options", options_of(llm.load, t.stories, unknown))
    local chat = fields "llm.chat_options"
    for name in pairs { system = 1, documents = 1, template = 1 } do
        t.check(chat[name], name)
        chat[name] = nil -- read by the Lua parts
    end
    same_names("generate", chat, options_of(m.generate, m, "x", unknown))
    same_names("template", fields "llm.template_options", options_of(m.count, m, "x", unknown))
    same_names("tokenize", fields "llm.tokenize_options", options_of(m.tokenize, m, "x", unknown))
    same_names("embed", fields "llm.embed_options", options_of(m.embed, m, "x", unknown))
    same_names("save", fields "llm.save_options", options_of(s.save, s, unknown))
    for name in pairs { dry = 1, xtc = 1, mirostat = 1 } do
        same_names(name, fields("llm." .. name), options_of(m.generate, m, "x", { [name] = unknown }))
    end
    local tables = {
        ["model:detokenize"] = options_of(m.detokenize, m, {}, unknown),
        ["model:choose"] = options_of(m.choose, m, "x", { "a" }, unknown),
        ["model:restore"] = options_of(m.restore, m, "x", unknown),
        ["session:feed"] = options_of(s.feed, s, "x", unknown),
        ["session:logits"] = options_of(s.logits, s, 1, unknown),
        ["llm.selftest"] = options_of(llm.selftest, nil, unknown),
    }
    for name, real in pairs(tables) do
        local said = {}
        for list in functions[name]:gmatch "@param [^\n]-(%b{})" do
            for field in list:gsub("%b()", ""):gmatch "([%w_]+)%??:" do said[field] = true end
        end
        same_names(name, said, real)
    end
end)

t.test("fields of tables", function()
    same_names("info", fields "llm.model_info", (function()
        local names = keys(m.info)
        for name in pairs { name = 1, quantization = 1, chat_template = 1, license = 1, bos_token = 1 } do
            names[name] = true -- where the file has it
        end
        return names
    end)())
    same_names("memory", fields "llm.model_memory", keys(m.info.memory))
    same_names("device", fields "llm.device", keys(llm.devices()[1]))
    local _, result = m:generate("Once", { max_tokens = 2, logprobs = 1 })
    local said = fields "llm.result"
    for name in pairs { stop = 1, reply = 1, error = 1, code = 1 } do said[name] = nil end
    same_names("result", said, keys(result))
    same_names("timings", fields "llm.timings", keys(result.timings))
    same_names("logprobs", fields "llm.token_logprob", keys(result.logprobs[1]))
end)

m:close()
